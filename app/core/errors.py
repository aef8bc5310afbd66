"""The root of Tidemark's errors.

    TidemarkError
    ├── InvalidInput        the caller gave something that can never work
    │   └── UnknownName     a name that no catalogue or registry holds
    ├── Conflict            the state of the system forbids it now
    │   └── NameTaken       what is to be made has the name of something that is there
    ├── NotFound            no such row
    ├── Unavailable         a part that is needed is down or not ready
    │   ├── NotFetched      a file by URL could not be had now
    │   ├── NotYetWhole     a file by URL has come in part, and goes on
    │   └── WrongWorld      the record holds the simulated market and the real one is asked for
    └── VenueError          see ``app.core.exchanges.errors``

Each error carries a stable ``code`` (kebab-case, shown by the API as the problem's code)
and builds a message that says what to do. The message never holds a secret.
"""

from __future__ import annotations

from typing import ClassVar


class TidemarkError(Exception):
    """Base of every error that Tidemark raises on purpose."""

    code: ClassVar[str] = "internal-error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.error_code = code or self.code


class InvalidInput(TidemarkError):
    """The request can never succeed as it stands."""

    code = "invalid-input"


class UnknownName(InvalidInput):
    """A symbol, interval, strategy or indicator that Tidemark does not know."""

    code = "unknown-name"


class NotFound(TidemarkError):
    """The row that was asked for does not exist."""

    code = "not-found"


class Conflict(TidemarkError):
    """The present state forbids the request; it may succeed later."""

    code = "conflict"


class NameTaken(Conflict):
    """Something has that name already: another name does, and waiting does not.

    The code is that of every conflict, which the API has always given for it; the command line
    counts a name as input.
    """


class Unavailable(TidemarkError):
    """A component that the request needs is down or not ready."""

    code = "unavailable"


class NotGiven(InvalidInput):
    """A host does not give what a URL names, and will not give what lies beside it."""

    code = "not-given"


class NotFetched(Unavailable):
    """A file by URL could not be had now.

    Attributes:
        was_reached: False where no host of the URL's name took the call: no such name, a closed
            port, a certificate of somebody else.
    """

    code = "not-fetched"

    def __init__(self, message: str, *, was_reached: bool) -> None:
        super().__init__(message)
        self.was_reached = was_reached


class NotYetWhole(Unavailable):
    """A file by URL has come in part by the time that it was given; the next call goes on."""

    code = "not-yet-whole"


class WrongWorld(Unavailable):
    """The record and what is configured are of two worlds: the simulated market, and the real."""

    code = "wrong-world"
