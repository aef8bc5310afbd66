"""Faults on order: rules that say which requests and frames go wrong, and how."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, Final

from app.core.errors import InvalidInput, NotFound
from simulator import noise


class Action(StrEnum):
    """What goes wrong. The first group is for requests, the second for stream frames."""

    LOSE_REPLY = "lose_reply"
    REFUSE = "refuse"
    STATUS = "status"
    ERROR_BEFORE = "error_before"
    ERROR_AFTER = "error_after"
    LATE_ACCEPT = "late_accept"
    QUERY_LAG = "query_lag"
    DELAY = "delay"
    BODY = "body"

    WS_DROP = "ws_drop"
    WS_DUPLICATE = "ws_duplicate"
    WS_REORDER = "ws_reorder"
    WS_SILENT = "ws_silent"
    WS_CUT = "ws_cut"
    WS_DELAY = "ws_delay"

    @property
    def is_for_frames(self) -> bool:
        """Whether it happens to stream frames rather than to requests."""
        return self.value.startswith("ws_")


BODIES: Final = (
    "html",
    "truncated",
    "null_id",
    "empty",
    "duplicate_key",
    "nan",
    "doubled",
    "shuffled",
    "overlapping",
)
_NEEDS_MS: Final = {Action.LATE_ACCEPT, Action.QUERY_LAG, Action.DELAY, Action.WS_DELAY}
_TEXTS: Final = (
    "method",
    "path",
    "client_order_id",
    "account",
    "stream",
    "event",
    "body",
    "message",
)
_WHOLE: Final = ("nth", "count", "ms", "status", "code", "retry_after")
_KNOWN: Final = {"action", "probability", *_TEXTS, *_WHOLE}


@dataclass(slots=True)
class Rule:
    """One rule.

    Attributes:
        pattern: shell patterns (``*``) of ``method``, ``path``, ``client_order_id``,
            ``account``, ``stream`` and ``event``; all that are given must match.
        nth: only the n-th match, counted from 1; None for each.
        count: how often it may strike; None for always.
        probability: of striking at a match; drawn from the seed and the number of the match.
        ms: of delay, lag or lateness, wall time.
        status, code, message, retry_after, body: of the answer, where the action makes one.
        matched, struck: how often so far.
    """

    id: int
    action: Action
    pattern: dict[str, str]
    nth: int | None = None
    count: int | None = None
    probability: float = 1.0
    ms: int = 0
    status: int | None = None
    code: int | None = None
    message: str | None = None
    retry_after: int | None = None
    body: str | None = None
    matched: int = field(default=0)
    struck: int = field(default=0)

    def to_json(self) -> dict[str, Any]:
        """The rule and its counts."""
        return {name: getattr(self, name) for name in self.__slots__}


class Faults:
    """The rules in force."""

    def __init__(self, seed: int) -> None:
        self._key = noise.key(seed, "faults")
        self._rules: dict[int, Rule] = {}
        self._next_id = 1

    def add(self, given: Mapping[str, Any]) -> Rule:
        """Put a rule in force.

        Raises:
            InvalidInput: unknown field, action or value.
        """
        rule = _parsed(self._next_id, given)
        self._rules[rule.id] = rule
        self._next_id += 1
        return rule

    def rules(self) -> list[Rule]:
        """Rules in the order they were added."""
        return list(self._rules.values())

    def remove(self, rule_id: int) -> None:
        """Lift one rule.

        Raises:
            NotFound: there is none with that id.
        """
        if self._rules.pop(rule_id, None) is None:
            raise NotFound(f"there is no fault rule {rule_id}")

    def clear(self) -> None:
        """Lift all rules."""
        self._rules.clear()

    def for_request(
        self, method: str, path: str, client_order_id: str | None, account: str | None
    ) -> list[Rule]:
        """Rules that strike this request."""
        facts = {
            "method": method,
            "path": path,
            "client_order_id": client_order_id or "",
            "account": account or "",
        }
        return self._striking(facts, is_frame=False)

    def for_frame(self, stream: str, event: str, account: str | None) -> list[Rule]:
        """Rules that strike this frame."""
        facts = {"stream": stream, "event": event, "account": account or ""}
        return self._striking(facts, is_frame=True)

    def _striking(self, facts: Mapping[str, str], *, is_frame: bool) -> list[Rule]:
        return [
            rule
            for rule in self._rules.values()
            if rule.action.is_for_frames is is_frame
            and all(
                name in facts and fnmatchcase(facts[name], pattern)
                for name, pattern in rule.pattern.items()
            )
            and self._strikes(rule)
        ]

    def _strikes(self, rule: Rule) -> bool:
        rule.matched += 1
        if rule.nth is not None and rule.matched != rule.nth:
            return False
        if rule.count is not None and rule.struck >= rule.count:
            return False
        if noise.uniform(self._key ^ rule.id, rule.matched) >= rule.probability:
            return False
        rule.struck += 1
        return True


def _parsed(rule_id: int, given: Mapping[str, Any]) -> Rule:
    unknown = sorted(set(given) - _KNOWN)
    if unknown:
        raise InvalidInput(f"unknown field {unknown[0]!r}; known are {', '.join(sorted(_KNOWN))}")
    action = _action(given.get("action"))
    texts = {name: _text(given, name) for name in _TEXTS if name in given}
    whole = {name: _whole(given, name) for name in _WHOLE if name in given}
    if action in _NEEDS_MS and "ms" not in whole:
        raise InvalidInput(f"action {action} needs ms, the time it takes")
    body, message = texts.pop("body", None), texts.pop("message", None)
    if action is Action.BODY and body not in BODIES:
        raise InvalidInput(f"action body needs body, one of {', '.join(BODIES)}")
    _check_pattern(action, texts)
    return Rule(
        rule_id,
        action,
        texts,
        probability=_probability(given),
        body=body,
        message=message,
        **{name: value for name, value in whole.items() if name != "ms"},
        ms=whole.get("ms", 0),
    )


def _action(name: Any) -> Action:
    try:
        return Action(name)
    except ValueError:
        raise InvalidInput(f"action must be one of {', '.join(Action)}") from None


def _check_pattern(action: Action, pattern: Mapping[str, str]) -> None:
    allowed = (
        {"stream", "event", "account"}
        if action.is_for_frames
        else {"method", "path", "client_order_id", "account"}
    )
    for name in pattern:
        if name not in allowed:
            raise InvalidInput(f"action {action} matches by {', '.join(sorted(allowed))} only")


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given[name]
    if not isinstance(value, str) or not value:
        raise InvalidInput(f"{name} must be a text")
    return value


def _whole(given: Mapping[str, Any], name: str) -> int:
    value = given[name]
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidInput(f"{name} must be a whole number")
    lowest = {"nth": 1, "count": 1, "status": 200}.get(name)
    if (lowest is not None and value < lowest) or (name in ("ms", "retry_after") and value < 0):
        raise InvalidInput(f"{name} was {value}, which is too small")
    if name == "status" and value > 599:
        raise InvalidInput(f"status was {value}; it must be from 200 to 599")
    return value


def _probability(given: Mapping[str, Any]) -> float:
    value = given.get("probability", 1.0)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise InvalidInput("probability must be a number from 0 to 1")
    return float(value)
