"""The key file of the vault.

Two files: the private key, which only its owner reads, and its public half beside it as ``.pub``.
A process that may only seal reads the public half alone and never makes a pair: a key made in the
wrong place would seal what nobody can open.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from app.core.security.vault import SealedVault, new_private_key, public_key_of
from app.repositories.database import make_directory


def public_path(path: Path) -> Path:
    """Where the public half of a key file lies."""
    return path.with_suffix(path.suffix + ".pub")


def open_vault(path: Path, *, can_read: bool) -> SealedVault:
    """The vault of the key in the file.

    Args:
        can_read: read the private key, and make the pair where it is missing; without it, seal
            only. Where the public half is missing too, sealing says so when it is asked for.
    """
    public = public_path(path)
    if not can_read:
        return SealedVault(public.read_bytes() if public.exists() else None)
    make_directory(path.parent)
    if not path.exists():
        _place(path, new_private_key(), 0o600)
    private = path.read_bytes()
    known = public_key_of(private)
    if not public.exists() or public.read_bytes() != known:
        # Readable by all: it is no secret, and the API may run as another user.
        public.unlink(missing_ok=True)
        _place(public, known, 0o644)
    return SealedVault(known, private)


def place_key(path: Path, private: bytes) -> None:
    """Put a private key where none is, with its public half beside it."""
    make_directory(path.parent)
    public_path(path).unlink(missing_ok=True)
    _place(path, private, 0o600)
    open_vault(path, can_read=True)


def _place(path: Path, content: bytes, mode: int) -> None:
    """Write a file whole or not at all; of two processes that do so the first wins."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.link(name, path)
    except FileExistsError:
        return
    finally:
        Path(name).unlink()
