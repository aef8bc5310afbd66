"""roll ups: hours and days are kept beside minutes, and days that they lack are marked."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

_TABLE: dict[str, Any] = {
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mysql_engine": "InnoDB",
}
_SERIES = sa.table("kline_series", sa.column("id"), sa.column("kind"), sa.column("interval"))
_MARKS = sa.table("roll_marks", sa.column("series_id"), sa.column("day_ts"))


def upgrade() -> None:
    """Apply: each series of minutes is looked at once, and rolled up if it is long enough."""
    op.add_column("kline_series", sa.Column("rolled_to", sa.BigInteger(), nullable=True))
    op.add_column(
        "kline_series",
        sa.Column("marked_version", sa.Integer(), nullable=False, server_default="0"),
    )
    op.create_table(
        "roll_marks",
        sa.Column("series_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("day_ts", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("series_id", "day_ts", name=op.f("pk_roll_marks")),
        **_TABLE,
    )
    minutes = sa.select(_SERIES.c.id, sa.literal_column("0")).where(
        _SERIES.c.kind == "trade", _SERIES.c.interval == "1m"
    )
    op.execute(sa.insert(_MARKS).from_select(["series_id", "day_ts"], minutes))


def downgrade() -> None:
    """Take back: what was rolled up can be made again."""
    rolled = sa.select(_SERIES.c.id).where(_SERIES.c.kind == "rolled")
    for name in ("klines", "kline_periods"):
        bars = sa.table(name, sa.column("series_id"))
        op.execute(sa.delete(bars).where(bars.c.series_id.in_(rolled)))
    op.execute(sa.delete(_SERIES).where(_SERIES.c.kind == "rolled"))
    op.drop_table("roll_marks")
    op.drop_column("kline_series", "marked_version")
    op.drop_column("kline_series", "rolled_to")
