"""The exchange proper: accounts, orders, matching against the tape, fees.

It speaks no dialect. Users fill against the tape (a bar, or the order book around the
market's price); they never change it and never meet each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from enum import StrEnum
from typing import Final, Protocol

from app.core.errors import Conflict, InvalidInput, NotFound
from app.core.market.rounding import floor_to
from app.core.matching.book import MatchingBook, take
from app.core.matching.orders import Execution, WorkingOrder
from app.core.money import ZERO
from app.core.orders.types import OrderType, Side, TimeInForce
from simulator.instruments import Status
from simulator.ledger import (
    EXACT,
    VENUE,
    Holding,
    InsufficientFunds,
    Ledger,
    round_cost,
    round_fee,
    round_hold,
)
from simulator.market import Market
from simulator.orders import (
    Change,
    Fill,
    Kind,
    Order,
    OrderRefused,
    OrderTicket,
    Refusal,
    State,
)

_CORE_TYPES: Final = {
    Kind.MARKET: OrderType.MARKET,
    Kind.LIMIT: OrderType.LIMIT,
    Kind.LIMIT_MAKER: OrderType.LIMIT,
    Kind.STOP: OrderType.STOP,
    Kind.STOP_LIMIT: OrderType.STOP_LIMIT,
    # A target above the market sells as a limit there would: at the target, or at a better
    # open. It is charged as a taker.
    Kind.TAKE_PROFIT: OrderType.LIMIT,
}


class FeeAsset(StrEnum):
    """In which asset commission is charged."""

    RECEIVED = "received"
    QUOTE = "quote"


@dataclass(frozen=True, slots=True)
class FeeSchedule:
    """Commission: rates as fractions of the fill."""

    taker: Decimal = Decimal("0.001")
    maker: Decimal = Decimal("0.001")
    asset: FeeAsset = FeeAsset.RECEIVED

    @property
    def highest(self) -> Decimal:
        """The rate for which a limit order must hold money."""
        return max(self.taker, self.maker, ZERO)


@dataclass(frozen=True, slots=True)
class Account:
    """A customer and the key that signs for them."""

    name: str
    api_key: str
    api_secret: str


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """Something happened to an order.

    Attributes:
        kind: ``new``, ``triggered``, ``trade``, ``canceled`` or ``expired``.
        request_id: client id of the request that cancelled it, else None.
    """

    kind: str
    order: Order
    fill: Fill | None = None
    request_id: str | None = None


class Observer(Protocol):
    """Who is told what happened, right when it happened."""

    def on_order(self, event: OrderEvent) -> None:
        """An order was accepted, triggered, filled, cancelled or expired."""
        ...

    def on_commit(self, balances: Mapping[str, Mapping[str, Holding]]) -> None:
        """An operation ended; these holdings changed, by account and asset."""
        ...


class Exchange:
    """Accounts and orders of one simulated venue.

    Args:
        markets: by unified symbol.
        now: market time, ms.
        wall: wall time, ms.
    """

    def __init__(
        self,
        markets: Mapping[str, Market],
        fees: FeeSchedule,
        now: Callable[[], int],
        wall: Callable[[], int],
    ) -> None:
        self.markets = markets
        self.fees = fees
        self.ledger = Ledger()
        self.orders: dict[int, Order] = {}
        self.accounts: dict[str, Account] = {}
        self.observers: list[Observer] = []
        self.next_order_id = 1
        self.next_trade_id = 1
        #: No order is taken or matched on any market.
        self.is_suspended = False
        self._now = now
        self._wall = wall
        self._by_key: dict[str, Account] = {}
        self._books: dict[str, MatchingBook[Decimal]] = {}
        self._open_ids: dict[tuple[str, str, str], int] = {}
        self._of_account: dict[tuple[str, str], list[Order]] = {}

    # -- accounts -------------------------------------------------------------------------

    def add_account(self, account: Account) -> None:
        """Make an account known without funding or journalling it.

        Raises:
            Conflict: its name or key is taken.
        """
        if account.name in self.accounts or account.name == VENUE:
            raise Conflict(f"account {account.name!r} exists already")
        if account.api_key in self._by_key:
            raise Conflict("the API key belongs to another account")
        self.accounts[account.name] = account
        self._by_key[account.api_key] = account

    def open_account(self, account: Account, balances: Mapping[str, Decimal]) -> None:
        """Open an account and fund it, in one step of the journal.

        Raises:
            Conflict: its name or key is taken.
        """
        self.add_account(account)
        for asset, amount in balances.items():
            self.ledger.move(asset, amount, source=VENUE, target=account.name)
        self._commit()

    def account_by_key(self, api_key: str) -> Account | None:
        """The account that a key signs for."""
        return self._by_key.get(api_key)

    def deposit(self, account: str, asset: str, amount: Decimal) -> None:
        """Give an account money from the venue (negative: take it away).

        Raises:
            NotFound: no such account.
            InsufficientFunds: more is taken than is free.
        """
        if account not in self.accounts:
            raise NotFound(f"there is no account {account!r}")
        giver, taker = (VENUE, account) if amount >= 0 else (account, VENUE)
        with localcontext(EXACT):
            self.ledger.move(asset, abs(amount), source=giver, target=taker)
        self._commit()

    # -- orders ---------------------------------------------------------------------------

    def place(self, account: str, ticket: OrderTicket) -> Order:
        """Accept an order and match it against the book at the market's price.

        Raises:
            OrderRefused: duplicate id, no funds, closed market, or it would take or trigger.
        """
        if (account, ticket.symbol, ticket.client_id) in self._open_ids:
            raise OrderRefused(Refusal.DUPLICATE)
        market = self.markets[ticket.symbol]
        if self.is_suspended or not market.is_open(self._now()):
            raise OrderRefused(Refusal.CLOSED)
        with localcontext(EXACT):
            order = self._accept(account, ticket, market)
        self._commit()
        return order

    def cancel(self, order: Order, request_id: str | None = None) -> None:
        """Take an open order off the book.

        Raises:
            Conflict: it is not open any more.
        """
        if not order.state.is_open:
            raise Conflict(f"order {order.id} is {order.state}")
        self._book(order.ticket.symbol).cancel(str(order.id))
        with localcontext(EXACT):
            self._finish(order, State.CANCELED)
        self._tell(OrderEvent("canceled", order, request_id=request_id))
        self._commit()

    def open_orders(self, account: str, symbol: str | None = None) -> list[Order]:
        """Open orders, first placed first."""
        return [o for o in self.orders_of(account, symbol) if o.state.is_open]

    def orders_of(self, account: str, symbol: str | None = None) -> list[Order]:
        """Every order of an account, first placed first."""
        if symbol is not None:
            return self._of_account.get((account, symbol), [])
        listed = [
            order
            for (name, _), found in self._of_account.items()
            if name == account
            for order in found
        ]
        return sorted(listed, key=lambda order: order.id)

    def active_symbols(self) -> set[str]:
        """Symbols with resting orders."""
        return {symbol for symbol, book in self._books.items() if len(book)}

    # -- the tape -------------------------------------------------------------------------

    def match(self, symbol: str, start: int, end: int) -> None:
        """Fill what the tape between two times (inside one finest bar) fills."""
        market = self.markets[symbol]
        if self.is_suspended or market.status(start) is not Status.TRADING:
            return
        stretch = market.stretch(start, end)
        book = self._book(symbol)
        if stretch is None or not len(book):
            return
        with localcontext(EXACT):
            executions = book.match_bar(*stretch)
            for execution in executions:
                # A fill at the open happened at the open; any other, somewhere before the end.
                moment = start if execution.price == stretch.open else end - 1
                order = self.orders[int(execution.key)]
                if self._can_pay(order, execution):
                    self._fill(order, execution, moment)
                else:
                    self._expire(order)
            triggered = self._note_triggers(book)
        if executions or triggered:
            self._commit()

    def note_time(self) -> None:
        """Tell observers that time moved, even if nothing else happened."""
        self._commit()

    # -- restoring ------------------------------------------------------------------------

    def restore(self, orders: Iterable[Order]) -> None:
        """Put back journalled orders; those that are open rest again."""
        for order in sorted(orders, key=lambda each: each.id):
            self._register(order)
            self.next_order_id = max(self.next_order_id, order.id + 1)
            for fill in order.fills:
                self.next_trade_id = max(self.next_trade_id, fill.trade_id + 1)
            if order.state.is_open:
                self._rest(order)

    # -- inside ---------------------------------------------------------------------------

    def _accept(self, account: str, ticket: OrderTicket, market: Market) -> Order:
        now = self._now()
        levels = self._levels(market, ticket.side, now)
        quantity = ticket.quantity
        if quantity is None:
            quantity = _affordable(ticket, levels, market.spec.step)
        if quantity <= 0:
            raise OrderRefused(Refusal.TOO_SMALL)
        order = Order(
            id=self.next_order_id,
            account=account,
            ticket=ticket,
            quantity=quantity,
            created=now,
            updated=now,
            client_id=ticket.client_id,
        )
        self._refuse_if_crossing(ticket, levels)
        executions = self._take(order, levels)
        self._hold(order, executions)
        self.next_order_id += 1
        order.history.append(Change(State.NEW, now, self._wall()))
        self._register(order)
        self._tell(OrderEvent("new", order))
        for execution in executions:
            self._fill(order, execution, now)
        self._settle(order)
        return order

    def _note_triggers(self, book: MatchingBook[Decimal]) -> bool:
        """Mark the orders that the tape has triggered; whether there were any."""
        found = False
        for working in book.orders():
            order = self.orders[int(working.key)]
            if working.triggered and not order.triggered:
                order.triggered = True
                self._tell(OrderEvent("triggered", order))
                found = True
        return found

    def _levels(self, market: Market, side: Side, now: int) -> list[tuple[Decimal, Decimal]]:
        book = market.book(now)
        return [] if book is None else book.levels(asks=side is Side.BUY)

    def _refuse_if_crossing(
        self, ticket: OrderTicket, levels: list[tuple[Decimal, Decimal]]
    ) -> None:
        if not levels:
            return
        best, sign = levels[0][0], ticket.side.sign
        if ticket.kind is Kind.LIMIT_MAKER and sign * (_need(ticket.price) - best) >= 0:
            raise OrderRefused(Refusal.WOULD_TAKE)
        if ticket.stop_price is None:
            return
        # A stop buys above the market, a target below it; sells the other way round.
        direction = -sign if ticket.kind is Kind.TAKE_PROFIT else sign
        if direction * (best - ticket.stop_price) >= 0:
            raise OrderRefused(Refusal.WOULD_TRIGGER)

    def _take(
        self, order: Order, levels: list[tuple[Decimal, Decimal]]
    ) -> list[Execution[Decimal]]:
        if order.ticket.kind not in (Kind.MARKET, Kind.LIMIT):
            return []
        executions = take(self._working(order), levels)
        filled = sum((e.quantity for e in executions), ZERO)
        is_fok = order.ticket.time_in_force is TimeInForce.FOK
        return [] if is_fok and filled < order.quantity else executions

    def _working(self, order: Order) -> WorkingOrder[Decimal]:
        ticket = order.ticket
        is_target = ticket.kind is Kind.TAKE_PROFIT
        return WorkingOrder(
            key=str(order.id),
            side=ticket.side,
            type=_CORE_TYPES[ticket.kind],
            remaining=order.remaining,
            limit_price=ticket.stop_price if is_target else ticket.price,
            stop_price=None if is_target else ticket.stop_price,
            time_in_force=ticket.time_in_force,
            triggered=order.triggered,
        )

    def _hold(self, order: Order, executions: list[Execution[Decimal]]) -> None:
        """Lock what the order may have to pay; refuse it if that is not there."""
        ticket = order.ticket
        spec = self.markets[ticket.symbol].spec
        if ticket.side is Side.SELL:
            order.held_asset, amount = spec.base, order.quantity
        else:
            order.held_asset = spec.quote
            amount = self._cost_to_hold(order, executions)
        try:
            self.ledger.lock(order.account, order.held_asset, amount)
        except InsufficientFunds:
            raise OrderRefused(Refusal.FUNDS) from None
        order.held = amount

    def _cost_to_hold(self, order: Order, executions: list[Execution[Decimal]]) -> Decimal:
        taken = sum((e.price * e.quantity for e in executions), ZERO)
        rest = order.quantity - sum((e.quantity for e in executions), ZERO)
        ticket = order.ticket
        if ticket.kind is Kind.MARKET:
            cost = taken
        else:
            cost = taken + rest * (ticket.price or _need(ticket.stop_price))
        if self.fees.asset is FeeAsset.QUOTE:
            cost += cost * self.fees.highest
            # Each fill's commission is rounded by itself, up to half a unit too high.
            cost += Decimal("0.00000001") * (len(executions) + 1)
        return round_hold(cost)

    def _settle(self, order: Order) -> None:
        """What becomes of an order that was just matched against the book."""
        if order.state is State.FILLED:
            return
        rests = order.ticket.kind is not Kind.MARKET
        rests = rests and order.ticket.time_in_force is TimeInForce.GTC
        if rests:
            self._rest(order)
            return
        self._expire(order)

    def _expire(self, order: Order) -> None:
        self._finish(order, State.EXPIRED)
        self._tell(OrderEvent("expired", order))

    def _rest(self, order: Order) -> None:
        self._book(order.ticket.symbol).add(self._working(order))

    def _fill(self, order: Order, execution: Execution[Decimal], moment: int) -> None:
        spec = self.markets[order.ticket.symbol].spec
        is_maker = execution.is_maker and order.ticket.kind is not Kind.TAKE_PROFIT
        cost = round_cost(execution.price * execution.quantity)
        fee, fee_asset = self._fee(order, execution.quantity, cost, is_maker=is_maker)
        fill = Fill(
            trade_id=self.next_trade_id,
            price=execution.price,
            quantity=execution.quantity,
            cost=cost,
            fee=fee,
            fee_asset=fee_asset,
            is_maker=is_maker,
            time=moment,
        )
        self.next_trade_id += 1
        self._pay(order, fill, spec.base, spec.quote)
        order.fills.append(fill)
        order.executed += fill.quantity
        order.cost += fill.cost
        order.updated = max(order.updated, moment)
        if order.remaining == 0:
            self._finish(order, State.FILLED)
        elif order.state is State.NEW:
            self._set_state(order, State.PARTIALLY_FILLED)
        self._tell(OrderEvent("trade", order, fill))

    def _fee(
        self, order: Order, quantity: Decimal, cost: Decimal, *, is_maker: bool
    ) -> tuple[Decimal, str]:
        spec = self.markets[order.ticket.symbol].spec
        rate = self.fees.maker if is_maker else self.fees.taker
        if order.ticket.side is Side.BUY and self.fees.asset is FeeAsset.RECEIVED:
            return round_fee(quantity * rate), spec.base
        return round_fee(cost * rate), spec.quote

    def _pay(self, order: Order, fill: Fill, base: str, quote: str) -> None:
        account = order.account
        is_buy = order.ticket.side is Side.BUY
        paid, paid_asset = (fill.cost, quote) if is_buy else (fill.quantity, base)
        got, got_asset = (fill.quantity, base) if is_buy else (fill.cost, quote)
        if fill.fee_asset == paid_asset:
            paid += fill.fee
        # A stop may fill beyond its stop price: the lock then covers a part only.
        released = min(order.held, paid)
        self.ledger.unlock(account, paid_asset, released)
        order.held -= released
        self.ledger.move(paid_asset, paid, source=account, target=VENUE)
        self.ledger.move(got_asset, got, source=VENUE, target=account)
        if fill.fee_asset == got_asset:
            self.ledger.move(got_asset, fill.fee, source=account, target=VENUE)

    def _can_pay(self, order: Order, execution: Execution[Decimal]) -> bool:
        """Whether a fill beyond the price that money was held for is still covered."""
        if order.ticket.side is Side.SELL:
            return True
        cost = round_cost(execution.price * execution.quantity)
        if self.fees.asset is FeeAsset.QUOTE:
            cost += round_fee(cost * self.fees.highest)
        return cost <= order.held + self.ledger.free(order.account, order.held_asset)

    def _finish(self, order: Order, state: State) -> None:
        if order.held:
            self.ledger.unlock(order.account, order.held_asset, order.held)
            order.held = ZERO
        self._open_ids.pop((order.account, order.ticket.symbol, order.client_id), None)
        self._set_state(order, state)

    def _set_state(self, order: Order, state: State) -> None:
        order.state = state
        order.updated = max(order.updated, self._now())
        order.history.append(Change(state, self._now(), self._wall()))

    def _register(self, order: Order) -> None:
        self.orders[order.id] = order
        self._of_account.setdefault((order.account, order.ticket.symbol), []).append(order)
        if order.state.is_open:
            key = (order.account, order.ticket.symbol, order.client_id)
            self._open_ids[key] = order.id

    def _book(self, symbol: str) -> MatchingBook[Decimal]:
        return self._books.setdefault(symbol, MatchingBook())

    def _tell(self, event: OrderEvent) -> None:
        for observer in self.observers:
            observer.on_order(event)

    def _commit(self) -> None:
        changed = self.ledger.take_changes()
        for observer in self.observers:
            observer.on_commit(changed)


def _affordable(
    ticket: OrderTicket, levels: list[tuple[Decimal, Decimal]], step: Decimal
) -> Decimal:
    """Base quantity that an amount of quote buys or that must be sold for it."""
    left = _need(ticket.quote_quantity)
    quantity = ZERO
    for price, available in levels:
        part = min(available, floor_to(EXACT.divide(left, price), step))
        quantity += part
        left -= part * price
        if part < available:
            break
    return quantity


def _need(value: Decimal | None) -> Decimal:
    if value is None:
        raise InvalidInput("an order reached the exchange without its price or amount")
    return value
