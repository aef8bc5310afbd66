"""How each venue says in the body of an answer that it refuses.

OKX and Bybit answer HTTP 200 to nearly everything, and say in a code of their own whether it
went well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

Answer = dict[str, Any] | list[Any]
#: The venue's (code, text).
Failure = tuple[str, str]


def error_of(exchange: str, answer: Answer) -> Failure | None:
    """The venue's (code, text) where the answer is a refusal; else None."""
    return _READERS.get(exchange, _of_nobody)(answer)


def _of_binance(answer: Answer) -> Failure | None:
    """Errors are below 0, but for maintenance, which is 1; 0 and 200 say that it went well."""
    if not isinstance(answer, dict) or "msg" not in answer:
        return None
    code, text = answer.get("code"), answer["msg"]
    if not isinstance(code, int) or isinstance(code, bool) or code in (0, 200):
        return None
    return _code(code), _text(text)


def _of_okx(answer: Answer) -> Failure | None:
    """Code 1 or 2 says that some of a batch failed: the code of the first that did is meant."""
    if not isinstance(answer, dict) or "code" not in answer:
        return None
    code, text = _code(answer["code"]), _text(answer.get("msg"))
    if code == "0":
        return None
    if code in ("1", "2"):
        rows = answer.get("data")
        for row in rows if isinstance(rows, list) else ():
            if isinstance(row, dict) and _code(row.get("sCode", "0")) != "0":
                return _code(row["sCode"]), _text(row.get("sMsg")) or text
    return code, text


def _of_bybit(answer: Answer) -> Failure | None:
    if not isinstance(answer, dict) or "retCode" not in answer:
        return None
    code = _code(answer["retCode"])
    return None if code == "0" else (code, _text(answer.get("retMsg")))


def _of_nobody(answer: Answer) -> Failure | None:
    del answer
    return None


def _code(value: Any) -> str:
    """A code as text; what is none is a code that no table knows."""
    known = isinstance(value, str | int) and not isinstance(value, bool)
    return str(value)[:20] if known else "?"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


_READERS: Final[Mapping[str, Callable[[Answer], Failure | None]]] = {
    "binance": _of_binance,
    "binanceusdm": _of_binance,
    "okx": _of_okx,
    "bybit": _of_bybit,
}
