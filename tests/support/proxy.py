"""A TCP proxy that breaks what runs through it: between our processes and their servers.

Threads, two for each connection, so that it serves synchronous tests and lives beside them.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from enum import StrEnum
from typing import Self

_CHUNK = 64 * 1024
_LOOPBACK = "127.0.0.1"


class Mode(StrEnum):
    """What happens to bytes and connections."""

    PASS = "pass"
    #: New connections are closed at once, as where nobody listens; old ones are cut.
    REFUSE = "refuse"
    #: Everything is taken and nothing goes on: a network that swallows packets.
    BLACKHOLE = "blackhole"


class Direction(StrEnum):
    """Which way bytes go."""

    REQUEST = "request"
    REPLY = "reply"


class FaultProxy:
    """Listens on a free port of loopback and leads to another one.

    Attributes:
        port: where clients connect.
        latency_s: each piece of bytes waits so long, both ways.
        cut: how many connections were cut by ``cut_at``.
    """

    def __init__(self, target_port: int, port: int = 0) -> None:
        self._target = target_port
        self._listener = socket.create_server((_LOOPBACK, port), backlog=128)
        self._listener.settimeout(None)  # whatever else in the process has made the default
        self.port: int = self._listener.getsockname()[1]
        self.latency_s = 0.0
        self.cut = 0
        self._mode = Mode.PASS
        self._turned = threading.Condition()
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._match: tuple[Direction, bytes, bool] | None = None
        self._closed = False
        threading.Thread(target=self._accept, name=f"proxy-{self.port}", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def turn(self, mode: Mode) -> None:
        """Change what happens, to the connections that exist too."""
        with self._turned:
            self._mode = mode
            self._turned.notify_all()
        if mode is Mode.REFUSE:
            self.cut_all()

    def cut_all(self) -> None:
        """Cut every connection, by a reset."""
        with self._turned:
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            for each in pair:
                _reset(each)

    def cut_at(self, direction: Direction, match: bytes, *, deliver: bool) -> None:
        """Cut the next connection on which these bytes pass, once.

        Args:
            deliver: the bytes still arrive, and what comes after them does not.
        """
        with self._turned:
            self._match = (direction, match, deliver)

    def close(self) -> None:
        """Listen no more, and cut what is left."""
        self._closed = True
        # Closing alone would leave the accepting thread in its call.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.turn(Mode.REFUSE)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                if self._closed:
                    return
                raise
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self._wait_for_passage()
        if self._mode is Mode.REFUSE:
            _reset(client)
            return
        try:
            server = socket.create_connection((_LOOPBACK, self._target), timeout=5)
        except OSError:
            _reset(client)
            return
        server.settimeout(None)
        pair = (client, server)
        with self._turned:
            self._pairs.add(pair)
        back = threading.Thread(
            target=self._pump, args=(server, client, Direction.REPLY), daemon=True
        )
        back.start()
        self._pump(client, server, Direction.REQUEST)
        back.join()
        with self._turned:
            self._pairs.discard(pair)
        for each in pair:
            each.close()

    def _pump(self, source: socket.socket, target: socket.socket, way: Direction) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(_CHUNK):
                self._wait_for_passage()
                if self.latency_s:
                    time.sleep(self.latency_s)
                is_cut, deliver = self._strikes(way, piece)
                if is_cut and way is Direction.REQUEST:
                    # Before the server has it: a quick reply must not slip through.
                    _reset(source)
                if not is_cut or deliver:
                    target.sendall(piece)
                if is_cut:
                    # What the server has been sent shall arrive: an end there, a reset here.
                    if way is Direction.REPLY:
                        _reset(target)
                    break
        # Also where the source was reset, as by a process that is killed before it has read all:
        # a server that never learns of that keeps the dead one's locks.
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def _strikes(self, way: Direction, piece: bytes) -> tuple[bool, bool]:
        with self._turned:
            if self._match is None or self._match[0] is not way or self._match[1] not in piece:
                return False, False
            deliver = self._match[2]
            self._match = None
            self.cut += 1
            return True, deliver

    def _wait_for_passage(self) -> None:
        with self._turned:
            while self._mode is Mode.BLACKHOLE:
                self._turned.wait()


def _reset(each: socket.socket) -> None:
    """Close with a reset, waking the thread that reads from it."""
    with contextlib.suppress(OSError):
        each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()
