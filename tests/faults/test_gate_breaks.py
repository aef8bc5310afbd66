"""Row 50: the risk gate breaks. What it cannot judge is no order, and the others go on."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from structlog.testing import capture_logs

from app.core.orders.identity import manual_intent
from app.core.orders.types import OrderStatus, Side
from app.core.risk.context import RiskCheckResult, RiskContext
from app.core.risk.gate import LIMIT_KINDS
from app.core.strategies.signal import Signal, SignalAction
from app.models import AccountRow, RiskDecisionRow
from app.services.orders import intake
from tests.support.installation import SYMBOL, Installation
from tests.support.world import World

BUY = Signal(SYMBOL, Side.BUY, SignalAction.ENTER, quantity=Decimal("0.01"))


class BrokenRule:
    """A limit with a mistake in it."""

    name = "position_limit"

    def check(self, context: RiskContext) -> RiskCheckResult:
        """Divide by nothing."""
        raise ZeroDivisionError


def sound(here: Installation, *expected: str) -> bool:
    world = World(here.parts, here.venue, carried=True)
    return world.breaches(expected=expected) == []


def untouched(here: Installation, account: AccountRow) -> bool:
    """No order, no funds held back, nothing at the venue, nothing counted against a quota."""
    with here.parts.units.read() as unit:
        quota = unit.instances.quota(here.manual(account).id)
        live = unit.orders.live(account.id)
    return (
        not live
        and (quota is None or quota.orders_today == 0)
        and here.balance(account, "USDT") == (Decimal(5_000), Decimal(0))
        and here.at_venue(account) == []
    )


def no_decision(here: Installation, account: AccountRow, key: str) -> bool:
    with here.parts.units.read() as unit:
        found: RiskDecisionRow | None = unit.risk.decision_of(account.id, manual_intent(key))
    return found is None


def test_a_rule_that_raises_denies_what_it_judges_and_says_so(
    anywhere: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = anywhere
    broken, well = here.account(USDT="5000"), here.account(USDT="5000")
    here.sync(broken)
    here.sync(well)
    strategies = [here.instance(each, "holder", capital=Decimal(4_000)) for each in (broken, well)]
    here.parts.risk.set_rule("position_limit", f"account:{broken.id}", {"max_value": "1000000"})
    monkeypatch.setitem(LIMIT_KINDS, "position_limit", lambda _params, _scope: BrokenRule())  # type: ignore[arg-type]

    with capture_logs() as logs:
        decision, order = here.submit(broken, "buy", "0.01")
        for instance in strategies:
            here.emit(instance, BUY)
        here.settle()
    assert order is None
    assert (decision.rule, decision.reason) == ("position_limit", "RULE_FAILED: ZeroDivisionError")
    assert [here.signals_of(each)[-1].status for each in strategies] == ["denied", "accepted"]
    assert untouched(here, broken)
    # An alarm each, and the log says where in the code it was.
    assert [each["rule"] for each in here.alarms("rule-failed")] == ["position_limit"] * 2
    assert here.alarms("denied") == []
    failures = [each for each in logs if each["event"] == "risk_rule_failed"]
    assert [type(each["exc_info"]) for each in failures] == [ZeroDivisionError] * 2
    assert here.order(well, "buy", "0.01").status == OrderStatus.FILLED

    monkeypatch.undo()
    assert here.order(broken, "buy", "0.01").status == OrderStatus.FILLED
    assert sound(here, "rule-failed")


def test_a_gate_that_cannot_even_look_leaves_nothing_and_judges_later(
    anywhere: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fails between the look and the decision, so the whole transaction is undone."""
    here = anywhere
    broken, well = here.account(USDT="5000"), here.account(USDT="5000")
    here.sync(broken)
    here.sync(well)
    strategy = here.instance(broken, "holder", capital=Decimal(4_000))
    judged = intake.risk_context

    def breaks(unit: Any, intent: Any, instance: Any, *given: Any) -> RiskContext:
        context = judged(unit, intent, instance, *given)
        if instance.account_id == broken.id:
            raise ArithmeticError("the gate is broken")
        return context

    monkeypatch.setattr(intake, "risk_context", breaks)
    with pytest.raises(ArithmeticError, match="the gate is broken"):
        here.submit(broken, "buy", "0.01", key="one intent")
    here.emit(strategy, BUY)
    with pytest.raises(ArithmeticError):
        here.settle()
    assert untouched(here, broken)
    assert no_decision(here, broken, "one intent")
    assert [each.status for each in here.signals_of(strategy)] == ["new"]
    assert here.order(well, "buy", "0.01").status == OrderStatus.FILLED

    # Mended while the signal is still worth something: the sweep finds it again.
    monkeypatch.undo()
    here.wait(3_000)
    assert [each.status for each in here.signals_of(strategy)] == ["accepted"]
    assert [each.status for each in here.orders_of(strategy)] == [OrderStatus.FILLED]
    assert here.order(broken, "buy", "0.01", key="one intent").status == OrderStatus.FILLED
    assert sound(here)


def test_a_signal_that_could_not_be_judged_in_time_is_never_traded(
    anywhere: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = anywhere
    account = here.account(USDT="5000")
    here.sync(account)
    strategy = here.instance(account, "holder", capital=Decimal(4_000))
    with monkeypatch.context() as patched:
        patched.setattr(intake, "risk_context", lambda *_given: 1 / 0)
        here.emit(strategy, BUY)
        with pytest.raises(ZeroDivisionError):
            here.settle()
        here.market(by_ms=5 * 60_000)
    here.wait(3_000)
    assert [each.status for each in here.signals_of(strategy)] == ["expired"]
    assert untouched(here, account)
    assert sound(here)
