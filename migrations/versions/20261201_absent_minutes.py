"""absent minutes: those that a venue is proven to lack are no hole in longer bars any more."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

_DAY_MS = 86_400_000
_SERIES = sa.table(
    "kline_series", sa.column("id"), sa.column("rolled_to"), sa.column("absent_version")
)
_COVERAGE = sa.table(
    "coverage",
    *(sa.column(name) for name in ("series_id", "start_ts", "end_ts", "state")),
)
_MARKS = sa.table("roll_marks", sa.column("series_id"), sa.column("day_ts"))


def upgrade() -> None:
    """Apply: days that are rolled up and lack such minutes are marked.

    A worker of the release before makes an hour of sixty minutes alone; a day that it makes
    meanwhile is made anew once a minute of it, or what is known of one, changes.
    """
    column = sa.Column("absent_version", sa.Integer(), nullable=False, server_default="0")
    op.add_column("kline_series", column)
    absent = _COVERAGE.c.state == "exchange_side"
    has_any = _SERIES.c.id.in_(sa.select(_COVERAGE.c.series_id).where(absent))
    op.execute(sa.update(_SERIES).where(has_any).values(absent_version=1))
    connection = op.get_bind()
    found = connection.execute(
        sa.select(_SERIES.c.id, _SERIES.c.rolled_to).where(_SERIES.c.rolled_to.is_not(None))
    )
    for series_id, rolled_to in found.all():
        _mark(connection, series_id, rolled_to)


def downgrade() -> None:
    """Take back. Rolled-up bars that lack minutes stay until their days change."""
    op.drop_column("kline_series", "absent_version")


def _mark(connection: sa.Connection, series_id: int, rolled_to: int) -> None:
    spans = connection.execute(
        sa.select(_COVERAGE.c.start_ts, _COVERAGE.c.end_ts).where(
            _COVERAGE.c.series_id == series_id,
            _COVERAGE.c.state == "exchange_side",
            _COVERAGE.c.start_ts < rolled_to,
        )
    )
    known = connection.execute(sa.select(_MARKS.c.day_ts).where(_MARKS.c.series_id == series_id))
    days = {
        day
        for start, end in spans
        for day in range(start - start % _DAY_MS, min(end, rolled_to), _DAY_MS)
    }
    new = sorted(days - {row[0] for row in known})
    if new:
        rows = [{"series_id": series_id, "day_ts": day} for day in new]
        connection.execute(sa.insert(_MARKS), rows)
