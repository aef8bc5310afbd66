"""One thing that does not hold."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Breach:
    """An invariant that is broken.

    Attributes:
        invariant: its name, such as ``O11``.
        subject: id or name of what broke it.
        sentence: what is wrong, for a person.
    """

    invariant: str
    subject: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.sentence}"
