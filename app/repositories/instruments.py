"""The instrument catalogue."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import Any

from sqlalchemy import bindparam, func, select

from app.core.errors import UnknownName
from app.core.market.instruments import Instrument, InstrumentStatus, InstrumentType
from app.core.money import shown
from app.models import InstrumentRevisionRow, InstrumentRow, KlineSeriesRow, PointSeriesRow
from app.repositories.base import Repository
from app.repositories.prepared import Prepared


@dataclass(frozen=True, slots=True)
class Change:
    """What a venue states otherwise than before; ``old`` is None for what is new."""

    old: Instrument | None
    new: Instrument

    def differences(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """What it was and what it is now, by field, amounts as text."""
        was = {} if self.old is None else asdict(self.old)
        now = asdict(self.new)
        names = [name for name in now if was.get(name) != now[name]]
        return {name: _plain(was.get(name)) for name in names}, {
            name: _plain(now[name]) for name in names
        }


# IN lists stay below SQLite's and MySQL's comfort.
_IN_LIMIT = 500
_ONE = Prepared(
    select(InstrumentRow).where(
        InstrumentRow.exchange == bindparam("exchange"),
        InstrumentRow.symbol == bindparam("symbol"),
    )
)


class InstrumentRepository(Repository):
    """Instruments by venue and symbol."""

    def find(self, exchange: str, symbol: str) -> Instrument | None:
        """The instrument, or None."""
        names = {"exchange": exchange, "symbol": symbol}
        row = _ONE.one(self._session, names)
        return None if row is None else instrument_of(row)

    def get(self, exchange: str, symbol: str) -> Instrument:
        """The instrument.

        Raises:
            UnknownName: the catalogue does not hold it, or there is no such exchange.
        """
        found = self.find(exchange, symbol)
        if found is None:
            self.require_exchange(exchange)
            raise UnknownName(
                f"{symbol[:40]!r} is not in the catalogue of {exchange[:40]}; "
                "write it as in BTC/USDT, or refresh: "
                f"tidemark data symbols -e {exchange[:40]} --refresh"
            )
        return found

    def require_exchange(self, exchange: str) -> None:
        """Nothing, where an exchange exists or the record holds something of it.

        Raises:
            UnknownName: nobody knows it.
        """
        if self.count(exchange):
            return
        for row in (KlineSeriesRow, PointSeriesRow):
            series = select(row.id).where(row.exchange == exchange).limit(1)
            if self._session.scalars(series).first() is not None:
                return
        from app.core.exchanges.factory import VENUES

        if exchange not in VENUES:
            # A second once, for those alone who name an exchange of which nothing is known.
            from app.core.exchanges.markets.generic import check_known

            check_known(exchange)

    def symbols_of_native(self, exchange: str, native_id: str) -> list[str]:
        """Symbols that the venue itself calls by that name; a spot and a swap may share one."""
        row = InstrumentRow
        return list(
            self._session.scalars(
                select(row.symbol)
                .where(row.exchange == exchange, row.native_id == native_id)
                .order_by(row.symbol)
            )
        )

    def of_exchange(self, exchange: str, *, trading_only: bool = False) -> list[Instrument]:
        """All instruments of a venue by symbol."""
        statement = select(InstrumentRow).where(InstrumentRow.exchange == exchange)
        if trading_only:
            statement = statement.where(InstrumentRow.status == InstrumentStatus.TRADING.value)
        rows = self._session.scalars(statement.order_by(InstrumentRow.symbol))
        return [instrument_of(row) for row in rows]

    def not_trading(self, exchange: str, symbols: Sequence[str]) -> dict[str, InstrumentStatus]:
        """Those of the symbols that are known and do not trade, and how they stand."""
        row = InstrumentRow
        found: dict[str, InstrumentStatus] = {}
        for position in range(0, len(symbols), _IN_LIMIT):
            rows = self._session.execute(
                select(row.symbol, row.status).where(
                    row.exchange == exchange,
                    row.symbol.in_(symbols[position : position + _IN_LIMIT]),
                    row.status != InstrumentStatus.TRADING.value,
                )
            )
            found |= {symbol: InstrumentStatus(status) for symbol, status in rows}
        return found

    def page(
        self, exchange: str | None, limit: int, cursor: tuple[str, str] | None = None
    ) -> Sequence[Instrument]:
        """Up to ``limit`` instruments by (exchange, symbol) from behind ``cursor``."""
        row = InstrumentRow
        statement = select(row)
        if exchange is not None:
            statement = statement.where(row.exchange == exchange)
        if cursor is not None:
            statement = statement.where(
                (row.exchange > cursor[0])
                | ((row.exchange == cursor[0]) & (row.symbol > cursor[1]))
            )
        found = self._session.scalars(statement.order_by(row.exchange, row.symbol).limit(limit))
        return [instrument_of(entry) for entry in found]

    def exchanges(self) -> Sequence[str]:
        """Venues of which instruments are known."""
        return self._session.scalars(
            select(InstrumentRow.exchange).distinct().order_by(InstrumentRow.exchange)
        ).all()

    def count(self, exchange: str) -> int:
        """How many instruments of a venue are known."""
        return self._session.execute(
            select(func.count()).where(InstrumentRow.exchange == exchange)
        ).scalar_one()

    def refresh(
        self,
        exchange: str,
        instruments: Iterable[Instrument],
        new_id: Callable[[], str],
        now_ms: int,
        among: Collection[str] | None = None,
    ) -> list[Change]:
        """Make the catalogue of a venue what it now states; what changed.

        What it no longer states is kept as delisted: orders and klines refer to it. What it
        states otherwise is kept as a revision.

        Args:
            among: the symbols that it was asked for; all without them.
        """
        statement = select(InstrumentRow).where(InstrumentRow.exchange == exchange)
        if among is not None:
            statement = statement.where(InstrumentRow.symbol.in_(among))
        known = {row.symbol: row for row in self._session.scalars(statement)}
        stated = {each.symbol: each for each in instruments}
        for symbol in known.keys() - stated.keys():
            gone = instrument_of(known[symbol])
            stated[symbol] = replace(gone, status=InstrumentStatus.DELISTED)
        changes = []
        for symbol, instrument in stated.items():
            row = known.get(symbol)
            change = Change(None if row is None else instrument_of(row), instrument)
            if change.old != instrument:
                self._store(row, change, new_id, now_ms)
                changes.append(change)
        return changes

    def revisions(self, exchange: str, symbol: str) -> Sequence[InstrumentRevisionRow]:
        """What the venue has changed of an instrument, oldest first."""
        row = InstrumentRevisionRow
        return self._session.scalars(
            select(row).where(row.exchange == exchange, row.symbol == symbol).order_by(row.id)
        ).all()

    def _store(
        self, row: InstrumentRow | None, change: Change, new_id: Callable[[], str], now_ms: int
    ) -> None:
        new = change.new
        values = {**asdict(new), "type": new.type.value, "status": new.status.value}
        if row is None:
            self._session.add(InstrumentRow(id=new_id(), updated_at=now_ms, **values))
            return
        for name, value in values.items():
            setattr(row, name, value)
        row.updated_at = now_ms
        was, now = change.differences()
        self._session.add(
            InstrumentRevisionRow(
                exchange=new.exchange, symbol=new.symbol, old=was, new=now, seen_at=now_ms
            )
        )


def _plain(value: Any) -> Any:
    return shown(value) if isinstance(value, Decimal) else value


def instrument_of(row: InstrumentRow) -> Instrument:
    """The domain's instrument of a row."""
    return Instrument(
        exchange=row.exchange,
        symbol=row.symbol,
        native_id=row.native_id,
        base=row.base,
        quote=row.quote,
        type=InstrumentType(row.type),
        status=InstrumentStatus(row.status),
        tick_size=row.tick_size,
        step_size=row.step_size,
        min_quantity=row.min_quantity,
        max_quantity=row.max_quantity,
        min_notional=row.min_notional,
        contract_size=row.contract_size,
    )
