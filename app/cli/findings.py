"""What was found of a series, as lines that a trader reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from app.cli.output import table

if TYPE_CHECKING:
    from rich.console import Console

    from app.schemas.character import SeriesCharacter
    from app.schemas.market import Coverage

_VERDICTS: Final = {
    "fills": "a bar without a trade: fills (a flat bar of volume 0)",
    "omits": "a bar without a trade: omits (no bar)",
    "trades_always": "nearly every bar holds a trade",
    "unknown": "a bar without a trade: unknown (too few bars, or gaps not proven yet)",
}


def character_lines(found: SeriesCharacter) -> Iterator[str]:
    """A character: how a bar without a trade is told, runs without volume, gaps, silence."""
    share = found.no_trade_share
    part = "" if share is None else f"; {100 * share:.2f} % of all bars are without one"
    yield _verdict(found.verdict, found.looks_like) + part
    yield _counts("zero-volume runs", found.zero_volume.model_dump())
    gaps = found.gaps
    proven = f", {gaps.proven:,} proven to be missing at the venue" if gaps.bars else ""
    yield _counts("gaps", gaps.model_dump()) + proven
    if found.silent is not None:
        silent = found.silent
        flag = "DEAD: " if found.is_dead else ""
        yield (
            f"{flag}nothing traded since {silent.since}: {silent.days} days of flat bars at "
            f"{silent.price}"
        )
    elif found.is_dead:
        yield "DEAD: flagged until something is traded"
    if found.uncounted:
        yield f"{found.uncounted:,} bars are not counted yet"


def report_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """The report of a job: of a collection, or of one series of an import."""
    for name, title in (("gaps", "gaps"), ("zero_volume", "zero-volume runs")):
        if name in found:
            yield _counts(title, found[name])
    yield f"duplicates: {_duplicates(found.get('duplicates', 0))}"
    yield f"off-grid rows: {found.get('off_grid', 0):,}"
    if ends := len(found.get("ends", [])):
        bars = "1 bar that is" if ends == 1 else f"{ends:,} bars that are"
        yield f"ends: {bars} not whole, for the trades begin or end within: not stored"
    if "character" in found:
        yield _verdict(found["character"], found["looks_like"])
    if found.get("is_dead"):
        yield "DEAD: flagged until something is traded"


def say_gaps(out: Console, found: Coverage) -> None:
    """The gaps that are listed, how many are not, and how to see those."""
    from app.schemas.times import rfc3339

    holes = [part for part in found.ranges if part.state != "present"]
    gaps = ([rfc3339(part.start), rfc3339(part.end), part.state, part.bars] for part in holes)
    table(out, ("gap from", "to", "state", "bars>"), gaps, "No gap.")
    if unlisted := found.gaps - len(holes):
        out.print(
            f"{unlisted:,} more gaps of {found.gaps:,} are not listed; see the next ones with: "
            f"--start {rfc3339(found.ranges[-1].end)}",
            soft_wrap=True,
        )


def _verdict(verdict: str, looks_like: str) -> str:
    text = _VERDICTS[verdict]
    if verdict == "unknown" and looks_like != "unknown":
        text += f"; {looks_like.replace('_', ' ')}, if every gap is the venue's"
    return text


def _counts(title: str, counts: Mapping[str, Any]) -> str:
    if not counts["count"]:
        return f"{title}: none"
    return f"{title}: {counts['count']:,} of {counts['bars']:,} bars, longest {counts['longest']:,}"


def _duplicates(found: int | Mapping[str, int]) -> str:
    if isinstance(found, int):
        return f"{found:,}"
    return f"{found['same']:,} equal, {found['differing']:,} differing"
