"""streamed series: which bar of a series a stream has brought last."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. Nothing is known of the bars that are stored: the next one that comes says it."""
    op.add_column("kline_series", sa.Column("streamed_ts", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    """Take back."""
    op.drop_column("kline_series", "streamed_ts")
