"""The soak's verdict: a leak is found, noise and single steps are not."""

from __future__ import annotations

from collections.abc import Callable

from tests.soak.judging import lives
from tests.soak.sampling import Sample


def verdict(memory: Callable[[float], float], files: Callable[[float], int] = lambda _: 20) -> int:
    """How many breaches an hour of one process has, by its memory and files at each second."""
    samples = [
        Sample(second, "worker:orders", 7, memory(second), 0.0, files(second), 10)
        for second in range(10, 3_600, 10)
    ]
    (life,) = lives(samples)
    assert life.is_judged
    return len(life.breaches())


def noise(second: float) -> float:
    return (second * 7919 % 13) / 26


def test_a_flat_process_with_noise_and_a_warm_up_passes() -> None:
    assert verdict(lambda s: 100 + min(s, 110) + noise(s)) == 0


def test_one_step_passes_and_many_do_not() -> None:
    assert verdict(lambda s: 100 + noise(s) + (5 if s > 1_000 else 0)) == 0
    assert verdict(lambda s: 100 + noise(s) + s // 400 * 8) == 1


def test_a_steady_leak_of_memory_or_files_is_found() -> None:
    assert verdict(lambda s: 100 + noise(s) + s / 3_600 * 40) == 1
    assert verdict(lambda s: 100 + noise(s) + s / 3_600 * 10) == 0
    assert verdict(lambda s: 100 + noise(s), lambda s: 20 + int(s / 300)) == 1
