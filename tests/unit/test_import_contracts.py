"""The import contracts refuse what they are there to refuse: each is broken once, in the graph."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, Final

import grimp
import pytest
from importlinter import api
from importlinter.contracts.forbidden import ForbiddenContract
from importlinter.contracts.layers import LayersContract
from importlinter.contracts.protected import ProtectedContract

from tests.support.simulator import ROOT

_KINDS: Final = {
    "forbidden": ForbiddenContract,
    "layers": LayersContract,
    "protected": ProtectedContract,
}
#: Contract, who imports, what. Modules that stand for their package.
VIOLATIONS: Final = [
    ("one-way", "app.services.jobs", "app.api.guard"),
    ("one-way", "app.services.jobs", "app.schemas.jobs"),
    ("one-way", "app.services.jobs", "app.adapters.clock"),
    ("one-way", "app.services.jobs", "app.config"),
    ("one-way", "app.repositories.jobs", "app.services.jobs"),
    ("one-way", "app.models.system", "app.repositories.jobs"),
    ("one-way", "app.core.events", "app.models.system"),
    ("one-way", "app.core.events", "app.config"),
    ("one-way", "app.adapters.clock", "app.config"),
    ("one-way", "app.strategy_host", "app.adapters.clock"),
    ("one-way", "app.wiring.bans", "app.api.guard"),
    ("one-way", "app.api.guard", "app.cli.output"),
    ("one-way", "app.api.guard", "workers.orders"),
    ("wiring", "app.api.guard", "app.wiring"),
    ("wiring", "app.schemas.jobs", "app.wiring.vault"),
    ("wiring", "app.services.jobs", "app.wiring"),
    ("wiring", "simulator.noise", "app.wiring"),
    ("wiring", "migrations.env", "app.wiring"),
    ("parts", "app.wiring.platform", "app.wiring.market"),
    ("parts", "app.wiring.market", "app.wiring.trading"),
    ("parts", "app.wiring.strategies", "app.wiring.trading"),
    ("trading", "app.api.guard", "app.core.exchanges.trading"),
    ("trading", "app.cli.orders", "app.core.exchanges.trading"),
    ("trading", "workers.orders", "app.core.exchanges.trading"),
    ("trading", "app.services.jobs", "app.core.exchanges.trading"),
    ("trading", "app.core.exchanges.factory", "app.core.exchanges.trading"),
    ("trading", "app.core.matching.book", "app.core.exchanges.trading"),
    ("trading", "benchmarks.harness", "app.core.exchanges.trading"),
    ("adapters", "app.adapters.clock", "app.services.jobs"),
    ("adapters", "app.adapters.clock", "app.repositories.jobs"),
    ("adapters", "app.adapters.clock", "app.models.system"),
    ("adapters", "simulator.noise", "app.services.jobs"),
    ("adapters", "simulator.noise", "app.config"),
    ("simulator", "app.services.jobs", "simulator.noise"),
    ("simulator", "app.adapters.clock", "simulator.noise"),
    ("simulator-adapters", "simulator.noise", "app.adapters.clock"),
    ("simulator-adapters", "simulator.noise", "app.core.exchanges.session"),
    ("authors", "tidemark", "app.services.jobs"),
    ("authors", "tidemark", "app.config"),
    ("host", "app.strategy_host", "app.repositories.jobs"),
    ("schema", "migrations.env", "app.services.jobs"),
    ("core", "app.core.events", "time"),
    ("core", "app.core.events", "random"),
    ("core", "app.core.events", "os"),
    ("core", "app.core.exchanges.markets.binance", "sqlalchemy"),
    ("network", "app.core.events", "requests"),
    ("network", "app.core.matching.book", "asyncio"),
    ("sql", "app.services.jobs", "sqlalchemy"),
    ("sql", "app.api.guard", "sqlalchemy"),
    ("sql", "app.cli.jobs", "sqlalchemy"),
    ("sql", "workers.orders", "pymysql"),
    ("services", "app.services.jobs", "celery"),
    ("services", "app.services.jobs", "redis"),
    ("services", "app.services.jobs", "requests"),
    ("services", "app.services.jobs", "time"),
    ("record", "app.repositories.jobs", "kombu"),
    ("ccxt", "app.services.jobs", "ccxt"),
    ("ccxt", "app.core.events", "ccxt"),
    ("backtrader", "app.core.backtest.engine", "backtrader"),
]


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    return api.read_configuration(str(ROOT / "pyproject.toml"))


@pytest.fixture(scope="module")
def imports(settings: dict[str, Any]) -> grimp.ImportGraph:
    packages = settings["session_options"]["root_packages"]
    return grimp.build_graph(*packages, include_external_packages=True, cache_dir=None)


def _kept(settings: dict[str, Any], name: str, imports: grimp.ImportGraph) -> bool:
    options = next(each for each in settings["contracts_options"] if each["id"] == name)
    contract = _KINDS[options["type"]](options["name"], settings["session_options"], options)
    return contract.check(deepcopy(imports), verbose=False).kept


@pytest.mark.parametrize(("contract", "importer", "imported"), VIOLATIONS)
def test_a_forbidden_import_breaks_its_contract(
    settings: dict[str, Any],
    imports: grimp.ImportGraph,
    contract: str,
    importer: str,
    imported: str,
) -> None:
    assert _kept(settings, contract, imports)
    assert importer in imports.modules
    changed = deepcopy(imports)
    changed.add_import(importer=importer, imported=imported)
    assert not _kept(settings, contract, changed)


def test_every_contract_is_broken_once(settings: dict[str, Any]) -> None:
    known = {each["id"] for each in settings["contracts_options"]}
    assert known == {contract for contract, _, _ in VIOLATIONS}
