"""No second server over the data of a first, whoever has lost sight of that."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from app.cli.main import run
from app.cli.services import processes
from app.cli.services.reaper import living, session_members
from tests.support.servers import RedisServer, ServerError

pytestmark = pytest.mark.redis


class LedRedis(RedisServer):
    """Redis behind a shell that waits for it, as RabbitMQ's own script may be."""

    def _command(self) -> list[str]:
        program, configuration = super()._command()
        return ["/bin/sh", "-c", '"$0" "$1"; exit $?', program, configuration]


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Fail unless the condition comes true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)


def lives(pid: int) -> bool:
    """Whether a process runs."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


@pytest.fixture
def started(tmp_path: Path) -> Iterator[LedRedis]:
    """A server that runs by itself, and all of it gone at the end."""
    server = LedRedis(tmp_path / "redis", detached=True)
    server.start()
    yield server
    server.stop()


def again(server: LedRedis) -> LedRedis:
    """The same server as a later command sees it."""
    return LedRedis(server.directory, detached=True)


def leaderless(server: LedRedis) -> int:
    """Kill what leads the server, and no more; the process that goes on."""
    leader = server.pid
    (child,) = (pid for pid in session_members(leader) if pid != leader)
    os.kill(leader, signal.SIGKILL)
    wait_until(lambda: not server.running)
    return child


def test_a_server_without_its_leader_is_seen_and_ends_before_the_next_starts(
    started: LedRedis,
) -> None:
    url, child = started.url, leaderless(started)
    later = again(started)
    assert not later.running
    assert later.orphans == [child]
    later.start()
    try:
        assert not lives(child)
        assert later.url == url
        assert later.orphans == []
        with redis.Redis.from_url(url) as client:
            assert client.info("server")["process_id"] in session_members(later.pid)
    finally:
        later.stop()


def test_status_shows_a_server_without_its_leader_and_stop_ends_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "services"
    (directory / "log").mkdir(parents=True)
    monkeypatch.setenv("TIDEMARK_DATA_DIR", str(tmp_path))
    server = LedRedis(directory / "redis", detached=True, log=directory / "log" / "redis.log")
    server.start()
    try:
        child = leaderless(server)
        assert run(["services", "status", "--json"]) == 1
        shown = json.loads(capsys.readouterr().out)["services"]
        assert [each["state"] for each in shown] == ["stopped", "stopped", "orphaned"]
        assert shown[2]["pid"] == child
        assert run(["services", "stop"]) == 0
        assert not lives(child)
        assert "orphaned" not in capsys.readouterr().out
    finally:
        server.stop()


def test_a_session_that_a_running_server_started_is_no_orphan_before_that_ends(
    tmp_path: Path,
) -> None:
    """As RabbitMQ's helper is one, without which it fails."""

    class Helped(RedisServer):
        def _command(self) -> list[str]:
            program, configuration = super()._command()
            script = 'setsid sleep 600 & "$0" "$1"; exit $?'
            return ["/bin/sh", "-c", script, program, configuration]

    with Helped(tmp_path) as server:
        members = session_members(server.pid)
        wait_until(lambda: len(helpers(members)) == 1)
        (helper,) = helpers(members)
        assert server.orphans == []
    assert not lives(helper)


def helpers(parents: list[int]) -> list[int]:
    """Processes that these have started into another session."""
    return [pid for pid, parent, _session in living() if parent in parents and pid not in parents]


def test_a_server_without_its_leader_ends_with_stop(started: LedRedis) -> None:
    child = leaderless(started)
    again(started).stop()
    assert not lives(child)


def test_a_server_that_no_file_names_any_more_is_no_stranger(started: LedRedis) -> None:
    url, members = started.url, session_members(started.pid)
    (started.directory / "process.json").write_text("")
    later = again(started)
    assert sorted(later.orphans) == sorted(members)
    later.start()
    try:
        assert later.url == url
        assert not any(map(lives, members))
    finally:
        later.stop()


def test_a_server_whose_endpoint_is_lost_ends_before_it_gets_another(started: LedRedis) -> None:
    port, members = started.port, session_members(started.pid)
    (started.directory / "endpoint.json").unlink()
    later = again(started)
    later.start()
    try:
        assert not any(map(lives, members))
        assert later.port != port or later.password != started.password
        assert later.serves()
    finally:
        later.stop()


def test_a_person_who_looks_around_in_the_directory_is_let_alone(started: LedRedis) -> None:
    leaderless(started)
    with subprocess.Popen(
        ["sleep", "600"], cwd=started.directory, start_new_session=True
    ) as visitor:
        later = again(started)
        later.start()
        later.stop()
        assert visitor.poll() is None
        visitor.kill()


def test_a_server_that_does_not_end_keeps_the_next_from_starting(
    started: LedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that waits for a disk takes no signal."""
    child = leaderless(started)
    with monkeypatch.context() as patched:
        patched.setattr(processes, "kill_session", session_members)
        with pytest.raises(ServerError, match=rf"Redis's process {child} was killed and does not"):
            again(started).start()
    assert lives(child)
