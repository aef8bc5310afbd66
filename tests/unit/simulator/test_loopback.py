"""Binding ccxt: what is refused before anything is sent."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import requests

from app.core.errors import InvalidInput
from app.core.exchanges.loopback import ForeignHost, bind_async, bind_sync


def exchange(**settings: Any) -> Any:
    return SimpleNamespace(id="binance", session=None, **settings)


@pytest.mark.parametrize("bind", [bind_sync, bind_async])
@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1:8000",
        "http://example.com",
        "http://10.0.0.1:80",
        "http://127.0.0.1.example.com",
        "127.0.0.1:8000",
        "",
    ],
)
def test_the_simulator_must_be_on_loopback(bind: Any, url: str) -> None:
    with pytest.raises(InvalidInput, match="must be http on a loopback address"):
        bind(exchange(), url)


def test_a_venue_that_is_not_simulated_is_refused() -> None:
    with pytest.raises(InvalidInput, match="'kraken' is not simulated"):
        bind_sync(SimpleNamespace(id="kraken"), "http://127.0.0.1:1")


@pytest.mark.parametrize("name", ["httpsProxy", "socksProxy", "proxyUrl"])
def test_a_proxy_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match=f"{name} is set"):
        bind_sync(exchange(**{name: "http://127.0.0.1:3128"}), "http://127.0.0.1:1")


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/api/v3/time",
        "http://127.0.0.1:22/",
        "https://api.binance.com.example.com/api/v3/time",
        "https://user@example.com:443/api.binance.com",
    ],
)
def test_no_other_host_is_reached_through_a_bound_session(url: str) -> None:
    bound = exchange()
    bind_sync(bound, "http://127.0.0.1:1")
    session: requests.Session = bound.session
    with pytest.raises(ForeignHost, match="nothing was sent"):
        session.get(url)
    session.close()
