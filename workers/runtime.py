"""The container of this worker process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec

import structlog
from celery import shared_task

from app.core.errors import TidemarkError

if TYPE_CHECKING:
    from app.wiring import Container

_log = structlog.get_logger(__name__)
P = ParamSpec("P")
_lock = threading.Lock()
_container: Container | None = None


def install(container: Container | None) -> None:
    """Give the tasks of this process their container; None takes it away."""
    global _container  # noqa: PLW0603 - Celery hands nothing of ours to a task
    with _lock:
        _container = container


def is_installed() -> bool:
    """Whether the tasks of this process have a container already."""
    return _container is not None


def container() -> Container:
    """The container of this process.

    Raises:
        RuntimeError: none was installed; the process was started in an unknown way.
    """
    if _container is None:
        raise RuntimeError("no container is installed in this worker process")
    return _container


def task(name: str) -> Callable[[Callable[P, None]], Any]:
    """A task of this name. Its domain errors are one line in the log, without a traceback:
    the row says what failed, and the sweeper tries again."""
    register: Callable[[Callable[P, None]], Any] = shared_task(name=name, throws=(TidemarkError,))
    return register


def in_turn(*parts: Callable[[], object]) -> None:
    """Do all parts of a task, also those behind one that fails.

    Raises:
        Exception: that of the first part that failed; those of others are logged.
    """
    failures: list[Exception] = []
    for part in parts:
        try:
            part()
        except Exception as error:  # noqa: BLE001 - raised below, once all had their turn
            if failures:
                _log.exception("task_part_failed", part=part.__qualname__)
            failures.append(error)
    if failures:
        raise failures[0]
