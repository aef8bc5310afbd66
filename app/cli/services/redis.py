"""Redis without persistence: a cache that is empty after a kill."""

from __future__ import annotations

import socket

from app.cli.services import machine
from app.cli.services.machine import LOOPBACK
from app.cli.services.server import NativeServer


class RedisServer(NativeServer):
    """A private Redis behind a password."""

    title = "Redis"
    program = "redis-server"

    @property
    def url(self) -> str:
        """Database 0 of the server."""
        return f"redis://:{self.password}@{LOOPBACK}:{self.port}/0"

    def _configure(self) -> None:
        self._write(
            "redis.conf",
            f"bind {LOOPBACK}\n"
            f"port {self.port}\n"
            f"requirepass {self.password}\n"
            f'dir "{self.directory}"\n'
            'save ""\n'
            "appendonly no\n"
            # Bounded, and only what has a time to live is dropped for room.
            "maxmemory 256mb\n"
            "maxmemory-policy volatile-lru\n"
            "daemonize no\n",
        )

    def _command(self) -> list[str]:
        return [
            machine.find_program(self.title, self.program),
            str(self.directory / "redis.conf"),
        ]

    def _answers(self) -> bool:
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=1) as connection:
                connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < 2:
                    chunk = connection.recv(64)
                    if not chunk:
                        return False
                    answer += chunk
        except OSError:
            return False
        return answer == b"+OK\r\n+PONG\r\n"
