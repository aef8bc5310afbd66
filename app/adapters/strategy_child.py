"""One process of user code and its pipes: start, ask, watch the clock, end."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import app
from app.core.errors import InvalidInput
from app.core.strategies.wire import Message, read_message

Progress = Callable[[int, int], None]

_ROOT: Final = Path(app.__file__).parent.parent
_CHUNK: Final = 1024 * 1024
_GRACE_SECONDS: Final = 1.0
# So often the caller is asked on while the child says nothing: it may have been cancelled.
_SILENT_SECONDS: Final = 1.0
_STDERR_BYTES: Final = 64 * 1024
_SHOWN_BYTES: Final = 2_000


@dataclass(frozen=True, slots=True)
class HostLimits:
    """What a child may use.

    Attributes:
        memory_mb: address space, MB.
        files: open files.
        start_seconds: wall-clock until a new child must have answered something; it is added
            to the first request's own time.
        evaluate_seconds: wall-clock of an evaluation, an inspection or a warm-up query.
        backtest_seconds: wall-clock of a backtest.
    """

    memory_mb: int = 1024
    files: int = 64
    start_seconds: float = 30.0
    evaluate_seconds: float = 10.0
    backtest_seconds: float = 3600.0


class Child:
    """The process and its three pipes."""

    def __init__(self, limits: HostLimits, module: str = "app.strategy_host") -> None:
        self._home = tempfile.TemporaryDirectory(
            prefix="tidemark-host-", ignore_cleanup_errors=True
        )
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, str(limits.memory_mb), str(limits.files)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self._home.name,
            env=_environment(self._home.name),
            start_new_session=True,
        )
        self._stdin, self._stdout = _pipe(self._process.stdin), _pipe(self._process.stdout)
        self._stderr = _Tail()
        # What ``hear`` has read beyond the last message.
        self._ahead = bytearray()
        self._drain = threading.Thread(target=self._collect, daemon=True)
        self._drain.start()
        for pipe in (self._stdin, self._stdout):
            os.set_blocking(pipe.fileno(), False)

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, request: Message, seconds: float, progress: Progress | None) -> Message:
        """Send a request and wait for its answer.

        Args:
            progress: told of the child's progress, and of the last one again every second in
                which the child says nothing. What it raises goes on to the caller.

        Raises:
            TimeoutError: no answer within ``seconds`` of wall-clock.
            EOFError: the child ended.
        """
        deadline = self.tell(request, seconds)
        told = (0, 0)
        while True:
            while progress is not None and not self.speaks(_SILENT_SECONDS, deadline):
                progress(*told)
            try:
                answer = read_message(lambda size: self._read(size, deadline))
            except (InvalidInput, ValueError):
                raise EOFError from None
            if answer is None:
                raise EOFError
            if "progress" not in answer.header:
                return answer
            done, total = answer.header["progress"]
            told = (done, total)
            if progress is not None:
                progress(*told)

    def tell(self, request: Message, seconds: float) -> float:
        """Send a request; until when, by the monotonic clock, its answers are waited for.

        Raises:
            TimeoutError: the child did not take it within ``seconds`` of wall-clock.
            EOFError: the child ended.
        """
        deadline = time.monotonic() + seconds
        self._stderr.clear()
        self._write(request.encode(), deadline)
        return deadline

    def hear(self, deadline: float, most_bytes: int) -> Message:
        """The next answer of a child that gives several, and none of which may be large.

        Raises:
            TimeoutError: it did not come in time.
            EOFError: the child ended, or sent something else.
        """
        try:
            answer = read_message(lambda size: self._taken(size, deadline), most_bytes, 0)
        except (InvalidInput, ValueError, RecursionError):
            raise EOFError from None
        if answer is None or not isinstance(answer.header, dict):
            raise EOFError
        return answer

    def epitaph(self) -> str:
        """Why the child ended, in words, with the last of what it printed."""
        try:
            code = self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            return "broke the protocol with its host"
        self._drain.join(timeout=1)
        said = self.output()[-_SHOWN_BYTES:].strip()
        printed = f"; its last words: {said}" if said else ""
        if code == -signal.SIGXCPU:
            return f"used up its CPU time{printed}"
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return f"ended its process ({how}){printed}"

    def output(self) -> str:
        return self._stderr.text()

    def shut_down(self) -> None:
        """Ask the child to end; ``kill`` comes after it in any case."""
        try:
            self._write(Message({"op": "shutdown"}).encode(), time.monotonic() + _GRACE_SECONDS)
            self._process.wait(_GRACE_SECONDS)
        except (EOFError, TimeoutError, subprocess.TimeoutExpired):
            return

    def strike(self) -> None:
        """Kill the process alone; whoever waits for its answer finds the end of the pipe."""
        self._process.kill()

    def kill(self) -> None:
        if self._process.returncode is None:
            # The whole group, for it may have started others; until we have waited for it, no
            # other process has its number.
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._stdin, self._stdout):
            pipe.close()
        self._drain.join(timeout=1)
        _pipe(self._process.stderr).close()
        self._home.cleanup()

    def _write(self, data: bytes, deadline: float) -> None:
        view = memoryview(data)
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdin, selectors.EVENT_WRITE)
            while view:
                _wait(selector, deadline)
                try:
                    view = view[os.write(self._stdin.fileno(), view[:_CHUNK]) :]
                except BrokenPipeError:
                    raise EOFError from None

    def speaks(self, seconds: float, deadline: float) -> bool:
        """Whether there is something to read, or the time is over, within ``seconds``."""
        seconds = 0.0 if self._ahead else min(seconds, deadline - time.monotonic())
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdout, selectors.EVENT_READ)
            return seconds <= 0 or bool(selector.select(seconds))

    def _taken(self, size: int, deadline: float) -> bytes:
        """As ``_read``, for many small messages: one look at the pipe for all that is in it."""
        if len(self._ahead) < size:
            self._look(size, deadline)
        found = bytes(self._ahead[:size])
        del self._ahead[:size]
        return found

    def _look(self, size: int, deadline: float) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdout, selectors.EVENT_READ)
            while len(self._ahead) < size:
                _wait(selector, deadline)
                part = os.read(self._stdout.fileno(), _CHUNK)
                if not part:
                    return
                self._ahead += part

    def _read(self, size: int, deadline: float) -> bytes:
        parts: list[bytes] = []
        with selectors.DefaultSelector() as selector:
            selector.register(self._stdout, selectors.EVENT_READ)
            while size > 0:
                _wait(selector, deadline)
                part = os.read(self._stdout.fileno(), min(size, _CHUNK))
                if not part:
                    break
                parts.append(part)
                size -= len(part)
        return b"".join(parts)

    def _collect(self) -> None:
        """Keep the last of what the child prints, so that it never blocks on a full pipe."""
        pipe = _pipe(self._process.stderr)
        while part := os.read(pipe.fileno(), 4096):
            self._stderr.add(part)


class _Tail:
    """The last 64 KB of a stream."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bytes = bytearray()

    def add(self, part: bytes) -> None:
        with self._lock:
            self._bytes += part
            del self._bytes[:-_STDERR_BYTES]

    def clear(self) -> None:
        with self._lock:
            self._bytes.clear()

    def text(self) -> str:
        with self._lock:
            return self._bytes.decode(errors="replace")


def _wait(selector: selectors.BaseSelector, deadline: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0 or not selector.select(left):
        raise TimeoutError


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise RuntimeError("the child was started without its pipes")
    return pipe


def _environment(home: str) -> dict[str, str]:
    """What the child may know: no settings, no secrets, no database.

    One thread for numpy's libraries, since each further one would take address space that
    the limit counts. A fixed hash seed, so that a set in a strategy has one order.
    """
    return {
        "HOME": home,
        "LANG": "C.UTF-8",
        "MALLOC_ARENA_MAX": "2",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "PATH": os.defpath,
        "PYTHONHASHSEED": "0",
        "PYTHONPATH": str(_ROOT),
        "TMPDIR": home,
        "TZ": "UTC",
    }
