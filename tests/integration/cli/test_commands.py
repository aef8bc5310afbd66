"""Commands on an installation where nothing else runs."""

from __future__ import annotations

import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from app.adapters.celery_queue import NoQueue
from app.cli.locking import RuntimeLock
from app.cli.up import ensure_token
from app.config import load_settings
from app.repositories.migrating import upgrade
from app.wiring import Container
from tests.integration.cli.conftest import Tidemark

LISTS = [
    ("account", "list"),
    ("order", "list"),
    ("instance", "list"),
    ("backtest", "list"),
    ("job", "list"),
    ("data", "jobs"),
    ("data", "plans"),
    ("data", "plans", "list"),
    ("data", "sources", "list"),
    ("data", "coverage"),
    ("data", "symbols"),
    ("data", "instruments"),
    ("risk", "rules"),
]


@pytest.mark.parametrize("words", LISTS)
def test_a_fresh_installation_lists_nothing_and_says_so(
    tidemark: Tidemark, words: tuple[str, ...]
) -> None:
    outcome = tidemark(*words)
    assert outcome.code == 0, outcome.err
    assert outcome.out.strip()
    assert outcome.err == ""


@pytest.mark.parametrize("words", LISTS)
def test_every_list_is_one_json_document_too(tidemark: Tidemark, words: tuple[str, ...]) -> None:
    outcome = tidemark(*words, "--json")
    assert outcome.code == 0
    found = outcome.document
    assert (found["data"] if isinstance(found, dict) else found) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing"], "No such command"),
        (["order", "place", "buy"], "Missing argument"),
        (["order", "place", "bid", "1", "-s", "A/B", "-a", "x"], "'buy', 'sell'"),
        (["order", "place", "buy", "1e5", "-s", "A/B", "-a", "x"], "quantity"),
        (["order", "list", "--limit", "0"], "--limit"),
        (["order", "list", "--nothing"], "--nothing"),
        (["order", "list", "--cursor", "zzz"], "leave it out for the first page"),
        (["instance", "list", "--cursor", "zzz"], "cursor"),
        (["backtest", "list", "--cursor", "zzz"], "cursor"),
        (["job", "list", "--cursor", "zzz"], "cursor"),
        (["data", "jobs", "--cursor", "zzz"], "cursor"),
        (["data", "plans", "list", "--cursor", "zzz"], "cursor"),
        (["data", "instruments", "--cursor", "zzz"], "cursor"),
        (["job", "list", "--kind", "nope"], "use one of collection, verification, import"),
        (["account", "add-simulated", "x", "-b", "USDT"], "--balance"),
        (["account", "add-simulated", "x", "-b", "USDT=0"], "--balance"),
        (
            ["backtest", "run", "x", "-s", "A/B", "-i", "1h", "--start", "a", "--end", "b"],
            "--start",
        ),
        (["data", "klines", "-s", "BTC/USDT", "-i", "1m"], "no klines of BTC/USDT 1m are stored"),
        (["data", "heal", "nope"], "no collection plan has the name or id 'nope'"),
        (["data", "symbols", "-e", "binanse"], "did you mean binance"),
        (["data", "klines", "-e", "nope", "-s", "A/B", "-i", "1m"], "'nope' is not known"),
        (["data", "coverage", "-e", "nope", "-s", "A/B", "-i", "1m"], "'nope' is not known"),
        (
            [
                *("data", "plans", "add", "x", "-e", "nope"),
                *("-s", "A/B", "-i", "1m", "--since", "2026-01-01"),
            ],
            "'nope' is not known",
        ),
        (["data", "retention", "set", "-i", "1m", "-e", "no such", "--keep-days", "9"], "an id"),
        (["data", "collect"], "--symbol"),
        (["data", "collect", "-s", "BTC/USDT"], "--since"),
        (["data", "coverage", "-s", "NO/SUCH"], "catalogue"),
        (
            ["data", "coverage", "-e", "okx", "-s", "NO/SUCH"],
            "refresh: tidemark data symbols -e okx --refresh",
        ),
        (["data", "plans", "add", "x", "-s", "BTC/USDT", "-i", "1m", "--since", ""], "--since"),
        (
            [
                *("data", "plans", "add", "x", "-i", "1m", "--since", "2026-01-01"),
                *("--pattern", "*/USDT", "--top", "0"),
            ],
            "--top",
        ),
        (["strategy", "check", "/no/such/file.py"], "does not exist"),
        (["risk", "halt", "--scope", "everything"], "scope"),
        (["risk", "set-rule", "max_order_value", "max_value"], "NAME=VALUE"),
        (["risk", "set-rule", "nothing", "max_value=1"], "not known"),
        (["up", "--port", "70000"], "--port"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(
    tidemark: Tidemark, words: list[str], said: str
) -> None:
    outcome = tidemark(*words)
    assert outcome.code == 2
    assert outcome.out == ""
    assert said in outcome.err
    assert outcome.err.startswith("tidemark: ")
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["account", "add-simulated", "demo", "-b", "USDT=1"],
        ["system", "status"],
        ["system", "token"],
    ],
)
def test_what_cannot_be_done_is_one_sentence_and_exit_1(
    tidemark: Tidemark, words: list[str]
) -> None:
    outcome = tidemark(*words)
    assert outcome.code == 1
    assert outcome.out == ""
    assert outcome.err.startswith("tidemark: ")
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["order", "show", "nobody"],
        ["order", "cancel", "nobody"],
        ["order", "place", "buy", "1", "-s", "A/B", "-a", "nobody"],
        ["account", "show", "nobody"],
        ["instance", "start", "nobody"],
        ["backtest", "show", "nobody"],
        ["job", "cancel", "nobody"],
        ["strategy", "show", "nobody"],
        ["data", "sources", "show", "nobody"],
        ["data", "collect", "nobody"],
        ["data", "plans", "enable", "nobody"],
        ["risk", "halt", "--scope", "account:nobody"],
    ],
)
def test_a_name_that_nothing_has_is_one_sentence_and_exit_2(
    tidemark: Tidemark, words: list[str]
) -> None:
    outcome = tidemark(*words)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith("tidemark: ")
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("while True: pass", "strategy 'it' "),
        ("import os; os._exit(0)", "strategy 'it' "),
        ("def broken(", "it.py"),
    ],
)
def test_a_file_that_cannot_be_used_is_exit_2(
    tidemark: Tidemark,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    sentence: str,
) -> None:
    monkeypatch.setenv("TIDEMARK_STRATEGY_TIMEOUT_S", "1")
    (tmp_path / "it.py").write_text(text)
    for command in ("check", "add"):
        outcome = tidemark("strategy", command, str(tmp_path / "it.py"))
        assert (outcome.code, outcome.out) == (2, ""), outcome.err
        assert outcome.err.startswith("tidemark: ")


def test_a_group_alone_shows_its_help_and_is_a_usage_error(tidemark: Tidemark) -> None:
    for words in ([], ["order"], ["data"]):
        outcome = tidemark(*words)
        assert outcome.code == 2
        assert "Usage:" in outcome.out + outcome.err


def test_trading_is_halted_and_resumed_with_nothing_but_the_database(
    tidemark: Tidemark, data_dir: Path
) -> None:
    assert tidemark("risk", "status", "--json").document == {"halted": False, "halts": []}
    halted = tidemark("risk", "halt", "a drill", "--json")
    assert halted.code == 0
    assert halted.document["scope"] == "global"
    assert f"No Tidemark runs on this record, sqlite:///{data_dir}" in halted.err
    assert "make services" in tidemark("risk", "halt", "--full").err
    status = tidemark("risk", "status")
    assert "a drill" in status.out
    assert tidemark("risk", "status", "--json").document["halted"] is True
    assert tidemark("risk", "resume", "--json").document["lifted"] == 1
    assert "Nothing" in tidemark("risk", "resume").out


def test_a_limit_is_set_listed_and_switched_off(tidemark: Tidemark) -> None:
    made = tidemark("risk", "set-rule", "max_order_value", "max_value=5000.10", "--json").document
    assert made["params"] == {"max_value": "5000.1"}
    off = tidemark("risk", "set-rule", "max_order_value", "max_value=6000", "--off", "--json")
    assert (off.document["version"], off.document["enabled"]) == (2, False)
    assert "max_order_value" in tidemark("risk", "rules").out


def test_strategies_are_listed_shown_checked_and_added(tidemark: Tidemark, tmp_path: Path) -> None:
    assert "moving_average_cross" in tidemark("strategy", "list").out
    shown = tidemark("strategy", "show", "moving_average_cross")
    assert "fast" in shown.out
    file = tmp_path / "idle.py"
    file.write_text(
        "from tidemark import BaseStrategy\n\n\n"
        "class Idle(BaseStrategy):\n"
        '    """Does nothing."""\n\n'
        "    def on_kline(self, kline):\n"
        "        return None\n"
    )
    assert "usable" in tidemark("strategy", "check", str(file)).out
    added = tidemark("strategy", "add", str(file), "--json")
    assert added.document["name"] == "idle"
    assert "idle" in tidemark("strategy", "list").out
    file.write_text("def nothing(: pass")
    broken = tidemark("strategy", "check", str(file))
    assert broken.code == 2
    assert broken.err.count("\n") == 1


def test_the_token_is_made_once_shown_and_its_owners_alone(
    tidemark: Tidemark, data_dir: Path
) -> None:
    made = tidemark("system", "token", "--new")
    assert made.out.startswith("tdm_")
    assert tidemark("system", "token").out == made.out
    assert (data_dir / "api-token").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("kept", [True, False])
def test_the_token_of_one_record_holds_for_the_next_in_the_same_directory(
    tidemark: Tidemark, data_dir: Path, kept: bool
) -> None:
    made = tidemark("system", "token", "--new").out.strip()
    file = data_dir / "api-token"
    if not kept:
        file.write_text("no token\n")
    container = Container(load_settings(database_url=f"sqlite:///{data_dir}/other.db"), NoQueue())
    try:
        upgrade(container.engine)
        first = ensure_token(container)
        assert (first is None, file.read_text().strip() == made) == (kept, kept)
        assert container.tokens.name_of(file.read_text().strip()) == "first start"
        assert ensure_token(container) is None
    finally:
        container.close()


def test_the_schema_comes_by_itself_and_migrate_says_where_it_is(tidemark: Tidemark) -> None:
    assert tidemark("system", "migrate", "--json").document["changed"] is True
    assert tidemark("system", "migrate", "--json").document["changed"] is False


def test_an_older_release_leaves_a_newer_record_alone_and_says_whose_it_is(
    tidemark: Tidemark, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMARK_SIMULATOR_URL", "http://127.0.0.1:9")
    tidemark("system", "migrate")
    with closing(sqlite3.connect(data_dir / "tidemark.db")) as record:
        record.execute("UPDATE alembic_version SET version_num = '9999'")
        record.commit()
    for command in (("order", "list"), ("up", "--port", "0"), ("system", "migrate")):
        outcome = tidemark(*command)
        assert outcome.code == 1
        assert "a newer one has migrated it; start that one" in outcome.err
    # What runs already goes on: the newer schema holds all that it knows.
    checks = {each["component"]: each for each in tidemark("doctor", "--json").document["checks"]}
    assert checks["migrations"]["ok"]
    assert "of a newer release" in checks["migrations"]["detail"]


def test_a_backup_is_named_by_the_time_in_a_directory_that_may_be_new(
    tidemark: Tidemark, tmp_path: Path
) -> None:
    tidemark("system", "migrate")
    saved = tidemark("system", "backup", "backups/")
    assert saved.code == 0, saved.err
    (file,) = (tmp_path / "backups").iterdir()
    assert file.name.startswith("tidemark-20")
    assert str(file.relative_to(tmp_path)) in saved.out
    refused = tidemark("system", "backup", f"backups/{file.name}/")
    assert (refused.code, "cannot be made: " in refused.err) == (2, True)


def test_the_doctor_names_what_is_wrong_and_exits_1(
    tidemark: Tidemark, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMARK_SIMULATOR_URL", "http://127.0.0.1:9")
    outcome = tidemark("doctor", "--json")
    assert outcome.code == 1
    checks = {check["component"]: check for check in outcome.document["checks"]}
    assert [name for name, check in checks.items() if not check["ok"]] == ["exchange"]
    assert "is it running?" in checks["exchange"]["detail"]
    assert outcome.err == "tidemark: not well: exchange\n"
    assert "WRONG" in tidemark("system", "doctor").out


def test_the_doctor_before_the_first_start_makes_nothing(
    tidemark: Tidemark, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Venue:
        def server_time_ms(self) -> int:
            return time.time_ns() // 1_000_000

    monkeypatch.setattr("app.core.exchanges.factory.market_adapter", lambda *_, **__: Venue())
    outcome = tidemark("doctor", "--json")
    assert outcome.code == 0, outcome.out
    checks = {check["component"]: check["detail"] for check in outcome.document["checks"]}
    assert "answers" in checks["exchange binance"]
    assert "will be made at the first start" in checks["database"]
    assert "first start" in checks["migrations"]
    assert not (data_dir / "tidemark.db").exists()


def test_commands_of_two_directories_work_on_one_record_and_say_where_it_is(
    tidemark: Tidemark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMARK_DATA_DIR", "data")
    monkeypatch.setenv("TIDEMARK_SIMULATOR_URL", "http://127.0.0.1:9")
    tidemark("risk", "halt", "seen from everywhere")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert "seen from everywhere" in tidemark("risk", "status").out
    assert list(elsewhere.iterdir()) == []
    checks = {each["component"]: each for each in tidemark("doctor", "--json").document["checks"]}
    assert checks["data directory"]["detail"].startswith(f"{tmp_path}/data is writable")


def test_a_setting_that_is_wrong_is_a_sentence_for_commands_and_a_finding_for_the_doctor(
    tidemark: Tidemark, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMARK_API_PORT", "eighty")
    refused = tidemark("account", "list")
    assert refused.code == 2
    assert "TIDEMARK_API_PORT: " in refused.err
    examined = tidemark("doctor", "--json")
    assert examined.code == 1
    assert examined.document["checks"][0]["component"] == "settings"


def test_a_database_that_is_away_is_a_sentence(
    tidemark: Tidemark, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "TIDEMARK_DATABASE_URL", "mysql+pymysql://tidemark:s3cret@127.0.0.1:9/tidemark"
    )
    outcome = tidemark("order", "list")
    assert outcome.code == 1
    assert "tidemark doctor" in outcome.err
    assert "s3cret" not in outcome.err


def test_what_is_unforeseen_is_kept_in_a_log_and_shown_only_on_request(
    tidemark: Tidemark, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("unforeseen")

    monkeypatch.setattr("app.services.jobs.JobService.page", fail)
    outcome = tidemark("job", "list")
    assert outcome.code == 1
    assert "ZeroDivisionError" in outcome.err
    assert "Traceback" not in outcome.err
    assert "unforeseen" in (data_dir / "cli-errors.log").read_text()
    monkeypatch.setenv("TIDEMARK_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        tidemark("job", "list")


def test_a_command_beside_a_runtime_finds_its_simulated_exchange(
    tidemark: Tidemark, data_dir: Path
) -> None:
    with RuntimeLock(data_dir) as lock:
        lock.describe(simulator_url="http://127.0.0.1:9")
        outcome = tidemark("account", "add-simulated", "demo", "-b", "USDT=1")
    assert outcome.code == 1
    assert "does not answer" in outcome.err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["order", "place", "buy", "-0.01"], "what begins with - is taken for an option"),
        (["order", "place", "hold", "1"], "'side': 'hold' is not one of 'buy', 'sell'"),
        (["order", "list", "-n", "0"], "it must be greater than or equal to 1"),
        (["data", "collect", "nope"], "no collection plan has the name or id 'nope'"),
        (["risk", "halt", ""], "say why trading is halted"),
        (["risk", "halt", "  "], "say why trading is halted"),
    ],
)
def test_a_refusal_says_what_is_wrong_without_jargon(
    tidemark: Tidemark, words: list[str], sentence: str
) -> None:
    more = ["-s", "BTC/USDT", "-a", "demo"] if words[1] == "place" else []
    outcome = tidemark(*words, *more)
    assert outcome.code == 2
    assert sentence in outcome.err
    assert "Value error" not in outcome.err


def test_a_strategy_without_a_docstring_is_named_without_a_dangling_mark(
    tidemark: Tidemark, tmp_path: Path
) -> None:
    file = tmp_path / "bare.py"
    file.write_text(
        "from tidemark import BaseStrategy, IntParameter\n"
        "class Bare(BaseStrategy):\n"
        "    n = IntParameter(5, low=1, high=9)\n"
        "    def on_kline(self, kline): return None\n"
    )
    assert tidemark("strategy", "check", str(file)).out.strip().endswith("is usable: Bare")
    assert re.fullmatch(r"bare [0-9a-f]{12}", tidemark("strategy", "add", str(file)).out.strip())
    file.write_text(file.read_text().replace("low=1, high=9", "low=10, high=3"))
    refused = tidemark("strategy", "check", str(file))
    assert (refused.code, "'n' has low 10 above high 3" in refused.err) == (2, True)
