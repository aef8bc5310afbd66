"""RabbitMQ with an Erlang port mapper (epmd) of its own, and users of least rights."""

from __future__ import annotations

import json
import secrets
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from app.cli.services import machine
from app.cli.services.machine import LOOPBACK, PortTakenError
from app.cli.services.server import USER, NativeServer
from deploy.rabbitmq import render

# Limits that the queues rely on, the same as in containers.
_LIMITS: Final = Path(render.__file__).with_name("rabbitmq.conf")

# Its working directory, in which it stays, as the processes that it starts do. RabbitMQ fails over
# letters beyond ASCII in a path, so it is never told the true one.
_HERE: Final = "/proc/self/cwd"


class RabbitMQServer(NativeServer):
    """A private RabbitMQ.

    The port mapper that Erlang would start by itself outlives the node and every clean-up.
    """

    title = "RabbitMQ"
    program = "rabbitmq-server"
    ports_needed: ClassVar[Sequence[str]] = ("port", "distribution", "epmd")
    passwords_needed = ("admin", "app", "flower")
    plugins: ClassVar[Sequence[str]] = ()
    # Six to eleven seconds on two idle cores; a busy machine needs several times that.
    start_seconds = 120.0

    @property
    def url(self) -> str:
        """The default virtual host, for the administrator."""
        return f"amqp://{USER}:{self.password}@{LOOPBACK}:{self.port}//"

    @property
    def app_url(self) -> str:
        """The installation's virtual host, for its processes."""
        return f"amqp://{render.APP_USER}:{self._passwords['app']}@{LOOPBACK}:{self.port}/{render.VHOST}"

    @property
    def flower_url(self) -> str:
        """The same for Flower, which may listen to events and nothing else."""
        return f"amqp://{render.FLOWER_USER}:{self._passwords['flower']}@{LOOPBACK}:{self.port}/{render.VHOST}"

    def _configure(self) -> None:
        self._write(
            "definitions.json",
            json.dumps(_definitions(self._passwords), indent=1),
        )
        self._write(
            "rabbitmq.conf",
            f"listeners.tcp.1 = {LOOPBACK}:{self.port}\n"
            f"load_definitions = {_HERE}/definitions.json\n"
            "log.file = false\n"
            "log.console = true\n"
            "log.console.level = warning\n"
            "disk_free_limit.absolute = 50MB\n"
            f"{_LIMITS.read_text(encoding='utf-8')}\n{self._more_configuration()}",
        )
        self._write("plugins", f"[{','.join(self.plugins)}].\n")
        # The node's name needs "localhost", which a bare container does not always resolve.
        self._write("inetrc", '{lookup, [file, native]}.\n{host, {127,0,0,1}, ["localhost"]}.\n')
        self._write(".erlang.cookie", secrets.token_hex(16), mode=0o400)

    def _more_configuration(self) -> str:
        """Lines for the plugins."""
        return ""

    def _epmd_environment(self) -> dict[str, str]:
        return {"ERL_EPMD_PORT": str(self._ports["epmd"]), "ERL_EPMD_ADDRESS": LOOPBACK}

    def _environment(self) -> Mapping[str, str]:
        return {
            **self._epmd_environment(),
            "ERL_INETRC": f"{_HERE}/inetrc",
            # The data belong to this name, and the port mapper knows no other node.
            "RABBITMQ_NODENAME": f"{USER}@localhost",
            "RABBITMQ_DIST_PORT": str(self._ports["distribution"]),
            "RABBITMQ_CONFIG_FILE": f"{_HERE}/rabbitmq",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            # The script then becomes the server, so that the process which is shown is the
            # server, instead of a shell that waits for it and may be killed alone.
            "RUNNING_UNDER_SYSTEMD": "true",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{_HERE}/plugins",
            "RABBITMQ_MNESIA_BASE": f"{_HERE}/mnesia",
            "RABBITMQ_LOG_BASE": f"{_HERE}/log",
            # No busy waiting: these cores have other work.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": (
                "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none"
            ),
        }

    def _command(self) -> list[str]:
        # The file in /usr/lib; the one in /usr/sbin changes to the user rabbitmq.
        return [machine.find_program(self.title, self.program)]

    def _launch(self) -> None:
        if self._processes.pid("epmd") is None:
            self._processes.kill("epmd")
            self._processes.spawn(
                "epmd", [machine.find_program(self.title, "epmd")], self._epmd_environment()
            )
            self._wait_for_epmd()
        super()._launch()

    def _wait_for_epmd(self) -> None:
        deadline = time.monotonic() + self.start_seconds
        while not machine.accepts(self._ports["epmd"]):
            if self._processes.pid("epmd") is None:
                raise PortTakenError("The private epmd ended at its start.")
            if time.monotonic() > deadline:
                raise self._failure("epmd did not answer", 0)
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=1) as connection:
                connection.sendall(b"AMQP\x00\x00\x09\x01")
                # A method frame on channel 0: connection.start.
                return connection.recv(3) == b"\x01\x00\x00"
        except OSError:
            return False


class WatchedRabbitMQServer(RabbitMQServer):
    """With the management API, on loopback too: it tells Flower how long the queues are."""

    ports_needed = (*RabbitMQServer.ports_needed, "management")
    plugins = ("rabbitmq_management",)

    @property
    def flower_api(self) -> str:
        """The management API for Flower, password included."""
        password = self._passwords["flower"]
        return f"http://{render.FLOWER_USER}:{password}@{LOOPBACK}:{self._ports['management']}/api/"

    def _more_configuration(self) -> str:
        return (
            f"management.tcp.ip = {LOOPBACK}\nmanagement.tcp.port = {self._ports['management']}\n"
        )


def _definitions(passwords: Mapping[str, str]) -> dict[str, Any]:
    """Users, virtual hosts and rights, as RabbitMQ reads them at each start.

    The installation's own are those of ``deploy/rabbitmq``; an administrator and a virtual host
    for trials come with a private server.
    """
    own = {render.APP_USER: passwords["app"], render.FLOWER_USER: passwords["flower"]}
    document: dict[str, Any] = json.loads(render.definitions(own))
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    document["vhosts"].append({"name": "/"})
    document["users"].append(
        {
            "name": USER,
            "password_hash": render.password_hash(passwords["admin"]),
            "hashing_algorithm": "rabbit_password_hashing_sha256",
            "tags": "administrator",
        }
    )
    document["permissions"] += [
        {"user": USER, "vhost": vhost, **everything} for vhost in ("/", render.VHOST)
    ]
    return document
