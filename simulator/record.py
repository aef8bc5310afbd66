"""The simulator's own record of what it was asked and what it did, for tests to compare with."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from simulator.clock import wall_ms

_KEPT: Final = 200_000
SECRET_PARAMS: Final = frozenset({"signature", "apiKey"})


@dataclass(slots=True)
class RequestRecord:
    """One request.

    Attributes:
        outcome: ``answered``, ``refused`` (closed before processing), ``reply_lost``,
            ``late`` (accepted after the client was cut) or ``pending``.
        status: HTTP status sent (or made, where the reply was lost), None before that.
    """

    seq: int
    wall_ms: int
    market_ms: int
    transport: str
    method: str
    path: str
    params: dict[str, str]
    account: str | None
    outcome: str = "pending"
    status: int | None = None
    code: int | None = None
    processed_ms: int | None = None
    faults: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """All of it; the parameters hold no secret."""
        return {name: getattr(self, name) for name in self.__slots__}


class Record:
    """Requests in order of arrival; the oldest of more than 200,000 are dropped."""

    def __init__(self) -> None:
        self._requests: deque[RequestRecord] = deque(maxlen=_KEPT)
        self._count = 0

    def note(
        self,
        market_ms: int,
        transport: str,
        method: str,
        path: str,
        params: Mapping[str, str],
        account: str | None,
    ) -> RequestRecord:
        """Begin the record of a request."""
        self._count += 1
        entry = RequestRecord(
            seq=self._count,
            wall_ms=wall_ms(),
            market_ms=market_ms,
            transport=transport,
            method=method,
            path=path,
            params={k: v for k, v in params.items() if k not in SECRET_PARAMS},
            account=account,
        )
        self._requests.append(entry)
        return entry

    def select(self, wanted: Mapping[str, str], since: int, limit: int) -> list[RequestRecord]:
        """Requests after ``since`` that match all of the given fields.

        ``client_order_id`` matches ``newClientOrderId`` and ``origClientOrderId``.
        """
        found = []
        for entry in self._requests:
            if entry.seq > since and all(_matches(entry, *item) for item in wanted.items()):
                found.append(entry)
                if len(found) == limit:
                    break
        return found

    def clear(self) -> None:
        """Forget the requests; their numbers go on."""
        self._requests.clear()


def client_order_id(params: Mapping[str, str]) -> str | None:
    """The client's order id that a request names."""
    return params.get("newClientOrderId") or params.get("origClientOrderId")


def _matches(entry: RequestRecord, name: str, value: str) -> bool:
    if name == "client_order_id":
        return value in (
            entry.params.get("newClientOrderId"),
            entry.params.get("origClientOrderId"),
        )
    return str(getattr(entry, name)) == value
