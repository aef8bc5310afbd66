"""The strategies that can be run: built-ins and users' files, with every version kept."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from app.core.errors import InvalidInput, NotFound, UnknownName
from app.core.ports import Ids
from app.core.strategies.loader import StrategyRef
from app.core.strategies.registry import StrategyInfo, StrategyRegistry
from app.core.strategies.runtime import StrategyRuntime
from app.models import StrategyRow, StrategyVersionRow
from app.repositories.unit import Unit, Units

_MAX_SOURCE_BYTES = 256 * 1024
# As the API writes it in its addresses.
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,62}")


class StrategyCatalogue:
    """Registers strategies and finds their newest versions.

    Args:
        app_version, talib_version: kept with each version: they are part of its results.
    """

    def __init__(
        self,
        units: Units,
        ids: Ids,
        registry: StrategyRegistry,
        runtime: StrategyRuntime,
        app_version: str,
        talib_version: str,
    ) -> None:
        self._units = units
        self._ids = ids
        self._registry = registry
        self._runtime = runtime
        self._app_version = app_version
        self._talib_version = talib_version

    def all(self) -> Sequence[StrategyRow]:
        """Every strategy by name."""
        with self._units.read() as unit:
            return unit.strategies.all()

    def get(self, name: str) -> StrategyRow:
        """The strategy of that name.

        Raises:
            NotFound: there is none.
        """
        with self._units.read() as unit:
            row = unit.strategies.named(name)
        if row is None:
            raise NotFound(f"strategy {name[:60]!r} is not known; see: tidemark strategy list")
        return row

    def sync_builtins(self) -> None:
        """Bring the built-in strategies and their present versions into the record."""
        infos = [self._registry.info(name) for name in self._registry.names()]

        def work(unit: Unit) -> None:
            for info in infos:
                self._record(unit, info, "builtin")

        self._units.run(work)

    def add_file(self, name: str, text: str) -> StrategyInfo:
        """Register a user's file under a name, or a new version of it.

        Raises:
            BadStrategyFile: it holds no usable strategy.
            InvalidInput: it is too large, or the name is a built-in's or none at all.
        """
        if not _NAME.fullmatch(name):
            raise InvalidInput(
                f"strategy name {name[:70]!r} must begin with a letter A-Z and hold only such "
                "letters, digits, dot, dash and underscore, at most 63; choose one with --name"
            )
        if len(text.encode()) > _MAX_SOURCE_BYTES:
            raise InvalidInput(f"strategy file {name!r} is larger than 256 KiB")
        if name in self._registry.names():
            raise InvalidInput(f"{name!r} is a built-in strategy; choose another name")
        info = self._runtime.inspect(StrategyRef(name, text))
        self._units.run(lambda unit: self._record(unit, info, "file"))
        return info

    def current(self, unit: Unit, name: str) -> tuple[StrategyRow, StrategyVersionRow]:
        """The strategy of that name and its newest version.

        Raises:
            UnknownName: there is none.
        """
        row = unit.strategies.named(name)
        version = unit.strategies.newest_version(row.id) if row else None
        if row is None or version is None:
            raise UnknownName(
                f"strategy {name[:60]!r} is not known; see: tidemark strategy list",
                code="unknown-strategy",
            )
        return row, version

    def _record(self, unit: Unit, info: StrategyInfo, origin: str) -> StrategyVersionRow:
        row = unit.strategies.named(info.name)
        if row is None:
            row = unit.strategies.add(
                StrategyRow(
                    id=self._ids.new(),
                    name=info.name,
                    origin=origin,
                    title=info.title[:200],
                    parameters=info.schema,
                    created_at=unit.now_ms,
                )
            )
            unit.flush()
        row.title, row.parameters = info.title[:200], info.schema
        known = unit.strategies.version_of(row.id, info.version, self._app_version)
        if known is not None:
            return known
        return unit.strategies.add_version(
            StrategyVersionRow(
                id=self._ids.new(),
                strategy_id=row.id,
                sha256=info.version,
                source=info.source,
                listens=info.listens,
                app_version=self._app_version,
                talib_version=self._talib_version,
                created_at=unit.now_ms,
            )
        )


def ref_of(strategy: StrategyRow, version: StrategyVersionRow) -> StrategyRef:
    """The code of a version as the runtime takes it."""
    return StrategyRef(strategy.name, None if strategy.origin == "builtin" else version.source)
