"""A record with years behind it: most rows are final, a few are under way."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any, Final

from sqlalchemy import Boolean, Engine, insert, text
from sqlalchemy.types import Integer, Numeric, String

from app.models import (
    Base,
    CoverageRow,
    EquitySnapshotRow,
    FillRow,
    JobRow,
    KlineRecord,
    KlineSeriesRow,
    OrderEventRow,
    OrderRow,
    OutboxRow,
    PositionRow,
    PostingRow,
    RiskDecisionRow,
    RollMarkRow,
    ScheduleRunRow,
    SignalRow,
    StrategyInstanceRow,
    TradingHaltRow,
)
from app.models.base import Json, Money

#: Orders in the record; as many signals, decisions and fills, and four events an order.
ORDERS: Final = 6_000
#: Of them, orders that are not final.
OPEN: Final = 12
INSTANCES: Final = 20
KLINES: Final = 20_000
ACCOUNT: Final = "account-0"
_BATCH: Final = 2_000


def uid(kind: str, number: int) -> str:
    """A readable id that sorts by its number."""
    return f"{kind}-{number:08d}"


def instance_of(number: int) -> str:
    """The instance of an order by the order's number."""
    return uid("instance", number % INSTANCES)


def account_of(number: int) -> str:
    """The account of an order by the order's number: two accounts, one instance on one only."""
    return f"account-{number % INSTANCES % 2}"


def write_history(engine: Engine) -> None:
    """Fill an empty MySQL record; foreign keys to what no query reads are left dangling."""
    with engine.begin() as connection:
        connection.execute(text("SET foreign_key_checks = 0"))
        for model, rows in _tables():
            batch: list[dict[str, Any]] = []
            for row in rows:
                batch.append(filled(model, row))
                if len(batch) == _BATCH:
                    connection.execute(insert(model), batch)
                    batch = []
            if batch:
                connection.execute(insert(model), batch)
        connection.execute(text("SET foreign_key_checks = 1"))
        for table in Base.metadata.sorted_tables:
            connection.execute(text(f"ANALYZE TABLE {table.name}")).all()


Rows = Iterable[dict[str, Any]]


def _tables() -> Iterator[tuple[type[Base], Rows]]:
    yield from _trading()
    yield from _books()
    yield from _system()
    yield from _market()


def _trading() -> Iterator[tuple[type[Base], Rows]]:
    numbers = range(ORDERS)
    yield StrategyInstanceRow, (_instance(n) for n in range(INSTANCES))
    yield SignalRow, (_signal(n) for n in numbers)
    yield RiskDecisionRow, (_decision(n) for n in numbers)
    yield OrderRow, (_order(n) for n in numbers)
    yield OrderEventRow, (_event(n, seq) for n in numbers for seq in (1, 2, 3, 4))
    halts = ({"id": uid("halt", n), "lifted_at": None if n < 2 else n} for n in range(500))
    yield TradingHaltRow, halts


def _books() -> Iterator[tuple[type[Base], Rows]]:
    numbers = range(ORDERS)
    yield FillRow, (_fill(n) for n in numbers)
    yield PostingRow, (_posting(n, book) for n in numbers for book in ("holdings", "market"))
    positions = ({**_owner(n), "symbol": f"S{n // INSTANCES}/USDT"} for n in range(INSTANCES * 10))
    yield PositionRow, positions
    yield EquitySnapshotRow, ({**_owner(n), "ts": n} for n in numbers)


def _system() -> Iterator[tuple[type[Base], Rows]]:
    numbers = range(ORDERS)
    yield JobRow, (_job(n) for n in numbers)
    yield OutboxRow, ({"sent_at": 0 if n < OPEN else n, "created_at": n} for n in numbers)
    yield ScheduleRunRow, ({"task": f"t{n % 6}", "due_slot": n} for n in numbers)


def _market() -> Iterator[tuple[type[Base], Rows]]:
    yield KlineSeriesRow, (_series(n) for n in range(50))
    bars = range(KLINES // 2)
    yield KlineRecord, ({"series_id": s, "open_ts": n * 60_000} for s in (1, 2) for n in bars)
    yield RollMarkRow, (_mark(s, n) for s in range(1, OPEN + 1) for n in range(4))
    yield CoverageRow, (_span(s, n) for s in range(1, 51) for n in range(100))


def _instance(number: int) -> dict[str, Any]:
    return {
        "id": uid("instance", number),
        "account_id": account_of(number),
        "name": f"i{number}",
        "kind": "strategy",
        "status": "running" if number < 4 else "stopped",
    }


def _decision(number: int) -> dict[str, Any]:
    return {
        **_owner(number),
        "id": uid("decision", number),
        "intent_key": f"k{number}",
        "created_at": number,
    }


def _event(number: int, seq: int) -> dict[str, Any]:
    return {
        "order_id": uid("order", number),
        "instance_id": instance_of(number),
        "seq": seq,
        "told": number >= OPEN,
    }


def _fill(number: int) -> dict[str, Any]:
    return {
        **_owner(number),
        "id": uid("fill", number),
        "order_id": uid("order", number),
        "symbol": "BTC/USDT",
        "trade_id": str(number),
        "ts": number,
    }


def _posting(number: int, book: str) -> dict[str, Any]:
    return {**_owner(number), "txn_id": uid("fill", number), "book": book, "asset": "USDT"}


def _job(number: int) -> dict[str, Any]:
    return {
        "id": uid("job", number),
        "state": "queued" if number < OPEN else "succeeded",
        "kind": "backtest",
        "dedupe_key": f"d{number}" if number < OPEN else None,
        "not_before": number,
        "lease_until": 0,
    }


def _series(number: int) -> dict[str, Any]:
    return {
        "id": number + 1,
        "exchange": "binance",
        "symbol": f"S{number}/USDT",
        "interval": "1m",
        "kind": "trade",
    }


def _span(series: int, number: int) -> dict[str, Any]:
    return {
        "series_id": series,
        "start_ts": number * 60_000,
        "end_ts": (number + 1) * 60_000,
        "state": "present",
    }


def _mark(series: int, number: int) -> dict[str, Any]:
    return {"series_id": series, "day_ts": number * 86_400_000}


def _owner(number: int) -> dict[str, Any]:
    return {"account_id": account_of(number), "instance_id": instance_of(number)}


def _signal(number: int) -> dict[str, Any]:
    return {
        "id": uid("signal", number),
        "instance_id": instance_of(number),
        "symbol": "BTC/USDT",
        "interval": "1m",
        "cause": f"bar:{number}",
        "status": "new" if number < OPEN else "done",
        "created_at": number,
    }


def _order(number: int) -> dict[str, Any]:
    return {
        **_owner(number),
        "order_id": uid("order", number),
        "decision_id": uid("decision", number),
        "intent_key": f"k{number}",
        "client_order_id": f"c{number}",
        "venue_order_id": f"v{number}",
        "symbol": "BTC/USDT",
        "status": ("new", "acknowledged", "unknown")[number % 3] if number < OPEN else "filled",
        "created_at": number,
    }


def filled(model: type[Base], given: dict[str, Any]) -> dict[str, Any]:
    """A row with something in every column that must not be empty."""
    row = dict(given)
    for column in model.__table__.columns:
        if column.name in row or column.nullable or column.autoincrement is True:
            continue
        row[column.name] = _something(column.type)
    return row


def _something(kind: Any) -> Any:
    for type_, value in ((Money, Decimal(1)), (Json, {}), (Boolean, False), (Integer, 0)):
        if isinstance(kind, type_):
            return value
    if isinstance(kind, Numeric):
        return Decimal(1)
    assert isinstance(kind, String), kind
    return "x"
