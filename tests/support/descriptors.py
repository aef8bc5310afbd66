"""Taking a running process's open files away, and giving them back."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def no_descriptor_left(pid: int) -> Iterator[None]:
    """Meanwhile the process may open no file and no socket beyond those that it holds."""
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    # The limit bounds the numbers of new files, and the lowest three are always taken: what the
    # process closes meanwhile it does not get back either. Not 0, or poll would refuse.
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        yield
    finally:
        # Where it has ended, whoever started it again gave it others.
        with suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
