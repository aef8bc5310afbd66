"""What the domain and the services need from outside, as protocols.

``app.adapters`` and ``app.core.exchanges`` implement them, ``app.wiring`` chooses which;
services receive them as arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from app.core.market.features import MarketFeatures
from app.core.market.files.columns import KlineColumns
from app.core.market.instruments import Instrument
from app.core.market.klines import KlineKind, KlineRow
from app.core.market.points import FundingRate, OpenInterest
from app.core.market.quotes import MarketData, OrderBook
from app.core.orders.types import Balance, OrderRequest, OrderResponse, Position, VenueFill

R = TypeVar("R")
UnitT_co = TypeVar("UnitT_co", covariant=True)


class Clock(Protocol):
    """Wall time of this machine."""

    def now_ms(self) -> int:
        """Milliseconds since 1970-01-01T00:00Z; may step back when the machine is corrected."""
        ...

    def monotonic(self) -> float:
        """Seconds that only grow, for timeouts and durations."""
        ...


class MarketClock(Protocol):
    """Market time of each venue: what closes bars and ends a signal's validity."""

    def now_ms(self, exchange: str) -> int:
        """The venue's time, ms.

        Raises:
            Unavailable: the venue cannot be asked and no recent answer is known.
        """
        ...


class VenueClock(Protocol):
    """The wall clock of one venue, by which requests to it are signed."""

    def now_ms(self) -> int:
        """The venue's wall time, ms. Asks nobody."""
        ...

    def refresh(self) -> None:
        """Trust what was measured no longer: the venue has refused a timestamp."""
        ...


@dataclass(frozen=True, slots=True)
class Skew:
    """How a venue's wall clock stands to this machine's.

    Attributes:
        ms: theirs less ours.
        error_ms: how far off ``ms`` may be.
    """

    ms: int
    error_ms: int


class Ids(Protocol):
    """Source of the ids that the API shows."""

    def new(self) -> str:
        """A new UUIDv7 as text; ids ascend with time."""
        ...


class UnitOfWork(Protocol[UnitT_co]):
    """Transactions. A unit commits when its block ends and rolls back when it raises."""

    def read(self) -> AbstractContextManager[UnitT_co]:
        """A read; nothing is written, and each question sees what is committed by then."""
        ...

    def snapshot(self) -> AbstractContextManager[UnitT_co]:
        """A read that sees one state of the whole record, whatever is written meanwhile."""
        ...

    def write(self) -> AbstractContextManager[UnitT_co]:
        """A transaction that writes."""
        ...

    def run(self, work: Callable[[Any], R]) -> R:
        """Run ``work(unit)`` in a writing transaction; again, whole, if it lost a lock race."""
        ...


class Queue(Protocol):
    """Hints to workers. A lost hint is made good by the sweeper: the row is the truth."""

    def publish(self, task: str, *ids: str) -> bool:
        """Ask for ``task(*ids)``; False if the broker did not take it. Never raises."""
        ...


class FileFetcher(Protocol):
    """Gets files by URL."""

    def fetch(self, url: str, folder: Path) -> Path | None:
        """The file below a folder, whole; None where there is none of that URL.

        What an earlier call left half is gone on with.

        Raises:
            InvalidInput: the URL is none, or of a host that must not be reached.
            Unavailable: the host cannot be reached, or does not answer as it should.
        """
        ...


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A hint that no worker could take, or that came back too often.

    Attributes:
        id: names the message among the dead letters.
        task, ids: what was asked for; empty where the message does not say.
        queue: where it was.
        reason: ``rejected``, ``delivery_limit`` or another word of the broker.
        fault: what is wrong with the message itself, or None.
        deaths: how often it died.
        first_at: wall time of its first death, ms.
    """

    id: str
    task: str
    ids: tuple[str, ...]
    queue: str
    reason: str
    fault: str | None
    deaths: int
    first_at: int


class DeadLetters(Protocol):
    """What the broker keeps of refused and too often delivered hints."""

    def all(self) -> list[DeadLetter]:
        """Every dead letter, oldest first.

        Raises:
            Unavailable: the broker cannot be asked.
        """
        ...

    def requeue(self, ids: Container[str]) -> list[str]:
        """Put dead letters back into the queues they came from; the ids of those that went.

        Each is confirmed in its queue before it leaves the dead letters: it may be doubled by a
        crash, not lost.

        Raises:
            Unavailable: the broker cannot be asked.
        """
        ...

    def drop(self, ids: Container[str]) -> list[str]:
        """Delete dead letters; the ids of those that went.

        Raises:
            Unavailable: the broker cannot be asked.
        """
        ...


class Bus(Protocol):
    """Events to whoever listens, at least once."""

    def publish(self, topic: str, body: Mapping[str, Any]) -> None:
        """Send one event, and return when the bus has it.

        Raises:
            Unavailable: the bus did not take it.
        """
        ...

    def offer(self, topic: str, body: Mapping[str, Any], taken: Callable[[], None]) -> None:
        """Send one event without waiting; ``taken()`` is called once the bus has it, or never.

        Raises:
            Unavailable: it will not be sent.
        """
        ...

    def subscribe(
        self, pattern: str, handler: Callable[[str, dict[str, Any]], None]
    ) -> Callable[[], None]:
        """Call ``handler(topic, body)`` for matching events; returns how to stop.

        ``*`` matches one part of a topic, ``#`` any number of parts.
        """
        ...


class PriceCache(Protocol):
    """Latest live price of each symbol."""

    def put(self, price: MarketData) -> None:
        """Keep a price unless a newer one is known."""
        ...

    def get(self, exchange: str, symbol: str) -> MarketData | None:
        """The latest price, whatever its age; the caller judges its timestamp."""
        ...


class Ticks(Protocol):
    """Live prices as they come, conflated: a slow listener sees the latest, not all."""

    def subscribe(
        self, exchange: str, symbol: str, handler: Callable[[MarketData], None]
    ) -> Callable[[], None]:
        """Call ``handler`` with each new price of a symbol; returns how to stop.

        A price that is older than one already given is not given.
        """
        ...


class Purpose(StrEnum):
    """Why a request is sent; cancels and queries keep a reserve that data may not use."""

    DATA = "data"
    ORDER = "order"
    CANCEL = "cancel"


#: Name of this machine's own address among those by which a venue is reached.
OWN: Final = ""


class Addresses(Protocol):
    """The addresses by which public market data are asked for: this machine's own, and proxies.

    What is signed goes by the own one alone: keys are bound to it, and a proxy must not see them.
    """

    def offered(self) -> list[str]:
        """Names to choose from: the own address, and the proxies that can be reached.

        One that could not be reached is offered again for one request, after a pause.
        """
        ...

    def url(self, address: str) -> str | None:
        """URL of a proxy, with its password; None for the own address."""
        ...

    def failed(self, address: str, *, was_reached: bool) -> None:
        """Learn that no whole answer came by a proxy, or that it could not be reached at all."""
        ...

    def worked(self, address: str) -> None:
        """Learn that a whole answer came by a proxy."""
        ...


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of a venue's budget is used, over some addresses together.

    Attributes:
        used: weight in the present minute.
        limit: weight of a minute.
        banned_until: ms of wall time; None while one of the addresses may send.
    """

    used: int
    limit: int
    banned_until: int | None


class RequestBudget(Protocol):
    """The request weight of each venue and address, shared by all that talk to it."""

    def acquire(
        self,
        exchange: str,
        weight: int,
        purpose: Purpose,
        timeout: float,
        addresses: Sequence[str] = (OWN,),
    ) -> str:
        """Take ``weight`` from the present minute, waiting up to ``timeout`` seconds.

        Returns:
            The address that pays: of those given, the one with the most room left.

        Raises:
            BudgetExhausted: no weight within the timeout; carries when to try again.
            RateLimited: the venue asked each address to slow down for longer than the timeout.
            VenueBanned: the venue banned every address; carries until when.
        """
        ...

    def correct(self, exchange: str, used_weight: int, address: str = OWN) -> None:
        """Learn what the venue says was used in the present minute."""
        ...

    def back_off(self, exchange: str, until_ms: int, address: str = OWN) -> None:
        """Send nothing before a wall time: the venue asked to slow down. Not persisted."""
        ...

    def ban(self, exchange: str, until_ms: int, reason: str, address: str = OWN) -> None:
        """Stop all traffic of an address to the venue until a wall time; survives a restart."""
        ...

    def banned_until(self, exchange: str, address: str = OWN) -> int | None:
        """End of the ban in force, ms of wall time, or None."""
        ...

    def usage(self, exchange: str, addresses: Sequence[str] = (OWN,)) -> Usage:
        """What is used of the present minute, as far as it is known."""
        ...


class KeyVault(Protocol):
    """Exchange keys. The API process holds a vault that can only seal."""

    def seal(self, context: str, secret: Mapping[str, str]) -> str:
        """Encrypt a secret for one context (an account id) and no other."""
        ...

    def open(self, context: str, sealed: str) -> dict[str, str]:
        """Decrypt.

        Raises:
            Unavailable: this process cannot open, or the text was sealed for another context.
        """
        ...


class DataSource(Protocol):
    """Any series of numbers over time; authors inherit ``app.core.sources.base.DataSource``."""

    def connect(self) -> None:
        """Make ready."""
        ...

    def subscribe(self, symbols: Sequence[str]) -> None:
        """Take note of the symbols to observe; there may be none."""
        ...

    def observe(self, since: int) -> Iterable[object] | None:
        """What came after a time, ms: observations, or whatever else an author yields."""
        ...

    def disconnect(self) -> None:
        """Let go of every resource."""
        ...


class MarketAdapter(Protocol):
    """A venue's public market data over REST. Answers are validated; nothing is guessed."""

    exchange: str

    @property
    def features(self) -> MarketFeatures:
        """What the venue can be asked for."""
        ...

    def instruments(self, symbols: Collection[str] | None = None) -> list[Instrument]:
        """All instruments of the adapter's types, or those of some symbols, whatever their status.

        Raises:
            VenueRulesRefused: the venue does not list one of the symbols.
        """
        ...

    def klines(
        self,
        symbol: str,
        interval: str,
        start: int,
        end: int,
        limit: int,
        kind: KlineKind = KlineKind.TRADE,
    ) -> list[KlineRow]:
        """Up to ``limit`` bars that open in [start, end), ascending; may hold the open bar.

        Where more than ``limit`` open in the range, those from ``start`` on. Volumes are base
        units; bars of the mark and index price have a volume of 0.

        Raises:
            InvalidInput: the venue has no such interval or kind; ``features`` says which it has.
        """
        ...

    def kline_columns(
        self,
        symbol: str,
        interval: str,
        start: int,
        end: int,
        limit: int,
        kind: KlineKind = KlineKind.TRADE,
    ) -> KlineColumns:
        """The same bars as columns of texts, as the venue stated them: for many at once."""
        ...

    def funding_rates(self, symbol: str, start: int, end: int, limit: int) -> list[FundingRate]:
        """Up to ``limit`` payments of a perpetual in [start, end), ascending.

        Raises:
            InvalidInput: the venue has none.
        """
        ...

    def open_interest(
        self, symbol: str, interval: str, start: int, end: int, limit: int
    ) -> list[OpenInterest]:
        """Up to ``limit`` observations of a perpetual in [start, end), ascending.

        Raises:
            InvalidInput: the venue has none, or not at this interval.
        """
        ...

    def turnover(self) -> dict[str, Decimal]:
        """Quote units traded in the last 24 hours, by native id."""
        ...

    def ticker(self, symbol: str) -> MarketData:
        """Best bid, best ask, last price; the timestamp is the venue's market time."""
        ...

    def order_book(self, symbol: str, depth: int) -> OrderBook:
        """Levels, best first."""
        ...

    def server_time_ms(self) -> int:
        """The venue's wall clock."""
        ...


class TradeAdapter(Protocol):
    """One account at one venue. No call is ever retried inside."""

    def prepare(self) -> None:
        """Make the calling thread ready to send, so that its next call waits for nothing else."""
        ...

    def place_order(self, request: OrderRequest) -> OrderResponse:
        """Send an order.

        Raises:
            VenueRejected: proven not accepted and final.
            VenueRetryLater: proven not accepted; the same order may be sent again later.
            VenueUnknown: anything else; the order may live.
        """
        ...

    def cancel_order(self, symbol: str, client_order_id: str) -> OrderResponse:
        """Cancel by client order id.

        Raises:
            OrderNotKnown: the venue does not know an open order of that id.
            VenueUnknown: the cancel may or may not have happened.
        """
        ...

    def get_order_status(self, symbol: str, client_order_id: str) -> OrderResponse | None:
        """The order, or None where the venue answered that it has none of that id.

        Raises:
            VenueError: the query itself failed; that proves nothing.
        """
        ...

    def open_orders(self, symbol: str | None = None) -> list[OrderResponse]:
        """All open orders of the account."""
        ...

    def own_trades(self, symbol: str, after_trade_id: str | None) -> list[VenueFill]:
        """Own trades in ascending order of trade id, after the given one."""
        ...

    def get_balance(self) -> list[Balance]:
        """All assets that are not empty."""
        ...

    def get_positions(self) -> list[Position]:
        """Open derivative positions; empty on spot."""
        ...
