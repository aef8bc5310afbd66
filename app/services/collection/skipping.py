"""Symbols of plans that their venues do not trade: they are skipped, and it is said why."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from app.core.market.instruments import InstrumentStatus
from app.models import CollectionPlanRow
from app.repositories.unit import Unit

_REASONS: Final = {
    InstrumentStatus.HALTED: "halted: its venue does not trade it now; collected again once it "
    "does",
    InstrumentStatus.DELISTED: "delisted: its venue trades it no more; what is stored stays, and "
    "it is collected again should it be listed",
}
#: Statuses of the symbols that do not trade, by exchange and symbol.
Idle = dict[tuple[str, str], InstrumentStatus]


def reason_of(status: InstrumentStatus) -> str:
    """Why a symbol of that status is skipped, and until when."""
    return _REASONS[status]


def idle_of(unit: Unit, plans: Iterable[CollectionPlanRow]) -> Idle:
    """The symbols of some plans that do not trade by the catalogue: a statement for each venue."""
    symbols: dict[str, set[str]] = defaultdict(set)
    for plan in plans:
        symbols[plan.exchange].update(plan.symbols)
    return {
        (exchange, symbol): status
        for exchange, wanted in symbols.items()
        for symbol, status in unit.instruments.not_trading(exchange, sorted(wanted)).items()
    }


def skipped(unit: Unit, plans: Iterable[CollectionPlanRow]) -> dict[str, dict[str, str]]:
    """By the id of each plan, its symbols that are skipped, and the reason."""
    listed = list(plans)
    idle = idle_of(unit, listed)
    return {
        plan.id: {
            symbol: reason_of(idle[plan.exchange, symbol])
            for symbol in plan.symbols
            if (plan.exchange, symbol) in idle
        }
        for plan in listed
    }
