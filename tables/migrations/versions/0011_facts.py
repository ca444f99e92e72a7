"""Entities know what is said of them: whoever compares many would read it from two tables, by several indexes each."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_READ = ("entity", "relation")


def upgrade() -> None:
    """Fills the column as publishing does: distinct facts, ordered by code points."""
    column = sa.Column("facts", JSONB(), nullable=False, server_default="[]")
    op.add_column("entity", column, schema="knowledge")
    # The owner does not see the rows of organisations either while row security is forced.
    for table in _READ:
        op.execute(f"ALTER TABLE knowledge.{table} NO FORCE ROW LEVEL SECURITY")
    op.execute(
        """
        WITH fact AS (
            SELECT r.organization_id, r.subject_id AS entity_id, r.predicate,
                coalesce(r.literal_lexical, o.label) AS value, r.literal_datatype AS datatype
            FROM knowledge.relation r
            LEFT JOIN knowledge.entity o ON o.organization_id = r.organization_id AND o.id = r.object_id
            UNION
            SELECT r.organization_id, r.object_id, '^' || r.predicate, s.label, NULL
            FROM knowledge.relation r
            JOIN knowledge.entity s ON s.organization_id = r.organization_id AND s.id = r.subject_id
            WHERE r.object_id IS NOT NULL
        ), said AS (
            SELECT organization_id, entity_id, jsonb_agg(
                jsonb_build_array(predicate, value, datatype)
                ORDER BY predicate COLLATE "C", value COLLATE "C", coalesce(datatype, '') COLLATE "C"
            ) AS facts
            FROM fact GROUP BY organization_id, entity_id
        )
        UPDATE knowledge.entity e SET facts = said.facts FROM said
        WHERE e.organization_id = said.organization_id AND e.id = said.entity_id
        """
    )
    for table in _READ:
        op.execute(f"ALTER TABLE knowledge.{table} FORCE ROW LEVEL SECURITY")


def downgrade() -> None:
    """They are in the relations."""
    op.drop_column("entity", "facts", schema="knowledge")
