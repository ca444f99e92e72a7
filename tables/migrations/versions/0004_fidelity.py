"""Facts that contradict the ontology are flagged."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    """Facts of earlier runs are not flagged: what they contradict was not looked at."""
    flags = sa.Column("flags", ARRAY(sa.Text()), nullable=False, server_default="{}")
    op.add_column("relation", flags, schema="knowledge")


def downgrade() -> None:
    """Forgets the flags."""
    op.drop_column("relation", "flags", schema="knowledge")
