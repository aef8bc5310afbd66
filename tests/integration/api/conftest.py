"""The API over a record with one account, two instruments and a price."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.api import ApiClient, TradingDay, api_over, container_in


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TradingDay]:
    """The installation behind the API, one for each file of tests."""
    with container_in(tmp_path_factory.mktemp("data")) as container:
        yield TradingDay(container)


@pytest.fixture(scope="module")
def api(day: TradingDay) -> Iterator[ApiClient]:
    """A client with a token."""
    with api_over(day.container) as client:
        yield client
