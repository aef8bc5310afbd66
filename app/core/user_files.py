"""From the text of an author's file to the class in it: a strategy's, a data source's.

Running a file runs the author's code, so it happens in a child process and nowhere else.
"""

from __future__ import annotations

import hashlib
import linecache
import types
from collections.abc import Callable
from typing import Final, TypeVar

from app.core.errors import InvalidInput

MAX_SOURCE: Final = 1024 * 1024
_TEXT_LIMIT: Final = 400
Refuse = Callable[[str], InvalidInput]
C = TypeVar("C")


def run_file(name: str, source: str, noun: str, refuse: Refuse) -> types.ModuleType:
    """The module that a file makes.

    Args:
        name: the file's name, for messages.
        noun: what the file holds, in one word.
        refuse: makes the error that is raised where the text is not Python or fails when it
            runs; it is given one sentence with the line.
    """
    if len(source) > MAX_SOURCE:
        raise refuse(f"{name} is larger than 1 MB, which no {noun} needs to be")
    try:
        code = compile(source, name, "exec", dont_inherit=True)
    except SyntaxError as error:
        raise refuse(f"{name}, line {error.lineno}: {error.msg}") from None
    except ValueError as error:
        raise refuse(f"{name} is not Python text: {error}") from None
    module = types.ModuleType(f"user_{noun}_{source_version(source)[:16]}")
    module.__file__ = name
    # So that a traceback shows the author's own lines.
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    try:
        exec(code, module.__dict__)  # noqa: S102 - this is what the child process is for
    except (Exception, SystemExit) as error:
        raise refuse(explain(name, error)) from error
    return module


def own_classes(module: types.ModuleType, base: type[C]) -> list[type[C]]:
    """The classes of a module that inherit from ``base``, without those others inherit from."""
    found = [
        item
        for item in vars(module).values()
        if isinstance(item, type) and issubclass(item, base) and item.__module__ == module.__name__
    ]
    # A base of another class in the file is a means, not the end.
    leaves = [
        item for item in found if not any(o is not item and issubclass(o, item) for o in found)
    ]
    return list(dict.fromkeys(leaves))


def source_version(source: str) -> str:
    """Identity of a file's code: sha256 of its text, in hex."""
    return hashlib.sha256(source.encode()).hexdigest()


def line_in(name: str, error: BaseException) -> int | None:
    """The deepest line of the author's file on an error's way; None where none is."""
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == name:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def explain(name: str, error: BaseException) -> str:
    """One sentence: file, line, and what was wrong."""
    line = line_in(name, error)
    # Before Python 3.12 an error of a parameter's declaration arrives in a RuntimeError.
    if isinstance(error, RuntimeError) and error.__cause__ is not None:
        error = error.__cause__
    where = f"{name}, line {line}" if line else name
    text = " ".join(str(error).split())[:_TEXT_LIMIT]
    return (
        f"{where}: {type(error).__name__}: {text}" if text else f"{where}: {type(error).__name__}"
    )
