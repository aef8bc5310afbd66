"""Ids that ascend, and exchange keys that only their account opens."""

from __future__ import annotations

import random
import re
import threading

import pytest

from app.adapters.ids import Uuid7
from app.core.errors import Unavailable
from app.core.security.tokens import digest, same
from app.core.security.vault import SealedVault, new_private_key, public_key_of
from tests.support.record import ManualClock

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def test_ids_ascend_within_a_millisecond_and_when_the_clock_steps_back() -> None:
    clock = ManualClock()
    ids = Uuid7(clock, random.Random(1).getrandbits)
    made = [ids.new() for _ in range(10_000)]  # more than the counter of one millisecond holds
    clock.advance(-5_000)
    made += [ids.new() for _ in range(10)]
    clock.advance(60_000)
    made.append(ids.new())
    assert made == sorted(made)
    assert len(set(made)) == len(made)
    assert all(UUID7.fullmatch(each) for each in made)


def test_threads_never_share_an_id() -> None:
    ids = Uuid7(ManualClock(), random.Random(1).getrandbits)
    made: list[str] = []
    threads = [
        threading.Thread(target=lambda: made.extend(ids.new() for _ in range(500)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 4_000


def test_a_sealed_key_opens_for_its_own_account_alone() -> None:
    key = new_private_key()
    writer, reader = SealedVault(public_key_of(key)), SealedVault(public_key_of(key), key)
    secret = {"apiKey": "k", "secret": "s3cr3t"}
    box = writer.seal("account-1", secret)
    assert "s3cr3t" not in box
    assert box != writer.seal("account-1", secret)
    assert reader.open("account-1", box) == secret
    with pytest.raises(Unavailable, match="another account or key"):
        reader.open("account-2", box)
    with pytest.raises(Unavailable, match="holds no key"):
        writer.open("account-1", box)
    other = new_private_key()
    with pytest.raises(Unavailable, match="another account or key"):
        SealedVault(public_key_of(other), other).open("account-1", box)


@pytest.mark.parametrize("box", ["", "v1.", "v1.AAAA", "v2." + "A" * 200])
def test_a_damaged_box_says_what_to_do(box: str) -> None:
    key = new_private_key()
    with pytest.raises(Unavailable, match="enter the keys again"):
        SealedVault(public_key_of(key), key).open("account-1", box)


def test_tokens_are_compared_by_digest() -> None:
    assert same(digest("a"), digest("a"))
    assert not same(digest("a"), digest("b"))
