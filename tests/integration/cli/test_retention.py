"""``tidemark data retention`` and ``tidemark system partitions``."""

from __future__ import annotations

from tests.integration.cli.conftest import Tidemark

RETENTION = ("data", "retention")
PARTITIONS = ("system", "partitions")


def test_rules_are_set_listed_and_removed(tidemark: Tidemark) -> None:
    assert "everything is kept" in tidemark(*RETENTION, "list").out
    made = tidemark(*RETENTION, "set", "-i", "1m", "-s", "*/USDT", "--keep-days", "365", "--json")
    assert made.document["keep_days"] == 365
    said = tidemark(*RETENTION, "set", "-i", "1m", "-s", "BTC/USDT", "--forever").out
    assert "bars of 1m of BTC/USDT at * are kept for ever" in said
    listed = tidemark(*RETENTION, "list", "--json").document
    assert [(each["symbol"], each["keep_days"]) for each in listed] == [
        ("*/USDT", 365),
        ("BTC/USDT", None),
    ]
    assert "Nothing is older" in tidemark(*RETENTION, "preview").out
    assert tidemark(*RETENTION, "apply", "--json").document == {"bars": 0, "partitions": []}
    assert tidemark(*RETENTION, "collect-again", "--json").document == {"bars": 0}
    assert tidemark(*RETENTION, "remove", made.document["id"]).code == 0
    assert tidemark(*RETENTION, "remove", made.document["id"]).code == 2
    assert len(tidemark(*RETENTION, "list", "--json").document) == 1


def test_a_rule_can_be_tried_without_being_set(tidemark: Tidemark) -> None:
    dry = tidemark(*RETENTION, "set", "-i", "1m", "--keep-days", "30", "--dry", "--json")
    assert (dry.code, dry.document) == (0, [])
    assert tidemark(*RETENTION, "list", "--json").document == []


def test_what_cannot_be_meant_is_said_in_a_sentence(tidemark: Tidemark) -> None:
    for options in ((), ("--keep-days", "30", "--forever")):
        refused = tidemark(*RETENTION, "set", "-i", "1m", *options)
        assert refused.code != 0
        assert "--keep-days N, or --forever" in refused.err
    refused = tidemark(*RETENTION, "set", "-i", "1m", "--keep-days", "3")
    assert "keep bars for 8 to 36500 days" in refused.err


def test_sqlite_says_that_it_has_no_partitions(tidemark: Tidemark) -> None:
    assert tidemark(*PARTITIONS, "status").out.strip() == "SQLite has no partitions."
    assert tidemark(*PARTITIONS, "status", "--json").document["possible"] is False
    assert tidemark(*PARTITIONS, "maintain").out.strip() == "No month lacks."
    refused = tidemark(*PARTITIONS, "enable")
    assert refused.code != 0
    assert "SQLite has no partitions" in refused.err
