"""Links know who decided them, where it was not rules alone."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0009"
down_revision: str | None = "0007"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Who accepted or undid links so far was not written down; undone ones stay undone by their status."""
    column = sa.Column("decided_by", sa.Text(), nullable=False, server_default="")
    op.add_column("entity_link", column, schema="knowledge")


def downgrade() -> None:
    """Forgets who decided."""
    op.drop_column("entity_link", "decided_by", schema="knowledge")
