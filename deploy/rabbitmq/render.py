"""The broker's definitions with passwords filled in.

``python deploy/rabbitmq/render.py OUT`` takes the passwords from ``TIDEMARK_APP_PASSWORD`` and
``TIDEMARK_FLOWER_PASSWORD`` and writes what RabbitMQ reads by ``load_definitions``. It needs
nothing but Python, so that a container can run it before the broker starts.

``tidemark_app`` may declare, write and read what the application uses in the virtual host
``tidemark``, and nothing else; ``tidemark_flower`` may listen to Celery's events. Where definitions
are loaded into an empty broker, RabbitMQ makes no user ``guest``.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

VHOST = "tidemark"
APP_USER = "tidemark_app"
FLOWER_USER = "tidemark_flower"
_TEMPLATE = Path(__file__).with_name("definitions.json")
_SALT_BYTES = 4
_SHORTEST = 16
_VARIABLES = {APP_USER: "TIDEMARK_APP_PASSWORD", FLOWER_USER: "TIDEMARK_FLOWER_PASSWORD"}


def password_hash(password: str, salt: bytes | None = None) -> str:
    """A password as RabbitMQ keeps it: base64 of a four-byte salt and SHA-256 of both."""
    salt = secrets.token_bytes(_SALT_BYTES) if salt is None else salt
    digest = hashlib.sha256(salt + password.encode()).digest()
    return base64.b64encode(salt + digest).decode("ascii")


def definitions(passwords: Mapping[str, str]) -> str:
    """The definitions as JSON text.

    Args:
        passwords: of ``tidemark_app`` and ``tidemark_flower``.

    Raises:
        ValueError: a password is missing, or shorter than 16 characters.
    """
    document = json.loads(_TEMPLATE.read_text(encoding="utf-8"))
    for user in document["users"]:
        password = passwords.get(user["name"], "")
        if len(password) < _SHORTEST:
            raise ValueError(f"{user['name']} needs a password of {_SHORTEST} characters or more")
        user["password_hash"] = password_hash(password)
    return json.dumps(document, indent=2) + "\n"


def write(path: Path, passwords: Mapping[str, str]) -> None:
    """Write the definitions to a file that its owner alone can read.

    Raises:
        ValueError: as ``definitions``.
    """
    text = definitions(passwords)
    path.unlink(missing_ok=True)
    handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)


def main() -> int:
    """Render for a container's start."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python render.py OUT\n")
        return 2
    passwords = {user: os.environ.get(name, "") for user, name in _VARIABLES.items()}
    try:
        write(Path(sys.argv[1]), passwords)
    except ValueError as error:
        sys.stderr.write(f"{error}; set {' and '.join(_VARIABLES.values())}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
