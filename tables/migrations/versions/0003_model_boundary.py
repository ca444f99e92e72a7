"""How model endpoints stand, for all processes; and items that an execution has given up."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_S = "knowledge"


def upgrade() -> None:
    """Endpoints nobody has said anything about may be asked."""
    op.create_table(
        "model_endpoint",
        sa.Column("id", sa.Text(), primary_key=True),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("name", "state", "detail")),
        *(sa.Column(name, sa.DateTime(timezone=True)) for name in ("held_since", "probe_at", "probing_until")),
        sa.Column("probing_by", sa.Text()),
        sa.Column("version", sa.BigInteger(), nullable=False, server_default="1"),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()")),
        schema=_S,
    )
    op.execute(f"GRANT SELECT, INSERT, UPDATE ON {_S}.model_endpoint TO knowledge_operator")
    op.add_column(
        "workflow_activity", sa.Column("given_up", sa.Boolean(), nullable=False, server_default="false"), schema=_S
    )


def downgrade() -> None:
    """Forgets both."""
    op.drop_column("workflow_activity", "given_up", schema=_S)
    op.drop_table("model_endpoint", schema=_S)
