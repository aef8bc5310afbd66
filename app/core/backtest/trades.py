"""Round trips: from flat to flat, scaling in and out included."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from app.core.backtest.orders import BacktestFill
from app.core.market.klines import KlineFrame
from app.core.money import ZERO
from app.core.orders.types import Side
from app.core.strategies.exact import minus, over, plus, signed, times, to_money


@dataclass(frozen=True, slots=True)
class Trade:
    """One round trip of one symbol, or the position still open at the end.

    Attributes:
        side: BUY for a long trade.
        quantity: the largest position held, base units.
        entry_ts, exit_ts: open times of the bars of the first and the last fill, ms; exit_ts
            is None while the trade is open.
        entry_price, exit_price: averages over its entry and exit fills, quote units; an open
            trade's exit price is the last close.
        pnl: quote units, fees taken off; for an open trade, at the last close.
        fees: quote units.
        return_pct: pnl over what the entry fills cost, in %.
        mae_pct, mfe_pct: worst and best price between entry and exit bar, both included,
            against the entry price, in %; adverse is negative.
        bars: bars from the entry to the exit bar.
    """

    symbol: str
    side: Side
    quantity: Decimal
    entry_ts: int
    exit_ts: int | None
    entry_price: Decimal
    exit_price: Decimal
    pnl: Decimal
    fees: Decimal
    return_pct: float
    mae_pct: float
    mfe_pct: float
    bars: int
    entry_tag: str
    exit_tag: str

    @property
    def is_open(self) -> bool:
        """Whether the position was still held at the end."""
        return self.exit_ts is None


@dataclass(slots=True)
class _Running:
    """A trade being put together."""

    first: BacktestFill
    held: Decimal = ZERO
    largest: Decimal = ZERO
    bought: Decimal = ZERO
    sold: Decimal = ZERO
    cost: Decimal = ZERO
    proceeds: Decimal = ZERO
    fees: Decimal = ZERO
    last: BacktestFill = field(init=False)

    def add(self, fill: BacktestFill) -> None:
        value = times(fill.quantity, fill.price)
        if fill.side is Side.BUY:
            self.bought, self.cost = plus(self.bought, fill.quantity), plus(self.cost, value)
        else:
            self.sold, self.proceeds = plus(self.sold, fill.quantity), plus(self.proceeds, value)
        self.held = plus(self.held, signed(fill.side, fill.quantity))
        self.largest = max(self.largest, self.held.copy_abs())
        self.fees = plus(self.fees, fill.fee)
        self.last = fill


def round_trips(
    fills: Iterable[BacktestFill], frames: Mapping[str, KlineFrame]
) -> tuple[Trade, ...]:
    """Trades in the order of their exits; open positions come last."""
    running: dict[str, _Running] = {}
    trades = []
    for fill in fills:
        trade = running.setdefault(fill.symbol, _Running(fill))
        trade.add(fill)
        if trade.held == 0:
            trades.append(_close(running.pop(fill.symbol), frames[fill.symbol]))
    trades += [_close(trade, frames[symbol]) for symbol, trade in running.items()]
    return tuple(trades)


def _close(trade: _Running, frame: KlineFrame) -> Trade:
    is_open = trade.held != 0
    proceeds, sold = trade.proceeds, trade.sold
    if is_open:
        last_close = Decimal(repr(float(frame.close[-1])))
        proceeds = plus(proceeds, times(trade.held, last_close))
        sold = plus(sold, trade.held)
    first, last = frame.open_ts.searchsorted([trade.first.bar_ts, trade.last.bar_ts]).tolist()
    last = len(frame) - 1 if is_open else last
    entry = over(trade.cost, trade.bought)
    pnl = minus(minus(proceeds, trade.cost), trade.fees)
    price, path = float(entry), slice(first, last + 1)
    return Trade(
        symbol=frame.symbol,
        side=trade.first.side,
        quantity=trade.largest,
        entry_ts=trade.first.bar_ts,
        exit_ts=None if is_open else trade.last.bar_ts,
        entry_price=to_money(entry),
        exit_price=to_money(over(proceeds, sold)),
        pnl=to_money(pnl),
        fees=trade.fees,
        return_pct=float(over(pnl, trade.cost)) * 100,
        mae_pct=min((float(frame.low[path].min()) / price - 1) * 100, 0.0),
        mfe_pct=max((float(frame.high[path].max()) / price - 1) * 100, 0.0),
        bars=last - first,
        entry_tag=trade.first.tag,
        exit_tag="" if is_open else trade.last.tag,
    )
