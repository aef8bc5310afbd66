"""One account at Binance spot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from app.core.errors import InvalidInput, UnknownName
from app.core.exchanges.decoding import ORDER_STATUS, Reader
from app.core.exchanges.errors import BadVenueAnswer, OrderNotKnown, VenueRetryLater
from app.core.exchanges.factory import TRADED, open_session
from app.core.exchanges.markets.binance import native_id
from app.core.exchanges.outcomes import Action
from app.core.exchanges.session import Call, VenueSession
from app.core.exchanges.transport import TIMEOUT_S
from app.core.money import ZERO, canonical
from app.core.orders.types import (
    Balance,
    OrderRequest,
    OrderResponse,
    OrderStatus,
    OrderTerms,
    OrderType,
    Position,
    Side,
    TimeInForce,
    VenueFill,
)
from app.core.ports import Clock, Purpose, RequestBudget, TradeAdapter, VenueClock

#: recvWindow of queries and cancels; orders bring their own.
QUERY_WINDOW_MS: Final = 5_000
# The request's time was outside of its window.
_OUT_OF_TIME: Final = "-1021"
# How long queries and cancels may wait for the budget, seconds; a send never waits.
_WAIT_S: Final = 2.0
_TRADES_LIMIT: Final = 1000
# 100 pages are 100,000 trades; beyond that something else is wrong.
_PAGES: Final = 100
_TYPES: Final = {
    OrderType.MARKET: "MARKET",
    OrderType.LIMIT: "LIMIT",
    OrderType.STOP: "STOP_LOSS",
    OrderType.STOP_LIMIT: "STOP_LOSS_LIMIT",
}
# What others may have placed on the account; the venue's own word is kept beside it.
_KNOWN_TYPES: Final = {
    **{word: kind for kind, word in _TYPES.items()},
    "LIMIT_MAKER": OrderType.LIMIT,
    "TAKE_PROFIT": OrderType.STOP,
    "TAKE_PROFIT_LIMIT": OrderType.STOP_LIMIT,
}


def trade_adapter(
    exchange: str,
    credentials: Mapping[str, str],
    budget: RequestBudget,
    clock: Clock,
    *,
    base_url: str | None = None,
    timeout_s: float = TIMEOUT_S,
    venue_clock: VenueClock | None = None,
) -> TradeAdapter:
    """One account at a venue.

    Args:
        credentials: ``apiKey`` and ``secret``.
        base_url: of a simulator on loopback; None is the real venue.
        timeout_s: from the send to the last byte of an answer, seconds.
        venue_clock: by which queries and cancels are signed; ``clock`` where it is None.

    Raises:
        UnknownName: there is no adapter for the venue.
    """
    if exchange not in TRADED:
        raise UnknownName(
            f"orders at {exchange[:40]!r} are not supported; use one of {', '.join(TRADED)}"
        )
    session = open_session(exchange, budget, clock, base_url, credentials, timeout_s)
    return BinanceSpotTrade(session, venue_clock)


class BinanceSpotTrade:
    """Orders, balances and trades of one account; implements ``TradeAdapter``.

    No call is retried. Only ``place_order`` sends the request's own committed timestamp;
    queries and cancels change nothing when repeated and sign with the venue's present time.
    """

    def __init__(self, session: VenueSession, venue_clock: VenueClock | None = None) -> None:
        self._session = session
        self._venue_clock = venue_clock or _OwnClock(session.clock)
        self._exchange = session.exchange
        self._symbols: dict[str, str] = {}

    def prepare(self) -> None:
        """Have this thread's client built: before a claim, for the first one takes seconds."""
        self._session.prepare()

    def place_order(self, request: OrderRequest) -> OrderResponse:
        """Send an order, once; weight 1, taken without waiting.

        Raises:
            InvalidInput: a price that the type needs is missing; nothing was sent.
            VenueRejected: proven not accepted, and final.
            VenueRetryLater: proven not accepted; the same order may be sent again later.
            VenueUnknown: anything else; the order may live.
        """
        answer = self._signed(
            "private_post_order",
            _order_params(request),
            weight=1,
            action=Action.CREATE,
            purpose=Purpose.ORDER,
            wait_s=0.0,
            timestamp=request.timestamp_ms,
            window=request.recv_window_ms,
        )
        return self._order("new order", answer, request.symbol, request.client_order_id)

    def cancel_order(self, symbol: str, client_order_id: str) -> OrderResponse:
        """Cancel by client order id; weight 1, from the reserve.

        Raises:
            OrderNotKnown: the venue does not know an open order of that id.
            VenueUnknown: the cancel may or may not have happened.
        """
        answer = self._signed(
            "private_delete_order",
            {"symbol": native_id(symbol), "origClientOrderId": client_order_id},
            weight=1,
            action=Action.CANCEL,
            purpose=Purpose.CANCEL,
        )
        return self._order("cancel", answer, symbol, client_order_id, "origClientOrderId")

    def get_order_status(self, symbol: str, client_order_id: str) -> OrderResponse | None:
        """The order, or None where the venue answered that it has none of that id; weight 4.

        Raises:
            VenueError: the query itself failed; that proves nothing.
        """
        try:
            answer = self._query(
                "private_get_order",
                {"symbol": native_id(symbol), "origClientOrderId": client_order_id},
                4,
            )
        except OrderNotKnown:
            return None
        return self._order("order", answer, symbol, client_order_id)

    def open_orders(self, symbol: str | None = None) -> list[OrderResponse]:
        """All open orders of the account; weight 6 for one symbol, 80 for all.

        Raises:
            VenueError: the query failed; that says nothing about orders.
        """
        params = {} if symbol is None else {"symbol": native_id(symbol)}
        reader = Reader(self._exchange, "open orders")
        answer = self._query("private_get_openorders", params, 80 if symbol is None else 6)
        found = []
        for entry in reader.list(answer):
            row = reader.object(entry)
            native = reader.text(row, "symbol")
            name = symbol if symbol is not None else self._symbol(native)
            order = self._order("open order", row, name, reader.text(row, "clientOrderId"))
            found.append(replace(order, terms=_terms(reader, row)))
        return found

    def own_trades(self, symbol: str, after_trade_id: str | None) -> list[VenueFill]:
        """Own trades in ascending order of trade id, after the given one; weight 20 a page.

        Raises:
            InvalidInput: ``after_trade_id`` is not one of this venue's.
            VenueError: a page could not be read; none is returned then.
        """
        reader = Reader(self._exchange, f"own trades of {symbol}")
        fills: list[VenueFill] = []
        next_id = 0 if after_trade_id is None else _trade_id(after_trade_id) + 1
        for _ in range(_PAGES):
            rows = reader.list(
                self._query(
                    "private_get_mytrades",
                    {"symbol": native_id(symbol), "fromId": next_id, "limit": _TRADES_LIMIT},
                    20,
                )
            )
            for entry in rows:
                row = reader.object(entry)
                identity = reader.integer(row, "id")
                if identity < next_id:
                    reader.bad("trade ids do not ascend")
                next_id = identity + 1
                fills.append(_own_trade(reader, row, symbol))
            if len(rows) < _TRADES_LIMIT:
                return fills
        raise BadVenueAnswer(self._exchange, f"own trades of {symbol} did not come to an end")

    def get_balance(self) -> list[Balance]:
        """All assets that are not empty; weight 20.

        Raises:
            VenueError: the balance could not be read; it is never taken as empty.
        """
        reader = Reader(self._exchange, "balance")
        answer = reader.object(self._query("private_get_account", {"omitZeroBalances": "true"}, 20))
        found = {}
        for entry in reader.list(answer.get("balances")):
            row = reader.object(entry)
            asset = reader.text(row, "asset")
            if asset in found:
                reader.bad(f"{asset} comes twice")
            free, locked = reader.not_negative(row, "free"), reader.not_negative(row, "locked")
            found[asset] = Balance(asset, free, locked)
        return [held for held in found.values() if held.free or held.locked]

    def get_positions(self) -> list[Position]:
        """None: spot has balances."""
        return []

    def _query(self, method: str, params: dict[str, Any], weight: int) -> Any:
        return self._signed(
            method, params, weight=weight, action=Action.QUERY, purpose=Purpose.ORDER
        )

    def _signed(
        self,
        method: str,
        params: dict[str, Any],
        *,
        weight: int,
        action: Action,
        purpose: Purpose,
        wait_s: float = _WAIT_S,
        timestamp: int | None = None,
        window: int = QUERY_WINDOW_MS,
    ) -> Any:
        signed = {**params, "recvWindow": window}
        stamp = None
        if timestamp is None:
            stamp = self._present
        else:
            signed["timestamp"] = timestamp
        try:
            return self._session.send(
                Call(method, signed, weight, purpose, action, wait_s=wait_s, stamp=stamp)
            )
        except VenueRetryLater as error:
            if error.venue_code == _OUT_OF_TIME:
                self._venue_clock.refresh()
            raise

    def _present(self) -> dict[str, Any]:
        return {"timestamp": self._venue_clock.now_ms()}

    def _order(
        self,
        what: str,
        answer: Any,
        symbol: str,
        client_order_id: str,
        echo: str = "clientOrderId",
    ) -> OrderResponse:
        """The order that an answer speaks of, which must be the one that was asked for."""
        reader = Reader(self._exchange, what)
        row = reader.object(answer)
        if row.get("symbol") != native_id(symbol):
            reader.bad("the answer speaks of another symbol")
        if row.get(echo) != client_order_id:
            reader.bad("the answer speaks of another order")
        status = ORDER_STATUS.get(reader.text(row, "status"))
        if status is None:
            reader.bad("the order's status is not known")
        quantity = reader.positive(row, "origQty")
        filled = reader.not_negative(row, "executedQty")
        if filled > quantity or (status is OrderStatus.FILLED and filled != quantity):
            reader.bad("status, quantity and filled quantity contradict each other")
        venue_id = str(reader.integer(row, "orderId"))
        response = OrderResponse(
            client_order_id, venue_id, symbol, status, quantity, filled, _fills(reader, row, symbol)
        )
        if sum((fill.quantity for fill in response.fills), ZERO) > filled:
            reader.bad("the fills are more than what was filled")
        return response

    def _symbol(self, native: str) -> str:
        """Unified symbol of a venue's name, from its catalogue; asked for when it is not known."""
        if native not in self._symbols:
            reader = Reader(self._exchange, "exchangeInfo")
            answer = reader.object(
                self._session.send(
                    Call(
                        "public_get_exchangeinfo",
                        {"symbol": native},
                        20,
                        purpose=Purpose.ORDER,
                        wait_s=_WAIT_S,
                    )
                )
            )
            for entry in reader.list(answer.get("symbols")):
                row = reader.object(entry)
                unified = f"{reader.text(row, 'baseAsset')}/{reader.text(row, 'quoteAsset')}"
                self._symbols[reader.text(row, "symbol")] = unified
            if native not in self._symbols:
                reader.bad("a symbol with an open order is not in the catalogue")
        return self._symbols[native]


class _OwnClock:
    """A venue's clock where none was measured: this machine's."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def now_ms(self) -> int:
        return self._clock.now_ms()

    def refresh(self) -> None:
        """There is nothing to forget."""


def _order_params(request: OrderRequest) -> dict[str, Any]:
    """What Binance wants for an order. A price beside a market order would make it a quote one.

    Raises:
        InvalidInput: a price that the type needs is missing.
    """
    params: dict[str, Any] = {
        "symbol": native_id(request.symbol),
        "side": request.side.value.upper(),
        "type": _TYPES[request.type],
        "quantity": canonical(request.quantity),
        "newClientOrderId": request.client_order_id,
        "newOrderRespType": "FULL",
    }
    if request.type in (OrderType.LIMIT, OrderType.STOP_LIMIT):
        if request.price is None:
            raise InvalidInput(f"a {request.type.value} order needs a price")
        params["price"] = canonical(request.price)
        params["timeInForce"] = TimeInForce(request.time_in_force).value.upper()
    if request.type in (OrderType.STOP, OrderType.STOP_LIMIT):
        if request.stop_price is None:
            raise InvalidInput(f"a {request.type.value} order needs a stop price")
        params["stopPrice"] = canonical(request.stop_price)
    return params


def _fills(reader: Reader, row: dict[str, Any], symbol: str) -> tuple[VenueFill, ...]:
    """Trades of a FULL answer; all of them took liquidity, for the order had just arrived."""
    entries = reader.list(row.get("fills", []))
    if not entries:
        return ()
    side = _side(reader, row)
    venue_id, timestamp = str(reader.integer(row, "orderId")), reader.integer(row, "transactTime")
    return tuple(
        VenueFill(
            trade_id=str(reader.integer(entry, "tradeId")),
            venue_order_id=venue_id,
            symbol=symbol,
            side=side,
            price=reader.positive(entry, "price"),
            quantity=reader.positive(entry, "qty"),
            fee=reader.amount(entry, "commission"),
            fee_asset=reader.text(entry, "commissionAsset"),
            timestamp=timestamp,
            is_maker=False,
        )
        for entry in map(reader.object, entries)
    )


def _terms(reader: Reader, row: dict[str, Any]) -> OrderTerms:
    """What an order of the list of open orders asked for; a price of 0 means none."""
    word = reader.text(row, "type")
    kind = _KNOWN_TYPES.get(word)
    if kind is None:
        reader.bad("the order's type is not known")
    try:
        time_in_force = TimeInForce(reader.text(row, "timeInForce").lower())
    except ValueError:
        reader.bad("the time in force is not known")
    stop = reader.not_negative(row, "stopPrice") if "stopPrice" in row else ZERO
    return OrderTerms(
        side=_side(reader, row),
        type=kind,
        time_in_force=time_in_force,
        price=reader.not_negative(row, "price") or None,
        stop_price=stop or None,
        placed_at=reader.integer(row, "time"),
        word=word,
    )


def _own_trade(reader: Reader, row: dict[str, Any], symbol: str) -> VenueFill:
    if row.get("symbol") != native_id(symbol):
        reader.bad("the answer speaks of another symbol")
    return VenueFill(
        trade_id=str(reader.integer(row, "id")),
        venue_order_id=str(reader.integer(row, "orderId")),
        symbol=symbol,
        side=Side.BUY if reader.flag(row, "isBuyer") else Side.SELL,
        price=reader.positive(row, "price"),
        quantity=reader.positive(row, "qty"),
        fee=reader.amount(row, "commission"),
        fee_asset=reader.text(row, "commissionAsset"),
        timestamp=reader.integer(row, "time"),
        is_maker=reader.flag(row, "isMaker"),
    )


def _side(reader: Reader, row: dict[str, Any]) -> Side:
    try:
        return Side(reader.text(row, "side").lower())
    except ValueError:
        reader.bad("the side is neither BUY nor SELL")


def _trade_id(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise InvalidInput(f"{text[:30]!r} is not a trade id of Binance")
    return int(text)
