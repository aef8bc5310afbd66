"""What this machine has: the servers' programs and free loopback ports."""

from __future__ import annotations

import random
import shutil
import socket
from pathlib import Path
from typing import Final

LOOPBACK: Final = "127.0.0.1"
# An ordinary user's PATH lacks the sbin directories on Debian. RabbitMQ's own directory comes
# first: its wrapper in /usr/sbin changes to the user rabbitmq.
PROGRAM_PATH: Final = "/usr/lib/rabbitmq/bin:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin"


class ServerError(RuntimeError):
    """A server could not be started or asked; the message is one sentence and says why."""


class ServerNotInstalledError(ServerError):
    """The server's program is not on this machine."""

    def __init__(self, title: str, program: str) -> None:
        super().__init__(
            f"{title} is not installed here ({program} was not found): "
            "run `make services` once, or scripts/install-servers as root."
        )


class PortTakenError(ServerError):
    """Another process was faster."""


def find_program(title: str, program: str) -> str:
    """The path of a server's program.

    Raises:
        ServerNotInstalledError: it is not there.
    """
    found = shutil.which(program, path=PROGRAM_PATH)
    if found is None:
        raise ServerNotInstalledError(title, program)
    return found


def free_port() -> int:
    """A loopback port that nobody listens on, from below the range of outgoing connections.

    Within that range a client that keeps trying to reach a killed server takes the server's own
    port in the end (on loopback it may even connect to itself), and the server cannot come back.
    """
    try:
        ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        ephemeral = 32768
    lowest = 10_000
    candidates = range(lowest, ephemeral) if ephemeral > lowest + 1_000 else range(20_000, 65_000)
    for _ in range(1_000):
        port = random.choice(candidates)  # noqa: S311 - nothing is kept secret by it
        if port_is_free(port):
            return port
    raise ServerError("No free port was found on 127.0.0.1.")


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        # As the servers do it: connections that are still closing do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def accepts(port: int) -> bool:
    """Whether something takes a connection on this loopback port."""
    try:
        socket.create_connection((LOOPBACK, port), timeout=1).close()
    except OSError:
        return False
    return True
