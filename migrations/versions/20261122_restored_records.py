"""restored records."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column(
        "accounts", sa.Column("restored_at", sa.BigInteger(), nullable=False, server_default="0")
    )


def downgrade() -> None:
    """Take back."""
    op.drop_column("accounts", "restored_at")
