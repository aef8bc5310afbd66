"""The data sources that are asked: add, list, enable, remove."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from app.core.errors import InvalidInput, NotFound
from app.core.ports import Ids
from app.core.sources.loader import SourceInfo, SourceRef
from app.core.sources.period import MAX_MS, MIN_MS
from app.core.sources.rows import SYMBOL_LIMIT
from app.core.sources.runtime import SourceRuntime
from app.models import DataSourceRow, PointQuarantineRow, PointSeriesRow
from app.repositories.unit import Unit, Units

#: What the exchange of a source's series begins with; no venue's id holds a colon.
PREFIX: Final = "source:"
TASK: Final = "collection.run_source"
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}", re.ASCII)
_MAX_TEXT_BYTES: Final = 256 * 1024
_MAX_SYMBOLS: Final = 500
_FILE_LIMIT: Final = 64


@dataclass(frozen=True, slots=True)
class NewSource:
    """A source to add.

    Attributes:
        name: of its own: a-z, 0-9, _ and -, at most 32.
        ref: the built-in, or the author's file.
        every_ms: time between two runs, ms.
        symbols: what it subscribes to.
        params: values by name.
        enabled: whether it is asked from now on.
    """

    name: str
    ref: SourceRef
    every_ms: int
    symbols: Sequence[str] = ()
    params: Mapping[str, Any] = field(default_factory=dict)
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class SourceView:
    """A source and what came of it: its series, and how much of it is in quarantine."""

    row: DataSourceRow
    series: Sequence[PointSeriesRow]
    quarantined: int


def namespace(name: str) -> str:
    """What stands for the exchange in the series of a source."""
    return f"{PREFIX}{name}"


def ref_of(row: DataSourceRow) -> SourceRef:
    """The code of a source as the runtime takes it."""
    return SourceRef(row.file, None if row.origin == "builtin" else row.text)


class SourceCatalogue:
    """Registers data sources."""

    def __init__(self, units: Units, ids: Ids, runtime: SourceRuntime) -> None:
        self._units = units
        self._ids = ids
        self._runtime = runtime

    def check(self, ref: SourceRef, params: Mapping[str, Any] | None = None) -> SourceInfo:
        """What a source is, without registering it; its file is read in a child process.

        Raises:
            InvalidInput: it is larger than 256 KiB, holds no usable source, or does not accept
                the parameters.
            SourceError: loading it did not come to an end.
        """
        if ref.text is not None and len(ref.text.encode()) > _MAX_TEXT_BYTES:
            raise InvalidInput(f"source file {ref.name[:60]!r} is larger than 256 KiB")
        return self._runtime.inspect(ref, params or {})

    def add(self, new: NewSource) -> DataSourceRow:
        """Register a source, or a new version of the one of that name; it is asked at once.

        What the one of that name gave stays, and what this one gives follows it.

        Raises:
            InvalidInput: see ``check``; or the name, the period or the symbols do not fit.
            SourceError: loading it did not come to an end.
        """
        _check(new)
        info = self.check(new.ref, new.params)
        return self._units.run(lambda unit: self._record(unit, new, info))

    def all(self) -> Sequence[DataSourceRow]:
        """Every source by name."""
        with self._units.read() as unit:
            return unit.sources.all()

    def get(self, name: str) -> SourceView:
        """The source of that name.

        Raises:
            NotFound: there is none.
        """
        with self._units.read() as unit:
            row = _named(unit, name)
            exchange = namespace(row.name)
            return SourceView(
                row, unit.points.series_of(exchange), unit.points.count_quarantined(exchange)
            )

    def quarantined(self, name: str, limit: int) -> Sequence[PointQuarantineRow]:
        """Its latest observations that were not stored, newest first.

        Raises:
            NotFound: there is none of that name.
        """
        with self._units.read() as unit:
            return unit.points.quarantined(namespace(_named(unit, name).name), limit)

    def enable(self, name: str, enabled: bool) -> DataSourceRow:
        """Ask a source again from now on, or no more; a run under way comes to its end.

        Raises:
            NotFound: there is none of that name.
        """

        def work(unit: Unit) -> DataSourceRow:
            row = unit.sources.lock(_named(unit, name).id)
            if enabled and not row.enabled:
                row.due_at, row.failures = unit.now_ms, 0
                unit.enqueue(TASK, row.id)
            row.enabled, row.updated_at = enabled, unit.now_ms
            return row

        return self._units.run(work)

    def request(self, name: str) -> DataSourceRow:
        """Have an enabled source asked now, by a worker.

        Raises:
            NotFound: there is none of that name.
            InvalidInput: it is disabled.
        """

        def work(unit: Unit) -> DataSourceRow:
            row = unit.sources.lock(_named(unit, name).id)
            if not row.enabled:
                raise InvalidInput(f"data source {row.name!r} is disabled; enable it first")
            row.due_at = min(row.due_at, unit.now_ms)
            unit.enqueue(TASK, row.id)
            return row

        return self._units.run(work)

    def remove(self, name: str) -> DataSourceRow:
        """Forget a source; what it gave stays and can be read.

        Raises:
            NotFound: there is none of that name.
        """

        def work(unit: Unit) -> DataSourceRow:
            row = unit.sources.lock(_named(unit, name).id)
            unit.sources.delete(row.id)
            return row

        return self._units.run(work)

    def _record(self, unit: Unit, new: NewSource, info: SourceInfo) -> DataSourceRow:
        known = unit.sources.named(new.name)
        row = DataSourceRow() if known is None else unit.sources.lock(known.id)
        row.name, row.every_ms, row.enabled = new.name, new.every_ms, new.enabled
        row.origin = "builtin" if new.ref.text is None else "file"
        row.file, row.text = new.ref.name[:_FILE_LIMIT], new.ref.text or ""
        row.sha256, row.title = info.version, info.title[:200]
        row.parameters, row.params = info.schema, info.params
        row.symbols = list(dict.fromkeys(new.symbols))
        row.due_at = row.updated_at = unit.now_ms
        row.failures, row.error = 0, None
        # A run of the version before stores what it has, and says nothing of this one.
        row.lease_owner, row.lease_until = None, 0
        if known is None:
            row.id, row.created_at = self._ids.new(), unit.now_ms
            unit.sources.add(row)
        if row.enabled:
            unit.enqueue(TASK, row.id)
        return row


def _named(unit: Unit, name: str) -> DataSourceRow:
    row = unit.sources.named(name)
    if row is None:
        raise NotFound(f"data source {name[:60]!r} is not known; see: tidemark data sources list")
    return row


def _check(new: NewSource) -> None:
    if not _NAME.fullmatch(new.name):
        raise InvalidInput(
            f"data source name {new.name[:40]!r} must begin with a letter a-z and hold only such "
            "letters, digits, dash and underscore, at most 32; choose one with --name"
        )
    if not MIN_MS <= new.every_ms <= MAX_MS:
        raise InvalidInput("a data source is asked every 30 s at most, and every 31 days at least")
    if len(new.symbols) > _MAX_SYMBOLS:
        raise InvalidInput(f"a data source has at most {_MAX_SYMBOLS} symbols; add it twice")
    for symbol in new.symbols:
        if not 0 < len(symbol) <= SYMBOL_LIMIT or not symbol.isprintable() or " " in symbol:
            raise InvalidInput(f"{symbol[:40]!r} is no symbol; write it as in BTC/USDT")
