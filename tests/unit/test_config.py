"""Settings: where they come from, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from app.adapters.celery_queue import NoQueue
from app.cli.locking import RuntimeLock
from app.cli.supervision.table import beat_arguments
from app.cli.up import _market_options
from app.config import Environment, Settings, home, is_loopback, load_settings, settings_or_exit
from app.core.errors import InvalidInput
from app.wiring import Container

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of this machine, and an empty home that is the working directory too."""
    for name in [each for each in os.environ if each.startswith("TIDEMARK_")] + ["LOG_LEVEL"]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TIDEMARK_HOME", str(tmp_path))


def test_a_first_start_needs_no_setting() -> None:
    settings = load_settings()
    assert settings.environment is Environment.DEVELOPMENT
    assert settings.is_embedded
    assert settings.sqlalchemy_url.startswith("sqlite:////")
    assert is_loopback(settings.api_host)


def test_the_environment_wins_over_dotenv_over_yaml(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TIDEMARK_ENVIRONMENT", "testing")
    assert load_settings().log_level == "WARNING"  # config/environments/testing.yaml
    (tmp_path / ".env").write_text("TIDEMARK_LOG_LEVEL=ERROR\nTIDEMARK_API_PORT=9001\n")
    assert load_settings().log_level == "ERROR"
    monkeypatch.setenv("TIDEMARK_API_PORT", "9002")
    assert load_settings().api_port == 9002


def test_log_level_has_its_short_name_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "debug")
    assert load_settings().log_level == "DEBUG"


def test_a_bad_log_level_is_told_by_the_name_that_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "loud")
    with pytest.raises(InvalidInput, match=r"^LOG_LEVEL: use DEBUG"):
        load_settings()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"api_port": 70_000}, "TIDEMARK_API_PORT: it must be at most 65535"),
        ({"log_level": "LOUD"}, "TIDEMARK_LOG_LEVEL: use DEBUG, INFO, WARNING, ERROR or CRITICAL"),
        ({"log_format": "xml"}, "TIDEMARK_LOG_FORMAT: use one of console, json"),
        ({"environment": "prod"}, "TIDEMARK_ENVIRONMENT: use one of development, testing"),
        ({"simulator_url": "http://198.51.100.7:9"}, "must be on loopback"),
        ({"database_url": "postgresql://u:s3cret@db/x"}, "TIDEMARK_DATABASE_URL: use sqlite:///"),
        ({"database_url": "var/tidemark.db"}, "TIDEMARK_DATABASE_URL: use sqlite:///"),
        ({"database_url": "mysql+pymysql://u:s3cret/x@db/y"}, "TIDEMARK_DATABASE_URL: it is no"),
        ({"broker_url": "amqp://u:s3cret@[::1/v"}, "TIDEMARK_BROKER_URL: it is no URL"),
        ({"data_dir": ""}, "TIDEMARK_DATA_DIR: name a directory"),
        ({"order_recv_window_ms": 5_000}, "TIDEMARK_ORDER_RECV_WINDOW_MS: it must be at most 2000"),
        ({"proxies": "http://u:s3cret@b"}, "TIDEMARK_PROXIES: proxy 1 of the list is not like"),
        ({"polite": "okx;all"}, "TIDEMARK_POLITE: write venues as in okx, bybit; or all"),
        ({"polite": "krakn"}, "TIDEMARK_POLITE: exchange 'krakn' is not known; did you mean"),
        ({"redis_url": "http://x"}, "TIDEMARK_REDIS_URL: write it as in redis://"),
        ({"broker_url": "foo://x"}, "TIDEMARK_BROKER_URL: write it as in memory:// or amqp://"),
        ({"broker_url": ""}, "TIDEMARK_BROKER_URL: write it as in memory:// or amqp://"),
        ({"flower_broker_url": "x"}, "TIDEMARK_FLOWER_BROKER_URL: write it as in amqp://"),
        ({"flower_broker_api": "amqp://x"}, "TIDEMARK_FLOWER_BROKER_API: write it as in http://"),
        ({"simulator_url": "127.0.0.1:1"}, "TIDEMARK_SIMULATOR_URL: write it as in http://"),
        ({"api_host": "not a host"}, "TIDEMARK_API_HOST: write an address or a host name"),
        ({"api_host": "300.1.1.1"}, "TIDEMARK_API_HOST: write an address or a host name"),
        ({"api_host": ""}, "TIDEMARK_API_HOST: write an address or a host name"),
        ({"strategy_timeout_s": "inf"}, "TIDEMARK_STRATEGY_TIMEOUT_S: it must be a finite number"),
        ({"backtest_timeout_s": "nan"}, "TIDEMARK_BACKTEST_TIMEOUT_S: it must be a finite number"),
        ({"strategy_timeout_s": 1e9}, "TIDEMARK_STRATEGY_TIMEOUT_S: it must be at most 3600"),
    ],
)
def test_a_bad_value_is_one_sentence(given: dict[str, object], sentence: str) -> None:
    with pytest.raises(InvalidInput, match="TIDEMARK_") as refusal:
        load_settings(**given)
    assert sentence in refusal.value.message
    assert refusal.value.error_code == "invalid-settings"
    assert "s3cret" not in refusal.value.message


def test_dotenv_chooses_the_yaml_file_and_the_environment_wins_over_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("TIDEMARK_ENVIRONMENT=staging\n")
    assert load_settings().log_format == "json"  # config/environments/staging.yaml
    monkeypatch.setenv("TIDEMARK_ENVIRONMENT", "testing")
    assert load_settings().log_format == "console"


@pytest.fixture
def yaml_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The environment's YAML file of a checkout of its own."""
    monkeypatch.setattr("app.config._ROOT", tmp_path)
    made = tmp_path / "config" / "environments" / "development.yaml"
    made.parent.mkdir(parents=True)
    return made


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("log_format: [a", ", line 1, is no YAML: expected ',' or ']'"),
        ("log_level: INFO\n? [1,2]\n: 3", ", line 2, is no YAML: found unhashable key"),
        ("a: !!python/object:os.system x", ", line 1, is no YAML: could not determine"),
        ("- log_level", " must hold lines such as `api_port: 8700`"),
        ("log_level", " must hold lines such as"),
        ("1: 2", ": '1' is no setting of Tidemark"),
        ("log_levle: INFO", ": 'log_levle' is no setting of Tidemark; did you mean log_level?"),
        ("LOG_LEVEL: INFO", "did you mean log_level?"),
        ("log_level: 2026-13-45", " holds a value that cannot be read"),
        ("log_level: \x07", " is no YAML: special characters are not allowed"),
        ("api_port: eighty", ", api_port: write a whole number"),
        ("log_level: loud", ", log_level: use DEBUG"),
    ],
)
def test_a_broken_yaml_file_is_one_sentence_with_its_name(
    yaml_file: Path, text: str, sentence: str
) -> None:
    yaml_file.write_text(text)
    with pytest.raises(InvalidInput) as refusal:
        load_settings()
    assert refusal.value.message.startswith("the file config/environments/development.yaml")
    assert sentence in refusal.value.message
    assert refusal.value.error_code == "invalid-settings"


def test_a_yaml_file_in_another_encoding_or_that_is_none_is_named(yaml_file: Path) -> None:
    yaml_file.write_bytes("api_host: caf\u00e9".encode("latin-1"))
    with pytest.raises(InvalidInput, match=r"development\.yaml is not UTF-8"):
        load_settings()
    yaml_file.unlink()
    yaml_file.mkdir()
    with pytest.raises(InvalidInput, match=r"development\.yaml cannot be read: Is a directory"):
        load_settings()


def test_a_value_is_told_by_the_variable_that_covers_the_file(
    yaml_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    yaml_file.write_text("# nothing else\napi_port: 9001\n")
    assert load_settings().api_port == 9001
    monkeypatch.setenv("TIDEMARK_API_PORT", "eighty")
    with pytest.raises(InvalidInput, match=r"^TIDEMARK_API_PORT: write a whole number"):
        load_settings()


def test_an_empty_yaml_file_sets_nothing(yaml_file: Path) -> None:
    yaml_file.write_text("# later\n")
    assert load_settings().api_port == 8700


def test_what_another_program_starts_ends_with_2_and_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TIDEMARK_API_PORT", "eighty")
    with pytest.raises(SystemExit) as end:
        settings_or_exit()
    assert end.value.code == 2
    assert capsys.readouterr().err == "tidemark: TIDEMARK_API_PORT: write a whole number\n"


def test_a_directory_in_the_place_of_dotenv_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    with pytest.raises(InvalidInput, match=r"\.env is a directory; remove it"):
        load_settings()


def test_dotenv_in_another_encoding_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes("TIDEMARK_API_HOST=caf\u00e9\n".encode("latin-1"))
    with pytest.raises(InvalidInput, match="\\.env is not UTF-8"):
        load_settings()


@pytest.mark.parametrize(
    "line", ["TIDEMARK_ENVIRONMENT: production", "TIDEMARK_API_DOCS", 'TIDEMARK_X="never closed']
)
def test_a_line_of_dotenv_that_sets_nothing_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / ".env").write_text(f"# passwords\n\nTIDEMARK_API_PORT=9001\n{line}\n")
    with pytest.raises(InvalidInput, match=r"^the file \.env, line 4, sets nothing") as refusal:
        load_settings()
    assert refusal.value.error_code == "invalid-settings"


def test_the_reason_leaves_out_how_the_parser_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_API_PORT", "eighty")
    with pytest.raises(InvalidInput) as refusal:
        load_settings()
    assert refusal.value.message == "TIDEMARK_API_PORT: write a whole number"


def test_a_misspelt_name_is_refused_with_the_nearest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TIDEMARK_APIPORT", "9001")
    (tmp_path / ".env").write_text("TIDEMARK_DATADIR=x\nTIDEMARK_ZZZZ=1\nELSEWHERE=1\n")
    with pytest.raises(InvalidInput) as refusal:
        load_settings()
    assert refusal.value.message == (
        "TIDEMARK_APIPORT is no setting of Tidemark; did you mean TIDEMARK_API_PORT?; "
        "TIDEMARK_DATADIR is no setting of Tidemark; did you mean TIDEMARK_DATA_DIR?; "
        "TIDEMARK_ZZZZ is no setting of Tidemark"
    )


def test_names_that_are_read_elsewhere_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DEBUG", "BENCH_DATABASE_URL", "TEST_ANYTHING"):
        monkeypatch.setenv(f"TIDEMARK_{name}", "1")
    load_settings()


def test_a_data_directory_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    lock = RuntimeLock(tmp_path / "file")
    assert not lock.held_by_other()
    with pytest.raises(InvalidInput, match=r"^TIDEMARK_DATA_DIR .*file cannot be used"), lock:
        pass
    settings = Settings(data_dir=tmp_path / "file" / "below")
    with pytest.raises(InvalidInput, match=r"^TIDEMARK_DATA_DIR .*below cannot be made"):
        _ = Container(settings, NoQueue()).engine
    with pytest.raises(InvalidInput, match=r"^TIDEMARK_DATA_DIR .*below cannot be made"):
        _ = Container(settings, NoQueue()).vault


@pytest.mark.parametrize(
    "password", ["", "guest", "tidemark", "changeme", "123456", "Tidemark-2026", "1234567890123"]
)
@pytest.mark.parametrize(
    "place",
    [
        {"environment": "production", "api_docs": False},
        {"environment": "staging"},
        {"api_host": "0.0.0.0"},  # noqa: S104
        {"api_host": "::"},
    ],
)
def test_weak_passwords_are_refused_where_they_could_hurt(
    password: str, place: dict[str, object]
) -> None:
    for name, url in (
        ("database_url", f"mysql+pymysql://tidemark:{password}@db/tidemark"),
        ("broker_url", f"amqp://guest:{password}@mq//"),
        ("redis_url", f"redis://:{password}@cache/0"),
    ):
        with pytest.raises(InvalidInput, match=f"^TIDEMARK_{name.upper()} has no password") as it:
            load_settings(**place, **{name: url})
        assert "openssl rand" in it.value.message
        assert not password or password not in it.value.message
        load_settings(**place, **{name: url.replace(f":{password}@", ":c0rrect-h0rse-b4ttery@")})
        load_settings(**{name: url})  # on loopback, in development


def test_a_password_is_judged_as_it_is_typed_not_as_it_is_written_in_the_url() -> None:
    for password in ("gu%65st", "%67%75%65%73%74", "%40" * 11 + "x", "some%6Fne%2E%2E%2E"):
        with pytest.raises(InvalidInput, match="TIDEMARK_BROKER_URL has no password"):
            load_settings(environment="staging", broker_url=f"amqp://someone:{password}@mq//")


def test_the_same_record_is_found_from_every_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / ".env").write_text("TIDEMARK_API_PORT=9001\n")
    (elsewhere / ".env").write_text("TIDEMARK_API_PORT=9002\n")
    here = load_settings(database_url="sqlite:///own/other.db")
    monkeypatch.chdir(elsewhere)
    there = load_settings(database_url="sqlite:///own/other.db")
    assert here == there
    assert there.api_port == 9001
    assert there.data_dir == tmp_path / "var"
    assert there.sqlalchemy_url == f"sqlite:///{tmp_path}/own/other.db"
    assert load_settings().sqlalchemy_url == f"sqlite:///{tmp_path}/var/tidemark.db"
    assert load_settings(data_dir="mine").data_dir == tmp_path / "mine"
    assert load_settings(data_dir=str(elsewhere)).data_dir == elsewhere


def test_home_is_the_checkout_or_where_one_stands_with_an_installed_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("TIDEMARK_HOME")
    assert load_settings().data_dir == ROOT / "var"
    monkeypatch.setattr("app.config._ROOT", tmp_path / "site-packages")
    assert home() == tmp_path
    monkeypatch.setenv("TIDEMARK_HOME", str(tmp_path / "misspelt"))
    with pytest.raises(InvalidInput, match=r"^TIDEMARK_HOME .*/misspelt is no directory"):
        load_settings()


def test_what_runs_leaves_its_files_in_the_data_directory_each_stack_its_own() -> None:
    embedded, full = load_settings(), load_settings(broker_url="amqp://u:p@localhost//")
    assert full.beat_file == embedded.data_dir / "celerybeat-schedule"
    assert str(full.beat_file) in beat_arguments(full)
    # The accounts of a simulated exchange are those of one record.
    assert full.simulator_journal != embedded.simulator_journal
    assert {each.simulator_journal.parent for each in (embedded, full)} == {embedded.data_dir}
    assert str(full.simulator_journal) in _market_options(full)


def test_production_does_not_show_its_documentation() -> None:
    with pytest.raises(InvalidInput, match="TIDEMARK_API_DOCS must be false"):
        load_settings(environment="production", api_docs=True)


def test_a_refusal_never_shows_the_secret() -> None:
    with pytest.raises(InvalidInput) as refusal:
        load_settings(environment="staging", database_url="mysql+pymysql://u:changeme@db/x")
    assert "changeme" not in refusal.value.message


def test_proxies_are_shown_by_name_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_PROXIES", "http://u:s3cret@proxy.example:3128, http://[::1]:80#b")
    monkeypatch.setenv("TIDEMARK_POLITE", "okx, bybit")
    settings = load_settings()
    assert list(settings.named_proxies) == ["proxy.example:3128", "b"]
    assert settings.polite_venues == {"okx", "bybit"}
    for shown in (repr(settings), str(settings), settings.model_dump_json()):
        assert "s3cret" not in shown


def test_a_simulated_exchange_is_reached_by_proxies_on_loopback_alone() -> None:
    settings = load_settings(
        proxies="http://u:p@proxy.example:3128 http://[::1]:80#b",
        simulator_url="http://127.0.0.1:8790",
    )
    assert settings.named_proxies == {"b": "http://[::1]:80"}


@pytest.mark.parametrize("host", ["::", "::1", "10.0.0.1", "localhost", "a-b.c_d", "fe80::1%eth0"])
def test_what_the_api_may_listen_on(host: str) -> None:
    assert load_settings(api_host=host).api_host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "::1", "[::1]"])
def test_what_is_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "example.org", "", "::"])  # noqa: S104
def test_what_is_not_loopback(host: str) -> None:
    assert not is_loopback(host)
