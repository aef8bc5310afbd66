"""Structured logs: one event a line, for people or as JSON, with secrets taken out."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

_SECRET_NAMES: Final = re.compile(
    r"(secret|password|passwd|token|authorization|api_?key|signature|credential|private)",
    re.IGNORECASE,
)
_SECRET_TEXT: Final = (
    re.compile(r"(signature|secret|token|apiKey|api_key)=[^&\s\"']+", re.IGNORECASE),
    re.compile(r"Bearer\s+[A-Za-z0-9._~+/=-]+"),
    re.compile(r"(?<=://)[^/@:\s]+:[^/@\s]+(?=@)"),
    re.compile(r"\btdm_[A-Za-z0-9_-]{20,}"),
)
# These report each request or statement, with what it carries: never heard below WARNING.
_NOISY: Final = ("alembic", "amqp", "ccxt", "httpx", "urllib3", "uvicorn.access")
# These report each task, tick and start at INFO: heard at DEBUG alone.
_CHATTY: Final = (
    "celery.app.trace",
    "celery.beat",
    "celery.worker.consumer.connection",
    "celery.worker.strategy",
    "uvicorn.error",
)
# What ``format_exc_info`` calls it.
_TRACEBACK: Final = "exception"
_REDACTED: Final = "[redacted]"
# A line of one event; longer values are a flood or an attack.
_VALUE_LIMIT: Final = 2_000


def configure_logs(level: str, format_: str) -> None:
    """Send all logs of this process, the libraries' included, to stderr.

    Args:
        format_: ``console`` or ``json``.
    """
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if format_ == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    quiet = max(logging.WARNING, root.level)
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(quiet)
    for chatty in _CHATTY:
        logging.getLogger(chatty).setLevel(root.level if root.level <= logging.DEBUG else quiet)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace values under secret names, and secrets inside texts; shorten long values."""
    for key, value in event.items():
        event[key] = _clean(str(key), value)
    return event


def redacted(text: str) -> str:
    """A text without the secrets that it may carry."""
    for pattern in _SECRET_TEXT:
        text = pattern.sub(
            lambda match: f"{match[1]}={_REDACTED}" if match.lastindex else _REDACTED, text
        )
    return text


def _clean(name: str, value: Any) -> Any:
    if _SECRET_NAMES.search(name):
        return _REDACTED
    if isinstance(value, dict):
        return {key: _clean(str(key), inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(name, inner) for inner in value]
    if isinstance(value, str):
        text = redacted(value)
        # A traceback says at its end what has happened.
        return text[-_VALUE_LIMIT:] if name == _TRACEBACK else text[:_VALUE_LIMIT]
    return value
