"""What an author of a data source writes: a subclass of ``DataSource``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar, NamedTuple

from app.core.strategies.errors import BadParameter
from app.core.strategies.parameters import Parameter, declared_in, resolve


class Observation(NamedTuple):
    """One value of one series at one time.

    Attributes:
        series: name of the series, such as ``fear_greed``: a-z, 0-9 and _, at most 32.
        ts: time that the value is of, ms since 1970 UTC; at most a minute ahead of now.
        value: a Decimal or an int of at most 18 + 18 digits, never a float.
        symbol: what it is about, such as ``BTC/USDT``; None where it is about all.
        second: another value that belongs to it: a volume, a count.
        label: a word that belongs to it, at most 64 characters: ``Extreme Fear``.
    """

    series: str
    ts: int
    value: Decimal
    symbol: str | None = None
    second: Decimal | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True)
class SourceContext:
    """What a source is given from outside.

    Attributes:
        now_ms: the platform's wall time, ms.
        seconds_left: until this run is over; below 0 when it is.
        fetch: the bytes of a file by its path, ``file://`` or ``https://`` address.
    """

    now_ms: Callable[[], int]
    seconds_left: Callable[[], float]
    fetch: Callable[[str], bytes]


class DataSource:
    """Any series of numbers over time: an index, a sentiment, a figure of a chain.

        class Mood(DataSource):
            '''How the crowd feels.'''

            address = TextParameter("https://example.org/mood.json")

            def observe(self, since):
                for row in json.loads(self.fetch(self.address)):
                    if row["ms"] > since:
                        yield Observation("mood", row["ms"], Decimal(row["score"]))

    A run, in a process of its own, calls ``connect``, ``subscribe(symbols)``,
    ``observe(since)`` and, however that ended, ``disconnect``. A new object is made for each
    run: nothing of it lasts but what it yielded.

    Args:
        context: time and I/O, passed in.
        config: parameter values by name; what is missing has its default.

    Raises:
        BadParameter: a value outside its bounds, or an unknown name.
    """

    parameters: ClassVar[Mapping[str, Parameter[Any]]] = {}

    def __init__(self, context: SourceContext, config: Mapping[str, Any] | None = None) -> None:
        self.config = resolve(type(self).__name__, self.parameters, config or {}, "data source")
        self.__dict__.update(self.config)
        self._context = context
        self.symbols: tuple[str, ...] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.parameters = declared_in(cls)
        taken = [
            name for name in cls.parameters if name in (*vars(DataSource), "symbols", "config")
        ]
        if taken:
            raise BadParameter(
                f"parameter {taken[0]!r} has the name of something every data source has; choose "
                "another"
            )

    # -- what an author writes ------------------------------------------------------------

    def connect(self) -> None:
        """Make ready: log in, open what is needed. Nothing, unless it is written."""

    def subscribe(self, symbols: Sequence[str]) -> None:
        """Take note of the symbols that the source was added with; there may be none.

        They are in ``self.symbols`` from then on.
        """
        self.symbols = tuple(symbols)

    def observe(self, since: int) -> Iterable[Observation]:
        """Yield what is new; the one method that every source has.

        A source that is asked yields what came after ``since`` and ends. One that is told
        (a socket) yields what comes, as it comes, and need not end: after the run's time it is
        asked for no more. What it waits for it must wait for at most ``self.seconds_left()``,
        for a run that does not answer 10 s later is killed, and has failed.

        Each observation is stored as it comes and stays, however the run ends. One that is
        stored already changes nothing, and one with another value is kept as a revision; so
        yielding too much is no harm, and times need not ascend. Give the oldest first all the
        same: a run that was cut short is followed by one from its newest time.

        Args:
            since: time of the newest observation that is stored, ms; of several series, of the
                one that lags most; 0 before the first.

        Returns:
            The observations; a list will do. None is as good as an empty one.
        """
        raise NotImplementedError(f"{type(self).__name__} has no observe method")

    def disconnect(self) -> None:
        """Let go of every resource. Nothing, unless it is written."""

    # -- what it may use ------------------------------------------------------------------

    def now_ms(self) -> int:
        """The platform's wall time, ms since 1970 UTC."""
        return self._context.now_ms()

    def seconds_left(self) -> float:
        """Seconds until this run is over; below 0 when it is."""
        return self._context.seconds_left()

    def fetch(self, location: str) -> bytes:
        """The bytes of a file: a path, a ``file://`` or an ``http(s)://`` address.

        Raises:
            OSError: it cannot be had, or is larger than 16 MB; the message says which.
        """
        return self._context.fetch(location)
