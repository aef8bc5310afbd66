"""``tidemark data retention`` and ``tidemark system partitions``."""

from __future__ import annotations

from pathlib import Path

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


def test_a_rule_for_what_is_stored_nowhere_is_refused_or_said_to_do_nothing(
    tidemark: Tidemark, tmp_path: Path
) -> None:
    for more in ((), ("--dry",)):
        refused = tidemark(*RETENTION, "set", "-i", "3d", "--keep-days", "365", *more)
        assert refused.code == 2
        assert "set the rule for these, as in: tidemark data retention set -i 1d" in refused.err
    assert tidemark(*RETENTION, "list", "--json").document == []
    early = tidemark(*RETENTION, "set", "-i", "5m", "-s", "BTC/*", "--keep-days", "365")
    assert (early.code, "set a rule for the interval that is stored" in early.err) == (0, True)
    # Bars of a file, which no plan could collect.
    path = tmp_path / "weeks.csv"
    path.write_text("ts,open,high,low,close,volume\n1767571200000,2,3,1,2,7\n")
    assert tidemark("data", "import", str(path), "-s", "BTC/USDT", "-i", "1w").code == 0
    stored = tidemark(*RETENTION, "set", "-i", "1w", "--keep-days", "365")
    assert (stored.code, stored.err) == (0, "")
    elsewhere = tidemark(*RETENTION, "set", "-i", "1w", "-s", "ETH/*", "--keep-days", "365")
    assert elsewhere.code == 2


def test_sqlite_says_that_it_has_no_partitions(tidemark: Tidemark) -> None:
    assert tidemark(*PARTITIONS, "status").out.strip() == "SQLite has no partitions."
    assert tidemark(*PARTITIONS, "status", "--json").document["possible"] is False
    assert tidemark(*PARTITIONS, "maintain").out.strip() == "No month lacks."
    refused = tidemark(*PARTITIONS, "enable")
    assert refused.code != 0
    assert "SQLite has no partitions" in refused.err
