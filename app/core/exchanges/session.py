"""One venue over ccxt, with a transport that trusts nothing.

ccxt builds and signs the requests; sending and reading are ours, because ccxt hands a page of
HTML to its parsers as if it were data, follows redirects, reads answers of any size, and maps
refusals to classes that do not tell what is proven (see ``outcomes``).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.core.exchanges.decoding import decode
from app.core.exchanges.envelopes import error_of
from app.core.exchanges.errors import (
    BadVenueAnswer,
    RateLimited,
    VenueBanned,
    VenueError,
    VenueRejected,
    VenueUnreachable,
)
from app.core.exchanges.judging import judged
from app.core.exchanges.limits import ban_end, exhausted_until, retry_after_ms, used_weight
from app.core.exchanges.outcomes import Action, Refusal
from app.core.ports import Clock, Purpose, RequestBudget

# Far above the largest documented answer that we ask for (1,000 klines: 0.2 MB).
ANSWER_LIMIT: Final = 8 * 1024 * 1024
# One answer, from the send to the last byte. requests' own timeout is per read, so that a
# server which sends a byte every few seconds would hold the thread for ever.
TIMEOUT_S: Final = 10.0
_CONNECT_TIMEOUT_S: Final = 5.0
_CHUNK: Final = 64 * 1024


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


@dataclass(slots=True)
class Reply:
    """An answer as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes


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
    ) -> None:
        self.exchange = exchange
        self.clock = clock
        self._budget = budget
        self._bind = bind
        self._credentials = dict(credentials or {})
        self._timeout_s = timeout_s
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
        self._pay(call)
        reply = self._exchange(call)
        self._learn(reply)
        if reply.status != 200:
            raise self._refused(call, reply)
        answer = decode(self.exchange, reply.body)
        failure = error_of(self.exchange, answer)
        if failure is not None:
            raise self._judged(call, Refusal(200, *failure), reply)
        return answer

    def _pay(self, call: Call) -> None:
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
        import requests
        import urllib3

        deadline = self.clock.monotonic() + self._timeout_s
        client.session.cookies.clear()
        try:
            with client.session.request(
                method,
                url,
                data=body.encode() if body else None,
                headers=client.prepare_request_headers(headers),
                timeout=(min(_CONNECT_TIMEOUT_S, self._timeout_s), self._timeout_s),
                # A redirect would carry the API key's header to wherever it points.
                allow_redirects=False,
                stream=True,
            ) as response:
                content = self._read(response, deadline)
                return Reply(response.status_code, response.headers, content)
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            # Only the class: the text of a requests error holds the signed URL.
            raise VenueUnreachable(
                self.exchange, f"no whole answer came: {type(error).__name__}"
            ) from None

    def _read(self, response: Any, deadline: float) -> bytes:
        parts, size = [], 0
        for chunk in response.iter_content(_CHUNK):
            size += len(chunk)
            if size > self._local.limit:
                raise BadVenueAnswer(
                    self.exchange, f"the answer was larger than {self._local.limit} bytes"
                )
            if self.clock.monotonic() > deadline:
                raise VenueUnreachable(
                    self.exchange, f"the answer took longer than {self._timeout_s:g} s"
                )
            parts.append(chunk)
        return b"".join(parts)

    def _learn(self, reply: Reply) -> None:
        used = used_weight(self.exchange, reply.headers)
        if used is not None:
            self._budget.correct(self.exchange, used)
        until = exhausted_until(self.exchange, reply.headers, self.clock.now_ms())
        if until is not None:
            self._budget.back_off(self.exchange, until)

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
            self._budget.ban(self.exchange, end, why)
        elif isinstance(error, RateLimited) and not error.orders_only:
            # Asking on is what earns a ban.
            self._budget.back_off(self.exchange, now + error.retry_after_ms)
        return error
