"""Any exchange that ccxt knows, through ccxt's unified calls.

A unified call sends one request or several and parses what comes, as ccxt sees fit. Each
request goes through our transport: paid for, read with a limit and a deadline, judged, and
decoded by us, so that ccxt's parsers see JSON or nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final

from app.core.errors import TidemarkError
from app.core.exchanges.decoding import decode
from app.core.exchanges.errors import (
    BadVenueAnswer,
    RateLimited,
    VenueError,
    VenueKeyRefused,
    VenueRejected,
    VenueRetryLater,
    VenueRulesRefused,
    VenueUnknown,
)
from app.core.exchanges.session import Call, VenueSession
from app.core.exchanges.transport import Reply
from app.core.ports import OWN

# What ccxt's parsers raise over JSON that is not the venue's.
_PARSER_FAULTS: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
_MINUTE_MS: Final = 60_000
# ccxt's classes and ours; the first that fits.
_JUDGED: Final[tuple[tuple[str, type[VenueError]], ...]] = (
    ("OperationFailed", VenueRetryLater),
    ("BadSymbol", VenueRulesRefused),
    ("BadResponse", BadVenueAnswer),
    ("AuthenticationError", VenueKeyRefused),
    ("BadRequest", VenueRejected),
    ("NotSupported", VenueRejected),
    ("OperationRejected", VenueRejected),
)


class UnifiedSession(VenueSession):
    """Requests to one venue by ccxt's unified methods. Safe to share by threads."""

    def call(self, call: Call, markets: Sequence[Any] | None = None) -> Any:
        """What a unified method returns.

        Args:
            call: names the method (``fetch_ohlcv``); its params are ccxt's keyword arguments,
                its weight that of each request that the method sends.
            markets: what ``fetch_markets`` returned, or None for methods that need no markets.

        Raises:
            VenueError: see ``errors``; here ccxt's class of error is believed, for nothing is
                changed by reading.
        """
        import ccxt

        client = self._client()
        self._local.call, self._local.limit, self._local.address = call, call.limit, OWN
        try:
            if markets is not None and getattr(self._local, "markets", None) is not markets:
                client.set_markets(list(markets))
                self._local.markets = markets
            return getattr(client, call.method)(**call.params)
        except TidemarkError:
            raise
        except ccxt.BaseError as error:
            raise self._told(error) from None
        except _PARSER_FAULTS as error:
            raise BadVenueAnswer(
                self.exchange,
                f"ccxt could not read the answer to {call.method}: {type(error).__name__}",
            ) from None

    def _made(self) -> Any:
        client = super()._made()
        client.number = Decimal
        # ccxt's own drop rows that have no time, without a word; who asked cuts what comes.
        client.filter_by_since_limit = _unfiltered
        client.filter_by_symbol_since_limit = _unfiltered
        return client

    def _fetcher(self, client: Any) -> Callable[..., Any]:
        import ccxt

        def fetch(
            url: str, method: str = "GET", headers: Any = None, body: str | None = None
        ) -> Any:
            def ask() -> Any:
                reply = self._transport(client, url, method, headers, body)
                self._learn(reply)
                try:
                    return self._read_by(client, url, method, reply)
                except (ccxt.DDoSProtection, ccxt.RateLimitExceeded) as error:
                    raise self._told(error) from None

            return self._asked(self._local.call, ask)

        return fetch

    def _read_by(self, client: Any, url: str, method: str, reply: Reply) -> Any:
        """The decoded answer, unless ccxt knows it for a refusal, which it raises."""
        good = 200 <= reply.status < 300
        if not good and (reply.status == 429 or reply.status >= 500):
            raise self._refused(self._local.call, reply)
        try:
            answer = decode(self.exchange, reply.body, numbers_as_text=True)
        except BadVenueAnswer:
            if good:
                raise
            raise self._refused(self._local.call, reply) from None
        text = reply.body.decode("utf-8")
        headers = dict(reply.headers)
        client.handle_errors(reply.status, "", url, method, headers, text, answer, {}, None)
        if not good:
            raise self._refused(self._local.call, reply)
        return answer

    def _told(self, error: Exception) -> VenueError:
        import ccxt

        said = f"ccxt says {type(error).__name__}"
        text = str(error).removeprefix(self.exchange).strip() or None
        if isinstance(error, ccxt.DDoSProtection | ccxt.RateLimitExceeded):
            now = self.clock.now_ms()
            pause = _MINUTE_MS - now % _MINUTE_MS
            self._budget.back_off(self.exchange, now + pause, self._local.address)
            return RateLimited(self.exchange, said, retry_after_ms=pause, venue_text=text)
        for name, made in _JUDGED:
            if isinstance(error, getattr(ccxt, name)):
                return made(self.exchange, said, venue_text=text)
        return VenueUnknown(self.exchange, said, venue_text=text)


def _unfiltered(rows: list[Any], *_: Any, **__: Any) -> list[Any]:
    return rows
