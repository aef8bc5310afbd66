"""Where the API listens, and what is said where it cannot."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from app.cli.serve import listen_for_api, require_flower_port
from app.config import Settings
from app.core.errors import Unavailable


def test_a_port_that_is_taken_names_its_setting(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match=rf"127\.0\.0\.1:{port} \(Address already in use\)"):
            listen_for_api(Settings(data_dir=tmp_path, api_port=port))


def test_flower_s_port_is_looked_at_before_flower_is_started() -> None:
    """Whoever has it answers Flower's health check in its place."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match=rf"127\.0\.0\.1:{port} .* TIDEMARK_FLOWER_PORT"):
            require_flower_port(port)
    require_flower_port(port)


def test_an_address_that_is_not_ours_names_the_host(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, api_host="192.0.2.1")
    with pytest.raises(Unavailable, match="set TIDEMARK_API_HOST to another"):
        listen_for_api(settings)


def test_an_ipv6_address_is_in_brackets_in_the_url(tmp_path: Path) -> None:
    listener, url = listen_for_api(Settings(data_dir=tmp_path, api_host="::1", api_port=0))
    with listener:
        assert url == f"http://[::1]:{listener.getsockname()[1]}"
