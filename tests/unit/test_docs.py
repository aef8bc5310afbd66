"""The documents for operators name what exists: tests, alarms, files; in both languages alike."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.support.simulator import ROOT

DOCS = ROOT / "docs"
SHORT = {
    "T/": "tests/integration/trading/",
    "M/": "tests/integration/market/",
    "G/": "tests/integration/messaging/",
    "S/": "tests/integration/streams/",
}
LANGUAGES = ("", ".zh-CN")
_TEST = re.compile(r"`((?:tests|T|M|G|S)/[\w/]+\.py)(?:::(\w+))?`")
_KIND = re.compile(r'kind="([a-z]+(?:-[a-z]+)*)"')
# Which argument of a function is the kind of an alarm.
_TELLS = {"tell_alarm": 2, "begin_alarm": 3, "end_alarm": 2, "_alarm": 2}


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_test_that_is_named_exists(language: str) -> None:
    named = _TEST.findall((DOCS / f"INVARIANTS{language}.md").read_text())
    assert len(named) > 50
    for path, name in named:
        for short, full in SHORT.items():
            path = full + path.removeprefix(short) if path.startswith(short) else path  # noqa: PLW2901
        source = (ROOT / path).read_text()
        assert not name or f"def {name}(" in source, (path, name)


def alarms() -> set[str]:
    """The kinds of alarms that the code raises."""
    found: set[str] = set()
    for path in (ROOT / "app").rglob("*.py"):
        source = path.read_text()
        if '"alerts.v1"' in source:
            found |= set(_KIND.findall(source))
        found |= {kind for call in ast.walk(ast.parse(source)) if (kind := _told(call))}
    return found - {"strategy"} | {"denied", "rule-failed", "schedule-silent", "schedule-back"}


def _told(call: ast.AST) -> str | None:
    """The kind of the alarm that a call tells, where it is written there."""
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
        return None
    at = _TELLS.get(call.func.id, len(call.args))
    kind = call.args[at] if at < len(call.args) else None
    return kind.value if isinstance(kind, ast.Constant) and isinstance(kind.value, str) else None


def test_every_schema_of_an_event_has_its_topic() -> None:
    sources = [path.read_text() for path in (ROOT / "app").rglob("*.py")]
    schemas = {name for text in sources for name in re.findall(r'body\(\s*"(\w+\.v\d+)"', text)}
    systems = {name for text in sources for name in re.findall(r'topic\("system", "(\w+)"', text)}
    assert {"orders.v1", "klines.v1", "bans.v1"} <= schemas
    assert {"ban", "bar_skipped"} <= systems
    text = (DOCS / "architecture.md").read_text()
    assert {name for name in schemas if f"`{name}`" not in text} == set()
    assert {name for name in systems if f"`system.{name}." not in text} == set()


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_alarm_says_what_to_do(language: str) -> None:
    text = (DOCS / f"operations{language}.md").read_text()
    known = alarms()
    assert {"overfill", "halt", "account-not-comparable", "key-refused"} <= known
    assert {kind for kind in known if f"`{kind}`" not in text} == set()


@pytest.mark.parametrize("name", ["operations", "INVARIANTS", "data-sources"])
def test_both_languages_have_the_same_tables_and_commands(name: str) -> None:
    english, chinese = ((DOCS / f"{name}{each}.md").read_text() for each in LANGUAGES)

    def shape(text: str) -> tuple[int, int, list[str]]:
        rows = [line for line in text.splitlines() if line.startswith("|")]
        commands = re.findall(r"^(?:tidemark|nginx|mkdir) [^#\n]*", text, re.MULTILINE)
        return len(rows), text.count("\n## "), [each.strip() for each in commands]

    assert shape(english) == shape(chinese)


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_links_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / name).read_text()):
        assert Path(ROOT / target).exists(), target
