"""Where settings are written: an environment's YAML file, ``.env``, and names; each is read, or
refused in one sentence."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from io import StringIO
from pathlib import Path
from typing import Any, Final

import yaml
from dotenv.parser import parse_stream

from app.core.errors import InvalidInput

#: What the names of settings begin with in the environment.
PREFIX: Final = "TIDEMARK_"
#: Read elsewhere, without a setting: by the command line, the benchmarks and the tests.
OTHER_NAMES: Final = ("HOME", "DEBUG", "BENCH_DATABASE_URL", "HEARTBEAT_FILE")
_OTHER_PREFIX: Final = "TEST_"


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


def check_dotenv(path: Path) -> None:
    """Refuse lines of ``.env`` that set nothing: python-dotenv warns and goes on without them.

    Raises:
        InvalidInput: there is such a line, or the file cannot be read, or is none.
    """
    if path.is_dir():  # as Docker makes of a file to be mounted that is not there
        raise _refusal(f"{path} is a directory; remove it, or write a file of NAME=value lines")
    if not path.is_file():
        return
    for line in parse_stream(StringIO(_text_of_dotenv(path))):
        if line.error or (line.key is not None and line.value is None):
            raise _refusal(
                f"the file .env, line {line.original.line}, sets nothing; write NAME=value"
            )


def check_names(given: Collection[str], fields: Collection[str]) -> None:
    """Refuse names that nothing reads: they would be settings that silently do nothing.

    Args:
        given: in capitals, those of others among them.
        fields: the settings, without the prefix.

    Raises:
        InvalidInput: one begins as a setting does and is none.
    """
    known = [*(name.upper() for name in fields), *OTHER_NAMES]
    problems = []
    for given_name in sorted(given):
        name = given_name.removeprefix(PREFIX)
        if name == given_name or name.startswith(_OTHER_PREFIX) or name in known:
            continue
        nearest = get_close_matches(name, known, n=1)
        hint = f"; did you mean {PREFIX}{nearest[0]}?" if nearest else ""
        problems.append(f"{given_name} is no setting of Tidemark{hint}")
    if problems:
        raise _refusal("; ".join(problems))


def _text_of_dotenv(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise _refusal("the file .env is not UTF-8; save it in that encoding") from None
    except OSError as error:
        raise _refusal(f"the file .env cannot be read: {error.strerror}") from None


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
