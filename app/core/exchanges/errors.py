"""What a venue's answer, or its silence, means to the caller.

    VenueError
    ├── VenueRejected          proven not accepted; the same request will never pass
    │   ├── VenueKeyRefused    it was the key: nothing signed with it will pass
    │   └── VenueRulesRefused  it was a rule of the instrument: our catalogue is out of date
    ├── VenueRetryLater        proven not accepted; the same request may pass later
    │   ├── RateLimited        the venue asked to slow down
    │   ├── VenueBanned        the venue answers nobody at this IP until a stated time
    │   └── BudgetExhausted    we did not send: our own share of the minute is used up
    ├── VenueUnknown           nothing is proven; an order may live
    │   ├── VenueUnreachable   no whole answer came back
    │   │   └── ProxyUnreachable   not even the proxy was reached; nothing was sent
    │   └── BadVenueAnswer     an answer came back and makes no sense
    └── OrderNotKnown          the venue has no (open) order of that id

Messages carry the venue's own code and text, shortened, and never a URL: signed URLs hold the
API key's signature.
"""

from __future__ import annotations

from app.core.errors import TidemarkError

# Venue texts go into rows, events and logs; Binance's longest known text has 180 characters.
_TEXT_LIMIT = 200


class VenueError(TidemarkError):
    """Base of everything that goes wrong between us and a venue.

    Attributes:
        exchange: venue id.
        venue_code: the venue's own error code as text, or None.
        venue_text: the venue's own words, at most 200 printable characters, or None.
    """

    code = "venue-error"

    def __init__(
        self,
        exchange: str,
        message: str,
        *,
        venue_code: str | None = None,
        venue_text: str | None = None,
    ) -> None:
        self.exchange = exchange
        self.venue_code = venue_code
        self.venue_text = None if venue_text is None else shorten(venue_text)
        said = " ".join(part for part in (venue_code, self.venue_text) if part)
        super().__init__(f"{exchange}: {message}" + (f" ({said})" if said else ""))


class VenueRejected(VenueError):
    """Proven not accepted, for good."""

    code = "venue-rejected"


class VenueKeyRefused(VenueRejected):
    """The venue refused the key itself: expired, revoked, its address or permission taken away."""

    code = "venue-key-refused"


class VenueRulesRefused(VenueRejected):
    """Refused by what the venue's catalogue states: a filter, a closed market, no such symbol."""

    code = "venue-rules-refused"


class VenueRetryLater(VenueError):
    """Proven not accepted; the same request may be sent again.

    Attributes:
        retry_after_ms: how long to wait before that, ms; 0 where the venue states nothing.
    """

    code = "venue-retry-later"

    def __init__(
        self,
        exchange: str,
        message: str,
        *,
        retry_after_ms: int = 0,
        venue_code: str | None = None,
        venue_text: str | None = None,
    ) -> None:
        super().__init__(exchange, message, venue_code=venue_code, venue_text=venue_text)
        self.retry_after_ms = retry_after_ms


class RateLimited(VenueRetryLater):
    """The venue answered that we ask too often.

    Attributes:
        orders_only: it counted orders alone, so that everything else may go on.
    """

    code = "rate-limited"
    orders_only = False


class VenueBanned(VenueRetryLater):
    """All traffic of this IP to the venue is stopped; of several, that of every one.

    Attributes:
        until_ms: wall time at which the ban ends.
    """

    code = "venue-banned"

    def __init__(
        self,
        exchange: str,
        message: str,
        *,
        until_ms: int,
        retry_after_ms: int = 0,
        venue_code: str | None = None,
        venue_text: str | None = None,
    ) -> None:
        super().__init__(
            exchange,
            message,
            retry_after_ms=retry_after_ms,
            venue_code=venue_code,
            venue_text=venue_text,
        )
        self.until_ms = until_ms


class BudgetExhausted(VenueRetryLater):
    """Not sent: the request weight of the present minute is used up.

    Attributes:
        retry_at: wall time, ms, at which weight is available again.
        is_polite: the minute has room, but the venue is treated gently.
    """

    code = "budget-exhausted"

    def __init__(
        self,
        exchange: str,
        message: str,
        *,
        retry_at: int,
        retry_after_ms: int = 0,
        is_polite: bool = False,
    ) -> None:
        super().__init__(exchange, message, retry_after_ms=retry_after_ms)
        self.retry_at = retry_at
        self.is_polite = is_polite


class VenueUnknown(VenueError):
    """Nothing is proven. After a send, the order may live: ask, never send again."""

    code = "venue-unknown"


class VenueUnreachable(VenueUnknown):
    """No whole answer came: refused, timed out, cut off."""

    code = "venue-unreachable"


class ProxyUnreachable(VenueUnreachable):
    """The proxy by which the request was to go could not be reached, or took no connection."""

    code = "proxy-unreachable"


class BadVenueAnswer(VenueUnknown):
    """An answer came that is not what the venue's own documentation describes."""

    code = "bad-venue-answer"


class OrderNotKnown(VenueError):
    """The venue answered that it has no such order, or no such open order."""

    code = "order-not-known"


def unreachable_words(exchange: str, code: str, message: str) -> str:
    """An error's words for people: that the venue cannot be reached, where it is that."""
    if code != VenueUnreachable.code:
        return message
    return f"{exchange} cannot be reached: {message.removeprefix(f'{exchange}: ')}"


def shorten(text: str) -> str:
    """A venue's text made safe for a row or a log line: printable, at most 200 characters."""
    return "".join(char if char.isprintable() else " " for char in text[:_TEXT_LIMIT])
