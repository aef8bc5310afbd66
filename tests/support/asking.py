"""Whether every public method of every repository was asked, with each of its options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from functools import cached_property, wraps
from typing import Any, get_type_hints

import pytest

from app.repositories.base import Repository
from app.repositories.unit import Unit
from tests.support.statements import BothDialects

#: (repository, method), or (repository, method, option and whether it was given).
Question = tuple[str, ...]


def repositories() -> dict[str, type[Repository]]:
    """The repositories of a unit by their names there."""
    parts = inspect.getmembers(Unit, lambda part: isinstance(part, cached_property))
    return {name: get_type_hints(part.func)["return"] for name, part in parts}


def methods(repository: type[Repository]) -> dict[str, Callable[..., Any]]:
    """The public methods of a repository, inherited ones too."""
    found = inspect.getmembers(repository, inspect.isfunction)
    return {name: method for name, method in found if not name.startswith("_")}


def questions(repository: type[Repository]) -> Iterator[Question]:
    """All that must be asked of a repository.

    An option that may be left out changes the statement: it is to be given, and left out.
    """
    for name, method in methods(repository).items():
        yield repository.__name__, name
        for option in _options(method):
            yield repository.__name__, name, f"{option} given"
            yield repository.__name__, name, f"{option} left out"


def _options(method: Callable[..., Any]) -> list[str]:
    parameters = inspect.signature(method).parameters.values()
    return [each.name for each in parameters if each.default is None or each.default is False]


class Asked:
    """Notes what repositories are asked, and that each question becomes a statement.

    What the session holds is written and forgotten before each question, so that the database
    is asked and not the session.

    Attributes:
        questions: what was asked.
        silent: methods that executed nothing.
    """

    def __init__(self, statements: BothDialects, monkeypatch: pytest.MonkeyPatch) -> None:
        self.questions: set[Question] = set()
        self.silent: set[Question] = set()
        self._statements = statements
        self._depth = 0
        for repository in repositories().values():
            for name, method in methods(repository).items():
                monkeypatch.setattr(repository, name, self._noting(repository.__name__, method))

    def _noting(self, repository: str, method: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(method)
        name = method.__name__

        @wraps(method)
        def ask(asked: Any, *arguments: Any, **options: Any) -> Any:
            given = signature.bind(asked, *arguments, **options).arguments
            self.questions.add((repository, name))
            for option in _options(method):
                how = "given" if option in given else "left out"
                self.questions.add((repository, name, f"{option} {how}"))
            if self._depth:
                return method(asked, *arguments, **options)  # one method uses another
            return self._executed((repository, name), method, asked, *arguments, **options)

        return ask

    def _executed(
        self, question: Question, method: Callable[..., Any], asked: Any, *args: Any, **options: Any
    ) -> Any:
        asked._session.flush()
        asked._session.expire_all()
        before = self._statements.executed
        self._depth += 1
        try:
            answer = method(asked, *args, **options)
            answer = list(answer) if isinstance(answer, Iterator) else answer
        finally:
            self._depth -= 1
        asked._session.flush()
        if self._statements.executed == before:
            self.silent.add(question)
        return answer
