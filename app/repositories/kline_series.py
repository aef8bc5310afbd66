"""Kline series, and what is kept of bars that were changed or refused."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import and_, bindparam, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.core.errors import NotFound
from app.core.market.rolling import ROLL_UPS, ROLLED
from app.core.market.validation import BadKline
from app.models import KlineQuarantineRow, KlineRecord, KlineRevisionRow, KlineSeriesRow
from app.repositories.base import Repository
from app.repositories.prepared import Prepared

# IN lists stay below SQLite's and MySQL's comfort; a page of a venue has 1,000 bars.
_IN_LIMIT = 500


# Asked with every bar and page: built once.
_OF_SYMBOL = select(KlineSeriesRow).where(
    KlineSeriesRow.exchange == bindparam("exchange"),
    KlineSeriesRow.symbol == bindparam("symbol"),
)
_OF_KIND = (
    KlineSeriesRow.kind == bindparam("kind"),
    KlineSeriesRow.interval.in_(bindparam("intervals", expanding=True)),
)
_SOURCES = Prepared(_OF_SYMBOL.where(*_OF_KIND), many="intervals")
_ROLLED_UP = (KlineSeriesRow.kind == ROLLED, KlineSeriesRow.interval == bindparam("rolled"))
# By the order of the index: of a minimum and a maximum SQLite would read every bar of the series,
# and so would MySQL, where the series is not a constant.
_SPANNED = Prepared(
    _OF_SYMBOL.where(or_(and_(*_OF_KIND), and_(*_ROLLED_UP))).add_columns(
        *(
            select(KlineRecord.open_ts)
            .where(KlineRecord.series_id == KlineSeriesRow.id)
            .order_by(order)
            .limit(1)
            .correlate(KlineSeriesRow)
            .scalar_subquery()
            for order in (KlineRecord.open_ts.asc(), KlineRecord.open_ts.desc())
        )
    ),
    many="intervals",
)
_LOCKED = Prepared(
    select(KlineSeriesRow)
    .where(
        *(
            getattr(KlineSeriesRow, name) == bindparam(name)
            for name in ("exchange", "symbol", "kind", "interval")
        )
    )
    .with_for_update()
)


class KlineSeriesRepository(Repository):
    """Series by name, their revisions and their quarantine."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        # A session forgets what nobody holds, and would read it again for the next who asks.
        self._held: list[KlineSeriesRow] = []

    def find_series(
        self, exchange: str, symbol: str, interval: str, kind: str = "trade"
    ) -> KlineSeriesRow | None:
        """The series, or None where nothing was ever collected for it."""
        return self._session.scalars(
            select(KlineSeriesRow).where(
                KlineSeriesRow.exchange == exchange,
                KlineSeriesRow.symbol == symbol,
                KlineSeriesRow.kind == kind,
                KlineSeriesRow.interval == interval,
            )
        ).one_or_none()

    def sources(
        self, exchange: str, symbol: str, intervals: Sequence[str], kind: str = "trade"
    ) -> dict[str, KlineSeriesRow]:
        """Those of the series that exist, by interval."""
        names = {"exchange": exchange, "symbol": symbol, "kind": kind, "intervals": intervals}
        return {row.interval: row for row in _SOURCES.all(self._session, names)}

    def spanned(
        self,
        exchange: str,
        symbol: str,
        intervals: Sequence[str],
        kind: str = "trade",
        *,
        rolled: str = "",
    ) -> dict[str, tuple[KlineSeriesRow, tuple[int, int] | None]]:
        """The same with the open times of their first and last bar; None where there is none.

        Args:
            rolled: also the roll-up of this interval, under the name ``ROLLED``.
        """
        names = {"exchange": exchange, "symbol": symbol, "kind": kind, "intervals": intervals}
        return {
            (ROLLED if row.kind == ROLLED else row.interval): (
                row,
                None if first is None else (first, last),
            )
            for row, first, last in _SPANNED.leading(self._session, {**names, "rolled": rolled})
        }

    def series(
        self,
        exchange: str,
        symbol: str,
        interval: str,
        now_ms: int,
        *,
        kind: str = "trade",
        grid_offset_ms: int = 0,
    ) -> KlineSeriesRow:
        """The series, made if there is none."""
        found = self.find_series(exchange, symbol, interval, kind)
        if found is not None:
            return found
        row = KlineSeriesRow(
            exchange=exchange,
            symbol=symbol,
            kind=kind,
            interval=interval,
            grid_offset_ms=grid_offset_ms,
            created_at=now_ms,
        )
        try:
            with self._session.begin_nested():
                self._session.add(row)
        except IntegrityError:
            # Another worker made it between our look and our insert.
            found = self.find_series(exchange, symbol, interval, kind)
            if found is None:
                raise
            return found
        return row

    def locked(
        self, exchange: str, symbol: str, interval: str, now_ms: int, *, kind: str = "trade"
    ) -> KlineSeriesRow:
        """The series by its name, made if there is none, its row locked until the unit ends."""
        names = {"exchange": exchange, "symbol": symbol, "kind": kind, "interval": interval}
        row: KlineSeriesRow | None = _LOCKED.held_one(self._session, names)
        if row is None:
            row = self.lock_series(self.series(exchange, symbol, interval, now_ms, kind=kind).id)
        self._held.append(row)
        return row

    def all_series(
        self, exchange: str | None = None, *, rolled: bool = False
    ) -> Sequence[KlineSeriesRow]:
        """Every series by exchange, symbol, interval.

        Args:
            rolled: also those that were rolled up, which no venue has.
        """
        row = KlineSeriesRow
        statement = select(row)
        if not rolled:
            statement = statement.where(row.kind != ROLLED)
        if exchange is not None:
            statement = statement.where(row.exchange == exchange)
        return self._session.scalars(
            statement.order_by(row.exchange, row.symbol, row.interval)
        ).all()

    def roll_ups(self, minutes: KlineSeriesRow) -> dict[str, KlineSeriesRow]:
        """What was rolled up of minutes, by interval."""
        return self.sources(minutes.exchange, minutes.symbol, ROLL_UPS, ROLLED)

    def lock_series(self, series_id: int) -> KlineSeriesRow:
        """The series row, locked until the unit ends: one writer of a series at a time.

        Raises:
            NotFound: there is none.
        """
        row = self._session.scalars(
            select(KlineSeriesRow)
            .where(KlineSeriesRow.id == series_id)
            .with_for_update()
            .execution_options(populate_existing=True)
        ).one_or_none()
        if row is None:
            raise NotFound(f"no kline series has the id {series_id}")
        return row

    def quarantine(self, series_id: int, bad: Sequence[BadKline], source: str, now_ms: int) -> int:
        """Keep bars that failed validation; how many were not known yet."""
        new = 0
        for position in range(0, len(bad), _IN_LIMIT):
            chunk = bad[position : position + _IN_LIMIT]
            known = {
                (row.open_ts, row.reason, tuple(row.row))
                for row in self._session.scalars(
                    select(KlineQuarantineRow).where(
                        KlineQuarantineRow.series_id == series_id,
                        KlineQuarantineRow.open_ts.in_([entry.open_ts for entry in chunk]),
                    )
                )
            }
            for entry in chunk:
                key = (entry.open_ts, entry.reason, tuple(entry.row))
                if key in known:
                    continue
                known.add(key)
                new += 1
                self._session.add(
                    KlineQuarantineRow(
                        series_id=series_id,
                        open_ts=entry.open_ts,
                        row=entry.row,
                        reason=entry.reason,
                        source=source,
                        seen_at=now_ms,
                    )
                )
        return new

    def revisions(
        self, series_id: int, limit: int = 100, before: int | None = None
    ) -> Sequence[KlineRevisionRow]:
        """The latest revisions of a series, newest first.

        Args:
            before: of those that are older than the one of this id.
        """
        wanted = select(KlineRevisionRow).where(KlineRevisionRow.series_id == series_id)
        if before is not None:
            wanted = wanted.where(KlineRevisionRow.id < before)
        latest = wanted.order_by(KlineRevisionRow.id.desc()).limit(limit)
        return self._session.scalars(latest).all()

    def quarantined_opens(self, series_id: int, start: int, end: int) -> Sequence[int]:
        """Open times in [start, end) of bars that are in quarantine, ascending, each once."""
        row = KlineQuarantineRow
        found = self._session.scalars(
            select(row.open_ts)
            .where(row.series_id == series_id, row.open_ts >= start, row.open_ts < end)
            .distinct()
            .order_by(row.open_ts)
        )
        return [opened for opened in found if opened is not None]

    def quarantined(
        self, series_id: int, limit: int = 100, before: int | None = None
    ) -> Sequence[KlineQuarantineRow]:
        """The latest quarantined bars of a series, newest first.

        Args:
            before: of those that are older than the one of this id.
        """
        wanted = select(KlineQuarantineRow).where(KlineQuarantineRow.series_id == series_id)
        if before is not None:
            wanted = wanted.where(KlineQuarantineRow.id < before)
        latest = wanted.order_by(KlineQuarantineRow.id.desc()).limit(limit)
        return self._session.scalars(latest).all()
