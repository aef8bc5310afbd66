"""listens: which strategies answer order events."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_TABLES = ("strategy_versions", "strategy_instances")


def upgrade() -> None:
    """Apply. What is recorded already is told of everything, as it was."""
    for table in _TABLES:
        op.add_column(table, sa.Column("listens", sa.Boolean(), nullable=False, server_default="1"))


def downgrade() -> None:
    """Take back."""
    for table in _TABLES:
        op.drop_column(table, "listens")
