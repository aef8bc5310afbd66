"""One venue over ccxt, with a transport that trusts nothing.

ccxt builds and signs the requests; sending and reading are ours, because ccxt hands a page of
HTML to its parsers as if it were data, follows redirects, reads answers of any size, and maps
refusals to classes that do not tell what is proven (see ``outcomes``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from app.core.exchanges.decoding import decode
from app.core.exchanges.envelopes import error_of
from app.core.exchanges.errors import (
    BadVenueAnswer,
    ProxyUnreachable,
    RateLimited,
    VenueBanned,
    VenueError,
    VenueRejected,
    VenueUnknown,
    VenueUnreachable,
)
from app.core.exchanges.judging import judged
from app.core.exchanges.limits import ban_end, exhausted_until, retry_after_ms, used_weight
from app.core.exchanges.outcomes import Action, Refusal
from app.core.exchanges.transport import TIMEOUT_S, Reply, Sending, Transport
from app.core.ports import OWN, Addresses, Clock, Purpose, RequestBudget

R = TypeVar("R")

# Far above the largest documented answer that we ask for (1,000 klines: 0.2 MB).
ANSWER_LIMIT: Final = 8 * 1024 * 1024
# Other addresses that one request for data may try. Three answers that do not come take 45 s with
# their waits for the budget, half of a job's lease.
_SPARE: Final = 2


@dataclass(frozen=True, slots=True)
class Call:
    """One request.

    Attributes:
        method: ccxt's implicit method, such as ``public_get_klines``.
        params: as the venue names them; exactly these are sent, and what signing adds.
        weight: what the venue charges for it.
        purpose: which share of the budget pays; None where it was paid before.
        wait_s: how long to wait for the budget, seconds.
        limit: largest answer accepted, bytes.
        stamp: what signing by the present time adds. Asked for when nothing is left to wait
            for: a request stamped before a wait is too old when it leaves.
    """

    method: str
    params: Mapping[str, Any]
    weight: int
    purpose: Purpose | None = Purpose.DATA
    action: Action = Action.QUERY
    wait_s: float = 0.0
    limit: int = ANSWER_LIMIT
    stamp: Callable[[], Mapping[str, Any]] | None = None


def load_ccxt() -> None:
    """Import ccxt, 80 MB and seconds of a core, before the first request to a venue needs it."""
    import ccxt  # noqa: F401


class VenueSession:
    """Requests to one venue, with at most one set of credentials. Safe to share by threads.

    Args:
        exchange: venue id as ccxt names it.
        budget: the venue's request weight, shared with everyone who talks to it.
        bind: changes a fresh ccxt client, for instance to lead it to a simulator on loopback.
        credentials: ccxt's ``apiKey`` and ``secret``; none for public data.
        timeout_s: seconds from the send to the last byte of the answer.
        addresses: by which public data are asked for; None is the own address alone.

    Raises:
        ValueError: credentials were given and addresses too: what is signed passes no proxy.
    """

    def __init__(
        self,
        exchange: str,
        budget: RequestBudget,
        clock: Clock,
        *,
        bind: Callable[[Any], None] | None = None,
        credentials: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
        addresses: Addresses | None = None,
    ) -> None:
        if credentials and addresses is not None:
            raise ValueError("what is signed passes no proxy")
        self.exchange = exchange
        self.clock = clock
        self._addresses = addresses
        self._budget = budget
        self._bind = bind
        self._credentials = dict(credentials or {})
        self._sender = Transport(exchange, clock, timeout_s)
        # A ccxt client keeps the last request and answer in itself: one for each thread.
        self._local = threading.local()

    def __repr__(self) -> str:
        return f"VenueSession({self.exchange!r})"

    def prepare(self) -> None:
        """Make this thread ready to send without waiting for anything but the venue.

        The first client of a process takes ccxt's import, seconds on a busy machine, and that of
        each further thread some tenths: more than a request's window leaves.
        """
        self._client()

    def send(self, call: Call) -> dict[str, Any] | list[Any]:
        """Send one request, once, and return its decoded answer.

        Raises:
            VenueError: see ``errors``; a refusal is judged by the venue's table for the
                call's action.
        """
        return self._asked(call, lambda: self._answer(call))

    def _asked(self, call: Call, ask: Callable[[], R]) -> R:
        """Pay, and what ``ask()`` returns; of data, by another address where one fails.

        An address that was refused, or not reached, is noted as such before another is chosen.
        """
        refused = lost = 0
        while True:
            self._local.address, others = self._pay(call)
            try:
                return ask()
            except (RateLimited, VenueBanned):
                # Once all were refused, paying waits for the first of them, or says until when.
                refused += 1
                if not others or refused > others + 1:
                    raise
            except VenueUnknown:
                lost += 1
                if lost > min(others, _SPARE):
                    raise

    def _answer(self, call: Call) -> dict[str, Any] | list[Any]:
        reply = self._exchange(call)
        self._learn(reply)
        if reply.status != 200:
            raise self._refused(call, reply)
        answer = decode(self.exchange, reply.body)
        failure = error_of(self.exchange, answer)
        if failure is not None:
            raise self._judged(call, Refusal(200, *failure), reply)
        return answer

    def _pay(self, call: Call) -> tuple[str, int]:
        """Pay for a request; the address that it goes by, and how many others there are."""
        if self._addresses is not None and call.purpose is Purpose.DATA:
            offered = self._addresses.offered()
            address = self._budget.acquire(
                self.exchange, call.weight, call.purpose, call.wait_s, offered
            )
            return address, len(offered) - 1
        until = self._budget.banned_until(self.exchange)
        if until is not None:
            raise VenueBanned(
                self.exchange,
                "nothing is sent until the venue's ban of this address ends",
                until_ms=until,
                retry_after_ms=max(0, until - self.clock.now_ms()),
            )
        if call.purpose is not None:
            self._budget.acquire(self.exchange, call.weight, call.purpose, call.wait_s)
        return OWN, 0

    def _exchange(self, call: Call) -> Reply:
        import ccxt

        client = self._client()
        self._local.limit = call.limit
        params = dict(call.params)
        if call.stamp is not None:
            params.update(call.stamp())
        try:
            reply: Reply = getattr(client, call.method)(params)
        except ccxt.BaseError as error:
            # The transport raises only our own errors, so this came before anything was sent.
            raise VenueRejected(
                self.exchange, f"ccxt could not build the request: {type(error).__name__}"
            ) from None
        return reply

    def _client(self) -> Any:
        client = getattr(self._local, "client", None)
        if client is None:
            client = self._local.client = self._made()
        return client

    def _made(self) -> Any:
        import ccxt

        client = getattr(ccxt, self.exchange)(
            {
                **self._credentials,
                # Every wait and every retry is decided by us, from rows.
                "enableRateLimit": False,
                "options": {"maxRetriesOnFailure": 0, "warnOnFetchOpenOrdersWithoutSymbol": False},
            }
        )
        if self._bind is not None:
            self._bind(client)

        client.fetch = self._fetcher(client)
        return client

    def _fetcher(self, client: Any) -> Callable[..., Any]:
        """What stands in for the client's own ``fetch``."""

        def fetch(
            url: str, method: str = "GET", headers: Any = None, body: str | None = None
        ) -> Reply:
            return self._transport(client, url, method, headers, body)

        return fetch

    def _transport(
        self, client: Any, url: str, method: str, headers: Any, body: str | None
    ) -> Reply:
        """Send a request by the address that paid for it."""
        address: str = self._local.address
        order = Sending(url, method, headers, body, self._local.limit)
        if address == OWN or self._addresses is None:
            return self._sender.send(client, order)
        try:
            reply = self._sender.send(client, order, self._addresses.url(address))
        except VenueUnreachable as error:
            was_reached = not isinstance(error, ProxyUnreachable)
            self._addresses.failed(address, was_reached=was_reached)
            raise
        self._addresses.worked(address)
        return reply

    def _learn(self, reply: Reply) -> None:
        used = used_weight(self.exchange, reply.headers)
        if used is not None:
            self._budget.correct(self.exchange, used, self._local.address)
        until = exhausted_until(self.exchange, reply.headers, self.clock.now_ms())
        if until is not None:
            self._budget.back_off(self.exchange, until, self._local.address)

    def _refused(self, call: Call, reply: Reply) -> VenueError:
        try:
            failure = error_of(self.exchange, decode(self.exchange, reply.body))
        except BadVenueAnswer:
            failure = None
        code, text = failure or (None, "")
        return self._judged(call, Refusal(reply.status, code, text), reply)

    def _judged(self, call: Call, refusal: Refusal, reply: Reply) -> VenueError:
        now = self.clock.now_ms()
        error = judged(self.exchange, call.action, refusal, reply.headers, now)
        # Whatever it proves of this request, the address is to be silent.
        end = ban_end(refusal, now, retry_after_ms(reply.headers.get("Retry-After")))
        if end is not None:
            why = f"HTTP {refusal.status} {refusal.text}"[:200]
            self._budget.ban(self.exchange, end, why, self._local.address)
        elif isinstance(error, RateLimited) and not error.orders_only:
            # Asking on is what earns a ban.
            until = now + error.retry_after_ms
            self._budget.back_off(self.exchange, until, self._local.address)
        return error
