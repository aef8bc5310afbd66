"""What can go wrong with a data source; each message names it and says what to do.

InvalidInput
└── BadSourceFile       a file that does not hold exactly one usable source
SourceError             a source that went wrong while it ran
├── SourceFailed        it raised; the message holds file, line and exception
├── SourceTimedOut      it did not come to an end in its wall-clock time
└── SourceCrashed       its process ended: killed, out of memory, os._exit
"""

from __future__ import annotations

from app.core.errors import InvalidInput, TidemarkError


class BadSourceFile(InvalidInput):
    """A file that does not hold exactly one usable data source."""

    code = "bad-source-file"


class SourceError(TidemarkError):
    """A data source that went wrong while it ran. It concerns that source alone."""

    code = "source-error"

    def __init__(self, source: str, detail: str) -> None:
        super().__init__(f"data source {source!r} {detail}")
        self.source = source
        self.detail = detail


class SourceFailed(SourceError):
    """The source's own code raised an exception."""

    code = "source-failed"


class SourceTimedOut(SourceError):
    """The source did not come to an end in its wall-clock time and was killed."""

    code = "source-timed-out"


class SourceCrashed(SourceError):
    """The process in which the source ran has ended."""

    code = "source-crashed"
