"""How often and how long a venue was looked at for bars that do not come: what proves what.

A proof is what coverage keeps beside a state; see ``Span.proof`` for its names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from app.core.market.intervals import HOUR_MS, MINUTE_MS

Proof = Mapping[str, Any]
#: Names under which the looks that prove something are counted, and those that do not.
PROVEN: Final = ("first", "last", "looks")
ASKED: Final = ("asked_first", "asked_last", "asked")
#: Set where a bar was asked for and the venue gave neither it nor any later one.
ALONE: Final = "alone"
#: "The exchange has no such bar" needs this much: its neighbours came without it, so often, over
# so long. A bar that is merely late comes within seconds; one outage's repair took under an hour.
LOOKS_NEEDED: Final = 3
_LOOKING_TIME_MS: Final = HOUR_MS
# Several plans that want one series look at its gaps one after the other: that is one look.
_ONE_LOOK_MS: Final = MINUTE_MS // 2
# The first looks come as soon as each counts as one, so that a late bar heals within minutes;
# the later ones are spaced. What stays wrong for an hour is looked at once a day.
_LOOK_AGAIN_MS: Final = 30 * MINUTE_MS
_STUBBORN_MS: Final = 24 * HOUR_MS
# A venue's first bar of all is taken for its listing at once, for else years of a plan that
# reaches back too far would count as gaps. It is looked at again on the two days after: a venue
# that keeps the latest 90 days alone has another first bar by then. After that once a month.
_LISTING_AGAIN_MS: Final = 30 * 24 * HOUR_MS


def is_enough(proof: Proof) -> bool:
    """Whether the looks prove that the venue has no such bar."""
    spent = int(proof["last"]) - int(proof["first"])
    return int(proof["looks"]) >= LOOKS_NEEDED and spent >= _LOOKING_TIME_MS


def listing_proof(proof: Proof) -> Proof:
    """When a first bar of all was found; earlier releases noted one time, as ``seen_at``."""
    if "seen_at" not in proof:
        return proof
    return {"first": proof["seen_at"], "last": proof["seen_at"], "looks": 1}


def counted(proof: Proof, names: tuple[str, str, str], now_ms: int) -> dict[str, Any]:
    """First and last time and number under these names, after one more time."""
    first, last, count = (proof.get(name) for name in names)
    if first is None or last is None or not count:
        return dict(zip(names, (now_ms, now_ms, 1), strict=True))
    if 0 <= now_ms - int(last) < _ONE_LOOK_MS:
        return dict(zip(names, (int(first), int(last), int(count)), strict=True))
    return dict(zip(names, (int(first), now_ms, int(count) + 1), strict=True))


def is_gap_due(proof: Proof, now_ms: int) -> bool:
    """Whether to ask for a gap now, by wall time in ms."""
    # Of a symbol that is silent for days nothing is late: one look is enough for now.
    enough = 1 if proof.get(ALONE) else LOOKS_NEEDED
    if int(proof.get("looks", 0)) + int(proof.get("asked", 0)) < enough:
        return True
    # Looks that prove something and are not enough yet are gone on with.
    first, last, _ = PROVEN if "looks" in proof else ASKED
    pause = _LOOK_AGAIN_MS
    if int(proof[last]) - int(proof[first]) >= _LOOKING_TIME_MS:
        pause = _STUBBORN_MS
    # A look that lies further ahead was stamped before the clock was set back.
    return abs(now_ms - _last_asked(proof)) >= pause


def is_one_look(proof: Proof, now_ms: int) -> bool:
    """Whether a question now would count as one with the last: rounds need not put it."""
    if not any(name in proof for name in (PROVEN[1], ASKED[1])):
        return False
    return 0 <= now_ms - _last_asked(proof) < _ONE_LOOK_MS


def _last_asked(proof: Proof) -> int:
    return max(int(proof[name]) for name in (PROVEN[1], ASKED[1]) if name in proof)


def is_listing_due(proof: Proof, now_ms: int) -> bool:
    """Whether to look at a venue's first bar of all again now, by wall time in ms."""
    known = listing_proof(proof)
    if "earliest" not in proof or "last" not in known:
        return False
    is_young = int(known.get("looks", 0)) < LOOKS_NEEDED
    return abs(now_ms - int(known["last"])) >= (_STUBBORN_MS if is_young else _LISTING_AGAIN_MS)
