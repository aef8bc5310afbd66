"""From a refusal of a venue to the error that says what it proves."""

from __future__ import annotations

from collections.abc import Mapping

from app.core.exchanges.errors import (
    OrderNotKnown,
    RateLimited,
    VenueBanned,
    VenueError,
    VenueKeyRefused,
    VenueRejected,
    VenueRetryLater,
    VenueRulesRefused,
    VenueUnknown,
)
from app.core.exchanges.limits import ban_end, orders_only, pause_ms, retry_after_ms
from app.core.exchanges.outcomes import Action, Outcome, Refusal, outcome


def judged(
    exchange: str, action: Action, refusal: Refusal, headers: Mapping[str, str], now_ms: int
) -> VenueError:
    """The error that a refusal amounts to, by the venue's table; it is returned, not raised."""
    proven = outcome(exchange, action, refusal)
    answered = f"answered HTTP {refusal.status}"
    said = {"venue_code": refusal.code, "venue_text": refusal.text or None}
    if proven is Outcome.RETRY_LATER:
        return _later(exchange, refusal, headers, now_ms)
    if proven is Outcome.KEY_REFUSED:
        return VenueKeyRefused(exchange, f"{answered} and refused the key", **said)
    if proven is Outcome.OUTDATED:
        return VenueRulesRefused(exchange, f"{answered} and refused", **said)
    if proven is Outcome.REJECTED:
        return VenueRejected(exchange, f"{answered} and refused", **said)
    if proven is Outcome.FINAL:
        return OrderNotKnown(exchange, f"{answered}: no such order", **said)
    return VenueUnknown(exchange, f"{answered}, which proves nothing", **said)


def _later(
    exchange: str, refusal: Refusal, headers: Mapping[str, str], now_ms: int
) -> VenueRetryLater:
    wait = retry_after_ms(headers.get("Retry-After"))
    answered = f"answered HTTP {refusal.status}"
    end = ban_end(refusal, now_ms, wait)
    if end is not None:
        return VenueBanned(
            exchange,
            f"{answered}: banned",
            until_ms=end,
            retry_after_ms=end - now_ms,
            venue_code=refusal.code,
            venue_text=refusal.text,
        )
    pause = pause_ms(exchange, refusal, headers, now_ms)
    kind = VenueRetryLater if pause is None else RateLimited
    error = kind(
        exchange,
        f"{answered}: try again later",
        retry_after_ms=wait or pause or 0,
        venue_code=refusal.code,
        venue_text=refusal.text or None,
    )
    if isinstance(error, RateLimited):
        error.orders_only = orders_only(exchange, refusal)
    return error
