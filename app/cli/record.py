"""Which record a command works on, by an address that holds no secret.

A runtime writes its own into the lock's file, and a command beside it compares: with another
environment than the runtime's, a command would halt, list or back up a record that nothing
trades on, and say that all is well.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

from app.core.errors import InvalidInput

if TYPE_CHECKING:
    from app.config import Settings

_MYSQL_PORT: Final = 3306


def address_of(settings: Settings) -> str:
    """The record's kind and place: ``mysql://host:port/name``, or ``sqlite:///path``.

    Without user, password and options; two ways to write one place give one address.
    """
    file = file_of(settings)
    if file is not None:
        return f"sqlite:///{file}"
    url = urlsplit(settings.sqlalchemy_url)
    socket = parse_qs(url.query).get("unix_socket", [""])[0]
    host = "127.0.0.1" if url.hostname in (None, "localhost") else url.hostname
    place = f"unix:{socket}" if socket else f"{_bracketed(host)}:{url.port or _MYSQL_PORT}"
    return f"{url.scheme.partition('+')[0]}://{place}{url.path}"


def file_of(settings: Settings) -> Path | None:
    """The file that SQLite keeps the record in; None for a server."""
    kind, _, path = settings.sqlalchemy_url.partition(":///")
    return Path(path.partition("?")[0]).resolve() if kind.startswith("sqlite") else None


def require_running(settings: Settings, beside: Mapping[str, Any], *, full: bool) -> None:
    """Nothing, unless a runtime holds the data directory and is on another record.

    Args:
        beside: what the runtime says of itself; nothing where none runs.
        full: whether the command was asked for the services of ``make services``.

    Raises:
        InvalidInput: it is on another, or cannot say on which and it is not this one's kind.
    """
    theirs, own = str(beside.get("record", "")), address_of(settings)
    if not theirs and beside.get("services_env") and file_of(settings) is not None:
        theirs = "a record of the full stack"  # of a release that does not say which
    if not theirs or theirs == own:
        return
    raise InvalidInput(
        f"the Tidemark that runs in {settings.data_dir} uses {theirs}, and this command would "
        f"use {own}: {_mend(theirs, full=full)}",
        code="another-record",
    )


def require_some(settings: Settings) -> None:
    """Nothing, where there is a record: a file for SQLite; a server is asked for its own.

    Raises:
        InvalidInput: the file is not there; the sentence says how to name another record.
    """
    file = file_of(settings)
    if file is not None and not file.is_file():
        raise InvalidInput(
            f"there is no record at {file}; set TIDEMARK_HOME to the directory of one, or add "
            "--full for the full stack of `make services`",
            code="no-record",
        )


def _mend(theirs: str, *, full: bool) -> str:
    if theirs.startswith("sqlite"):
        also = "leave out --full, or " if full else ""
        return f"{also}set TIDEMARK_DATABASE_URL as that Tidemark has it, which may be not at all"
    return (
        "set TIDEMARK_DATABASE_URL, TIDEMARK_BROKER_URL and TIDEMARK_REDIS_URL as that Tidemark "
        "has them (private services write them to services/env: make services)"
    )


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
