"""The key file of the vault."""

from __future__ import annotations

import os
from pathlib import Path

from app.core.security.vault import SealedVault, new_private_key, public_key_of
from app.repositories.database import make_directory


def open_vault(path: Path, *, can_read: bool) -> SealedVault:
    """The vault of the key in the file; the pair is made where it is missing.

    The public half lies beside it as ``.pub``: a process that may only seal reads that alone.
    """
    make_directory(path.parent)
    public = path.with_suffix(path.suffix + ".pub")
    if not path.exists() and not public.exists():
        _make_vault_key(path)
    if not can_read:
        return SealedVault(public.read_bytes())
    private = path.read_bytes()
    return SealedVault(public_key_of(private), private)


def _make_vault_key(path: Path) -> None:
    key = new_private_key()
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return  # another process was first
    with os.fdopen(handle, "wb") as file:
        file.write(key)
    path.with_suffix(path.suffix + ".pub").write_bytes(public_key_of(key))
