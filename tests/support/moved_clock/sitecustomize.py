"""Moves the wall clock of each Python process that has this folder on its path.

Python imports a module of this name at its start. ``time.time`` and ``time.time_ns``, by which the
processes read the wall, are wrong from then on by as many nanoseconds as a file says that all of
them share; ``datetime`` and the monotonic clock are left alone. So is the supervisor: it asks how
old the files are that processes touch, and those are stamped by the kernel.
"""

import mmap
import os
import struct
import sys
import time
from pathlib import Path

FILE = "REHEARSAL_CLOCK"


def _move(shared: mmap.mmap) -> None:
    true_ns = time.time_ns

    def time_ns() -> int:
        return true_ns() + int(struct.unpack_from("q", shared)[0])

    time.time_ns = time_ns
    time.time = lambda: time_ns() / 1e9


if FILE in os.environ and "up" not in sys.orig_argv:
    with Path(os.environ[FILE]).open("rb") as file:
        _move(mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ))
