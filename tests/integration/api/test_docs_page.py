"""The documentation page is whole without a network: no other host has a part in it."""

from __future__ import annotations

import re

import pytest

from app.api.docs_page import docs_router
from tests.support.api import ApiClient

FILES = [route.path for route in docs_router().routes]  # type: ignore[attr-defined]
KINDS = {"css": "text/css", "js": "text/javascript"}


@pytest.mark.parametrize("path", FILES)
def test_every_file_of_the_page_is_served_as_what_it_is(api: ApiClient, path: str) -> None:
    answer = api.get(f"/{path}", token=None)
    assert answer.status_code == 200
    kind = KINDS.get(path.rpartition(".")[2], "text/html")
    assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
    # The policy lets nothing of another host in, and no script that stands in the page itself.
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert len(answer.content) < 20_000


@pytest.mark.parametrize("path", FILES)
def test_no_file_of_the_page_names_another_host(api: ApiClient, path: str) -> None:
    text = api.get(f"/{path}", token=None).text
    assert not re.search(r"https?://|[\"'(]//", text)
    assert "innerHTML" not in text


def test_what_the_page_asks_for_is_there(api: ApiClient) -> None:
    page = api.get("//docs", token=None).text
    wanted = re.findall(r'(?:href|src)="([^"#]+)"', page)
    assert {"docs/page.css", "docs/page.js", "openapi.json"} <= set(wanted)
    for script in [path for path in FILES if path.endswith(".js")]:
        text = api.get(f"/{script}", token=None).text
        wanted += [f"docs/{name}" for name in re.findall(r'from "\./([^"]+)"', text)]
        for name in re.findall(r'byId\("(\w+)"\)', text):
            assert f'id="{name}"' in page, name
    for each in wanted:
        if not each.startswith("data:"):
            assert api.get(f"//{each}", token=None).status_code == 200, each


def test_the_page_is_not_an_operation_of_the_document(api: ApiClient) -> None:
    paths = api.get("//openapi.json", token=None).json()["paths"]
    assert not [path for path in paths if path.startswith("/docs")]
    assert api.post("//docs", {}).headers["allow"] == "GET"
