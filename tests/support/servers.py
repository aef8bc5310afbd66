"""Private MariaDB, RabbitMQ and Redis servers, on loopback and in a directory of their own.

For tests, benchmarks and `make services`::

    with MariaDBServer() as mariadb:
        url = mariadb.create_database("tidemark")
        mariadb.kill9()
        mariadb.start()  # same port, same password, same data

Each instance has free ports, generated passwords and, unless it is given a directory, a temporary
one that goes with it. It runs as root as well as an ordinary user, never reads the machine's own
configuration, and leaves no process behind, not even when its owner is killed (see `reaper`).
"""

from __future__ import annotations

import abc
import contextlib
import fcntl
import json
import os
import random
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Final, Self

from tests.support.reaper import Reaper, kill_session, session_members, signal_session

LOOPBACK: Final = "127.0.0.1"
USER: Final = "tidemark"
POLL_SECONDS: Final = 0.02
# A chosen port may be taken before the server has it; three in a row are not bad luck.
PORT_ATTEMPTS: Final = 3
PORT_TAKEN: Final = re.compile(r"address already in use|eaddrinuse", re.IGNORECASE)
COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")
# An ordinary user's PATH lacks the sbin directories on Debian.
PROGRAM_PATH: Final = "/usr/lib/rabbitmq/bin:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin"

_reaper = Reaper()


class ServerError(RuntimeError):
    """A private server could not be started; the message is one sentence and says why."""


class ServerNotInstalledError(ServerError):
    """The server's program is not on this machine."""

    def __init__(self, title: str, program: str) -> None:
        super().__init__(
            f"{title} is not installed here ({program} was not found): "
            "run `make test` once, or scripts/install-servers as root."
        )


class _PortTakenError(ServerError):
    """Another process was faster."""


def free_port() -> int:
    """A loopback port that nobody listens on, from below the range of outgoing connections.

    Within that range a client that keeps trying to reach a killed server takes the server's own
    port in the end (on loopback it may even connect to itself), and the server cannot come back.
    """
    try:
        ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except OSError:
        ephemeral = 32768
    lowest = 10_000
    candidates = range(lowest, ephemeral) if ephemeral > lowest + 1_000 else range(20_000, 65_000)
    for _ in range(1_000):
        port = random.choice(candidates)
        if port_is_free(port):
            return port
    raise ServerError("No free port was found on 127.0.0.1.")


def port_is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        # As the servers do it: connections that are still closing do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


class PrivateServer(abc.ABC):
    """One server process of our own; subclasses say how it is set up, started and asked."""

    title: ClassVar[str]
    program: ClassVar[str]
    ports_needed: ClassVar[Sequence[str]] = ("port",)
    start_seconds: ClassVar[float] = 60.0
    stop_seconds: ClassVar[float] = 30.0

    def __init__(self, directory: Path | None = None) -> None:
        """Without a directory the server lives in a temporary one, removed by `close`.

        With one, data, password and, while they are free, ports last from run to run.
        """
        self._keep = directory is not None
        self._directory = directory.absolute() if directory is not None else None
        self._process: subprocess.Popen[bytes] | None = None
        self._ports: dict[str, int] = {}
        self._served = False
        self.password = ""

    # -- What a server is ----------------------------------------------------------------------

    @property
    @abc.abstractmethod
    def url(self) -> str:
        """Where clients find it, password included."""

    @abc.abstractmethod
    def _configure(self) -> None:
        """Write what it needs before each start; initialise its data before the first."""

    @abc.abstractmethod
    def _command(self) -> list[str]:
        """The command line, without secrets: those are everyone's to read."""

    @abc.abstractmethod
    def _answers(self) -> bool:
        """Whether a client would be served now."""

    def _environment(self) -> Mapping[str, str]:
        return {}

    # -- Where it is ---------------------------------------------------------------------------

    @property
    def directory(self) -> Path:
        """Data, configuration and log of this server."""
        if self._directory is None:
            raise ServerError(f"{self.title} has not been started.")
        return self._directory

    @property
    def port(self) -> int:
        """The port clients connect to; the same over every restart."""
        return self._ports["port"]

    @property
    def pid(self) -> int:
        """The process that `kill9` kills, which leads its own session."""
        if self._process is None:
            raise ServerError(f"{self.title} is not running.")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> Path:
        """All that the server has printed."""
        return self.directory / "server.log"

    # -- Life ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Start it, the first time or again, and return when it serves clients."""
        if self.running:
            return
        self._end()
        self._prepare()
        for attempt in range(1, PORT_ATTEMPTS + 1):
            try:
                self._launch()
            except _PortTakenError:
                self._end()
                # Clients know the port of a server that has served before.
                if attempt == PORT_ATTEMPTS or self._served:
                    raise
                self._choose_ports()
            except BaseException:
                self._end()
                raise
            else:
                self._served = True
                return

    def stop(self) -> None:
        """End it in good order; its data stay for the next `start`."""
        if self.running:
            signal_session(self.pid, signal.SIGTERM)
            deadline = time.monotonic() + self.stop_seconds
            while session_members(self.pid) and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
        self._end()

    def kill9(self) -> None:
        """Kill it and all its children, as a power cut would."""
        if self._process is not None:
            session = self._process.pid
            kill_session(session)
            self._process.wait()
            self._process = None
            _reaper.forget(session)

    def close(self) -> None:
        """Stop it, and remove its directory if that was a temporary one."""
        self.stop()
        if self._directory is not None and not self._keep:
            shutil.rmtree(self._directory, ignore_errors=True)
            _reaper.forget_directory(self._directory)
            self._directory = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    # -- How -----------------------------------------------------------------------------------

    def _find(self, program: str) -> str:
        found = shutil.which(program, path=PROGRAM_PATH)
        if found is None:
            raise ServerNotInstalledError(self.title, program)
        return found

    def _prepare(self) -> None:
        self._find(self.program)
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix=f"tidemark-{self.program}-"))
            _reaper.watch_directory(self._directory)
        if self._ports:
            return
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        remembered = self._directory / "endpoint.json"
        if remembered.exists():
            endpoint = json.loads(remembered.read_text())
            self.password, self._ports = endpoint["password"], endpoint["ports"]
            if all(port_is_free(port) for port in self._ports.values()):
                return
        self._choose_ports()

    def _choose_ports(self) -> None:
        self.password = self.password or secrets.token_hex(16)
        self._ports = {name: free_port() for name in self.ports_needed}
        endpoint = {"password": self.password, "ports": self._ports}
        self._write("endpoint.json", json.dumps(endpoint))

    def _write(self, name: str, text: str, mode: int = 0o600) -> Path:
        """Write a file that nobody else may read, whatever the umask is."""
        path = self.directory / name
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
            file.write(text)
        return path

    def _spawn(self, command: list[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env={
                    "PATH": PROGRAM_PATH,
                    "HOME": str(self.directory),
                    "TMPDIR": str(self.directory),
                    "LANG": "C.UTF-8",
                    **environment,
                },
                start_new_session=True,
            )
        _reaper.watch(process.pid)
        return process

    def _launch(self) -> None:
        self._configure()
        printed = self.log.stat().st_size if self.log.exists() else 0
        self._process = self._spawn(self._command(), self._environment())
        self._wait(self._answers, printed)

    def _wait(self, ready: Callable[[], bool], printed: int) -> None:
        deadline = time.monotonic() + self.start_seconds
        while not ready():
            ended = not self.running
            if ended or time.monotonic() > deadline:
                why = "ended" if ended else f"did not answer for {self.start_seconds:.0f} s"
                raise self._failure(f"The private {self.title} {why} at its start", printed)
            time.sleep(POLL_SECONDS)

    def _failure(self, what: str, printed: int) -> ServerError:
        """The error, with the end of what was logged since: a temporary log is soon gone."""
        text = self.log.read_bytes()[printed:].decode(errors="replace")
        lines = [line.strip() for line in COLOURS.sub("", text).splitlines() if line.strip()]
        error = _PortTakenError if PORT_TAKEN.search(text) else ServerError
        return error(f"{what}; its log says: {' | '.join(lines[-6:])}")

    def _end(self) -> None:
        """Leave nothing of it running."""
        self.kill9()


class MariaDBServer(PrivateServer):
    """MariaDB as the full stack wants it: utf8mb4_bin, short lock waits, local infile."""

    title = "MariaDB"
    program = "mariadbd"

    @property
    def url(self) -> str:
        """The server without a database."""
        return self.database_url("")

    def database_url(self, name: str) -> str:
        """SQLAlchemy's URL of a database, whether it exists or not."""
        return f"mysql+pymysql://{USER}:{self.password}@{LOOPBACK}:{self.port}/{name}"

    def create_database(self, name: str, *, exist_ok: bool = False) -> str:
        """Create an empty database and return its SQLAlchemy URL."""
        condition = "IF NOT EXISTS " if exist_ok else ""
        self._execute(f"CREATE DATABASE {condition}{self._quoted(name)}")
        return self.database_url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database that `create_database` made."""
        self._execute(f"DROP DATABASE {self._quoted(name)}")

    @staticmethod
    def _quoted(name: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9_]{1,64}", name):
            raise ValueError(f"{name!r} is no database name: letters, digits and _ only.")
        return f"`{name}`"

    def _execute(self, statement: str) -> None:
        # Imported here: a reaper or a shell that only starts servers does without.
        from sqlalchemy import create_engine
        from sqlalchemy.pool import NullPool

        engine = create_engine(self.url, poolclass=NullPool)
        with engine.begin() as connection:
            connection.exec_driver_sql(statement)

    def _configure(self) -> None:
        initialised = self.directory / "initialised"
        if not initialised.exists():
            data = self.directory / "data"
            shutil.rmtree(data, ignore_errors=True)  # what an interrupted attempt left
            self._initialise(data)
            initialised.touch()
        # Run before the first connection is accepted, at each start: the initial accounts,
        # which have no password, are gone by then.
        self._write(
            "init.sql",
            "DELETE FROM mysql.global_priv WHERE User IN ('', 'root');\n"  # noqa: S608
            "FLUSH PRIVILEGES;\n"
            f"CREATE OR REPLACE USER '{USER}'@'{LOOPBACK}' IDENTIFIED BY '{self.password}';\n"
            f"GRANT ALL ON *.* TO '{USER}'@'{LOOPBACK}' WITH GRANT OPTION;\n",
        )

    def _initialise(self, data: Path) -> None:
        with self.log.open("ab") as log:
            done = subprocess.run(
                [
                    self._find("mariadb-install-db"),
                    "--no-defaults",
                    f"--datadir={data}",
                    "--auth-root-authentication-method=normal",
                    "--skip-test-db",
                    "--skip-name-resolve",
                    # Go on where this machine's own name does not resolve: nobody asks for it.
                    "--force",
                    *self._as_root(),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env={"PATH": PROGRAM_PATH, "HOME": str(self.directory), "LANG": "C.UTF-8"},
                check=False,
            )
        if done.returncode != 0:
            raise self._failure(f"mariadb-install-db ended with status {done.returncode}", 0)

    @staticmethod
    def _as_root() -> list[str]:
        # It refuses to run as root unless told so, and warns an ordinary user who says it.
        return ["--user=root"] if os.geteuid() == 0 else []

    def _command(self) -> list[str]:
        return [
            self._find(self.program),
            "--no-defaults",
            *self._as_root(),
            f"--datadir={self.directory / 'data'}",
            f"--init-file={self.directory / 'init.sql'}",
            f"--tmpdir={self.directory}",
            # Relative to the data directory: a longer path than 107 bytes cannot be bound.
            "--socket=server.sock",
            "--pid-file=server.pid",
            f"--port={self.port}",
            f"--bind-address={LOOPBACK}",
            "--skip-name-resolve",
            "--skip-log-bin",
            "--character-set-server=utf8mb4",
            "--collation-server=utf8mb4_bin",
            "--default-time-zone=+00:00",
            "--local-infile=1",
            "--max-connections=300",
            "--innodb-lock-wait-timeout=3",
            "--innodb-rollback-on-timeout=1",
            # What is committed survives kill -9; only a power cut could lose its last second.
            "--innodb-flush-log-at-trx-commit=2",
            "--innodb-buffer-pool-size=64M",
            "--innodb-log-file-size=32M",
        ]

    def _answers(self) -> bool:
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=1) as connection:
                # The greeting: three bytes of length, a sequence number, protocol 10.
                greeting = connection.recv(5)
        except OSError:
            return False
        return len(greeting) == 5 and greeting[4] == 10


class RedisServer(PrivateServer):
    """Redis without persistence: a cache that is empty after a kill."""

    title = "Redis"
    program = "redis-server"

    @property
    def url(self) -> str:
        """Database 0 of the server."""
        return f"redis://:{self.password}@{LOOPBACK}:{self.port}/0"

    def _configure(self) -> None:
        self._write(
            "redis.conf",
            f"bind {LOOPBACK}\n"
            f"port {self.port}\n"
            f"requirepass {self.password}\n"
            f'dir "{self.directory}"\n'
            'save ""\n'
            "appendonly no\n"
            "daemonize no\n",
        )

    def _command(self) -> list[str]:
        return [self._find(self.program), str(self.directory / "redis.conf")]

    def _answers(self) -> bool:
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=1) as connection:
                connection.sendall(f"AUTH {self.password}\r\nPING\r\n".encode())
                answer = b""
                while answer.count(b"\r\n") < 2:
                    chunk = connection.recv(64)
                    if not chunk:
                        return False
                    answer += chunk
        except OSError:
            return False
        return answer == b"+OK\r\n+PONG\r\n"


class RabbitMQServer(PrivateServer):
    """RabbitMQ with an Erlang port mapper (epmd) of its own.

    The one that Erlang would start by itself outlives the node and every clean-up.
    """

    title = "RabbitMQ"
    program = "rabbitmq-server"
    ports_needed = ("port", "distribution", "epmd")
    # Six to eleven seconds on two idle cores; a busy machine needs several times that.
    start_seconds = 120.0

    def __init__(self, directory: Path | None = None) -> None:
        """See `PrivateServer`."""
        super().__init__(directory)
        self._epmd: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The default virtual host."""
        return f"amqp://{USER}:{self.password}@{LOOPBACK}:{self.port}//"

    def _configure(self) -> None:
        self._write(
            "rabbitmq.conf",
            f"listeners.tcp.1 = {LOOPBACK}:{self.port}\n"
            f"default_user = {USER}\n"
            f"default_pass = {self.password}\n"
            "log.file = false\n"
            "log.console = true\n"
            "log.console.level = warning\n"
            "disk_free_limit.absolute = 50MB\n",
        )
        self._write("plugins", "[].\n")
        # The node's name needs "localhost", which a bare container does not always resolve.
        self._write("inetrc", '{lookup, [file, native]}.\n{host, {127,0,0,1}, ["localhost"]}.\n')
        self._write(".erlang.cookie", secrets.token_hex(16), mode=0o400)

    def _epmd_environment(self) -> dict[str, str]:
        return {"ERL_EPMD_PORT": str(self._ports["epmd"]), "ERL_EPMD_ADDRESS": LOOPBACK}

    def _environment(self) -> Mapping[str, str]:
        return {
            **self._epmd_environment(),
            "ERL_INETRC": str(self.directory / "inetrc"),
            # The data belong to this name, and the port mapper knows no other node.
            "RABBITMQ_NODENAME": f"{USER}@localhost",
            "RABBITMQ_DIST_PORT": str(self._ports["distribution"]),
            "RABBITMQ_CONFIG_FILE": str(self.directory / "rabbitmq"),
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.directory / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(self.directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(self.directory / "log"),
            # No busy waiting: these cores have other work.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none"
            ),
        }

    def _command(self) -> list[str]:
        # The file in /usr/lib; the one in /usr/sbin changes to the user rabbitmq.
        return [self._find(self.program)]

    def _launch(self) -> None:
        if self._epmd is None or self._epmd.poll() is not None:
            self._epmd = self._spawn([self._find("epmd")], self._epmd_environment())
            self._wait_for_epmd(self._epmd)
        super()._launch()

    def _wait_for_epmd(self, epmd: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + self.start_seconds
        while not _accepts(self._ports["epmd"]):
            if epmd.poll() is not None:
                raise _PortTakenError("The private epmd ended at its start.")
            if time.monotonic() > deadline:
                raise ServerError("The private epmd did not answer.")
            time.sleep(POLL_SECONDS)

    def _answers(self) -> bool:
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=1) as connection:
                connection.sendall(b"AMQP\x00\x00\x09\x01")
                # A method frame on channel 0: connection.start.
                return connection.recv(3) == b"\x01\x00\x00"
        except OSError:
            return False

    def _end(self) -> None:
        super()._end()
        if self._epmd is not None:
            kill_session(self._epmd.pid)
            self._epmd.wait()
            _reaper.forget(self._epmd.pid)
            self._epmd = None


def _accepts(port: int) -> bool:
    try:
        socket.create_connection((LOOPBACK, port), timeout=1).close()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Hold a directory against a second `make services`."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ServerError(f"The services in {directory} are running already.") from None
        yield


def _serve(directory: Path) -> None:
    """Run the three servers in the foreground until a signal comes."""
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: ended.set())
    with contextlib.ExitStack() as stack:
        stack.enter_context(_alone_in(directory))
        say = sys.stdout.write
        say(f"Starting MariaDB, Redis and RabbitMQ in {directory} ...\n")
        sys.stdout.flush()
        mariadb = stack.enter_context(MariaDBServer(directory / "mariadb"))
        redis = stack.enter_context(RedisServer(directory / "redis"))
        rabbitmq = stack.enter_context(RabbitMQServer(directory / "rabbitmq"))
        mariadb.create_database(USER, exist_ok=True)
        say(
            "\nThey are up, on loopback only. In another terminal:\n\n"
            f"  export TIDEMARK_DATABASE_URL='{mariadb.database_url(USER)}'\n"
            f"  export TIDEMARK_BROKER_URL='{rabbitmq.url}'\n"
            f"  export TIDEMARK_REDIS_URL='{redis.url}'\n\n"
            "Data, passwords and ports stay for the next time. Ctrl-C stops them.\n"
        )
        sys.stdout.flush()
        servers: Sequence[PrivateServer] = (mariadb, redis, rabbitmq)
        while not ended.wait(1):
            for server in servers:
                if not server.running:
                    raise ServerError(f"{server.title} has ended; see {server.log}.")
        say("\nStopping ...\n")
        sys.stdout.flush()


def main() -> int:
    """`python -m tests.support.servers DIRECTORY`: what `make services` runs."""
    try:
        _serve(Path(sys.argv[1] if len(sys.argv) > 1 else "var/services").absolute())
    except ServerError as error:
        sys.stderr.write(f"Tidemark: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
