"""point gaps: from when on a history was asked for, and what of it is lacking."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.types import LONG_TEXT

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply. Of what is stored neither is known: the next question finds it out."""
    op.add_column("point_series", sa.Column("from_ts", sa.BigInteger(), nullable=True))
    # Nullable, for MySQL gives a text no default.
    op.add_column("point_series", sa.Column("gaps", LONG_TEXT, nullable=True))


def downgrade() -> None:
    """Take back."""
    op.drop_column("point_series", "gaps")
    op.drop_column("point_series", "from_ts")
