"""The child process in which a data source runs, once.

Started as ``python -m app.source_host MEMORY_MB FILES`` by ``app.adapters.source_runtime``. It
speaks ``app.core.strategies.wire`` over the pipes it was given as standard input and output:
one request, then ``{"begun": true}``, ``{"row": …}`` for each observation as it comes, and
``{"end": …}`` or ``{"error": …}``. Whatever a source prints goes to standard error.

A source may use the network, for that is what it is there for. It may not start processes, nor
read what the installation keeps. That guards against mistakes in a source. It is no wall
against an author who wants to break out: run other people's code on a machine of its own.
"""

from __future__ import annotations

import ipaddress
import os
import queue
import re
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from app.core.errors import TidemarkError
from app.core.sources.base import SourceContext
from app.core.sources.loader import SourceRef, describe
from app.core.sources.serving import describe_error, run
from app.core.strategies.wire import Message
from app.source_reading import fetch
from app.strategy_host import (
    FILE_LIMIT,
    NETWORK_EVENTS,
    PROCESS_EVENTS,
    claim_pipes,
    limit,
    limit_cpu,
    read_all,
)

_PATH_EVENTS: Final = frozenset(
    {
        "open",
        "os.chmod",
        "os.link",
        "os.listdir",
        "os.remove",
        "os.rename",
        "os.rmdir",
        "os.scandir",
        "os.symlink",
        "os.truncate",
        "sqlite3.connect",
    }
)
# The environment and the memory of our parent, among others, are files there.
_OTHER_PROCESS: Final = re.compile(r"/proc/(\d+)(/|$)")
_PUBLIC: Final = tuple(
    os.path.realpath(each)
    for each in (sys.prefix, sys.base_prefix, Path(__file__).parent, Path.cwd())
)


def main(arguments: list[str]) -> int:
    """Answer one request."""
    incoming, outgoing = claim_pipes()
    limit(int(arguments[0]), int(arguments[1]) if len(arguments) > 1 else FILE_LIMIT)
    requests: queue.SimpleQueue[Message] = queue.SimpleQueue()
    threading.Thread(target=read_all, args=(incoming, requests), daemon=True).start()
    header = requests.get().header
    limit_cpu(header["cpu_seconds"])
    sys.addaudithook(_guard(header["private"], loopback_only=header["loopback_only"]))

    def send(answer: dict[str, Any]) -> None:
        # At once: what a source gave before it died is not lost.
        outgoing.write(Message(answer).encode())
        outgoing.flush()

    send({"begun": True})
    try:
        send(_answer(header, send))
    except TidemarkError as error:
        send({"error": describe_error(error)})
    return 0


def _answer(header: dict[str, Any], send: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    ref = SourceRef(header["name"], header["text"])
    if header["op"] == "inspect":
        info = describe(ref, header["params"])
        return {"info": {name: getattr(info, name) for name in info.__slots__}}
    began = time.monotonic()
    now_ms, seconds = header["now_ms"], header["seconds"]

    def left() -> float:
        return float(began + seconds - time.monotonic())

    context = SourceContext(
        now_ms=lambda: int(now_ms + (time.monotonic() - began) * 1_000),
        seconds_left=left,
        fetch=lambda location: fetch(location, left()),
    )
    asked = (header["params"], header["symbols"], header["since"])
    end = run(ref, header["label"], *asked, context, lambda row: send({"row": row}))
    return {"end": end.value}


def _guard(private: Sequence[str], *, loopback_only: bool) -> Callable[[str, Any], None]:
    """An audit hook that refuses processes, the installation's own files, and hosts."""
    own = str(os.getpid())

    def guard(event: str, arguments: Any) -> None:
        if event in PROCESS_EVENTS:
            raise PermissionError("a data source may not start or signal processes")
        if event in _PATH_EVENTS:
            for each in arguments:
                if isinstance(each, str | bytes) and _is_private(os.fsdecode(each), private, own):
                    raise PermissionError(
                        "a data source may not touch the installation's own files"
                    )
        if loopback_only and (host := _host(event, arguments)) and not _is_loopback(host):
            raise PermissionError(
                "a simulated exchange is in use, so a data source may reach this machine alone"
            )

    return guard


def _is_private(path: str, private: Sequence[str], own: str) -> bool:
    real = os.path.realpath(path)
    process = _OTHER_PROCESS.match(real)
    if process is not None and process[1] != own:
        return True
    # Python and we ourselves may lie below the data directory; what lies deeper counts.
    return _depth(real, private) > _depth(real, _PUBLIC)


def _depth(real: str, roots: Sequence[str]) -> int:
    """How long the longest of some directories is that a path lies in; 0 where it is in none."""
    inside = [each for each in roots if real == each or real.startswith(each + os.sep)]
    return max(map(len, inside), default=0)


def _host(event: str, arguments: Any) -> str:
    """The host that an event reaches for; empty where it is none."""
    if event == "socket.getaddrinfo":
        host = arguments[0]
        return host.decode(errors="replace") if isinstance(host, bytes) else str(host or "")
    if event in NETWORK_EVENTS and event != "socket.bind":
        address = arguments[1]
        return str(address[0]) if isinstance(address, tuple) else ""
    return ""


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
