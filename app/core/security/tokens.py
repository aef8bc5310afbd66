"""Bearer tokens: shown once, kept as a digest."""

from __future__ import annotations

import hashlib
import hmac

PREFIX = "tdm_"
# 32 random bytes as text; a digest of so much entropy needs no slow hash.
TOKEN_BYTES = 32


def digest(token: str) -> str:
    """SHA-256 of a token, as it is kept."""
    return hashlib.sha256(token.encode()).hexdigest()


def same(left: str, right: str) -> bool:
    """Compare two digests in constant time."""
    return hmac.compare_digest(left, right)
