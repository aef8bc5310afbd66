"""A backup: one zip file that any tool can look into.

``tables/NAME.jsonl`` holds the columns' names in its first line and one row in each other line,
``vault.key.pub`` the public half of the key that the accounts' secrets are sealed with, and
``manifest.json``, written last, says what the file holds. ``vault.key`` is there only where it was
asked for. The file appears whole, under its own name, or not at all, and is its owner's alone.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from app.core.errors import InvalidInput

FORMAT: Final = 1
_MANIFEST: Final = "manifest.json"
_KEY: Final = "vault.key"
_PUBLIC: Final = "vault.key.pub"
# Compression takes most of the time; 6 is 1 % smaller and takes twice as long.
_LEVEL: Final = 3
_MANIFEST_LIMIT: Final = 1_048_576


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds.

    Attributes:
        made_at: RFC 3339.
        revision: of the schema.
        tables: rows and SHA-256 of each table.
        with_key: whether the vault's private key is in it.
    """

    made_at: str
    version: str
    revision: str
    database: str
    tables: Mapping[str, Mapping[str, Any]]
    with_key: bool
    format: int = FORMAT


class Writer:
    """A backup that is being written."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        self.tables: dict[str, dict[str, Any]] = {}

    def table(self, name: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
        """Write a table; how many rows it has."""
        digest, count = hashlib.sha256(), -1
        with self._archive.open(f"tables/{name}.jsonl", "w", force_zip64=True) as member:
            for line in _lines(columns, rows):
                member.write(line)
                digest.update(line)
                count += 1
        self.tables[name] = {"rows": count, "sha256": digest.hexdigest()}
        return count

    def keys(self, public: bytes | None, private: bytes | None) -> None:
        """Write the vault's key, or its public half alone."""
        if public is not None:
            self._archive.writestr(_PUBLIC, public)
        if private is not None:
            self._archive.writestr(_KEY, private)

    def manifest(self, manifest: Manifest) -> None:
        """Write what the file holds; the last step."""
        self._archive.writestr(_MANIFEST, json.dumps(asdict(manifest), indent=2) + "\n")


@contextmanager
def writing(path: Path) -> Iterator[Writer]:
    """Write a backup to a path that does not exist yet.

    Raises:
        InvalidInput: it exists, or cannot be written.
    """
    if path.exists():
        raise InvalidInput(f"{path} exists; a backup replaces no file: give another name")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        handle = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror}") from None
    try:
        with os.fdopen(handle, "w+b") as file:
            with _zip(file, "w") as archive:
                yield Writer(archive)
            file.flush()
            os.fsync(file.fileno())
        _publish(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    _sync_directory(path.parent)


def _publish(partial: Path, path: Path) -> None:
    """Give a whole file its name, unless a file has it.

    Raises:
        InvalidInput: another has taken the name meanwhile, or it cannot be given.
    """
    try:
        try:
            os.link(partial, path)
        except FileExistsError:
            raise
        except OSError:
            _take_name(partial, path)
    except FileExistsError:
        raise InvalidInput(f"{path} exists by now; give another name") from None
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror}") from None


def _take_name(partial: Path, path: Path) -> None:
    """The same without hard links, which FAT and many shares lack.

    The name is taken first, so that nobody else's file is replaced; a kill right after that leaves
    an empty file, which is no backup and is refused as one.
    """
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        partial.replace(path)
    except OSError:
        path.unlink(missing_ok=True)
        raise


class Reader:
    """A backup that is being read.

    Attributes:
        public: the vault's public key, or None where there was none.
        private: its private key, or None where it is not in the backup.
    """

    def __init__(self, archive: zipfile.ZipFile, manifest: Manifest) -> None:
        self._archive = archive
        self.manifest = manifest
        names = archive.namelist()
        self.public = archive.read(_PUBLIC) if _PUBLIC in names else None
        self.private = archive.read(_KEY) if _KEY in names else None

    def verify(self) -> None:
        """Read all of it once: every table is there, whole and unchanged.

        Raises:
            InvalidInput: it is damaged.
        """
        for name, wanted in self.manifest.tables.items():
            digest, count = hashlib.sha256(), -1
            for line in self._raw(name):
                digest.update(line)
                count += 1
            if (count, digest.hexdigest()) != (wanted["rows"], wanted["sha256"]):
                raise InvalidInput(f"the backup is damaged: table {name} is not what was written")

    def columns(self, name: str) -> list[str]:
        """The columns of a table."""
        return [str(each) for each in json.loads(next(self._raw(name)))]

    def rows(self, name: str) -> Iterator[list[Any]]:
        """The rows of a table."""
        lines = self._raw(name)
        next(lines)
        for line in lines:
            yield json.loads(line)

    def _raw(self, name: str) -> Iterator[bytes]:
        try:
            with self._archive.open(f"tables/{name}.jsonl") as member:
                yield from member
        except (KeyError, OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
            raise InvalidInput(f"the backup is damaged: table {name} ({error})") from None


@contextmanager
def reading(path: Path) -> Iterator[Reader]:
    """Open a backup.

    Raises:
        InvalidInput: there is none at that path, or it is not one of ours.
    """
    try:
        with path.open("rb") as file, _zip(file, "r") as archive:
            yield Reader(archive, _manifest(archive, path))
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}") from None
    except zipfile.BadZipFile:
        raise InvalidInput(f"{path} is no backup, or was cut off") from None


def _manifest(archive: zipfile.ZipFile, path: Path) -> Manifest:
    try:
        if archive.getinfo(_MANIFEST).file_size > _MANIFEST_LIMIT:
            raise ValueError
        known = json.loads(archive.read(_MANIFEST))
        if known["format"] > FORMAT:
            raise InvalidInput(f"{path} was made by a newer release; restore it with that one")
        return Manifest(**known)
    except (KeyError, TypeError, ValueError):
        raise InvalidInput(f"{path} is no backup of Tidemark") from None


def _lines(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[bytes]:
    encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
    yield (encode(list(columns)) + "\n").encode()
    for row in rows:
        yield (encode(row) + "\n").encode()


def _zip(file: BinaryIO, mode: Any) -> zipfile.ZipFile:
    return zipfile.ZipFile(file, mode, zipfile.ZIP_DEFLATED, compresslevel=_LEVEL, allowZip64=True)


def _sync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some shares have no way to flush a directory; they keep it in their own time.
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)
