"""Who holds an execution, and the operator's view of all executions."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

from tables.row_security import drop_operator_statements, operator_statements

revision = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Executions that are under way have no holder: nothing is known of their processes."""
    op.add_column("workflow_execution", sa.Column("holder", sa.Text()), schema="knowledge")
    for statement in operator_statements():
        op.execute(statement)


def downgrade() -> None:
    """The role stays: other databases of the cluster may use it."""
    for statement in drop_operator_statements():
        op.execute(statement)
    op.drop_column("workflow_execution", "holder", schema="knowledge")
