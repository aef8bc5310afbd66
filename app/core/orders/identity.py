"""Deterministic identities: one key per intent, one client order id per intent."""

from __future__ import annotations

import base64
import hashlib
from typing import Final

_LENGTH: Final = 26  # 130 bits of the digest
_PREFIX: Final = "td"


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
