"""The child process in which user strategies, backtests and trials run.

Started as ``python -m app.strategy_host MEMORY_MB FILES`` by ``app.adapters.strategy_host``.
It speaks ``app.core.strategies.wire`` over the pipes it was given as standard input and
output. Whatever a strategy prints goes to standard error.

What is forbidden here guards the platform against mistakes in a strategy. It is no wall
against an author who wants to break out: run other people's code on a machine of its own.
"""

from __future__ import annotations

import os
import queue
import resource
import sys
import threading
from typing import BinaryIO, Final

from app.core.strategies.wire import Message, read_message

PROCESS_EVENTS: Final = frozenset(
    {
        "os.exec",
        "os.fork",
        "os.forkpty",
        "os.kill",
        "os.killpg",
        "os.posix_spawn",
        "os.spawn",
        "os.system",
        "pty.spawn",
        "subprocess.Popen",
    }
)
NETWORK_EVENTS: Final = frozenset({"socket.bind", "socket.connect", "socket.sendto"})
FILE_LIMIT: Final = 64
_FILE_BYTES: Final = 64 * 1024 * 1024


def main(arguments: list[str]) -> int:
    """Serve requests until the parent closes the pipe or says so."""
    incoming, outgoing = claim_pipes()
    limit(int(arguments[0]), int(arguments[1]) if len(arguments) > 1 else FILE_LIMIT)
    requests: queue.SimpleQueue[Message] = queue.SimpleQueue()
    threading.Thread(target=read_all, args=(incoming, requests), daemon=True).start()
    # Only now: it takes a moment, which the parent's first message need not wait for.
    from app.core.indicators.talib_library import import_without_pandas
    from app.core.strategies.serving import serve

    import_without_pandas()
    sys.addaudithook(_forbid)

    def send(message: Message) -> None:
        outgoing.write(message.encode())
        outgoing.flush()

    while True:
        request = requests.get()
        if request.header["op"] == "shutdown":
            return 0
        limit_cpu(request.header.get("cpu_seconds"))
        serve(request, send)


def claim_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Keep the two pipes for the protocol alone; ``print`` goes to standard error."""
    incoming, outgoing = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return os.fdopen(incoming, "rb"), os.fdopen(outgoing, "wb")


def limit(memory_mb: int, files: int) -> None:
    """Bound this process's address space, open files and size of a file; no core dumps."""
    memory = memory_mb * 1024 * 1024
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE_BYTES, _FILE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def limit_cpu(seconds: int | None) -> None:
    """Allow ``seconds`` of CPU from now on; the limit counts from the process's start."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = hard if seconds is None else int(used.ru_utime + used.ru_stime) + seconds + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def read_all(incoming: BinaryIO, requests: queue.SimpleQueue[Message]) -> None:
    """Hand over requests; when the parent is gone, so is this process, busy or not."""
    try:
        while (message := read_message(incoming.read)) is not None:
            requests.put(message)
    finally:
        os._exit(0)


def _forbid(event: str, _: object) -> None:
    if event in PROCESS_EVENTS:
        raise PermissionError("a strategy may not start or signal processes")
    if event in NETWORK_EVENTS:
        raise PermissionError("a strategy may not use the network")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
