"""Logs: structured, one line an event, and without secrets."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from app.logs import configure_logs, redacted


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Give the root logger back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    structlog.reset_defaults()


def test_an_event_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("INFO", "json")
    structlog.get_logger("shop").info("order_executed", symbol="BTC/USDT", note="two\nlines")
    (line,) = capsys.readouterr().err.splitlines()
    event = json.loads(line)
    assert (event["event"], event["level"], event["note"]) == (
        "order_executed",
        "info",
        "two\nlines",
    )


def test_libraries_logs_are_structured_too(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("INFO", "json")
    logging.getLogger("some.library").warning("took %d s", 3)
    assert json.loads(capsys.readouterr().err)["event"] == "took 3 s"


@pytest.mark.parametrize("name", ["celery.worker.consumer.connection", "uvicorn.error"])
def test_what_libraries_say_of_their_start_is_heard_at_debug_alone(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    configure_logs("INFO", "json")
    logging.getLogger(name).info("Press CTRL+C to quit")
    assert capsys.readouterr().err == ""
    logging.getLogger(name).warning("it failed")
    assert "it failed" in capsys.readouterr().err
    configure_logs("DEBUG", "json")
    logging.getLogger(name).info("Press CTRL+C to quit")
    assert "CTRL+C" in capsys.readouterr().err


@pytest.mark.parametrize("format_", ["json", "console"])
def test_a_canary_secret_never_reaches_the_log(
    format_: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logs("DEBUG", format_)
    canary = "c4n4ry-0123456789abcdef"
    log = structlog.get_logger("app")
    log.info(
        "opened", api_key=canary, nested={"password": canary, "secrets": [canary]}, secret=canary
    )
    log.info("called", url=f"https://venue/api?timestamp=1&signature={canary}")
    log.info("connected", url=f"mysql://user:{canary}@db/tidemark")
    log.info("asked", header=f"Bearer {canary}")
    logging.getLogger("lib").warning("GET /x?apiKey=%s failed", canary)
    said = capsys.readouterr().err
    assert said.count("[redacted]") >= 6
    assert canary not in said


def test_a_flood_in_one_value_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs("INFO", "json")
    structlog.get_logger().info("asked", agent="x" * 1_000_000)
    assert len(capsys.readouterr().err) < 5_000


def test_tokens_are_recognised_in_any_text() -> None:
    token = "tdm_" + "a" * 43
    assert token not in redacted(f"curl -H 'X: {token}'")
