"""API tokens."""

from __future__ import annotations

import re
import secrets
from collections import OrderedDict
from typing import Final

from app.core.ports import Clock, Ids
from app.core.security.tokens import PREFIX, TOKEN_BYTES, digest
from app.models import ApiTokenRow
from app.repositories.unit import Unit, Units

# ``TOKEN_BYTES`` in Base64, as `create` writes them.
_TOKEN: Final = re.compile(re.escape(PREFIX) + r"[A-Za-z0-9_-]{43}", re.ASCII)


# A request's token is looked up at each request otherwise: a tenth of what a page of klines costs.
_KNOWN_S: Final = 1.0
_KNOWN: Final = 64


class TokenService:
    """Creates and checks bearer tokens; their text is shown once and never kept.

    What was found of a token holds for a second: so much longer is a revoked one taken.
    """

    def __init__(self, units: Units, ids: Ids, clock: Clock) -> None:
        self._units = units
        self._ids = ids
        self._clock = clock
        # Name and when it was found, by digest. One assignment or removal at a time is safe.
        self._known: OrderedDict[str, tuple[str, float]] = OrderedDict()

    def create(self, name: str) -> str:
        """A new token; its text, which cannot be read again."""
        token = PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
        self._units.run(lambda unit: self._add(unit, name, token))
        return token

    def adopt(self, name: str, token: str) -> bool:
        """Let a token that another record has made hold here too.

        Returns:
            False where its text is no token's, or this record has revoked it.
        """
        if not _TOKEN.fullmatch(token):
            return False

        def work(unit: Unit) -> bool:
            if unit.system.knew_token(digest(token)):
                return False
            self._add(unit, name, token)
            return True

        return self._units.run(work)

    def exists(self) -> bool:
        """Whether any token is in force."""
        with self._units.read() as unit:
            return bool(unit.system.tokens())

    def known_name_of(self, token: str) -> str | None:
        """The name of a token that was in force a moment ago; no question to the record."""
        name, found_at = self._known.get(digest(token), ("", -_KNOWN_S))
        return name if self._clock.monotonic() - found_at < _KNOWN_S else None

    def name_of(self, token: str) -> str | None:
        """The name of a token in force, or None for any other text."""
        key = digest(token)
        found_at = self._clock.monotonic()
        with self._units.read() as unit:
            row = unit.system.token_by_digest(key)
        if row is None:
            self._known.pop(key, None)
            return None
        self._known[key] = (row.name, found_at)
        while len(self._known) > _KNOWN:
            self._known.popitem(last=False)
        return row.name

    def _add(self, unit: Unit, name: str, token: str) -> None:
        unit.system.add_token(
            ApiTokenRow(
                id=self._ids.new(),
                name=name[:64],
                digest=digest(token),
                created_at=unit.now_ms,
            )
        )
