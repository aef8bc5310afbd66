"""The YAML file of an environment: names of settings and their values, or one sentence why not."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from app.core.errors import InvalidInput


def read_settings_file(path: Path, shown: str, known: Collection[str]) -> dict[str, Any]:
    """The settings that a file gives; none where there is no such file.

    Args:
        shown: the file's name in messages.
        known: every name that may stand in it.

    Raises:
        InvalidInput: the file cannot be read, or names what is no setting.
    """
    if not path.exists():
        return {}
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise _refusal(f"the file {shown} is not UTF-8; save it in that encoding") from None
    except OSError as error:
        raise _refusal(f"the file {shown} cannot be read: {error.strerror}") from None
    except yaml.YAMLError as error:
        raise _refusal(f"the file {shown}{_line(error)} is no YAML: {_reason(error)}") from None
    except (ValueError, RecursionError):  # of a date that there is not, and of endless brackets
        raise _refusal(f"the file {shown} holds a value that cannot be read") from None
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise _refusal(f"the file {shown} must hold lines such as `api_port: 8700`")
    _refuse_unknown(given, shown, known)
    return given


def _refuse_unknown(given: dict[Any, Any], shown: str, known: Collection[str]) -> None:
    problems = []
    for name in given:
        if name in known:
            continue
        nearest = get_close_matches(str(name).lower(), known, n=1)
        hint = f"; did you mean {nearest[0]}?" if nearest else ""
        problems.append(f"the file {shown}: {str(name)[:60]!r} is no setting of Tidemark{hint}")
    if problems:
        raise _refusal("; ".join(problems))


def _line(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return "" if mark is None else f", line {mark.line + 1},"


def _reason(error: yaml.YAMLError) -> str:
    """What the reader says of it, without the place."""
    problem = getattr(error, "problem", None) or getattr(error, "reason", None)
    return str(problem or "it cannot be read")


def _refusal(sentence: str) -> InvalidInput:
    return InvalidInput(sentence, code="invalid-settings")
