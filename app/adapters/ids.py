"""UUIDv7: ids that ascend with time (RFC 9562, section 5.7)."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable

from app.core.ports import Clock

_COUNTER_BITS = 12


class Uuid7:
    """Makes UUIDv7 texts that ascend strictly within one process.

    Args:
        random_bits: returns that many random bits, as ``random.SystemRandom().getrandbits``.
    """

    def __init__(self, clock: Clock, random_bits: Callable[[int], int]) -> None:
        self._clock = clock
        self._random_bits = random_bits
        self._lock = threading.Lock()
        self._last_ms = 0
        self._counter = 0

    def new(self) -> str:
        """A new id. A clock that steps back does not make ids descend."""
        with self._lock:
            now = max(self._clock.now_ms(), self._last_ms)
            if now == self._last_ms:
                self._counter += 1
                if self._counter >> _COUNTER_BITS:
                    now, self._counter = now + 1, 0
            else:
                self._counter = 0
            self._last_ms = now
            counter = self._counter
        value = (now & (1 << 48) - 1) << 80
        value |= 0x7 << 76 | counter << 64
        value |= 0b10 << 62 | self._random_bits(62)
        return str(uuid.UUID(int=value))
