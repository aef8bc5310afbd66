"""Sealed boxes for exchange keys: whoever holds the public key can write, not read.

X25519 with an ephemeral key, HKDF-SHA256, AES-256-GCM; the context (the account's id) is
authenticated, so that a box copied into another account's row does not open there.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Mapping

from app.core.errors import Unavailable

_NONCE = 12
_KEY = 32
_INFO = b"tidemark vault v1"


def new_private_key() -> bytes:
    """A new raw X25519 private key, 32 bytes."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    return X25519PrivateKey.generate().private_bytes_raw()


def public_key_of(private_key: bytes) -> bytes:
    """The public key of a raw private key."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    return X25519PrivateKey.from_private_bytes(private_key).public_key().public_bytes_raw()


class SealedVault:
    """A ``KeyVault``; without the private key it can only seal.

    Args:
        public_key: raw X25519 public key; None where this machine has none, and nothing can be
            sealed.
        private_key: raw X25519 private key, or None in processes that must not read.
    """

    def __init__(self, public_key: bytes | None, private_key: bytes | None = None) -> None:
        self._public = public_key
        self._private = private_key

    def seal(self, context: str, secret: Mapping[str, str]) -> str:
        """Encrypt a secret for one context.

        Raises:
            Unavailable: there is no public key here.
        """
        from cryptography.hazmat.primitives.asymmetric.x25519 import (
            X25519PrivateKey,
            X25519PublicKey,
        )
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if self._public is None:
            raise Unavailable(
                "no vault key was made yet: start a worker of queue orders, or copy vault.key.pub "
                "from the machine that has one into the data directory, and start again"
            )
        ephemeral = X25519PrivateKey.generate()
        shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(self._public))
        sender = ephemeral.public_key().public_bytes_raw()
        nonce = secrets.token_bytes(_NONCE)
        text = json.dumps(dict(secret), sort_keys=True).encode()
        box = AESGCM(_derive(shared, sender + self._public)).encrypt(nonce, text, context.encode())
        return "v1." + base64.urlsafe_b64encode(sender + nonce + box).decode("ascii")

    def open(self, context: str, sealed: str) -> dict[str, str]:
        """Decrypt a secret that was sealed for the same context.

        Raises:
            Unavailable: no private key here, or the box is damaged or of another context.
        """
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.asymmetric.x25519 import (
            X25519PrivateKey,
            X25519PublicKey,
        )
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if self._private is None or self._public is None:
            raise Unavailable("this process holds no key to open exchange credentials")
        version, _, text = sealed.partition(".")
        raw = base64.urlsafe_b64decode(text)
        if version != "v1" or len(raw) <= _KEY + _NONCE:
            raise Unavailable("the sealed credentials are damaged; enter the keys again")
        sender, nonce, box = raw[:_KEY], raw[_KEY : _KEY + _NONCE], raw[_KEY + _NONCE :]
        private = X25519PrivateKey.from_private_bytes(self._private)
        shared = private.exchange(X25519PublicKey.from_public_bytes(sender))
        try:
            plain = AESGCM(_derive(shared, sender + self._public)).decrypt(
                nonce, box, context.encode()
            )
        except InvalidTag:
            raise Unavailable(
                "the sealed credentials were written for another account or key; "
                "enter the keys again"
            ) from None
        opened: dict[str, str] = json.loads(plain)
        return opened


def _derive(shared: bytes, salt: bytes) -> bytes:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return HKDF(SHA256(), _KEY, salt=salt, info=_INFO).derive(shared)
