"""What is killed, and when."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from typing import Final

from tests.soak.stack import Stack

#: The exchange is not ours to kill: its record is what ours is compared with.
_SPARED: Final = frozenset({"simulator"})
_SIGNALS: Final = (signal.SIGTERM, signal.SIGKILL)
#: Of so many, one is a server instead of a process.
_A_SERVER_IN: Final = 5


class Chaos:
    """Kills something every so often, and brings servers back.

    Args:
        tell: told of each kill, in a few words.
    """

    def __init__(
        self, stack: Stack, every_s: float, seed: int, tell: Callable[[str], None]
    ) -> None:
        self._stack = stack
        self._every_s = every_s
        self._random = random.Random(seed)
        self._tell = tell
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="chaos", daemon=True)
        self.kills = 0
        self.failures: list[str] = []

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; what was killed is back or coming back."""
        self._stop.set()
        self._thread.join(120)

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            self.kills += 1
            try:
                if self.kills % _A_SERVER_IN == 0:
                    self._kill_server()
                else:
                    self._kill_process()
            except Exception as error:  # noqa: BLE001 - told at the end, and the load goes on
                self.failures.append(repr(error))

    def _kill_process(self) -> None:
        running = {
            name: each["pid"]
            for name, each in self._stack.processes().items()
            if each["state"] == "up" and each["pid"] and name not in _SPARED
        }
        if not running:
            return
        name = self._random.choice(sorted(running))
        number = self._random.choice(_SIGNALS)
        self._tell(f"{number.name} to {name}")
        os.kill(running[name], number)

    def _kill_server(self) -> None:
        services = self._stack.services
        server = self._random.choice((services.mariadb, services.rabbitmq, services.redis))
        self._tell(f"SIGKILL to {server.title}")
        server.kill9()
        time.sleep(self._random.uniform(0, 5))
        server.start()
