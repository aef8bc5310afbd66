"""What must hold of the whole world when a rehearsal is over: record, venue and queue together.

``World.breaches`` adds to the checkers of ``app.services.invariants``, which read the record
alone, those that need the venue's own record: the simulator's orders, fills, balances, requests
and bars. ``assert_world`` waits until everything is idle, and fails with every breach.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from decimal import Decimal
from typing import Any, Final

from app.core.market.coverage import CoverageState
from app.core.market.intervals import interval
from app.core.market.klines import KlineRow
from app.core.money import ZERO, canonical
from app.core.orders.state import FINAL
from app.models import AccountRow
from app.repositories.unit import Unit
from app.services.invariants import Breach
from app.wiring import Container
from tests.support.parts import EXCHANGE
from tests.support.simulator import SimulatorControl
from tests.support.waiting import until

_EFFECTIVE: Final = {"new", "partially_filled", "filled"}
_OPEN: Final = {"new", "partially_filled"}
# The row's commit is stamped when its transaction begins; the request arrives after its end.
_CLOCKS_AGREE_MS: Final = 5
_PAGE: Final = 1_000


class World:
    """Record and venue.

    Args:
        parts: of a process of the installation.
        venue: the simulator's control, past every proxy.
        carried: timestamps of requests were carried from a test's time into real time, so that
            requests and claims can be counted, but not matched.
        alarms_after: id of the event after which alarms count.
    """

    def __init__(
        self,
        parts: Container,
        venue: SimulatorControl,
        *,
        carried: bool = False,
        alarms_after: int = 0,
    ) -> None:
        self._alarms_after = alarms_after
        self._parts = parts
        self._venue = venue
        self._carried = carried

    def breaches(self, *, expected: Collection[str] = ()) -> list[Breach]:
        """Everything that does not hold.

        Args:
            expected: kinds of alarms that the rehearsal had to raise.
        """
        found = self._parts.invariants.check()
        with self._parts.units.snapshot() as unit:
            for account in unit.accounts.all():
                found += _Account(unit, account, self._venue, self._carried).check()
            found += self._alarms(unit, expected)
        return [*found, *self._bars(), *self._dead_letters()]

    def idle(self) -> bool:
        """Whether nothing is under way: no unsettled order, signal or event, every account
        compared."""
        with self._parts.units.read() as unit:
            now = unit.now_ms + 1
            return not (
                unit.audit.stuck_signals(now)
                or unit.audit.unsent_events(now)
                or any(
                    # One that is looked at again in a second is under way as well.
                    row.reconciled_epoch < row.epoch or unit.orders.count_unsettled(row.id)
                    for row in unit.accounts.all()
                    if row.status == "active"
                )
            )

    def _alarms(self, unit: Unit, expected: Collection[str]) -> Iterator[Breach]:
        for row in unit.audit.alerts(self._alarms_after):
            kind = str(row.body["kind"])
            if kind not in expected:
                yield Breach("alarm", kind, f"nobody expected: {row.body.get('text')}")

    def _dead_letters(self) -> Iterator[Breach]:
        if self._parts.settings.is_embedded:
            return
        for letter in self._parts.dead_letters.all():
            yield Breach("dead letter", "queue", f"{letter}")

    def _bars(self) -> Iterator[Breach]:
        """D4: what is stored of the venue that is traded at is what it says now."""
        with self._parts.units.read() as unit:
            every = unit.klines.all_series()
            series = [(row.id, row) for row in every if row.exchange == EXCHANGE]
            spans = {key: unit.coverage.spans(key) for key, _ in series}
            stored = {
                key: {row.open_ts: KlineRow._make(row) for row in unit.audit.klines(key)}
                for key, _ in series
            }
        for key, row in series:
            step = interval(row.interval)
            for span in spans[key]:
                if span.state is not CoverageState.PRESENT:
                    continue
                theirs = self._asked(row.exchange, row.symbol, step.name, span.start, span.end)
                for bar in theirs:
                    if stored[key].get(bar.open_ts) != bar:
                        text = (
                            f"{row.symbol} {row.interval} {bar.open_ts}: the venue says {bar} and "
                            f"we hold {stored[key].get(bar.open_ts)}"
                        )
                        yield Breach("D4", str(key), text)

    def _asked(self, exchange: str, symbol: str, name: str, start: int, end: int) -> list[KlineRow]:
        native = symbol.replace("/", "")
        found: list[KlineRow] = []
        while start < end:
            params = {
                "symbol": native,
                "interval": name,
                "startTime": start,
                "endTime": end - 1,
                "limit": _PAGE,
            }
            page = self._venue.raw("GET", "/api/v3/klines", params=params).json()
            assert isinstance(page, list), page
            if not page:
                break
            found += [_bar(each) for each in page]
            start = interval(name).next(found[-1].open_ts)
        return found


def assert_world(
    world: World, *, expected: Collection[str] = (), seconds: float = 60, heal: bool = True
) -> None:
    """Wait until everything is idle, and nothing may be broken then.

    A running market fills a resting order at any moment, so a breach counts when a second look
    finds one of the same invariant and subject.
    """
    if heal:
        until(world.idle, seconds, "the world came to rest")
    first = world.breaches(expected=expected)
    if not first:
        return
    until(world.idle, seconds, "the world came to rest again")
    keys = {(each.invariant, each.subject) for each in first}
    both = [
        each for each in world.breaches(expected=expected) if (each.invariant, each.subject) in keys
    ]
    assert not both, "\n".join(map(str, both))


class _Account:
    """One account here and at the simulator."""

    def __init__(
        self, unit: Unit, account: AccountRow, venue: SimulatorControl, carried: bool
    ) -> None:
        self._carried = carried
        self._unit = unit
        self._account = account
        self._venue = venue
        self._orders = {row.client_order_id: row for row, _, _ in unit.audit.orders(account.id)}
        self._theirs: list[dict[str, Any]] = venue.orders(account=account.name)

    def check(self) -> list[Breach]:
        """Every breach between the two."""
        return [
            *self._effective(),
            *self._states(),
            *self._fills(),
            *self._balances(),
            *self._requests(),
        ]

    def _effective(self) -> Iterator[Breach]:
        """O1: one intent, at most one effective order; none that is ours only at the venue."""
        counts = Counter(
            each["client_order_id"] for each in self._theirs if each["status"] in _EFFECTIVE
        )
        for client_id, count in counts.items():
            if count > 1:
                yield Breach("O1", client_id, f"{client_id} is {count} orders at the venue")
        known = {row.venue_order_id for row in self._orders.values()}
        for each in self._theirs:
            ours = each["client_order_id"] in self._orders or str(each["order_id"]) in known
            if not ours and each["status"] in _EFFECTIVE and not self._is_older(each):
                text = f"order {each['order_id']} ({each['client_order_id']}) is nobody's here"
                yield Breach("O1", str(each["order_id"]), text)

    def _is_older(self, theirs: dict[str, Any]) -> bool:
        return bool(theirs["created_ms"] < self._account.opened_ts)

    def _states(self) -> Iterator[Breach]:
        """What we hold to be alive is alive there, and what ended here ended there."""
        alive = {each["client_order_id"] for each in self._theirs if each["status"] in _OPEN} | {
            str(each["order_id"]) for each in self._theirs if each["status"] in _OPEN
        }
        present = {each["client_order_id"] for each in self._theirs} | {
            str(each["order_id"]) for each in self._theirs
        }
        for row in self._orders.values():
            names = {row.client_order_id, row.venue_order_id}
            if row.status in FINAL and names & alive:
                text = f"order {row.order_id} is {row.status} here and lives at the venue"
                yield Breach("O1", row.order_id, text)
            was_there = row.attempt and (row.filled_quantity or row.status not in FINAL)
            if was_there and not names & present:
                text = f"order {row.order_id} is {row.status} here and not at the venue"
                yield Breach("O1", row.order_id, text)

    def _fills(self) -> Iterator[Breach]:
        """O10: each trade of the venue is here exactly once, and no other."""
        theirs: dict[tuple[str, str], tuple[Decimal, Decimal, Decimal, str]] = {}
        for order in self._theirs:
            for fill in order["fills"]:
                if fill["market_ms"] >= self._account.opened_ts:
                    key = (order["symbol"], str(fill["trade_id"]))
                    theirs[key] = (
                        Decimal(fill["price"]),
                        Decimal(fill["quantity"]),
                        Decimal(fill["fee"]),
                        fill["fee_asset"],
                    )
        ours: dict[tuple[str, str], list[Any]] = defaultdict(list)
        for row in self._unit.audit.fills(self._account.id):
            facts = (row.price, row.quantity, row.fee, row.fee_asset)
            ours[row.symbol, row.trade_id].append(facts)
        for key in sorted({*ours, *theirs}):
            here, there = ours.get(key, []), theirs.get(key)
            if here != [there]:
                text = f"trade {key[1]} of {key[0]} is {there} at the venue and {here} here"
                yield Breach("O10", f"{key[0]} {key[1]}", text)

    def _balances(self) -> Iterator[Breach]:
        """O12: the venue holds what we hold."""
        found = next(
            (each for each in self._venue.accounts() if each["name"] == self._account.name), None
        )
        if found is None:
            yield Breach("O12", self._account.id, f"{self._account.name} is not at the venue")
            return
        theirs = {
            asset: Decimal(held["free"]) + Decimal(held["locked"])
            for asset, held in found["balances"].items()
        }
        ours = {
            row.asset: row.free + row.locked for row in self._unit.audit.balances(self._account.id)
        }
        for asset in sorted({*ours, *theirs}):
            here, there = ours.get(asset, ZERO), theirs.get(asset, ZERO)
            # A venue cuts each fill's cost to eight decimals; see docs/reconciliation.md.
            if abs(here - there) > Decimal("0.000001"):
                text = f"{asset} is {canonical(there)} at the venue and {canonical(here)} here"
                yield Breach("O12", f"{self._account.name} {asset}", text)

    def _requests(self) -> Iterator[Breach]:
        """O2: each request that would place an order has a row that was committed before it."""
        claims: dict[str, dict[int, int]] = defaultdict(dict)
        client_ids = {row.order_id: row.client_order_id for row in self._orders.values()}
        for event in self._unit.audit.order_events(self._account.id):
            if event.kind == "sending":
                claims[client_ids[event.order_id]][int(event.data["request_ts"])] = event.at
        seen: Counter[str] = Counter()
        for request in self._placed():
            client_id = request["params"]["newClientOrderId"]
            seen[client_id] += 1
            if not client_id.startswith("td"):
                continue  # a person at the venue's own site
            if self._carried:
                is_claimed = seen[client_id] <= len(claims[client_id])
            else:
                at = claims[client_id].get(int(request["params"]["timestamp"]))
                is_claimed = at is not None and at <= request["wall_ms"] + _CLOCKS_AGREE_MS
            if not is_claimed:
                text = f"a request for {client_id} left at {request['wall_ms']} without its row"
                yield Breach("O2", client_id, text)

    def _placed(self) -> Iterator[dict[str, Any]]:
        since = 0
        while page := self._venue.requests(
            method="POST",
            path="/api/v3/order",
            account=self._account.name,
            since_seq=since,
            limit=_PAGE,
        ):
            yield from page
            since = page[-1]["seq"]


def _bar(row: list[Any]) -> KlineRow:
    """A bar as the venue's own JSON has it."""
    prices = [Decimal(row[index]) for index in (1, 2, 3, 4, 5, 7)]
    return KlineRow._make([int(row[0]), *prices, int(row[8])])
