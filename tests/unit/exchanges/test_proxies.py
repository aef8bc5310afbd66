"""Proxies as a person writes them."""

from __future__ import annotations

import pytest

from app.core.errors import InvalidInput
from app.core.exchanges.proxies import named_proxies


def test_a_proxy_is_named_by_its_place_or_by_what_stands_behind_it() -> None:
    text = "http://u:s3cret@proxy.example:3128, https://[::1]:8443/ http://u-2:p%40@gw:80#second"
    assert named_proxies(text) == {
        "proxy.example:3128": "http://u:s3cret@proxy.example:3128",
        "[::1]:8443": "https://[::1]:8443",
        "second": "http://u-2:p%40@gw:80",
    }
    assert named_proxies(" ") == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("http://a:1 socks5://u:s3cret@b:1080", "proxy 2 of the list is not like http://user"),
        ("http://u:s3cret@b", "proxy 1 of the list is not like"),
        ("u:s3cret@b:3128", "proxy 1 of the list is not like"),
        ("http://u:s3cret#x@b:3128", "special characters of a password"),
        ("http://u:12#s3cret@b:3128", "needs a short name"),
        ("http://u:s3cret@b:3128/path", "proxy 1 of the list is not like"),
        ("http://u:s3cret@b:3128#n@me", "needs a short name"),
        ("http://u:s3cret@gw:80,http://v:s3cret@gw:80", "two proxies of the list are named gw:80"),
    ],
)
def test_a_bad_list_is_one_sentence_that_shows_no_password(text: str, said: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        named_proxies(text)
    assert said in refusal.value.message
    assert "s3cret" not in refusal.value.message
