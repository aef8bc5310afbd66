"""surplus bars: stored bars that the venue has not, counted by the verified day."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. Processes of the release before write days without it."""
    column = sa.Column("surplus", sa.Integer(), nullable=False, server_default="0")
    op.add_column("kline_days", column)


def downgrade() -> None:
    """Take back."""
    op.drop_column("kline_days", "surplus")
