"""What the suite says of itself."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).parents[1]


def test_what_is_said_to_run_untraced_is_there() -> None:
    """A file that was moved would be traced again, and take its time."""
    lines = (TESTS / "untraced.txt").read_text().splitlines()
    named = [TESTS.parent / line for line in lines if not line.startswith("#")]
    assert named
    assert [path for path in named if not path.exists()] == []
