"""The HTTP API over a real record, without a server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from app.adapters.celery_queue import NoQueue
from app.config import Environment, Settings
from app.core.market.instruments import Instrument, InstrumentStatus, InstrumentType
from app.core.market.quotes import MarketData
from app.main import create_app
from app.models import AccountRow, StrategyInstanceRow
from app.repositories.migrating import upgrade
from app.repositories.unit import Unit
from app.wiring import Container
from tests.support.record import ManualMarketClock


class ApiClient:
    """A synchronous client of an ASGI application; sends the token unless told otherwise."""

    def __init__(self, app: Any, token: str) -> None:
        self.app = app
        self.token = token
        self._runner = asyncio.Runner()
        self._transport = httpx.ASGITransport(app, raise_app_exceptions=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._runner.close()

    def request(
        self, method: str, path: str, *, token: str | None = "", **options: Any
    ) -> httpx.Response:
        """One request; paths are below /api/v1 unless they begin with two slashes.

        Args:
            token: another token; None sends none.
        """
        headers = dict(options.pop("headers", {}))
        token = self.token if token == "" else token
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        url = path[1:] if path.startswith("//") else f"/api/v1{path}"

        async def send() -> httpx.Response:
            async with httpx.AsyncClient(
                transport=self._transport, base_url="http://tidemark.test"
            ) as client:
                return await client.request(method, url, headers=headers, **options)

        return self._runner.run(send())

    def get(self, path: str, **options: Any) -> httpx.Response:
        """GET."""
        return self.request("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        """POST with a JSON body."""
        if body is not None:
            options["json"] = body
        return self.request("POST", path, **options)

    def delete(self, path: str, **options: Any) -> httpx.Response:
        """DELETE."""
        return self.request("DELETE", path, **options)


def settings_for(data_dir: Path, **values: Any) -> Settings:
    """Settings of a test: their own directory, nothing from the environment's files."""
    return Settings(environment=Environment.TESTING, data_dir=data_dir, log_level="ERROR", **values)


@contextmanager
def container_in(data_dir: Path, **values: Any) -> Iterator[Container]:
    """A container over a migrated SQLite record in a directory, and no queue."""
    container = Container(settings_for(data_dir, **values), NoQueue())
    try:
        upgrade(container.engine)
        yield container
    finally:
        container.close()


@contextmanager
def api_over(container: Container) -> Iterator[ApiClient]:
    """A client of the API over a container, with a token."""
    token = container.tokens.create("tests")
    with ApiClient(create_app(container), token) as client:
        yield client


class TradingDay:
    """A container with an active account, two instruments and prices, at a market that stands.

    Nothing is sent anywhere: there is no queue and no venue.
    """

    def __init__(self, container: Container) -> None:
        self.container = container
        self.market_clock = ManualMarketClock()
        # Before anything is built from it: the real one would ask the venue.
        container.__dict__["market_clock"] = self.market_clock
        self.account_id = container.ids.new()
        container.units.run(self._rows)
        self.price("BTC/USDT", "64000")
        self.price("ETH/USDT", "3200")

    def price(self, symbol: str, price: str) -> None:
        """Set the live price of a symbol."""
        self.container.prices.put(
            MarketData("binance", symbol, self.market_clock.now, Decimal(price), None, None, None)
        )

    def _rows(self, unit: Unit) -> None:
        unit.instruments.refresh(
            "binance",
            [_instrument("BTC/USDT", "BTC"), _instrument("ETH/USDT", "ETH")],
            self.container.ids.new,
            unit.now_ms,
        )
        unit.accounts.add(
            AccountRow(
                id=self.account_id,
                name="demo",
                kind="simulated",
                exchange="binance",
                account_type="spot",
                status="active",
                sealed_credentials="",
                trade_cursor={},
                synced_ts=0,
                created_at=unit.now_ms,
            )
        )
        unit.flush()
        for kind in ("manual", "external"):
            unit.instances.add(self._builtin(unit, kind))
        balance = unit.accounts.lock_balances(self.account_id, ["USDT"])["USDT"]
        unit.accounts.move(balance, free=Decimal(10_000), at=unit.now_ms)

    def _builtin(self, unit: Unit, kind: str) -> StrategyInstanceRow:
        return StrategyInstanceRow(
            id=self.container.ids.new(),
            name=kind,
            kind=kind,
            account_id=self.account_id,
            version_id=None,
            exchange="binance",
            symbols=[],
            interval="",
            params={},
            capital=Decimal(0),
            compounding=False,
            status="running",
            state={},
            created_at=unit.now_ms,
            updated_at=unit.now_ms,
        )


def _instrument(symbol: str, base: str) -> Instrument:
    return Instrument(
        exchange="binance",
        symbol=symbol,
        native_id=symbol.replace("/", ""),
        base=base,
        quote="USDT",
        type=InstrumentType.SPOT,
        status=InstrumentStatus.TRADING,
        tick_size=Decimal("0.01"),
        step_size=Decimal("0.00001"),
        min_quantity=Decimal("0.00001"),
        min_notional=Decimal(5),
    )
