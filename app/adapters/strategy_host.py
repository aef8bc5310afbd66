"""Runs strategies in child processes, so that none of them can harm the platform.

One ``StrategyHost`` is one child, started when it is first needed and reused; a
``StrategyHosts`` keeps one for each instance. Whatever a strategy does, the caller gets a
result or a typed error that names the strategy:

==================================== ======================================================
it raises, or calls ``sys.exit``     StrategyFailed with the line; the child lives on
it does not answer in time           StrategyTimedOut; the child is killed
it uses too much CPU or memory       StrategyCrashed, or StrategyFailed with MemoryError
it ends its process                  StrategyCrashed with the exit code
==================================== ======================================================
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Self

import app
from app.core.backtest.result import BacktestResult
from app.core.backtest.spec import BacktestSpec
from app.core.errors import InvalidInput
from app.core.market.instruments import Instrument
from app.core.market.klines import KlineFrame
from app.core.strategies.errors import StrategyCrashed, StrategyTimedOut
from app.core.strategies.evaluation import EvaluationRequest, EvaluationResult
from app.core.strategies.loader import StrategyRef
from app.core.strategies.plain import Blobs, from_plain, to_plain
from app.core.strategies.registry import StrategyInfo
from app.core.strategies.serving import rebuild_error
from app.core.strategies.wire import Message, read_message

Progress = Callable[[int, int], None]

_ROOT: Final = Path(app.__file__).parent.parent
_CHUNK: Final = 1024 * 1024
_GRACE_SECONDS: Final = 1.0
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


class StrategyHost:
    """One child process; requests are served one after the other.

    Safe to call from several threads: they wait for each other.
    """

    def __init__(self, limits: HostLimits | None = None) -> None:
        self._limits = limits or HostLimits()
        self._lock = threading.Lock()
        self._child: _Child | None = None

    def inspect(self, ref: StrategyRef) -> StrategyInfo:
        """What a strategy is: parameters, documentation, version.

        Raises:
            UnknownName, BadStrategyFile: there is no such built-in, or the file is unusable.
            StrategyTimedOut, StrategyCrashed: loading the file did not come to an end.
        """
        answer = self._ask(ref, {"op": "inspect"}, [], self._limits.evaluate_seconds)
        return from_plain(StrategyInfo, answer.header["result"], answer.blobs)

    def warm_up(
        self,
        ref: StrategyRef,
        params: Mapping[str, Any],
        exchange: str,
        interval: str,
        instruments: Sequence[Instrument],
    ) -> int:
        """Bars that the strategy's indicators need before the first evaluated one.

        It runs ``setup``, so it also tells whether these parameters can be run at all.
        """
        blobs: Blobs = []
        header = {
            "op": "warm_up",
            "params": dict(params),
            "exchange": exchange,
            "interval": interval,
            "instruments": to_plain(tuple(instruments), blobs),
        }
        answer = self._ask(ref, header, blobs, self._limits.evaluate_seconds)
        return int(answer.header["result"])

    def evaluate(self, ref: StrategyRef, request: EvaluationRequest) -> EvaluationResult:
        """``app.core.strategies.evaluation.evaluate`` in the child.

        Raises:
            StrategyFailed, StrategyTimedOut, StrategyCrashed: see the module.
            InvalidInput: the request can never be evaluated.
        """
        blobs: Blobs = []
        header = {"op": "evaluate", "request": to_plain(request, blobs)}
        answer = self._ask(ref, header, blobs, self._limits.evaluate_seconds)
        return from_plain(EvaluationResult, answer.header["result"], answer.blobs)

    def backtest(
        self,
        ref: StrategyRef,
        spec: BacktestSpec,
        frames: Sequence[KlineFrame],
        progress: Progress | None = None,
    ) -> BacktestResult:
        """``app.core.backtest.engine.run_backtest`` in the child.

        Args:
            progress: called with (bars done, bars in all). If it raises, the child is ended
                and the exception goes on to the caller: this is how a run is cancelled.
        """
        blobs: Blobs = []
        header = {
            "op": "backtest",
            "spec": to_plain(spec, blobs),
            "frames": to_plain(tuple(frames), blobs),
        }
        answer = self._ask(ref, header, blobs, self._limits.backtest_seconds, progress)
        return from_plain(BacktestResult, answer.header["result"], answer.blobs)

    def output(self) -> str:
        """The last of what the strategy printed during the latest request, at most 64 KB."""
        return "" if self._child is None else self._child.output()

    def close(self) -> None:
        """End the child, if there is one; the next request starts another."""
        with self._lock:
            if self._child is not None:
                self._child.shut_down()
            self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(
        self,
        ref: StrategyRef,
        header: dict[str, Any],
        blobs: Blobs,
        seconds: float,
        progress: Progress | None = None,
    ) -> Message:
        named = {**header, "ref": to_plain(ref, []), "cpu_seconds": int(seconds) + 1}
        request = Message(named, blobs)
        with self._lock:
            if self._child is None or not self._child.is_alive:
                self._end()
                self._child = _Child(self._limits)
                seconds += self._limits.start_seconds
            try:
                answer = self._child.ask(request, seconds, progress)
            except TimeoutError:
                self._end()
                raise StrategyTimedOut(
                    ref.name, f"did not answer within {seconds:g} s and was stopped"
                ) from None
            except EOFError:
                reason = self._child.epitaph()
                self._end()
                raise StrategyCrashed(ref.name, reason) from None
            except BaseException:
                # The caller gave up half-way; what the child still says is nobody's answer.
                self._end()
                raise
        error = answer.header.get("error")
        if error is not None:
            raise rebuild_error(error)
        return answer

    def _end(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child = None


class StrategyHosts:
    """One host for each instance; the least recently used is ended when there are too many."""

    def __init__(self, limits: HostLimits | None = None, *, size: int = 32) -> None:
        self._limits = limits
        self._size = size
        self._lock = threading.Lock()
        self._hosts: OrderedDict[str, StrategyHost] = OrderedDict()

    def host(self, instance_id: str) -> StrategyHost:
        """The instance's host, made if it has none."""
        with self._lock:
            found = self._hosts.setdefault(instance_id, StrategyHost(self._limits))
            self._hosts.move_to_end(instance_id)
            surplus = [] if len(self._hosts) <= self._size else [self._hosts.popitem(last=False)[1]]
        for host in surplus:
            host.close()
        return found

    def drop(self, instance_id: str) -> None:
        """End the instance's host."""
        with self._lock:
            host = self._hosts.pop(instance_id, None)
        if host is not None:
            host.close()

    def close(self) -> None:
        """End every host."""
        for instance_id in list(self._hosts):
            self.drop(instance_id)


class _Child:
    """The process and its three pipes."""

    def __init__(self, limits: HostLimits) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="tidemark-strategy-")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "app.strategy_host", str(limits.memory_mb), str(limits.files)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self._home.name,
            env=_environment(self._home.name),
            start_new_session=True,
        )
        self._stdin, self._stdout = _pipe(self._process.stdin), _pipe(self._process.stdout)
        self._stderr = _Tail()
        self._drain = threading.Thread(target=self._collect, daemon=True)
        self._drain.start()
        for pipe in (self._stdin, self._stdout):
            os.set_blocking(pipe.fileno(), False)

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, request: Message, seconds: float, progress: Progress | None) -> Message:
        """Send a request and wait for its answer.

        Raises:
            TimeoutError: no answer within ``seconds`` of wall-clock.
            EOFError: the child ended.
        """
        deadline = time.monotonic() + seconds
        self._stderr.clear()
        self._write(request.encode(), deadline)
        while True:
            try:
                answer = read_message(lambda size: self._read(size, deadline))
            except (InvalidInput, ValueError):
                raise EOFError from None
            if answer is None:
                raise EOFError
            if "progress" not in answer.header:
                return answer
            if progress is not None:
                progress(*answer.header["progress"])

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

    def kill(self) -> None:
        self._process.kill()
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
