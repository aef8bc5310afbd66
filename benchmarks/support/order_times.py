"""The times of one order on its way, from its rows and from what was seen outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Final

from app.wiring import Container
from benchmarks.support.venue import MINUTE_MS

_DONE: Final = frozenset({"done", "denied", "expired"})


@dataclass(slots=True)
class OrderTimes:
    """Wall times, ms. Those of rows are the starts of their transactions.

    Attributes:
        signal_ms: the signal's transaction.
        order_id: empty where the signal made none.
        decision_ms, claim_ms, ack_ms: transactions of decision and order, of the claim, and of
            the acknowledgement.
        was_unknown: whether the venue's answer was ever unknown.
        started_ms: a worker began with the signal.
        venue_ms: the request was at the venue.
        seen_ms: the acknowledgement's event arrived beside the stack.
        frame_ms: the venue sent the bar.
    """

    HOPS: ClassVar = (
        "signal_to_start",
        "start_to_decision",
        "decision_to_claim",
        "claim_to_venue",
        "venue_to_ack",
        "ack_to_event",
    )

    signal_id: str
    symbol: str
    bar_ts: int
    status: str
    signal_ms: float
    order_id: str = ""
    client_order_id: str = ""
    decision_ms: float | None = None
    claim_ms: float | None = None
    ack_ms: float | None = None
    was_unknown: bool = False
    started_ms: float | None = None
    venue_ms: float | None = None
    seen_ms: float | None = None
    frame_ms: float | None = None
    kinds: list[str] = field(default_factory=list)

    @property
    def is_judged(self) -> bool:
        """Whether the signal has come to an end: an order that has an event, or none at all."""
        return bool(self.order_id) or self.status in _DONE

    @property
    def is_answered(self) -> bool:
        """Whether the venue gave a definite answer to the one request that was sent."""
        return self.seen_ms is not None and not self.was_unknown

    @property
    def signal_to_ack(self) -> float:
        """Ms from the start of the signal's transaction to the acknowledgement's event."""
        assert self.seen_ms is not None  # noqa: S101 - asked of answered ones
        return self.seen_ms - self.signal_ms

    @property
    def kline_to_ack(self) -> float | None:
        """Ms from the venue's frame; None where the bar came by another way before it."""
        if self.frame_ms is None or self.signal_ms < self.frame_ms - 1:
            return None
        assert self.seen_ms is not None  # noqa: S101
        return self.seen_ms - self.frame_ms

    @property
    def hops(self) -> dict[str, float]:
        """Ms of each part of the way that is known."""
        points = (
            self.signal_ms,
            self.started_ms,
            self.decision_ms,
            self.claim_ms,
            self.venue_ms,
            self.ack_ms,
            self.seen_ms,
        )
        pairs = zip(self.HOPS, points[:-1], points[1:], strict=True)
        return {
            name: end - start for name, start, end in pairs if start is not None and end is not None
        }

    def complete(
        self,
        seen: Mapping[str, float],
        started: Mapping[tuple[str, str], float],
        at_venue: Mapping[str, int],
    ) -> None:
        """Add what was seen outside."""
        self.seen_ms = seen.get(self.order_id)
        self.started_ms = started.get(("orders.accept_signal", self.signal_id))
        self.venue_ms = at_venue.get(self.client_order_id)

    def take_frame(
        self, closed: Mapping[tuple[str, int], float], delays: Mapping[str, int]
    ) -> None:
        """Find when the venue sent the bar: never later than it did.

        All frames of a step are timed from one moment, so the one that was received with the
        least delay beyond its own says when the others were sent.
        """
        if (self.symbol, self.bar_ts) not in closed:
            return
        begun = min(
            closed[symbol, self.bar_ts] - delay
            for symbol, delay in delays.items()
            if (symbol, self.bar_ts) in closed
        )
        self.frame_ms = begun + delays[self.symbol]

    def as_json(self) -> dict[str, Any]:
        """Everything, for a log."""
        return {**asdict(self), "hops": self.hops}


def read_times(
    parts: Container, instances: Sequence[str], first: int, last: int
) -> list[OrderTimes]:
    """Times of the signals by bars that close in (first, last], from the rows."""
    found = []
    with parts.units.read() as unit:
        for instance_id in instances:
            for signal in unit.signals.of_instance(instance_id, 100_000):
                if not first < signal.bar_ts + MINUTE_MS <= last:
                    continue
                found.append(
                    OrderTimes(
                        signal.id, signal.symbol, signal.bar_ts, signal.status, signal.created_at
                    )
                )
        by_signal = {each.signal_id: each for each in found}
        for instance_id in instances:
            for order in unit.orders.of_instance(instance_id, 100_000):
                times = by_signal.get(order.signal_id or "")
                if times is None:
                    continue
                times.order_id, times.client_order_id = order.order_id, order.client_order_id
                times.decision_ms = order.created_at
                times.ack_ms = order.acknowledged_at
                for event in unit.orders.events(order.order_id):
                    times.kinds.append(event.kind)
                    times.was_unknown |= event.kind == "unknown"
                    if event.kind == "sending":
                        times.claim_ms = event.at
    return found
