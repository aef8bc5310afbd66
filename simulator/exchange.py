"""The exchange proper: accounts, orders, matching against the tape.

It speaks no dialect. Users fill against the tape (a bar, or the order book around the
market's price); they never change it and never meet each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext

from app.core.errors import Conflict, NotFound
from app.core.matching.book import MatchingBook
from app.core.matching.orders import Execution
from app.core.orders.types import Side, TimeInForce
from simulator.crossing import Levels, affordable, refuse_if_crossing, taken, working_order
from simulator.fees import FeeSchedule
from simulator.instruments import Status
from simulator.ledger import EXACT, VENUE, Ledger
from simulator.market import Market
from simulator.observing import Observer, OrderEvent
from simulator.orders import Change, Kind, Order, OrderRefused, OrderTicket, Refusal, State
from simulator.settlement import Settlement


@dataclass(frozen=True, slots=True)
class Account:
    """A customer and the key that signs for them."""

    name: str
    api_key: str
    api_secret: str


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
        self._money = Settlement(self.ledger, fees, markets)
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
                if self._money.can_pay(order, execution):
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
            quantity = affordable(ticket, levels, market.spec.step)
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
        refuse_if_crossing(ticket, levels)
        executions = taken(order, levels)
        self._money.hold(order, executions)
        self.next_order_id += 1
        order.history.append(Change(State.NEW, now, self._wall()))
        self._register(order)
        self._tell(OrderEvent("new", order))
        for execution in executions:
            self._fill(order, execution, now)
        self._rest_or_expire(order)
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

    def _levels(self, market: Market, side: Side, now: int) -> Levels:
        book = market.book(now)
        return [] if book is None else book.levels(asks=side is Side.BUY)

    def _rest_or_expire(self, order: Order) -> None:
        """What becomes of an order that was just matched against the book."""
        if order.state is State.FILLED:
            return
        ticket = order.ticket
        if ticket.kind is not Kind.MARKET and ticket.time_in_force is TimeInForce.GTC:
            self._rest(order)
        else:
            self._expire(order)

    def _expire(self, order: Order) -> None:
        self._finish(order, State.EXPIRED)
        self._tell(OrderEvent("expired", order))

    def _rest(self, order: Order) -> None:
        self._book(order.ticket.symbol).add(working_order(order))

    def _fill(self, order: Order, execution: Execution[Decimal], moment: int) -> None:
        fill = self._money.priced(order, execution, self.next_trade_id, moment)
        self.next_trade_id += 1
        self._money.pay(order, fill)
        order.fills.append(fill)
        order.executed += fill.quantity
        order.cost += fill.cost
        order.updated = max(order.updated, moment)
        if order.remaining == 0:
            self._finish(order, State.FILLED)
        elif order.state is State.NEW:
            self._set_state(order, State.PARTIALLY_FILLED)
        self._tell(OrderEvent("trade", order, fill))

    def _finish(self, order: Order, state: State) -> None:
        self._money.release(order)
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
