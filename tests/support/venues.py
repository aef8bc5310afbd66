"""Unmodified ccxt and ccxt.pro at the simulated venues other than Binance spot.

The addresses are overridden as a user would; nothing else about the clients is touched.
"""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from tests.support.simulator import DATA, SimulatorProcess

_OPTIONS: dict[str, dict[str, Any]] = {
    "binanceusdm": {"fetchCurrencies": False, "fetchMarkets": {"types": ["linear"]}},
    "okx": {"fetchCurrencies": False, "fetchMarkets": {"types": ["spot", "swap"]}},
    "bybit": {"fetchCurrencies": False, "fetchMarkets": {"types": ["spot", "linear"]}},
}


def client(venue: str, simulator: SimulatorProcess, **config: Any) -> Any:
    """A synchronous client."""
    # ccxt takes seconds to import; most users of this file's neighbours need no client.
    import ccxt

    return getattr(ccxt, venue)(_config(venue, simulator.url) | config)


def pro_client(venue: str, simulator: SimulatorProcess, **config: Any) -> Any:
    """A client of the streams; call inside the event loop."""
    import ccxt.pro

    return getattr(ccxt.pro, venue)(_config(venue, simulator.url) | config)


def _config(venue: str, url: str) -> dict[str, Any]:
    return {
        "enableRateLimit": False,
        "timeout": 10_000,
        "options": _OPTIONS[venue],
        "urls": {"api": _addresses(venue, url, url.replace("http", "ws", 1))},
    }


def _addresses(venue: str, http: str, ws: str) -> dict[str, Any]:
    if venue == "okx":
        return {"rest": http, "ws": f"{ws}/ws/v5"}
    if venue == "bybit":
        rest = dict.fromkeys(("spot", "futures", "v2", "public", "private"), http)
        public = {kind: f"{ws}/v5/public/{kind}" for kind in ("spot", "linear")}
        return {**rest, "ws": {"public": public}}
    versions = {"": "v1", "V2": "v2", "V3": "v3"}
    rest = {f"fapiPublic{suffix}": f"{http}/fapi/{path}" for suffix, path in versions.items()}
    return {**rest, "fapiData": f"{http}/futures/data", "ws": {"linear": f"{ws}/ws"}}


def capture(path: str) -> Any:
    """A recorded answer of a real venue; skips the test where there are none."""
    file = DATA / "venue-captures" / path
    if not file.exists():
        pytest.skip("the recorded answers of real venues are not on this machine")
    return json.loads(gzip.decompress(file.read_bytes()))


def sample(venue: str, function: str, label: str = "") -> Any:
    """The first answer that ccxt's source quotes for a function."""
    for each in capture(f"{venue}/ccxt_source_samples.json.gz"):
        if each["function"] == function and label in each["label"]:
            return each["body"]
    raise AssertionError(f"no sample of {venue} {function} {label!r}")


def lacks(made: Any, real: Any, path: str = "") -> list[str]:
    """Where an answer lacks a key of the real one, or has another kind of value there.

    Lists are compared by their first elements: rows look alike. A real number may be a text or
    a number, but not the other kind.
    """
    if isinstance(real, dict):
        return _lacking_keys(made, real, path)
    if isinstance(real, list) and real:
        if not isinstance(made, list) or not made:
            return [f"{path}: no list with rows"]
        return lacks(made[0], real[0], f"{path}[]")
    if isinstance(real, str) != isinstance(made, str):
        return [f"{path}: {type(made).__name__}, not {type(real).__name__}"]
    return []


def _lacking_keys(made: Any, real: dict[str, Any], path: str) -> list[str]:
    if not isinstance(made, dict):
        return [f"{path}: {type(made).__name__}, not an object"]
    missing = [f"{path}.{name}" for name in real if name not in made]
    return missing + [
        problem
        for name in real
        if name in made
        for problem in lacks(made[name], real[name], f"{path}.{name}")
    ]
