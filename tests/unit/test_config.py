"""Settings: where they come from, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.config import Environment, is_loopback, load_settings
from app.core.errors import InvalidInput


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of this machine, and an empty working directory."""
    for name in ("TIDEMARK_ENVIRONMENT", "TIDEMARK_LOG_LEVEL", "LOG_LEVEL", "TIDEMARK_API_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


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


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"api_port": 70_000}, "setting api_port: Input should be less than or equal to 65535"),
        ({"log_level": "LOUD"}, "use DEBUG, INFO, WARNING, ERROR or CRITICAL"),
        ({"log_format": "xml"}, "setting log_format"),
        ({"environment": "prod"}, "setting environment"),
        ({"simulator_url": "http://198.51.100.7:9"}, "must be on loopback"),
        ({"order_recv_window_ms": 5_000}, "less than or equal to 2000"),
    ],
)
def test_a_bad_value_is_one_sentence(given: dict[str, object], sentence: str) -> None:
    with pytest.raises(InvalidInput, match="setting") as refusal:
        load_settings(**given)
    assert sentence in refusal.value.message
    assert refusal.value.error_code == "invalid-settings"


@pytest.mark.parametrize("password", ["", "guest", "tidemark", "changeme"])
@pytest.mark.parametrize(
    "place",
    [
        {"environment": "production", "api_docs": False},
        {"environment": "staging"},
        {"api_host": "0.0.0.0"},  # noqa: S104
        {"api_host": "::"},
    ],
)
def test_default_passwords_are_refused_where_they_could_hurt(
    password: str, place: dict[str, object]
) -> None:
    for name, url in (
        ("database_url", f"mysql+pymysql://tidemark:{password}@db/tidemark"),
        ("broker_url", f"amqp://guest:{password}@mq//"),
        ("redis_url", f"redis://:{password}@cache/0"),
    ):
        with pytest.raises(InvalidInput, match=f"TIDEMARK_{name.upper()} has a default or empty"):
            load_settings(**place, **{name: url})
        load_settings(**place, **{name: url.replace(f":{password}@", ":c0rrect-h0rse-b4ttery@")})
        load_settings(**{name: url})  # on loopback, in development


def test_production_does_not_show_its_documentation() -> None:
    with pytest.raises(InvalidInput, match="TIDEMARK_API_DOCS must be false"):
        load_settings(environment="production", api_docs=True)


def test_a_refusal_never_shows_the_secret() -> None:
    with pytest.raises(InvalidInput) as refusal:
        load_settings(environment="staging", database_url="mysql://u:changeme@db/x")
    assert "changeme" not in refusal.value.message


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "::1", "[::1]"])
def test_what_is_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "example.org", "", "::"])  # noqa: S104
def test_what_is_not_loopback(host: str) -> None:
    assert not is_loopback(host)
