"""Flower's Celery application: it listens to events and can send nothing to a worker.

Celery's event receiver and Flower's inspector both broadcast to workers (``heartbeat``,
``stats``). Here a broadcast goes nowhere, so Flower's broker user needs no right to write to the
control exchange, and a Flower that was broken into could shut down nobody.
"""

from __future__ import annotations

from typing import Any

from celery.app.control import Control

from app.adapters.celery_queue import make_celery
from app.config import settings_or_exit


class Mute(Control):
    """Worker control without a voice."""

    def broadcast(self, *_args: Any, **_kwargs: Any) -> Any:
        """Send nothing; nobody answers."""
        return None


app = make_celery(settings_or_exit().broker_url)
app.control_cls = f"{__name__}:{Mute.__name__}"
