"""The fault proxy itself: what it does not break goes on as without it."""

from __future__ import annotations

import socket
import struct

from tests.support.proxy import FaultProxy

#: Linger for no second: closing is a reset, as where a process dies with an answer unread.
AT_ONCE = struct.pack("ii", 1, 0)


def test_a_client_that_is_reset_is_gone_for_the_server_too() -> None:
    """Or a database would keep the locks of whoever was killed."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        FaultProxy(listener.getsockname()[1]) as proxy,
        socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as client,
    ):
        client.sendall(b"?")
        server, _ = listener.accept()
        with server:
            server.settimeout(10)
            assert server.recv(1) == b"?"
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
            client.close()
            assert server.recv(1) == b"", "the server is told that nobody is there"
