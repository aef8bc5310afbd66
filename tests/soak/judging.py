"""Whether a soak went well: no invariant broken, memory and descriptors flat."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from tests.soak.sampling import Sample, slope_per_hour

#: A process grows while it warms up: caches, pools, first use of every module.
WARM_UP_S: Final = 120.0
#: Flower keeps the latest tasks, here a thousand at some three a second, and the events of four
#: times as many: it grows until it has them.
WARM_UPS_S: Final = {"flower": 1_500.0}
#: The simulator keeps every request and order in memory: it is the record that ours is compared
#: with. Its memory is shown and not judged.
KEEPS_ALL: Final = frozenset({"simulator"})
#: A life that is shorter after its warm-up says nothing of an hour.
LEAST_S: Final = 240.0
#: A steady leak passes both: the slope, and the growth from the first to the last quarter.
MOST_MB_PER_HOUR: Final = 20.0
MOST_GROWTH_MB: Final = 6.0
#: Steps are no slope: the first outage of a database costs 5 MB once, for the code that deals with
#: it. Many of them would be a leak all the same.
MOST_STEPS_MB: Final = 30.0
MOST_DESCRIPTORS: Final = 8.0
MOST_THREADS: Final = 6.0


@dataclass(frozen=True, slots=True)
class Life:
    """One process from its start to its end, after its warm-up.

    Attributes:
        memory_slope: MB per hour; the median over its minutes.
        memory_growth, descriptor_growth, thread_growth: median of the last quarter of the
            samples minus that of the first.
    """

    name: str
    pid: int
    seconds: float
    memory: float
    memory_slope: float
    memory_growth: float
    descriptors: float
    descriptor_growth: float
    thread_growth: float

    @property
    def is_judged(self) -> bool:
        """Whether it was long enough to say something."""
        return self.seconds >= LEAST_S

    def breaches(self) -> list[str]:
        """What is not flat."""
        if not self.is_judged:
            return []
        found = []
        if self.name in KEEPS_ALL:
            pass
        elif self.memory_slope > MOST_MB_PER_HOUR and self.memory_growth > MOST_GROWTH_MB:
            found.append(
                f"{self.name} ({self.pid}) grows by {self.memory_slope:.1f} MB/h, "
                f"{self.memory_growth:.1f} MB in {self.seconds:.0f} s"
            )
        elif self.memory_growth > MOST_STEPS_MB:
            found.append(f"{self.name} ({self.pid}) has grown by {self.memory_growth:.1f} MB")
        if self.descriptor_growth > MOST_DESCRIPTORS:
            found.append(f"{self.name} ({self.pid}) has {self.descriptor_growth:.0f} more files")
        if self.thread_growth > MOST_THREADS:
            found.append(f"{self.name} ({self.pid}) has {self.thread_growth:.0f} more threads")
        return found


def lives(samples: Sequence[Sample]) -> list[Life]:
    """Every life that outlasted its warm-up, by name and time."""
    grouped: dict[tuple[str, int], list[Sample]] = defaultdict(list)
    for each in samples:
        grouped[each.name, each.pid].append(each)
    found = []
    for (name, pid), own in grouped.items():
        warm_up = WARM_UPS_S.get(name, WARM_UP_S)
        warm = [each for each in own if each.second - own[0].second >= warm_up]
        if len(warm) < 4:
            continue
        found.append(
            Life(
                name,
                pid,
                warm[-1].second - warm[0].second,
                median(each.rss_mb for each in warm),
                slope_per_hour([(each.second, each.rss_mb) for each in warm]),
                _growth([each.rss_mb for each in warm]),
                median(each.descriptors for each in warm),
                _growth([each.descriptors for each in warm]),
                _growth([each.threads for each in warm]),
            )
        )
    return sorted(found, key=lambda each: (each.name, each.pid))


def _growth(values: Sequence[float]) -> float:
    quarter = max(1, len(values) // 4)
    return median(values[-quarter:]) - median(values[:quarter])
