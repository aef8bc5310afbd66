"""The documentation page: files of this installation, nothing of another host.

Whoever installs this at home reads it without a network; the page renders ``/openapi.json``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Response

from app.api.guard import OpenRoute

#: Of the page; its other files lie below.
PATH: Final = "/docs"
#: What the page may do: its own script and style, and asking its own host.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_DIRECTORY: Final = Path(__file__).parent / "docs"
_PAGE: Final = "index.html"
_KINDS: Final = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}


def docs_router() -> APIRouter:
    """The page at ``/docs``, and its files by name."""
    router = APIRouter(route_class=OpenRoute, include_in_schema=False)
    for file in sorted(_DIRECTORY.iterdir()):
        path = PATH if file.name == _PAGE else f"{PATH}/{file.name}"
        router.add_api_route(path, _served(file.read_bytes(), _KINDS[file.suffix]), name=file.name)
    return router


def _served(content: bytes, kind: str) -> Callable[[], Response]:
    def serve() -> Response:
        return Response(content, media_type=f"{kind}; charset=utf-8")

    return serve
