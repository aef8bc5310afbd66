"""The instrument catalogue."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict

from sqlalchemy import func, select

from app.core.errors import UnknownName
from app.core.market.instruments import Instrument, InstrumentStatus, InstrumentType
from app.models import InstrumentRow
from app.repositories.base import Repository


class InstrumentRepository(Repository):
    """Instruments by venue and symbol."""

    def find(self, exchange: str, symbol: str) -> Instrument | None:
        """The instrument, or None."""
        row = self._session.scalars(
            select(InstrumentRow).where(
                InstrumentRow.exchange == exchange, InstrumentRow.symbol == symbol
            )
        ).one_or_none()
        return None if row is None else instrument_of(row)

    def get(self, exchange: str, symbol: str) -> Instrument:
        """The instrument.

        Raises:
            UnknownName: the catalogue does not hold it.
        """
        found = self.find(exchange, symbol)
        if found is None:
            raise UnknownName(
                f"{symbol[:40]!r} is not in the catalogue of {exchange[:40]}; "
                "write it as in BTC/USDT, or refresh the catalogue"
            )
        return found

    def of_exchange(self, exchange: str, *, trading_only: bool = False) -> list[Instrument]:
        """All instruments of a venue by symbol."""
        statement = select(InstrumentRow).where(InstrumentRow.exchange == exchange)
        if trading_only:
            statement = statement.where(InstrumentRow.status == InstrumentStatus.TRADING.value)
        rows = self._session.scalars(statement.order_by(InstrumentRow.symbol))
        return [instrument_of(row) for row in rows]

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
    ) -> int:
        """Make the catalogue of a venue what it now states; how many rows changed.

        What it no longer states is kept as delisted: orders and klines refer to it.
        """
        known = {
            row.symbol: row
            for row in self._session.scalars(
                select(InstrumentRow).where(InstrumentRow.exchange == exchange)
            )
        }
        changed = 0
        for instrument in instruments:
            row = known.pop(instrument.symbol, None)
            if row is not None and instrument_of(row) == instrument:
                continue
            changed += 1
            values = asdict(instrument)
            values.update(type=instrument.type.value, status=instrument.status.value)
            if row is None:
                self._session.add(InstrumentRow(id=new_id(), updated_at=now_ms, **values))
            else:
                for name, value in values.items():
                    setattr(row, name, value)
                row.updated_at = now_ms
        for row in known.values():
            if row.status != InstrumentStatus.DELISTED.value:
                row.status, row.updated_at = InstrumentStatus.DELISTED.value, now_ms
                changed += 1
        return changed


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
