"""The HTTP API over a real record, without a server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from app.adapters.celery_queue import NoQueue
from app.config import Environment, Settings
from app.main import create_app
from app.repositories.migrating import upgrade
from app.wiring import Container


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
