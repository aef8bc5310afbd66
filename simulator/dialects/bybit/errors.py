"""Bybit's refusals; most come with HTTP 200."""

from __future__ import annotations

from typing import Final

from simulator.dialects.web import VenueError
from simulator.faults import Action, Rule


def wrong(what: str) -> VenueError:
    """A parameter that is missing or has a value that there is not."""
    return VenueError(10001, f"params error: {what}")


def no_symbol() -> VenueError:
    """A symbol that the category does not list."""
    return VenueError(10001, "Not supported symbols")


def too_many() -> VenueError:
    """More requests than an endpoint allows."""
    return VenueError(10006, "Too many visits. Exceeded the API Rate Limit.")


def banned() -> VenueError:
    """More requests than an IP is allowed, for as long as that lasts."""
    return VenueError(10018, "access too frequent", status=403)


def offline() -> VenueError:
    """Any request while everything is out of service."""
    return VenueError(10016, "Service is under maintenance.", status=503)


def not_found() -> VenueError:
    """A path that is not simulated."""
    return VenueError(10404, "Request path not found", status=404)


_FAULTS: Final = {
    Action.STATUS: banned(),
    Action.ERROR_BEFORE: VenueError(10016, "Internal error.", status=503),
    Action.ERROR_AFTER: VenueError(10000, "Server Timeout"),
}


def of_rule(rule: Rule) -> VenueError:
    """The refusal that a fault rule orders."""
    known = _FAULTS[rule.action]
    return VenueError(
        known.code if rule.code is None else rule.code,
        rule.message or known.message,
        status=rule.status or known.status,
        retry_after=rule.retry_after,
    )
