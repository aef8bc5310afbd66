"""Percentiles and CPU time."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent of the values do not exceed; NaN of none."""
    if not values:
        return math.nan
    rank = math.ceil(len(values) * percent / 100)
    return sorted(values)[max(rank, 1) - 1]


def summary(name: str, values: Sequence[float], suffix: str = "") -> dict[str, float]:
    """``{name}_p50_ms`` and so on, rounded to a tenth."""
    return {
        f"{name}_p{percent}_ms{suffix}": round(percentile(values, percent), 1)
        for percent in (50, 95, 99)
    }


def cpu_seconds(roots: Mapping[str, int]) -> dict[str, float]:
    """CPU time so far of processes with all that descend from them and live, by name."""
    children: dict[int, list[int]] = {}
    used: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # The command's name, in parentheses, may itself hold spaces and parentheses.
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        pid = int(entry.name)
        children.setdefault(int(fields[1]), []).append(pid)
        used[pid] = (int(fields[11]) + int(fields[12])) / _TICKS_PER_S

    def total(pid: int) -> float:
        return used.get(pid, 0.0) + sum(total(child) for child in children.get(pid, ()))

    return {name: total(pid) for name, pid in roots.items()}
