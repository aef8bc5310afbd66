"""From a name or the text of a file to a data source's class, and what is shown of it.

Loading runs the author's code, so it happens in the source host and nowhere else.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.core.errors import UnknownName
from app.core.sources.base import DataSource
from app.core.sources.builtin import SOURCES
from app.core.sources.errors import BadSourceFile
from app.core.strategies.parameters import json_schema, resolve, to_json
from app.core.user_files import own_classes, run_file, source_version


@dataclass(frozen=True, slots=True)
class SourceRef:
    """A data source by name: a built-in, or the text of a user's file.

    Attributes:
        name: the built-in's name, or the file's name for messages.
        text: the file's text; None for a built-in.
    """

    name: str
    text: str | None = None


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What a data source is, as plain data.

    Attributes:
        class_name: of the class in the file.
        title: first line of the class's documentation.
        schema: JSON schema of the parameters, with defaults and bounds.
        params: the given values, checked, as JSON.
        version: sha256 of the text of the file that defines it, in hex.
    """

    class_name: str
    title: str
    schema: dict[str, Any]
    params: dict[str, Any]
    version: str


def source_class(ref: SourceRef) -> type[DataSource]:
    """The class that a reference names.

    Raises:
        UnknownName: there is no such built-in.
        BadSourceFile: the text is not Python, fails when it runs, or does not define exactly
            one usable source. The message is one sentence with the line.
    """
    if ref.text is None:
        known = SOURCES.get(ref.name)
        if known is None:
            raise UnknownName(
                f"{ref.name[:60]!r} is no built-in data source; use {', '.join(sorted(SOURCES))}, "
                "or give a .py file"
            )
        return known
    found = own_classes(run_file(ref.name, ref.text, "source", BadSourceFile), DataSource)
    if not found:
        raise BadSourceFile(
            f"{ref.name} defines no data source; write a class that inherits from "
            "tidemark.DataSource"
        )
    if len(found) > 1:
        names = ", ".join(item.__name__ for item in found)
        raise BadSourceFile(f"{ref.name} defines {len(found)} data sources ({names}); keep one")
    if found[0].observe is DataSource.observe:
        raise BadSourceFile(f"{ref.name}: {found[0].__name__} has no observe method")
    return found[0]


def describe(ref: SourceRef, params: Mapping[str, Any]) -> SourceInfo:
    """What a source is; judges the parameters as well.

    Raises:
        UnknownName, BadSourceFile: see ``source_class``.
        BadParameter: a value that the source does not accept.
    """
    kind = source_class(ref)
    values = resolve(kind.__name__, kind.parameters, params, "data source")
    given = {name: values[name] for name in params}
    text = ref.text
    if text is None:
        text = inspect.getsource(inspect.getmodule(kind) or kind)
    return SourceInfo(
        class_name=kind.__name__,
        title=inspect.cleandoc(kind.__doc__ or "").partition("\n")[0],
        schema=json_schema(kind.parameters),
        params=to_json(kind.parameters, given),
        version=source_version(text),
    )
