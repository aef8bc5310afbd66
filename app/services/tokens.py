"""API tokens."""

from __future__ import annotations

import secrets

from app.core.ports import Ids
from app.core.security.tokens import PREFIX, TOKEN_BYTES, digest
from app.models import ApiTokenRow
from app.repositories.unit import Unit, Units


class TokenService:
    """Creates and checks bearer tokens; their text is shown once and never kept."""

    def __init__(self, units: Units, ids: Ids) -> None:
        self._units = units
        self._ids = ids

    def create(self, name: str) -> str:
        """A new token; its text, which cannot be read again."""
        token = PREFIX + secrets.token_urlsafe(TOKEN_BYTES)

        def work(unit: Unit) -> None:
            unit.system.add_token(
                ApiTokenRow(
                    id=self._ids.new(),
                    name=name[:64],
                    digest=digest(token),
                    created_at=unit.now_ms,
                )
            )

        self._units.run(work)
        return token

    def exists(self) -> bool:
        """Whether any token is in force."""
        with self._units.read() as unit:
            return bool(unit.system.tokens())

    def name_of(self, token: str) -> str | None:
        """The name of a token in force, or None for any other text."""
        with self._units.read() as unit:
            row = unit.system.token_by_digest(digest(token))
        return row.name if row else None
