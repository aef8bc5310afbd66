"""outbox topics: an instance's name of 64 characters, each percent-encoded, fits."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_NARROW, _WIDE = 190, 255


def upgrade() -> None:
    """Apply."""
    _make(_WIDE, was=_NARROW)


def downgrade() -> None:
    """Take back; an event whose topic the older release cannot hold is given up.

    SQLite holds texts of any length, whatever the column says.
    """
    if op.get_bind().dialect.name != "sqlite":
        topic = sa.column("topic", sa.String)
        outbox = sa.table("outbox", topic)
        op.execute(outbox.delete().where(sa.func.char_length(topic) > _NARROW))
    _make(_NARROW, was=_WIDE)


def _make(length: int, *, was: int) -> None:
    with op.batch_alter_table("outbox", schema=None) as batch_op:
        batch_op.alter_column(
            "topic",
            existing_type=sa.String(length=was),
            type_=sa.String(length=length),
            existing_nullable=False,
        )
