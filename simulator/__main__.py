"""``python -m simulator``: runs a simulated exchange until it is told to stop."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import Final

from aiohttp import web

from app.core.errors import InvalidInput
from simulator.build import build_venue
from simulator.journal import Journal, restore
from simulator.options import Options, parse
from simulator.server import build_app
from simulator.venue import Venue

_PARENT_POLL_SECONDS: Final = 0.5
# Requests take milliseconds; what waits longer is a client that holds its socket open.
_SHUTDOWN_SECONDS: Final = 0.1


def main(arguments: list[str] | None = None) -> int:
    """Run the simulator; returns the exit code: 0 stopped, 2 bad input."""
    try:
        options = parse(sys.argv[1:] if arguments is None else arguments)
        venue = build_venue(options)
        if options.state is not None:
            restore(options.state, venue)
        asyncio.run(_serve(options, venue))
    except InvalidInput as error:
        sys.stderr.write(f"simulator: {error.message}\n")
        return 2
    return 0


async def _serve(options: Options, venue: Venue) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    journal = _journal(options, venue)
    runner = web.AppRunner(
        build_app(venue, options), access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS
    )
    await runner.setup()
    try:
        port = await _listen(runner, options)
        _announce(options, venue, port)
        tasks = [asyncio.create_task(venue.run())]
        if options.parent_pid is not None:
            tasks.append(asyncio.create_task(_watch_parent(options.parent_pid, stopping)))
        await stopping.wait()
        for task in tasks:
            task.cancel()
    finally:
        await runner.cleanup()
        if journal is not None:
            journal.close()


def _journal(options: Options, venue: Venue) -> Journal | None:
    if options.state is None:
        return None
    try:
        journal = Journal(options.state, venue)
    except OSError as error:
        raise InvalidInput(
            f"state file {options.state} cannot be written: {error.strerror}"
        ) from None
    venue.exchange.observers.append(journal)
    return journal


async def _listen(runner: web.AppRunner, options: Options) -> int:
    site = web.TCPSite(runner, options.host, options.port)
    try:
        await site.start()
    except OSError as error:
        raise InvalidInput(
            f"cannot listen on {options.host}:{options.port}: {error.strerror}"
        ) from None
    address = runner.addresses[0]
    return int(address[1])


def _announce(options: Options, venue: Venue, port: int) -> None:
    host = f"[{options.host}]" if ":" in options.host else options.host
    ready = {
        "url": f"http://{host}:{port}",
        "pid": os.getpid(),
        "seed": options.seed,
        "market_ms": venue.clock.now(),
    }
    sys.stdout.write(json.dumps(ready) + "\n")
    sys.stdout.flush()


async def _watch_parent(parent: int, stopping: asyncio.Event) -> None:
    """Stop when the parent is gone."""
    is_child = os.getppid() == parent
    while _is_alive(parent, is_child=is_child):
        await asyncio.sleep(_PARENT_POLL_SECONDS)
    stopping.set()


def _is_alive(parent: int, *, is_child: bool) -> bool:
    if is_child:
        # An orphan is adopted at once; its parent's id may stay as a zombie for long.
        return os.getppid() == parent
    try:
        os.kill(parent, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


if __name__ == "__main__":
    sys.exit(main())
