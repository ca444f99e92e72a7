"""Row-level security: how a table is closed to all organisations but the one a transaction belongs to.

Fail-closed: without `app.organization_id` (or with an empty one) no row is seen and none can be written.
Migrations call this module, so what it does to a table once released must keep its meaning.
"""

from sqlalchemy import Connection, text

from tables.base import ACTOR, SCHEMA, OrgTable

APP_ROLE = "knowledge_app"
OPERATOR_ROLE = "knowledge_operator"
"""May see which executions there are, of all organisations, and nothing of what they are about."""
_OPERATED_TABLE = "workflow_execution"
_OPERATOR_POLICY = "operator_overview"
_OPERATOR_COLUMNS = (
    *("id", "organization_id", "flow_run_id", "status", "resumes", "pid", "host", "holder"),
    *("created_at", "updated_at", "started_at", "ended_at", "deleted_at"),
)
_POLICY = "organization_isolation"
_OWN_ROWS = "organization_id = nullif(current_setting('app.organization_id', true), '')"


def _create_role(role: str) -> str:
    return f"""
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN
    CREATE ROLE {role} NOLOGIN;
  END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
END $$
"""


# A login that is a member may take the role; since PostgreSQL 16 membership and that right are told apart.
def _grant_role_to_login(role: str) -> str:
    return f"""
DO $$ BEGIN
  IF NOT pg_has_role(session_user, '{role}',
    CASE WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END)
  THEN EXECUTE format('GRANT {role} TO %I', session_user);
  END IF;
END $$
"""


_TOUCH = f"""
CREATE OR REPLACE FUNCTION {SCHEMA}.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  NEW.version := OLD.version + 1;
  NEW.updated_at := now();
  NEW.updated_by := {ACTOR};
  RETURN NEW;
END $$
"""

# The policy's condition as PostgreSQL prints it.
_OWN_ROWS_PRINTED = "(organization_id = NULLIF(current_setting('app.organization_id'::text, true), ''::text))"

_UNPROTECTED = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = :schema AND c.relkind IN ('r', 'p') AND c.relname = ANY(:tables) AND NOT (
  c.relrowsecurity AND c.relforcerowsecurity
  AND NOT (SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = :role)
  AND NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname <> :policy AND NOT (
    c.relname = :operated AND p.polcmd = 'r'
    AND p.polroles = ARRAY[(SELECT oid FROM pg_roles WHERE rolname = :operator)]))
  AND EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = :policy AND p.polcmd = '*'
              AND pg_get_expr(p.polqual, c.oid) = :own_rows AND pg_get_expr(p.polwithcheck, c.oid) = :own_rows)
  AND EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgname = 'touch')
  AND has_table_privilege(:role, c.oid, 'SELECT') AND has_table_privilege(:role, c.oid, 'INSERT')
  AND has_table_privilege(:role, c.oid, 'UPDATE') AND has_table_privilege(:role, c.oid, 'DELETE')
  AND NOT has_table_privilege(:role, c.oid, 'TRUNCATE')
  AND NOT has_table_privilege(:operator, c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE')
  AND NOT has_any_column_privilege(:operator, c.oid, 'INSERT, UPDATE')
  AND ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0
            AND NOT a.attisdropped AND has_column_privilege(:operator, c.oid, a.attnum, 'SELECT') ORDER BY 1)
      = CASE WHEN c.relname = :operated THEN cast(:operator_columns AS text[]) ELSE '{}' END)
ORDER BY 1
"""


def role_statements() -> tuple[str, ...]:
    """The SQL that makes the application role, lets the login take it, and lets it into the schema."""
    return (
        _create_role(APP_ROLE),
        _grant_role_to_login(APP_ROLE),
        f"GRANT USAGE ON SCHEMA {SCHEMA} TO {APP_ROLE}",
        _TOUCH,
    )


def protect_statements(table: str) -> tuple[str, ...]:
    """The SQL that closes a table to other organisations, opens it to the role, and counts row versions."""
    name = f"{SCHEMA}.{table}"
    return (
        f"ALTER TABLE {name} ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE {name} FORCE ROW LEVEL SECURITY",
        f"CREATE POLICY {_POLICY} ON {name} USING ({_OWN_ROWS}) WITH CHECK ({_OWN_ROWS})",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO {APP_ROLE}",
        f"CREATE TRIGGER touch BEFORE UPDATE ON {name} FOR EACH ROW EXECUTE FUNCTION {SCHEMA}.touch()",
    )


def operator_statements() -> tuple[str, ...]:
    """The SQL that makes the operator's role, lets the login take it, and shows it the executions of everybody."""
    table = f"{SCHEMA}.{_OPERATED_TABLE}"
    return (
        _create_role(OPERATOR_ROLE),
        _grant_role_to_login(OPERATOR_ROLE),
        f"GRANT USAGE ON SCHEMA {SCHEMA} TO {OPERATOR_ROLE}",
        f"GRANT SELECT ({', '.join(_OPERATOR_COLUMNS)}) ON {table} TO {OPERATOR_ROLE}",
        f"CREATE POLICY {_OPERATOR_POLICY} ON {table} FOR SELECT TO {OPERATOR_ROLE} USING (true)",
    )


def drop_operator_statements() -> tuple[str, ...]:
    """The SQL that takes from the operator's role what `operator_statements` gave it here. The role stays."""
    table = f"{SCHEMA}.{_OPERATED_TABLE}"
    return (
        f"DROP POLICY {_OPERATOR_POLICY} ON {table}",
        f"REVOKE ALL ON {table} FROM {OPERATOR_ROLE}",
        f"REVOKE ALL ON SCHEMA {SCHEMA} FROM {OPERATOR_ROLE}",
    )


def unprotected_tables(connection: Connection) -> tuple[str, ...]:
    """The names of our existing tables that lack any part of their protection, sorted."""
    names = [table.name for table in OrgTable.metadata.sorted_tables]
    expected = {
        "schema": SCHEMA,
        "tables": names,
        "role": APP_ROLE,
        "policy": _POLICY,
        "own_rows": _OWN_ROWS_PRINTED,
        "operator": OPERATOR_ROLE,
        "operated": _OPERATED_TABLE,
        "operator_columns": sorted(_OPERATOR_COLUMNS),
    }
    return tuple(connection.execute(text(_UNPROTECTED), expected).scalars())
