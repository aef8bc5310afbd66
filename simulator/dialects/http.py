"""What all dialects share: requests as they arrive, answers, and what a dialect can do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import parse_qsl

from simulator.faults import Rule


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request as it arrived, before anything was checked."""

    method: str
    path: str
    query: str
    body: str
    api_key: str | None

    def params(self) -> dict[str, str]:
        """Parameters of the query and the body; the query wins, as at the venue."""
        pairs = parse_qsl(self.body, keep_blank_values=True)
        return dict(pairs) | dict(parse_qsl(self.query, keep_blank_values=True))


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: status, JSON and headers.

    Attributes:
        code: the venue's error code, or None.
    """

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    code: int | None = None
    content_type: str = "application/json"


class Dialect(Protocol):
    """A venue's REST interface."""

    def owner(self, request: Request) -> str | None:
        """Name of the account whose key the request shows, whether or not it is signed."""
        ...

    async def prepare(self, request: Request) -> None:
        """Do the long part of a request beforehand, without holding up the others."""
        ...

    def answer(self, request: Request) -> Answer:
        """Process one request."""
        ...

    def fault(self, rule: Rule) -> Answer:
        """The refusal that a rule orders, in the venue's words."""
        ...
