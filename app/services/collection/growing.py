"""Plans that choose their symbols grow with their venue, up to a limit; a full one says so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from app.models import CollectionPlanRow
from app.repositories.unit import Unit
from app.services.alarms import begin_alarm, end_alarm
from app.services.collection.plan_checks import SERIES_LIMIT

_PREFIX: Final = "plan-full:"
# Symbols that an alarm names.
_NAMED: Final = 5


def extend(unit: Unit, plan_id: str, chosen: Sequence[str]) -> list[str]:
    """Bring into a plan the symbols that it has not yet, as far as its limit of series goes.

    That some are left out is told once, and once when none is any more.

    Returns:
        Those that came in.

    Raises:
        NotFound: no such plan.
    """
    row = unit.plans.lock(plan_id)
    known = set(row.symbols)
    wanted = [symbol for symbol in chosen if symbol not in known]
    room = max(0, SERIES_LIMIT // len(row.intervals) - len(row.symbols))
    new, left_out = wanted[:room], wanted[room:]
    if new:
        row.symbols, row.updated_at = [*row.symbols, *new], unit.now_ms
    facts = {"plan": row.name, "exchange": row.exchange}
    if left_out:
        more = f" and {len(left_out) - _NAMED:,} more" if len(left_out) > _NAMED else ""
        text = f"{_words(row)}: {', '.join(left_out[:_NAMED])}{more}"
        begin_alarm(
            unit, _PREFIX + row.id, "warning", "plan-full", text, left_out=len(left_out), **facts
        )
    else:
        text = f"plan {row.name} takes in every symbol again that it chooses"
        end_alarm(unit, _PREFIX + row.id, "plan-grows", text, **facts)
    return new


def full(unit: Unit, plans: Iterable[CollectionPlanRow]) -> dict[str, str]:
    """By the id of each plan that leaves symbols out for it is full: what is to be done."""
    stand = set(unit.system.standing_alarms(_PREFIX))
    return {plan.id: _words(plan) for plan in plans if _PREFIX + plan.id in stand}


def forget(unit: Unit, plan_id: str) -> None:
    """Let go of what was told of a plan that is deleted."""
    unit.system.end_alarm(_PREFIX + plan_id)


def _words(plan: CollectionPlanRow) -> str:
    return (
        f"plan {plan.name} is full: a plan has at most {SERIES_LIMIT:,} series, and symbols that "
        "it chooses are left out; make another plan for them, as by a narrower pattern"
    )
