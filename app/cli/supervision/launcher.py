"""``python -m app.cli.supervision.launcher PARENT COMMAND…``: COMMAND, tied to its parent.

The kernel kills it when the parent dies, SIGKILL of the parent included: an orphan would run
beside the next supervisor's own processes. Linux keeps the wish over ``exec``; elsewhere the
command runs untied. Needs nothing outside of the standard library.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it is gone."""
    if sys.platform != "linux":
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")


def main(arguments: list[str]) -> None:
    """Tie this process to its parent and become the command."""
    parent, command = int(arguments[0]), arguments[1:]
    die_with_parent()
    if os.getppid() != parent:
        sys.exit("the supervisor ended before its child began")  # it died before the prctl
    os.execv(command[0], command)  # noqa: S606 - a literal list, no shell


if __name__ == "__main__":
    main(sys.argv[1:])
