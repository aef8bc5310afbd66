"""The whole store of an installation against the venue's own record of its bars: D1 to D6.

A rehearsal makes one when collection begins, lets it ``look`` now and then while things go wrong,
and asks for its ``breaches`` when everything is at rest. Each look remembers what was stored
first, and sees what only holds at that moment: a bar before its close, a gap that nobody noticed.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from decimal import Decimal
from typing import Any, Final

from app.core.market.coverage import CoverageState, Span, account
from app.core.market.klines import KlineRow
from app.core.market.validation import kline_fault
from app.repositories.unit import Units
from app.services.collection.comparing import WITHDRAWN
from app.services.invariants import Breach
from tests.support.data_store import Held, Kept, doubled_of, held_of, kept_of
from tests.support.simulator import SimulatorControl
from tests.support.waiting import until

#: A gap is noticed within two intervals and so long after its end, in market time.
NOTICED_MS: Final = 30_000
_PAGE: Final = 10_000
# What the answers of a venue leave out of a bar.
_UNSTATED: Final = {"okx": ("trade_count",), "bybit": ("trade_count",)}
Theirs = dict[int, KlineRow]


class DataWorld:
    """What is stored, and what the venue has.

    Args:
        venue: the simulator's control, past every proxy and fault.
        wall_ms: wall time of the installation now; None where it is the machine's.

    Attributes:
        units: of the installation's record; another one's after a restart.
        venue: another one's after the venue was started again.
    """

    def __init__(
        self, units: Units, venue: SimulatorControl, *, wall_ms: int | None = None
    ) -> None:
        self.units, self.venue = units, venue
        clock = venue.clock()
        self._ahead_ms = clock["market_ms"] - (clock["wall_ms"] if wall_ms is None else wall_ms)
        self._first: dict[int, Theirs] = {}
        self._seen: list[Breach] = []
        self._blind: list[tuple[int, int]] = []
        self._is_blind = False

    def over(self, units: Units) -> DataWorld:
        """One that has seen the same, over another record."""
        made = copy(self)
        made.units = units
        made._seen = list(self._seen)
        made._first = {series_id: dict(rows) for series_id, rows in self._first.items()}
        return made

    # -- meanwhile ---------------------------------------------------------------------------

    @contextmanager
    def blind(self) -> Iterator[None]:
        """The venue, or the record, cannot be asked in the block: gaps are noticed after it."""
        begun, self._is_blind = self.venue.market_ms, True
        try:
            yield
        finally:
            self._is_blind = False
            self._blind.append((begun, self.venue.market_ms))

    def look(self) -> None:
        """Remember what is stored, and what is wrong already."""
        market = self.venue.market_ms
        with self.units.snapshot() as unit:
            pairs = [(kept, held_of(unit, kept)) for kept in kept_of(unit, self._ahead_ms)]
        now = self.venue.market_ms
        for kept, held in pairs:
            self._remember(held)
            self._seen += _too_early(kept, held, now)
            if not held.is_filling and not self._is_blind:
                self._seen += self._unnoticed(kept, held, market)

    def idle(self) -> bool:
        """Whether no job fills a series."""
        with self.units.read() as unit:
            return not any(
                unit.jobs.live_with(purpose)
                for kept in kept_of(unit, self._ahead_ms)
                for purpose in kept.purposes
            )

    # -- at the end --------------------------------------------------------------------------

    def breaches(self) -> list[Breach]:
        """Everything that does not hold, and did not hold at a look."""
        market = self.venue.market_ms
        with self.units.snapshot() as unit:
            twice = doubled_of(unit)
            pairs = [(kept, held_of(unit, kept)) for kept in kept_of(unit, self._ahead_ms)]
        now = self.venue.market_ms
        found = list(self._seen)
        for series_id, opened, times in twice:
            text = f"series {series_id} holds the bar of {opened} {times} times"
            found.append(Breach("D2", str(series_id), text))
        for kept, held in pairs:
            theirs = self._theirs(kept, market)
            found += self._unaccounted(kept, held, theirs, market)
            found += _too_early(kept, held, now)
            found += _altered(kept, held, theirs)
            found += self._silently_altered(kept, held)
            found += self._unnoticed(kept, held, market)
            found += _impossible(kept, held)
            self._remember(held)
        return found

    def _remember(self, held: Held) -> None:
        first = self._first.setdefault(held.series_id, {})
        for opened, row in held.rows.items():
            first.setdefault(opened, row)

    def _theirs(self, kept: Kept, market: int) -> Theirs:
        """The venue's closed bars from the first one that is wanted on."""
        found: Theirs = {}
        start, end = kept.since, kept.step.floor(market)
        while start < end:
            page = self.venue.klines(kept.symbol, kept.step.name, start, end, kept.exchange)
            found |= {bar.open_ts: bar for bar in map(_bar, page)}
            if len(page) < _PAGE:
                break
            start = kept.step.next(page[-1][0])
        return found

    def _unaccounted(self, kept: Kept, held: Held, theirs: Theirs, market: int) -> Iterator[Breach]:
        """D1: each closed bar of the venue is stored, or coverage says why it is not."""
        states = _States(account(held.spans, kept.since, max(market, kept.since + 1)))
        for opened in theirs.keys() - held.rows.keys():
            span = states.at(opened)
            known = span.state is CoverageState.PENDING and (
                span.proof or self._deadline(kept, kept.step.next(opened)) >= market
            )
            if not known:
                what = f"{span.state}" if span.proof or span.state != "pending" else "nothing"
                text = f"{kept}: the venue has the bar of {opened}, and we know {what} of it"
                yield Breach("D1", str(kept), text)
        opens = sorted(held.rows)
        for span in states.spans:
            if span.state is CoverageState.PRESENT:
                wanted = kept.step.expected(span.start, span.end)
                stored = bisect_left(opens, span.end) - bisect_left(opens, span.start)
                if stored != wanted:
                    text = f"{kept}: [{span.start}, {span.end}) holds {stored} of {wanted} bars"
                    yield Breach("D1", str(kept), text)
        for opened in opens:
            if opened >= kept.since and states.at(opened).state is not CoverageState.PRESENT:
                text = f"{kept}: the bar of {opened} is stored, and not said to be"
                yield Breach("D1", str(kept), text)

    def _silently_altered(self, kept: Kept, held: Held) -> Iterator[Breach]:
        """D4: from what was stored first to what is stored now, revisions lead all the way."""
        withdrawn = {row.open_ts for row in held.quarantined if row.reason == WITHDRAWN}
        for opened, first in self._first.get(held.series_id, {}).items():
            now, known = held.rows.get(opened), first
            if now is None and opened in withdrawn:
                continue
            for old, new in held.revisions.get(opened, ()):
                known = new if old == known else known
            if now != known:
                text = f"{kept}: the bar of {opened} was {first}, is {now}, and no revision says so"
                yield Breach("D4", str(kept), text)
        for opened, revisions in held.revisions.items():
            gone = opened not in held.rows and opened in withdrawn
            if not gone and revisions[-1][1] != held.rows.get(opened):
                text = f"{kept}: the bar of {opened} is not what its last revision made it"
                yield Breach("D4", str(kept), text)

    def _unnoticed(self, kept: Kept, held: Held, market: int) -> Iterator[Breach]:
        """D5: nothing is missing for long without being known to be."""
        end = kept.step.floor(market)
        for span in account(held.spans, kept.since, end) if end > kept.since else ():
            if span.state is CoverageState.PENDING and not span.proof:
                closed = self._first_closed(kept, span, end)
                if closed is not None and self._deadline(kept, closed) < market:
                    text = f"{kept}: nobody noticed that [{span.start}, {span.end}) is missing"
                    yield Breach("D5", str(kept), text)
            elif span.end > kept.created and (seen := _noticed(span)) is not None:
                noticed = seen + self._ahead_ms
                if noticed > self._deadline(kept, span.end):
                    late = (noticed - span.end) // 1000
                    text = f"{kept}: [{span.start}, {span.end}) was noticed after {late} s"
                    yield Breach("D5", str(kept), text)

    def _first_closed(self, kept: Kept, span: Span, end: int) -> int | None:
        """When it could be seen that a range is missing: its end, once later bars are here.

        Of a range up to the present it is the close of the venue's first bar in it; where the
        venue has none, there is nothing to notice yet.
        """
        if span.end < end:
            return span.end
        theirs = self.venue.klines(kept.symbol, kept.step.name, span.start, span.end, kept.exchange)
        return kept.step.next(theirs[0][0]) if theirs else None

    def _deadline(self, kept: Kept, closed: int) -> int:
        """Market time by which a gap that ended at ``closed`` must be known."""
        patience = 2 * kept.step.length_ms + NOTICED_MS
        since = max(closed, kept.created)
        for begun, over in self._blind:
            if begun < since + patience and over > since:
                since = over
        return since + patience


def assert_data(world: DataWorld, *, seconds: float = 60) -> None:
    """Wait until no series is being filled, and nothing may be broken then.

    The market goes on meanwhile, so a breach counts when a second look finds one of the
    same invariant and series.
    """
    until(world.idle, seconds, "collection came to rest")
    first = world.breaches()
    if not first:
        return
    until(world.idle, seconds, "collection came to rest again")
    keys = {(each.invariant, each.subject) for each in first}
    both = [each for each in world.breaches() if (each.invariant, each.subject) in keys]
    assert not both, "\n".join(map(str, both))


def _noticed(span: Span) -> int | None:
    """Wall time at which a gap was first asked for, whether or not that proved anything."""
    if span.state is CoverageState.BEFORE_LISTING:
        return None
    seen = [int(span.proof[name]) for name in ("first", "asked_first") if name in span.proof]
    return min(seen, default=None)


class _States:
    """What is known of each bar, by its open time.

    Attributes:
        spans: every bar exactly once, ascending.
    """

    def __init__(self, spans: Sequence[Span]) -> None:
        self.spans = spans
        self._starts = [span.start for span in spans]

    def at(self, opened: int) -> Span:
        """The span that holds a bar."""
        return self.spans[bisect_right(self._starts, opened) - 1]


def _too_early(kept: Kept, held: Held, now: int) -> Iterator[Breach]:
    """D3: no bar is stored before it has closed."""
    for opened in held.rows:
        if kept.step.next(opened) > now:
            text = f"{kept}: the bar of {opened} is stored at {now}, before its close"
            yield Breach("D3", str(kept), text)


def _altered(kept: Kept, held: Held, theirs: Theirs) -> Iterator[Breach]:
    """D4: a stored bar is what the venue says of it now, and the venue has it."""
    newest = max(theirs, default=0)
    for opened, row in held.rows.items():
        if opened < kept.since or opened > newest > 0:
            continue  # wanted by no plan any more, or closed since the venue was asked
        said = theirs.get(opened)
        if said is not None:
            unstated: dict[str, Any] = dict.fromkeys(_UNSTATED.get(kept.exchange, ()))
            said = said._replace(**unstated)
        if said != row:
            text = f"{kept} {opened}: the venue says {said} and we hold {row}"
            yield Breach("D4", str(kept), text)


def _impossible(kept: Kept, held: Held) -> Iterator[Breach]:
    """D6: each stored bar can be, and each refused one is kept with the reason."""
    for row in held.rows.values():
        fault = kline_fault(row, kept.step)
        if fault:
            yield Breach("D6", str(kept), f"{kept}: the bar of {row.open_ts}: {fault}")
    refused = {row.open_ts for row in held.quarantined}
    for bad in held.quarantined:
        if not (bad.reason and bad.source and bad.row):
            text = f"{kept}: the refused bar of {bad.open_ts} has no reason, source or row"
            yield Breach("D6", str(kept), text)
    for span in held.spans:
        opened = span.start
        while "quarantined" in span.proof and opened < span.end:
            if opened not in refused:
                text = f"{kept}: the bar of {opened} was refused, and is not in quarantine"
                yield Breach("D6", str(kept), text)
            opened = kept.step.next(opened)


def _bar(row: list[Any]) -> KlineRow:
    """A bar as the venue's record has it."""
    return KlineRow._make([int(row[0]), *map(Decimal, row[1:7]), int(row[7])])
