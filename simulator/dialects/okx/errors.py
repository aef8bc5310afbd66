"""OKX's refusals."""

from __future__ import annotations

from typing import Final

from simulator.dialects.web import VenueError
from simulator.faults import Action, Rule


def empty(name: str) -> VenueError:
    """A mandatory parameter that was not sent."""
    return VenueError(50014, f"Parameter {name} can not be empty.", status=400)


def wrong(name: str) -> VenueError:
    """A parameter with a value that there is not."""
    return VenueError(51000, f"Parameter {name} error", status=400)


def no_instrument() -> VenueError:
    """An instrument that is not listed, or no longer."""
    return VenueError(51001, "Instrument ID, Instrument ID code, or Spread ID doesn't exist.")


def too_many() -> VenueError:
    """More requests than the endpoint's window allows."""
    return VenueError(50011, "Too Many Requests", status=429)


def offline() -> VenueError:
    """Any request while everything is out of service."""
    return VenueError(50001, "Service temporarily unavailable. Please try again later", status=503)


def not_found() -> VenueError:
    """A path that is not simulated."""
    return VenueError(404, "Not Found", status=404)


_FAULTS: Final = {
    Action.STATUS: too_many(),
    Action.ERROR_BEFORE: VenueError(50026, "System error. Try again later", status=500),
    Action.ERROR_AFTER: VenueError(50004, "API endpoint request timeout", status=400),
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
