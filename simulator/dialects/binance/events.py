"""The events of Binance's streams, as JSON values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.core.market.intervals import Interval
from app.core.money import ZERO
from simulator.bars import Bar, Bars
from simulator.book import Book
from simulator.dialects.binance.filters import eight
from simulator.dialects.binance.market_data import day_ticker, touch
from simulator.dialects.binance.shapes import STATUS_NAMES, TYPE_NAMES, price_text, units_text
from simulator.instruments import DECIMALS
from simulator.ledger import Holding
from simulator.market import Market
from simulator.noise import Ints
from simulator.observing import OrderEvent
from simulator.trades import PublicTrade


def klines(
    market: Market, interval: Interval, before: int, now: int, *, is_last: bool
) -> Iterator[dict[str, Any]]:
    """Events of one kline stream for a step of time: bars that closed, then the open one."""
    if interval.length_ms < market.tape.finest.length_ms:
        return
    opened = interval.floor(before)
    present = interval.floor(now)
    if opened < present:
        closed = market.tape.between(interval, opened, present)
        for index in range(len(closed)):
            yield _kline(market, interval, closed, closed.bar(index), now, is_closed=True)
    if is_last:
        bars = market.klines(interval, present, None, 1, now)
        for index in range(len(bars)):
            yield _kline(market, interval, bars, bars.bar(index), now, is_closed=False)


def _kline(
    market: Market, interval: Interval, bars: Bars, bar: Bar, now: int, *, is_closed: bool
) -> dict[str, Any]:
    native = market.spec.native

    def price(units: int) -> str:
        return price_text(bars.price(units))

    return {
        "e": "kline",
        "E": now,
        "s": native,
        "k": {
            "t": bar.open_ts,
            "T": interval.next(bar.open_ts) - 1,
            "s": native,
            "i": interval.name,
            "f": 0 if bar.trades else -1,
            "L": bar.trades - 1,
            "o": price(bar.open),
            "c": price(bar.close),
            "h": price(bar.high),
            "l": price(bar.low),
            "v": units_text(bar.volume, bars.volume_decimals),
            "n": bar.trades,
            "x": is_closed,
            "q": units_text(bar.quote_volume, bars.quote_decimals),
            "V": units_text(bar.taker_volume, bars.volume_decimals),
            "Q": units_text(bar.taker_quote_volume, bars.quote_decimals),
            "B": "0",
        },
    }


def mini_ticker(market: Market, now: int) -> dict[str, Any]:
    """``24hrMiniTicker``."""
    day = day_ticker(market, now)
    return {
        "e": "24hrMiniTicker",
        "E": now,
        "s": day["symbol"],
        "c": day["lastPrice"],
        "o": day["openPrice"],
        "h": day["highPrice"],
        "l": day["lowPrice"],
        "v": day["volume"],
        "q": day["quoteVolume"],
    }


def ticker(market: Market, now: int) -> dict[str, Any]:
    """``24hrTicker``."""
    day = day_ticker(market, now)
    names = {
        "s": "symbol",
        "p": "priceChange",
        "P": "priceChangePercent",
        "w": "weightedAvgPrice",
        "x": "prevClosePrice",
        "c": "lastPrice",
        "Q": "lastQty",
        "b": "bidPrice",
        "B": "bidQty",
        "a": "askPrice",
        "A": "askQty",
        "o": "openPrice",
        "h": "highPrice",
        "l": "lowPrice",
        "v": "volume",
        "q": "quoteVolume",
        "O": "openTime",
        "C": "closeTime",
        "F": "firstId",
        "L": "lastId",
        "n": "count",
    }
    return {"e": "24hrTicker", "E": now, **{short: day[name] for short, name in names.items()}}


def book_ticker(market: Market, now: int, update_id: int) -> dict[str, Any]:
    """``bookTicker``; real frames of spot carry no event type."""
    best = touch(market, now)
    return {
        "u": update_id,
        "s": best["symbol"],
        "b": best["bidPrice"],
        "B": best["bidQty"],
        "a": best["askPrice"],
        "A": best["askQty"],
    }


def depth_update(market: Market, before: Book, after: Book, now: int) -> dict[str, Any]:
    """``depthUpdate`` from one book to a later one."""
    return {
        "e": "depthUpdate",
        "E": now,
        "s": market.spec.native,
        "U": before.update_id + 1,
        "u": after.update_id,
        "b": _changes(before.bids, after.bids),
        "a": _changes(before.asks, after.asks),
    }


def _changes(before: tuple[Ints, Ints], after: tuple[Ints, Ints]) -> list[list[str]]:
    old = dict(zip(before[0].tolist(), before[1].tolist(), strict=True))
    new = dict(zip(after[0].tolist(), after[1].tolist(), strict=True))
    gone = {price: 0 for price in old if price not in new}
    changed = {price: size for price, size in new.items() if old.get(price) != size}
    return [[units_text(p, DECIMALS), units_text(q, DECIMALS)] for p, q in (gone | changed).items()]


def trade(market: Market, item: PublicTrade, now: int) -> dict[str, Any]:
    """``trade``."""
    return {
        "e": "trade",
        "E": now,
        "s": market.spec.native,
        "t": item.id,
        "p": price_text(item.price),
        "q": eight(item.quantity),
        "T": item.time,
        "m": item.buyer_is_maker,
        "M": True,
    }


def agg_trade(market: Market, item: PublicTrade, now: int) -> dict[str, Any]:
    """``aggTrade``."""
    return {
        "e": "aggTrade",
        "E": now,
        "s": market.spec.native,
        "a": item.id,
        "p": price_text(item.price),
        "q": eight(item.quantity),
        "f": item.id,
        "l": item.id,
        "T": item.time,
        "m": item.buyer_is_maker,
        "M": True,
    }


# -- user data ----------------------------------------------------------------------------

_EXECUTION_TYPES = {
    "new": "NEW",
    "triggered": "NEW",
    "trade": "TRADE",
    "canceled": "CANCELED",
    "expired": "EXPIRED",
}


def execution_report(event: OrderEvent, market: Market, now: int) -> dict[str, Any]:
    """``executionReport``: the state of the order after the event."""
    order, fill = event.order, event.fill
    ticket = order.ticket
    was_cancelled = event.kind == "canceled"
    return {
        "e": "executionReport",
        "E": now,
        "s": market.spec.native,
        "c": (event.request_id or order.client_id) if was_cancelled else order.client_id,
        "S": ticket.side.value.upper(),
        "o": TYPE_NAMES[ticket.kind],
        "f": ticket.time_in_force.value.upper(),
        "q": eight(order.quantity),
        "p": price_text(ticket.price or ZERO),
        "P": price_text(ticket.stop_price or ZERO),
        "F": "0.00000000",
        "g": -1,
        "C": order.client_id if was_cancelled else "",
        "x": _EXECUTION_TYPES[event.kind],
        "X": STATUS_NAMES[order.state],
        "r": "NONE",
        "i": order.id,
        "l": eight(fill.quantity if fill else ZERO),
        "z": eight(order.executed),
        "L": price_text(fill.price if fill else ZERO),
        "n": eight(fill.fee) if fill else "0",
        "N": fill.fee_asset if fill else None,
        "T": fill.time if fill else order.updated,
        "t": fill.trade_id if fill else -1,
        "I": order.id,
        "w": order.state.is_open and order.is_working,
        "m": fill.is_maker if fill else False,
        "M": fill is not None,
        "O": order.created,
        "Z": eight(order.cost),
        "Y": eight(fill.cost if fill else ZERO),
        "Q": eight(ticket.quote_quantity or ZERO),
        "W": order.created,
        "V": "EXPIRE_MAKER",
    }


def account_position(balances: Mapping[str, Holding], now: int) -> dict[str, Any]:
    """``outboundAccountPosition``."""
    return {
        "e": "outboundAccountPosition",
        "E": now,
        "u": now,
        "B": [
            {"a": asset, "f": eight(held.free), "l": eight(held.locked)}
            for asset, held in balances.items()
        ],
    }
