"""Deterministic identities: one key per intent, one client order id per intent."""

from __future__ import annotations

import base64
import hashlib
import re
import uuid
from typing import Final

_LENGTH: Final = 26  # 130 bits of the digest
_PREFIX: Final = "td"
_OURS: Final = re.compile(rf"{_PREFIX}[a-z2-7]{{{_LENGTH}}}", re.ASCII)


def signal_intent(instance_id: str, signal_key: str) -> str:
    """Key of the intent of one signal; the same however often the signal is processed."""
    return f"s:{instance_id}:{signal_key}"


def manual_intent(idempotency_key: str) -> str:
    """Key of the intent of one manual order."""
    return f"m:{idempotency_key}"


def client_order_id(account_id: str, intent_key: str, epoch: int = 0) -> str:
    """Client order id of an intent: ``[a-z0-9]``, 28 characters, valid at every venue.

    Args:
        epoch: grows only after absence was proven at a venue that refuses to see an id twice.
    """
    text = f"{account_id}\x1f{intent_key}\x1f{epoch}".encode()
    digest = base64.b32encode(hashlib.sha256(text).digest()).decode("ascii").lower()
    return _PREFIX + digest[:_LENGTH]


def is_ours(client_order_id: str) -> bool:
    """Whether an id at a venue has the shape of ours."""
    return _OURS.fullmatch(client_order_id) is not None


def external_intent(symbol: str, venue_order_id: str) -> str:
    """Key of an order that was placed at the venue and not by us; the same each time it is seen."""
    return f"x:{symbol}:{venue_order_id}"


def external_client_id(account_id: str, symbol: str, venue_order_id: str) -> str:
    """Client order id of an adopted order whose own is not known, or is taken already."""
    return "x" + client_order_id(account_id, external_intent(symbol, venue_order_id))


def inferred_id(at_ms: int, *parts: str) -> str:
    """Id of a row that was inferred from what a venue holds: the same for the same facts.

    Its shape is that of a UUIDv7, with the digest of the parts in place of random bits, so that
    it sorts by time among the others.

    Args:
        at_ms: a time that belongs to the facts, not to the moment they were seen.
    """
    digest = int.from_bytes(hashlib.sha256("\x1f".join(parts).encode()).digest()[:10], "big")
    value = (at_ms & (1 << 48) - 1) << 80 | digest
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return str(uuid.UUID(int=value))
