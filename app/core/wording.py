"""Why a value does not fit, in the words of the house; by the kinds that validators tell apart."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

_TYPES: Final[Mapping[str, str]] = {
    "string": "text, in quotes",
    "int": "a whole number",
    "float": "a number",
    "decimal": "a number",
    "bool": "true or false",
    "list": "a list, in brackets",
    "tuple": "a list, in brackets",
    "dict": "an object, in braces",
    "mapping": "an object, in braces",
    "model": "an object, in braces",
    "model_attributes": "an object, in braces",
    "path": "the name of a file or directory",
}
# The name of a type, and what of it failed: it was another, or its text could not be read.
_OF_TYPE: Final = re.compile(r"(\w+?)_(?:type|parsing|parsing_size|from_float|unicode|sub_type)")
# Of a kind, and what its context names.
_BOUNDS: Final[Mapping[str, tuple[str, str]]] = {
    "greater_than": ("it must be above {}", "gt"),
    "greater_than_equal": ("it must be at least {}", "ge"),
    "less_than": ("it must be below {}", "lt"),
    "less_than_equal": ("it must be at most {}", "le"),
    "multiple_of": ("it must be a multiple of {}", "multiple_of"),
    "string_too_short": ("it must have at least {} characters", "min_length"),
    "string_too_long": ("it may have at most {} characters", "max_length"),
    "too_short": ("it must hold at least {} entries", "min_length"),
    "too_long": ("it may hold at most {} entries", "max_length"),
}
_PLAIN: Final[Mapping[str, str]] = {
    "missing": "it is required and was not given",
    "extra_forbidden": "there is no such field here; leave it out, or correct its name",
    "finite_number": "it must be a finite number",
    "none_required": "it must be null, or left out",
}
_CHOICES: Final = ("literal_error", "enum")
_QUOTED: Final = re.compile(r"'([^']*)'")


def field_words(
    kind: str, context: Mapping[str, Any], message: str, forms: Mapping[str, str]
) -> str:
    """What is wrong with a value, and what to write instead.

    Args:
        kind: what failed, by the validator's name, such as ``int_parsing``.
        context: what the kind was compared with: a bound, a pattern, the choices.
        message: the validator's own words, for kinds that are none of its own.
        forms: what each pattern says, in words.
    """
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind in _BOUNDS:
        words, name = _BOUNDS[kind]
        is_empty = name == "min_length" and context[name] == 1
        return "it may not be empty" if is_empty else words.format(context[name])
    if kind in _CHOICES:
        return f"use one of {', '.join(_QUOTED.findall(str(context['expected'])))}"
    if kind == "string_pattern_mismatch":
        pattern = str(context["pattern"])
        return forms.get(pattern, f"it must have the form {pattern}")
    of_type = _OF_TYPE.fullmatch(kind)
    wanted = _TYPES.get(of_type[1]) if of_type else None
    return message.removeprefix("Value error, ") if wanted is None else f"write {wanted}"
