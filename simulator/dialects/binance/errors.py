"""Binance's error codes and texts."""

from __future__ import annotations

from typing import Any, Final

from simulator.clock import wall_ms
from simulator.faults import Action, Rule
from simulator.orders import Refusal


class BinanceError(Exception):
    """An answer with a code.

    Attributes:
        retry_after: seconds, where the venue states any.
        data: what the venue adds to the code, as for a cancel-replace that half failed.
    """

    def __init__(
        self,
        code: int,
        message: str,
        *,
        status: int = 400,
        retry_after: int | None = None,
        data: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{code} {message}")
        self.code = code
        self.message = message
        self.status = status
        self.retry_after = retry_after
        self.data = data

    def body(self) -> dict[str, object]:
        """The JSON that the venue sends."""
        body: dict[str, object] = {"code": self.code, "msg": self.message}
        return body if self.data is None else body | {"data": self.data}


_REFUSALS: Final = {
    Refusal.DUPLICATE: (-2010, "Duplicate order sent."),
    Refusal.FUNDS: (-2010, "Account has insufficient balance for requested action."),
    Refusal.CLOSED: (-1013, "Market is closed."),
    Refusal.TOO_SMALL: (-1013, "Filter failure: LOT_SIZE"),
    Refusal.WOULD_TAKE: (-2010, "Order would immediately match and take."),
    Refusal.WOULD_TRIGGER: (-2010, "Stop price would trigger immediately."),
}


def refusal(reason: Refusal) -> BinanceError:
    """The venue's words for an order that the exchange refuses."""
    code, message = _REFUSALS[reason]
    return BinanceError(code, message)


def filter_failure(name: str) -> BinanceError:
    """An order that a filter of the symbol refuses."""
    return BinanceError(-1013, f"Filter failure: {name}")


def missing(name: str) -> BinanceError:
    """A mandatory parameter that is absent or malformed."""
    return BinanceError(
        -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."
    )


def illegal(name: str, legal: str) -> BinanceError:
    """A parameter with characters outside its legal range."""
    return BinanceError(
        -1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'."
    )


def not_required(name: str) -> BinanceError:
    """A parameter that this order type does not take."""
    return BinanceError(-1106, f"Parameter '{name}' sent when not required.")


def offline() -> BinanceError:
    """Any request while everything is out of service. The status of it is not documented."""
    return BinanceError(1, "System is under maintenance.", status=503)


def no_trading(interface: str) -> BinanceError:
    """An order or a cancel while trading is out of service; both were seen with this code."""
    return BinanceError(-2010, f"{interface} trading is not enabled.")


UNKNOWN_ORDER: Final = (-2011, "Unknown order sent.")
NO_SUCH_ORDER: Final = (-2013, "Order does not exist.")

_FAULTS: Final = {
    Action.STATUS: (
        429,
        -1003,
        "Too much request weight used; current limit is 6000 request weight per 1 MINUTE. "
        "Please use WebSocket Streams for live updates to avoid polling the API.",
    ),
    Action.ERROR_BEFORE: (503, -1000, "Service Unavailable."),
    Action.ERROR_AFTER: (
        503,
        -1000,
        "Unknown error, please check your request or try again later.",
    ),
}


def of_rule(rule: Rule) -> BinanceError:
    """The refusal that a fault rule orders."""
    status, code, message = _FAULTS[rule.action]
    status = rule.status or status
    if status == 418 and rule.message is None:
        until = wall_ms() + 1000 * (rule.retry_after or 120)
        message = f"Way too much request weight used; IP banned until {until}."
    return BinanceError(
        code if rule.code is None else rule.code,
        rule.message or message,
        status=status,
        retry_after=rule.retry_after,
    )
