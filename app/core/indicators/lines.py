"""Lines: a strategy's view of an indicator's values, seen from the present bar.

``line[0]`` is this bar, ``line[1]`` the one before. A line never shows a bar after the
present one, whatever array stands behind it.
"""

from __future__ import annotations

from typing import NoReturn, cast

from app.core.errors import InvalidInput
from app.core.indicators.errors import LookAhead
from app.core.market.klines import Floats


class Present:
    """The position of the latest closed bar of one symbol; the runner moves it."""

    __slots__ = ("index",)

    def __init__(self) -> None:
        self.index = -1


class Line:
    """Values of one output of one indicator.

    On a run with several symbols the line shows the symbol whose bar is being evaluated;
    ``line.of(symbol)`` shows a chosen one.
    """

    __slots__ = ("_by_symbol", "_present", "_values", "label")

    def __init__(self, label: str) -> None:
        self.label = label
        # A memoryview yields plain Python floats twice as fast as an array yields numpy ones.
        self._values = memoryview(b"").cast("d")
        self._present = Present()
        self._by_symbol: dict[str, Line] = {}

    def __getitem__(self, ago: int) -> float:
        """Value ``ago`` bars before the present one; NaN before the indicator has a value.

        Raises:
            LookAhead: ``ago`` is negative.
            InvalidInput: there is no bar that far back.
        """
        index = self._present.index - ago
        if ago < 0 or index < 0:
            self._refuse(ago)
        return self._values[index]

    def of(self, symbol: str) -> Line:
        """The same line for a chosen symbol of the run.

        Raises:
            InvalidInput: the run has no such symbol.
        """
        try:
            return self._by_symbol[symbol]
        except KeyError:
            raise InvalidInput(
                f"{self.label} has no line for {symbol!r}; this run has: "
                f"{', '.join(self._by_symbol) or 'no data yet'}"
            ) from None

    def bind(self, symbol: str, values: Floats, present: Present) -> None:
        """Attach the values of one symbol; the first one bound is shown at once."""
        single = Line(self.label)
        single._point_at(cast("memoryview[float]", values.data), present)
        self._by_symbol[symbol] = single
        if len(self._by_symbol) == 1:
            self.show(symbol)

    def show(self, symbol: str) -> None:
        """Make this line show that symbol."""
        self._by_symbol[symbol].lend_to(self)

    def lend_to(self, line: Line) -> None:
        """Make ``line`` show what this one shows."""
        line._point_at(self._values, self._present)

    def _point_at(self, values: memoryview[float], present: Present) -> None:
        self._values, self._present = values, present

    def _refuse(self, ago: int) -> NoReturn:
        if ago < 0:
            raise LookAhead(
                f"{self.label}[{ago}] would be a bar of the future; [0] is this bar and "
                "[1] the one before"
            )
        if self._present.index < 0:
            raise InvalidInput(
                f"{self.label}[{ago}] was read before the first bar; read indicators in "
                "on_kline, not in setup"
            )
        raise InvalidInput(
            f"{self.label}[{ago}] is before the first bar; {self._present.index + 1} bars "
            "have been seen"
        )


class Indicator(Line):
    """An indicator as a strategy declared it: one line, or several named ones.

    An indicator with one output is itself that line. One with several has an attribute for
    each: ``bands.upperband[0]``.
    """

    def __init__(self, label: str, outputs: tuple[str, ...]) -> None:
        super().__init__(label)
        self.outputs = outputs
        self.lines: tuple[Line, ...] = (
            (self,) if len(outputs) == 1 else tuple(Line(f"{label}.{name}") for name in outputs)
        )
        if len(outputs) > 1:
            for name, line in zip(outputs, self.lines, strict=True):
                setattr(self, name, line)

    def _refuse(self, ago: int) -> NoReturn:
        # An indicator with several lines is never bound itself, so every read ends here; the
        # common one with a single line does not pay for the question.
        if len(self.outputs) > 1:
            raise InvalidInput(
                f"{self.label} has several lines; name one, as in "
                f".{self.outputs[0]}[{ago}]: {', '.join(self.outputs)}"
            )
        super()._refuse(ago)

    def __getattr__(self, name: str) -> Line:
        if name.startswith("__"):
            raise AttributeError(name)
        raise InvalidInput(f"{self.label} has no line {name!r}; it has: {', '.join(self.outputs)}")
