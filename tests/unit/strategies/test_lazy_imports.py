"""What is imported when, in a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys

import pytest

import tidemark

HEAVY = ("numpy", "pandas", "talib", "backtrader", "ccxt")


def loaded_after(code: str) -> list[str]:
    script = f"import sys\n{code}\nprint([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    found: list[str] = eval(done.stdout)  # noqa: S307 - a list this test printed
    return found


def test_import_tidemark_loads_nothing_heavy() -> None:
    assert loaded_after("import tidemark") == []


def test_a_strategy_class_needs_neither_pandas_nor_talib() -> None:
    code = "from tidemark import *\nassert BaseStrategy and IntParameter and Signal"
    assert loaded_after(code) == ["numpy"]


def test_the_engine_needs_neither_pandas_nor_talib_nor_backtrader() -> None:
    assert loaded_after("import app.core.backtest.engine, app.core.strategies.builtin") == ["numpy"]


def test_talib_loads_without_pandas_where_it_is_asked_to() -> None:
    code = (
        "from app.core.indicators import talib_library as t\n"
        "t.import_without_pandas()\nassert 'SMA' in t.names()\n"
    )
    assert loaded_after(code) == ["numpy", "talib"]
    assert "pandas" in loaded_after(code + "import pandas\n")


def test_every_public_name_is_there() -> None:
    for name in tidemark.__all__:
        assert getattr(tidemark, name) is not None
    assert set(tidemark.__all__) <= set(dir(tidemark))
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        tidemark.Nothing  # noqa: B018
