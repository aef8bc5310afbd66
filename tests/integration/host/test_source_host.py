"""Whatever a data source does in its process, the caller gets what it gave and an answer."""

from __future__ import annotations

import http.server
import os
import textwrap
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app.adapters.source_runtime import HostedSources, SourceLimits
from app.core.errors import TidemarkError, Unavailable
from app.core.sources.base import Observation
from app.core.sources.errors import (
    BadSourceFile,
    SourceCrashed,
    SourceFailed,
    SourceTimedOut,
)
from app.core.sources.loader import SourceRef
from app.core.sources.rows import check
from app.core.sources.runtime import RunEnd, SourceRun
from app.core.strategies.errors import BadParameter
from tests.support.waiting import until

NOW = 1_772_323_200_000
# Short, for what hangs is waited for.
LIMITS = SourceLimits(run_seconds=1.0, grace_seconds=1.0)


class Host:
    """A source host, and what sources gave to it."""

    def __init__(self, private: Path, *, loopback_only: bool = False) -> None:
        self.sources = HostedSources(LIMITS, [private], loopback_only=loopback_only)
        self.rows: list[Any] = []

    def run(self, body: str, **params: Any) -> RunEnd:
        """Run a source whose ``observe`` is ``body``."""
        text = f"""\
import os, sys, time
from decimal import Decimal
from tidemark import DataSource, Observation, TextParameter


class Mine(DataSource):
    where = TextParameter("", max_length=300)

    def observe(self, since):
{textwrap.indent(textwrap.dedent(body).strip(), "        ")}
"""
        run = SourceRun("mine", params, ["BTC/USDT"], 0, NOW)
        return self.sources.observe(SourceRef("mine.py", text), run, self.rows.extend)

    @property
    def values(self) -> list[Any]:
        """Values, or reasons."""
        found = [check(row, NOW) for row in self.rows]
        return [each.value if isinstance(each, Observation) else each.reason for each in found]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path / "var")


def test_a_source_gives_what_it_observes(host: Host) -> None:
    end = host.run("""
        for n in range(1_000):
            ts = self.now_ms() - 10_000 + n
            yield Observation("n", ts, Decimal(n) / 8, symbol=self.symbols[0])
    """)
    assert end is RunEnd.WHOLE
    assert host.values == [Decimal(n) / 8 for n in range(1_000)]


def test_the_built_in_works_from_its_sample(host: Host) -> None:
    info = host.sources.inspect(SourceRef("fear_greed"), {"location": "sample"})
    assert info.class_name == "FearGreed"
    run = SourceRun("fear", {"location": "sample"}, [], 0, NOW)
    assert host.sources.observe(SourceRef("fear_greed"), run, host.rows.extend) is RunEnd.WHOLE
    assert len(host.values) == 40
    with pytest.raises(BadParameter, match="has no parameter 'x'"):
        host.sources.inspect(SourceRef("fear_greed"), {"x": 1})


GIVEN = 'yield Observation("n", 1, 1)\n'
FAILURES: dict[str, tuple[str, type[TidemarkError], str]] = {
    "it raises": ("1 / 0", SourceFailed, "line 11): ZeroDivisionError"),
    "it exits": ("sys.exit(3)", SourceFailed, "SystemExit: 3"),
    "it eats memory": ("bytearray(2 * 1024**3)", SourceFailed, "MemoryError"),
    "it hangs": ("time.sleep(60)", SourceTimedOut, "did not come to an end within 2 s"),
    "it burns": ("while True: pass", SourceTimedOut, "did not come to an end within 2 s"),
    "it ends its process": ("os._exit(7)", SourceCrashed, "exit code 7"),
    "it kills itself": (
        "import ctypes; ctypes.string_at(0)",
        SourceCrashed,
        "killed by SIGSEGV",
    ),
    "it forks": ("os.fork()", SourceFailed, "may not start or signal processes"),
    "it starts a shell": ("os.system('true')", SourceFailed, "may not start or signal"),
    "it kills others": ("os.kill(os.getppid(), 9)", SourceFailed, "may not start or signal"),
    "it recurses": ("f = lambda: f()\nf()", SourceFailed, "RecursionError"),
}


@pytest.mark.parametrize(("body", "kind", "why"), FAILURES.values(), ids=FAILURES.keys())
def test_a_source_that_fails_is_named_and_what_it_gave_stays(
    host: Host, body: str, kind: type[TidemarkError], why: str
) -> None:
    with pytest.raises(kind, match="'mine'") as caught:
        host.run(GIVEN + body)
    assert why in caught.value.message
    assert host.values == [1]
    # And the next one is none the worse for it.
    assert host.run(GIVEN) is RunEnd.WHOLE


def test_a_source_that_is_told_slowly_loses_nothing_when_its_time_is_over(host: Host) -> None:
    end = host.run("""
        for n in range(10_000):
            yield Observation("n", n, n)
            time.sleep(0.05)
    """)
    assert end is RunEnd.TIME
    assert host.values == list(range(len(host.rows)))
    assert len(host.rows) > 3


def test_what_is_no_observation_is_told_and_the_rest_goes_on(host: Host) -> None:
    host.run("""
        yield {"value": 1}
        yield Observation("n", 1, 0.5)
        yield Observation("n", 1, Decimal("NaN"))
        yield Observation("n", 1, 10**100_000)
        yield Observation("n", 1, Decimal(1), label="x" * 10_000_000)
        yield Observation("n", 1, Decimal(7))
    """)
    *bad, last = host.values
    assert last == 7
    for reason, why in zip(
        bad,
        ("no Observation but dict", "was float", "finite", "was int", "at most 64"),
        strict=True,
    ):
        assert why in reason


def test_what_it_prints_does_not_reach_the_protocol(host: Host) -> None:
    host.run("""
        print("hello" * 100_000)
        sys.stdout.flush()
        os.write(1, b"raw bytes")
        sys.stdin.read()
        yield Observation("n", 1, 1)
    """)
    assert host.values == [1]


@pytest.mark.parametrize(
    "words",
    [
        'b"\\x7f" * 100',
        # A header of 200 MB, a hundred blobs of 4 GB, a list, brackets without end, a false end.
        'struct.pack(">II", 200_000_000, 0)',
        'struct.pack(">II", 2, 100) + struct.pack(">Q", 4 * 1024**3) * 100',
        'struct.pack(">II", 2, 0) + b"[]"',
        'struct.pack(">II", 100_000, 0) + b"[" * 100_000',
        'struct.pack(">II", 13, 0) + b\'{"end": "ha"}\'',
        'struct.pack(">II", 11, 0) + b\'{"end": []}\'',
    ],
)
def test_a_source_that_forges_the_protocol_crashes_alone(host: Host, words: str) -> None:
    body = f"""
        import struct
        {GIVEN.strip()}
        for number in range(3, 20):
            try:
                if os.readlink(f"/proc/self/fd/{{number}}").startswith("pipe:"):
                    os.write(number, {words})
            except OSError:
                pass
        time.sleep(0.3)
    """
    with pytest.raises((SourceCrashed, SourceTimedOut)):
        host.run(body)
    assert host.values == [1]


def test_rows_that_are_forged_are_judged_like_others(host: Host) -> None:
    """The process is not trusted: what it sends past our own code is checked all the same."""
    host.run("""
        import json, struct
        rows = [["n", 1, {"decimal": "7"}, None, None, None],
            ["n", 1, float("nan"), None, None, None], {}, "x", [[]], None]
        texts = [json.dumps({"row": row}).encode() for row in rows]
        frame = b"".join(struct.pack(">II", len(text), 0) + text for text in texts)
        for number in range(3, 20):
            try:
                if os.readlink(f"/proc/self/fd/{number}").startswith("pipe:"):
                    os.write(number, frame)
            except OSError:
                pass
        return []
    """)
    assert host.values[0] == 7
    assert len(host.values) == 6
    assert all(isinstance(reason, str) for reason in host.values[1:])


def test_it_knows_no_settings_and_no_secrets(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEMARK_DATABASE_URL", "mysql+pymysql://user:secret@host/name")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    host.run("""
        text = repr(dict(os.environ))
        assert "secret" not in text and "TIDEMARK" not in text, text
        yield Observation("n", 1, len(os.environ))
    """)
    assert len(host.values) == 1


@pytest.mark.parametrize(
    "deed",
    [
        "open(self.where).read()",
        "os.open(self.where, os.O_RDONLY)",
        "os.remove(self.where)",
        "os.rename(self.where, 'mine')",
        "os.symlink(self.where, 'link') or open('link').read()",
        "__import__('sqlite3').connect(self.where)",
        "self.fetch('file://' + self.where)",
        "open(f'/proc/{os.getppid()}/environ', 'rb').read()",
    ],
)
def test_it_may_not_touch_what_the_installation_keeps(
    host: Host, tmp_path: Path, deed: str
) -> None:
    kept = tmp_path / "var" / "vault.key"
    kept.parent.mkdir()
    kept.write_text("key")
    with pytest.raises(SourceFailed, match="may not touch the installation's own files"):
        host.run(f"{deed}\nreturn []", where=str(kept))
    assert kept.read_text() == "key"


def test_it_may_read_other_files_and_write_into_its_own_directory(
    host: Host, tmp_path: Path
) -> None:
    given = tmp_path / "given.txt"
    given.write_text("5")
    body = """
        open("note", "w").write("x")
        yield Observation("n", 1, Decimal(self.fetch(self.where).decode()))
    """
    host.run(body, where=str(given))
    host.run(body, where=given.as_uri())
    assert host.values == [5, 5]
    with pytest.raises(SourceFailed, match="No such file"):
        host.run(body, where=str(tmp_path / "none"))


@pytest.fixture
def web() -> Iterator[str]:
    """A server on loopback: /large is 17 MB, /gone is a 404."""

    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"0" * 17 * 1024**2 if self.path == "/large" else b"12.5"
            self.send_response(404 if self.path == "/gone" else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            try:
                self.wfile.write(body)
            except OSError:
                self.close_connection = True  # the reader had enough

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_it_may_use_the_network(host: Host, web: str) -> None:
    body = 'yield Observation("n", 1, Decimal(self.fetch(self.where).decode()))'
    host.run(body, where=f"{web}/value")
    assert host.values == [Decimal("12.5")]
    for path, why in (("/large", "larger than 16 MB"), ("/gone", "HTTP 404")):
        with pytest.raises(SourceFailed, match=why):
            host.run(body, where=web + path)


@pytest.mark.parametrize(
    "deed",
    [
        "self.fetch('https://api.example.org/?key=secret')",
        "__import__('socket').create_connection(('192.0.2.1', 80), 1)",
        "__import__('socket').getaddrinfo('example.org', 80)",
    ],
)
def test_beside_a_simulated_exchange_it_reaches_this_machine_alone(
    tmp_path: Path, web: str, deed: str
) -> None:
    host = Host(tmp_path / "var", loopback_only=True)
    with pytest.raises(SourceFailed, match="this machine alone") as caught:
        host.run(f"{deed}\nreturn []")
    assert "secret" not in caught.value.message
    host.run('self.fetch(self.where)\nyield Observation("n", 1, 1)', where=f"{web}/value")
    assert host.values == [1]


def test_a_file_that_does_not_load_is_refused_and_one_that_hangs_is_stopped(host: Host) -> None:
    with pytest.raises(BadSourceFile, match="defines no data source"):
        host.sources.inspect(SourceRef("mine.py", "x = 1\n"), {})
    limits = SourceLimits(inspect_seconds=0.5, start_seconds=2.0)
    hasty = HostedSources(limits, [], loopback_only=False)
    with pytest.raises(SourceTimedOut):
        hasty.inspect(SourceRef("mine.py", "import time\ntime.sleep(60)\n"), {})


def test_what_takes_the_rows_may_fail_and_no_process_stays_behind(host: Host) -> None:
    seen: list[int] = []

    def note(rows: Any) -> None:
        seen.extend(row[1] for row in rows)
        raise LookupError("the database is away")

    text = (
        "import os, time\nfrom tidemark import DataSource, Observation\n\n\n"
        "class Mine(DataSource):\n    def observe(self, since):\n"
        "        yield Observation('n', os.getpid(), 1)\n        time.sleep(60)\n"
    )

    run = SourceRun("mine", {}, [], 0, NOW)
    with pytest.raises(LookupError):
        host.sources.observe(SourceRef("mine.py", text), run, note)
    until(lambda: not _lives(seen[0]), 10)


def test_a_process_that_stops_does_not_wait_for_its_sources(host: Host) -> None:
    patient = HostedSources(SourceLimits(run_seconds=45), [], loopback_only=False)
    text = (
        "import time\nfrom tidemark import DataSource, Observation\n\n\n"
        "class Mine(DataSource):\n    def observe(self, since):\n"
        "        yield Observation('n', 1, 1)\n        time.sleep(60)\n"
    )
    run = SourceRun("mine", {}, [], 0, NOW)

    def stop(rows: Any) -> None:
        host.rows.extend(rows)
        patient.interrupt()

    for _ in range(2):  # neither for one that runs nor for one that is about to
        with pytest.raises(Unavailable, match="is stopping"):
            patient.observe(SourceRef("mine.py", text), run, stop)
    assert host.values == [1]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
