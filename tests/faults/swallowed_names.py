"""A name server that swallows, asked by this machine's own resolver.

``python -m tests.faults.swallowed_names``, in a network and a mount namespace of its own: no
simulator is set, the adapters are those of the real venue, and no packet can leave. Prints what
each call to the venue ends in.
"""

from __future__ import annotations

import fcntl
import json
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Final

import pytest

from app.core.errors import TidemarkError
from app.core.orders.types import OrderRequest, OrderType, Side
from tests.integration.market.venue import Edge
from tests.support.simulator import ROOT

_OWN_NAMESPACES: Final = ("unshare", "--mount", "--net")
_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 1
# By default it is asked twice for five seconds; the end is the same.
_RESOLV_CONF: Final = "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"


def swallowed_calls() -> dict[str, tuple[str, float]]:
    """What each call ends in: the error's name or the answer, and the seconds until then.

    Skips the test where this process may not have namespaces of its own.
    """
    allowed = subprocess.run([*_OWN_NAMESPACES, "true"], capture_output=True, check=False)
    if allowed.returncode != 0:
        pytest.skip(f"no network of our own here: {allowed.stderr.decode().strip()}")
    done = subprocess.run(
        [*_OWN_NAMESPACES, sys.executable, "-m", __name__],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {name: (ended, seconds) for name, (ended, seconds) in json.loads(done.stdout).items()}


def main() -> None:
    """Print them as JSON."""
    with _name_server() as server:
        found = {name: _outcome(call) for name, call in _calls().items()}
        assert b"binance" in server.recv(512), "nobody asked for the venue's name"
    print(json.dumps(found))


def _name_server() -> socket.socket:
    """The one that the resolver knows, on this namespace's loopback; it never answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", _IFF_UP))
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(_RESOLV_CONF)
        file.flush()
        subprocess.run(["mount", "--bind", file.name, "/etc/resolv.conf"], check=True)
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.settimeout(1)
    server.bind(("127.0.0.1", 53))
    return server


def _calls() -> dict[str, Callable[[], object]]:
    edge = Edge(None)
    edge.trade.prepare()
    order = OrderRequest(
        symbol="BTC/USDT",
        side=Side.BUY,
        type=OrderType.MARKET,
        quantity=Decimal(1),
        client_order_id="td1",
        timestamp_ms=edge.clock.now_ms(),
        recv_window_ms=2_000,
    )
    return {
        "order": lambda: edge.trade.get_order_status("BTC/USDT", "td1"),
        "open orders": lambda: edge.trade.open_orders("BTC/USDT"),
        "own trades": lambda: edge.trade.own_trades("BTC/USDT", None),
        "place": lambda: edge.trade.place_order(order),
        "cancel": lambda: edge.trade.cancel_order("BTC/USDT", "td1"),
    }


def _outcome(call: Callable[[], object]) -> tuple[str, float]:
    begun = time.monotonic()
    try:
        ended = f"answered {call()!r}"
    except TidemarkError as error:
        ended = type(error).__name__
    return ended, round(time.monotonic() - begun, 1)


if __name__ == "__main__":
    main()
