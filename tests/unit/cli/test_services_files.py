"""Directories and files of the services that cannot be used: one sentence, exit code 2."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from app.cli.main import run
from app.cli.services.files import write_whole
from app.cli.services.manager import read_env

Spoil = Callable[[Path], Path]


def _a_file(root: Path) -> Path:
    (root / "data").touch()
    return root / "data"


def _below_a_file(root: Path) -> Path:
    return _a_file(root) / "below"


def _below_proc(_root: Path) -> Path:
    return Path("/proc/1/tidemark")  # root cannot make it either


def _services_are_a_file(root: Path) -> Path:
    (root / "services").touch()
    return root


def _services_lead_nowhere(root: Path) -> Path:
    (root / "services").symlink_to("services")
    return root


def _env_is_a_directory(root: Path) -> Path:
    (root / "services" / "env").mkdir(parents=True)
    return root


def _env_is_no_text(root: Path) -> Path:
    (root / "services").mkdir()
    (root / "services" / "env").write_bytes(b"TIDEMARK_REDIS_URL=\xff\n")
    return root


def _endpoint_is_empty(root: Path) -> Path:
    (root / "services" / "redis").mkdir(parents=True)
    (root / "services" / "redis" / "endpoint.json").touch()
    return root


START = ("services", "start")
STATUS = ("services", "status")
STOP = ("services", "stop")
UP = ("up", "--full")


@pytest.mark.parametrize(
    ("command", "spoil"),
    [
        (START, _a_file),
        (START, _below_a_file),
        (START, _below_proc),
        (START, _services_are_a_file),
        (STATUS, _a_file),
        (STATUS, _services_are_a_file),
        (STATUS, _services_lead_nowhere),
        (STOP, _services_are_a_file),
        (STOP, _services_lead_nowhere),
        (UP, _env_is_a_directory),
        (UP, _env_is_no_text),
    ],
)
def test_what_cannot_be_used_is_one_sentence(
    command: tuple[str, ...],
    spoil: Spoil,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    directory = spoil(tmp_path)
    monkeypatch.setenv("TIDEMARK_DATA_DIR", str(directory))
    assert run([*command]) == 2
    *_notes, said = capsys.readouterr().err.splitlines()
    assert said.startswith("tidemark: ")
    assert str(directory) in said
    assert "cannot be used" in said or "is damaged" in said


def test_a_damaged_endpoint_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMARK_DATA_DIR", str(_endpoint_is_empty(tmp_path)))
    assert run(["services", "status"]) == 1  # nothing runs, so nobody is asked
    capsys.readouterr()
    from app.cli.services.redis import RedisServer
    from app.core.errors import InvalidInput

    with pytest.raises(InvalidInput, match=r"endpoint\.json is damaged; delete it and run"):
        RedisServer(tmp_path / "services" / "redis").start()


@pytest.mark.parametrize("command", ["status", "stop"])
def test_looking_at_services_that_never_were_makes_nothing(
    command: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TIDEMARK_DATA_DIR", str(tmp_path / "none"))
    assert run(["services", command]) == (1 if command == "status" else 0)
    assert "stopped" in capsys.readouterr().out
    assert not (tmp_path / "none").exists()


def test_a_file_is_replaced_as_a_whole_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text("A=old\n")
    path.chmod(0o644)
    before = path.open()
    write_whole(path, "A=new\n")
    # Another file took its name: a reader has the old text or the new one.
    with before:
        assert before.read() == "A=old\n"
    assert read_env(path) == {"A": "new"}
    assert path.stat().st_mode & 0o077 == 0
    assert os.listdir(tmp_path) == ["env"]  # noqa: PTH208
