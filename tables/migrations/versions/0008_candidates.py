"""Candidates for links in the order in which they are taken, and entities with namesakes told by a key."""

from collections.abc import Sequence

from alembic import op

revision: str = "0008"
down_revision: str | None = "0006"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_S = "knowledge"
_TABLE = "entity_name"
_BY_KEY = "ix_entity_name_organization_id_key"
_IN_ORDER = "ix_entity_name_organization_id_key_created_at_id"


def upgrade() -> None:
    """Documents read before have no namesakes noted: their links are judged as if they had none."""
    op.create_index(_IN_ORDER, _TABLE, ["organization_id", "key", "created_at", "id"], schema=_S)
    op.drop_index(_BY_KEY, _TABLE, schema=_S)


def downgrade() -> None:
    """The index as it was."""
    op.create_index(_BY_KEY, _TABLE, ["organization_id", "key"], schema=_S)
    op.drop_index(_IN_ORDER, _TABLE, schema=_S)
