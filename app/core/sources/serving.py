"""What a source's process does with a request, and errors as data.

Pure of processes, pipes and clocks, so that it is tested without them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from app.core.errors import InvalidInput, TidemarkError, UnknownName
from app.core.sources.base import SourceContext
from app.core.sources.errors import BadSourceFile, SourceFailed
from app.core.sources.loader import SourceRef, source_class
from app.core.sources.rows import short, stated
from app.core.sources.runtime import RunEnd
from app.core.strategies.errors import BadParameter
from app.core.user_files import line_in

if TYPE_CHECKING:
    from app.core.ports import DataSource

#: Observations of one run; a history that is longer comes with the runs that follow.
MOST_ROWS: Final = 50_000
_WORDS: Final = 300
_ERRORS: Final[dict[str, type[TidemarkError]]] = {
    kind.__name__: kind for kind in (BadParameter, BadSourceFile, InvalidInput, UnknownName)
}
Give = Callable[[Any], None]


def run(
    ref: SourceRef,
    label: str,
    params: Mapping[str, Any],
    symbols: Sequence[str],
    since: int,
    context: SourceContext,
    give: Give,
) -> RunEnd:
    """Run a source once.

    Args:
        label: its name in messages.
        give: takes each row, as it comes.

    Raises:
        SourceFailed: its code raised, ``sys.exit`` and running out of memory included.
        BadSourceFile, UnknownName, BadParameter: it cannot be run.
    """
    kind = source_class(ref)
    with _doing(ref, label, "__init__"):
        source: DataSource = kind(context, params)
    try:
        with _doing(ref, label, "connect"):
            source.connect()
        with _doing(ref, label, "subscribe"):
            source.subscribe(symbols)
        with _doing(ref, label, "observe"):
            end = _drain(source.observe(since), context, give)
    except SourceFailed:
        # What went wrong first is what is told; a disconnect after it may well fail too.
        with suppress(SourceFailed), _doing(ref, label, "disconnect"):
            source.disconnect()
        raise
    with _doing(ref, label, "disconnect"):
        source.disconnect()
    return end


def _drain(observations: Iterable[object] | None, context: SourceContext, give: Give) -> RunEnd:
    if observations is None:
        return RunEnd.WHOLE
    end = RunEnd.WHOLE
    iterator = iter(observations)
    for count, item in enumerate(iterator, 1):
        give(stated(item))
        if count >= MOST_ROWS:
            end = RunEnd.FULL
        elif context.seconds_left() <= 0:
            end = RunEnd.TIME
        if end is not RunEnd.WHOLE:
            break
    close = getattr(iterator, "close", None)
    if close is not None:
        close()  # so that the author's own finally blocks run before disconnect
    return end


@contextmanager
def _doing(ref: SourceRef, label: str, what: str) -> Iterator[None]:
    """Whatever the author's code raises is a ``SourceFailed`` that says where."""
    try:
        yield
    except BadParameter:
        raise
    except BaseException as error:  # noqa: BLE001 - sys.exit is the author's mistake as well
        line = line_in(ref.name, error)
        where = f" ({ref.name}, line {line})" if line else ""
        words = short(str(error), _WORDS)
        told = f"{type(error).__name__}: {words}" if words else type(error).__name__
        raise SourceFailed(label, f"failed in {what}{where}: {told}") from None


def describe_error(error: TidemarkError) -> dict[str, str]:
    """A typed error as plain data; ``rebuild_error`` makes it again."""
    described = {"kind": type(error).__name__, "message": error.message}
    if isinstance(error, SourceFailed):
        described |= {"source": error.source, "detail": error.detail}
    return described


def rebuild_error(data: Mapping[str, Any], label: str) -> TidemarkError:
    """The error that the process met; whatever it says, the source is the one that was run."""
    if data.get("kind") == SourceFailed.__name__:
        return SourceFailed(label, short(str(data.get("detail")), 2 * _WORDS))
    known = _ERRORS.get(str(data.get("kind")), InvalidInput)
    return known(short(str(data.get("message")), 2 * _WORDS))
