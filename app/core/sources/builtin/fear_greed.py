"""The crypto fear and greed index, from the network, a file, or the sample beside this one."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Final

from app.core.sources.base import DataSource, Observation
from app.core.strategies.parameters import TextParameter

_SAMPLE: Final = Path(__file__).with_name("fear_greed_sample.json")
# The index is stated once a day; a day that is corrected within a week is revised here.
_AGAIN_MS: Final = 7 * 86_400_000


class FearGreed(DataSource):
    """Crypto fear and greed index: 0 is extreme fear, 100 extreme greed; the word is the label.

    It reads what alternative.me answers: JSON ``{"data": [{"value": "40",
    "value_classification": "Fear", "timestamp": "1551157200"}, …], "metadata": {"error": null}}``
    with times in seconds, or a CSV file with the columns ``timestamp``, ``value`` and
    ``value_classification``.
    """

    location = TextParameter(
        "https://api.alternative.me/fng/?limit=0&format=json",
        max_length=500,
        help="an https:// or file:// address, a path, or the word sample",
    )

    def observe(self, since: int) -> Iterable[Observation]:
        """The days after ``since`` and the week before it, oldest first."""
        where = str(_SAMPLE) if self.location == "sample" else self.location
        found = [_observation(row) for row in _rows(self.fetch(where).decode("utf-8-sig"))]
        # A time that is none goes first, and to the quarantine.
        found.sort(key=lambda each: each.ts if isinstance(each.ts, int) else -1)
        return [each for each in found if not isinstance(each.ts, int) or _is_new(each.ts, since)]


def _is_new(ts: int, since: int) -> bool:
    return ts >= since - _AGAIN_MS


def _rows(text: str) -> list[Mapping[str, Any]]:
    if not text.lstrip().startswith("{"):
        return list(csv.DictReader(io.StringIO(text)))
    answer = json.loads(text)
    error = (answer.get("metadata") or {}).get("error")
    if error:
        raise ValueError(f"the answer is an error: {error}")
    rows: list[Mapping[str, Any]] = answer["data"]
    return rows


def _observation(row: Mapping[str, Any]) -> Observation:
    """What does not fit is passed on as it is: the platform says why it keeps it out."""
    stamp = str(row.get("timestamp"))
    ts: Any = int(stamp) * 1_000 if stamp.isdecimal() else stamp
    return Observation("fear_greed", ts, _number(row.get("value")), label=_label(row))


def _number(value: Any) -> Any:
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return value


def _label(row: Mapping[str, Any]) -> str | None:
    return row.get("value_classification") or None
