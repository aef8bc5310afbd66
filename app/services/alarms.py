"""Conditions that are told once when they begin and once when they end, whoever sees them."""

from __future__ import annotations

from typing import Any

from app.core.events import body, topic
from app.repositories.unit import Unit


def begin_alarm(unit: Unit, name: str, level: str, kind: str, text: str, **facts: Any) -> bool:
    """Tell that a condition has begun, unless it stands already; whether it was told.

    Args:
        name: of the condition, such as ``clock-skew:binance@host``.
        level: ``critical``, ``warning`` or ``info``.
        kind: of the event.
    """
    if not unit.system.begin_alarm(name, text, unit.now_ms):
        return False
    tell_alarm(unit, level, kind, text, **facts)
    return True


def end_alarm(unit: Unit, name: str, kind: str, text: str, **facts: Any) -> bool:
    """Tell that a condition has ended, if it stood; whether it was told."""
    if not unit.system.end_alarm(name):
        return False
    tell_alarm(unit, "info", kind, text, **facts)
    return True


def tell_alarm(unit: Unit, level: str, kind: str, text: str, **facts: Any) -> None:
    """Report something that a person should know of."""
    unit.emit(
        topic("risk", "alert", level),
        body("alerts.v1", kind=kind, text=text, at=unit.now_ms, **facts),
    )
