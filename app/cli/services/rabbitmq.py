"""RabbitMQ with an Erlang port mapper (epmd) of its own, and users of least rights."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from app.cli.services import machine
from app.cli.services.machine import LOOPBACK, PortTakenError
from app.cli.services.server import USER, NativeServer

#: The virtual host of the installation.
VHOST: Final = "tidemark"
APP_USER: Final = "tidemark_app"
FLOWER_USER: Final = "tidemark_flower"


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
        return f"amqp://{APP_USER}:{self._passwords['app']}@{LOOPBACK}:{self.port}/{VHOST}"

    @property
    def flower_url(self) -> str:
        """The same for Flower, which may listen to events and nothing else."""
        return f"amqp://{FLOWER_USER}:{self._passwords['flower']}@{LOOPBACK}:{self.port}/{VHOST}"

    def _configure(self) -> None:
        definitions = self._write(
            "definitions.json",
            json.dumps(_definitions(self._passwords), indent=1),
        )
        self._write(
            "rabbitmq.conf",
            f"listeners.tcp.1 = {LOOPBACK}:{self.port}\n"
            f"load_definitions = {definitions}\n"
            "log.file = false\n"
            "log.console = true\n"
            "log.console.level = warning\n"
            f"disk_free_limit.absolute = 50MB\n{self._more_configuration()}",
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
        return [machine.find_program(self.title, self.program)]

    def _launch(self) -> None:
        if self._pid("epmd") is None:
            self._kill("epmd")
            self._spawn(
                "epmd", [machine.find_program(self.title, "epmd")], self._epmd_environment()
            )
            self._wait_for_epmd()
        super()._launch()

    def _wait_for_epmd(self) -> None:
        deadline = time.monotonic() + self.start_seconds
        while not machine.accepts(self._ports["epmd"]):
            if self._pid("epmd") is None:
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

    def _end(self) -> None:
        super()._end()
        self._kill("epmd")


class WatchedRabbitMQServer(RabbitMQServer):
    """With the management API, on loopback too: it tells Flower how long the queues are."""

    ports_needed = (*RabbitMQServer.ports_needed, "management")
    plugins = ("rabbitmq_management",)

    @property
    def flower_api(self) -> str:
        """The management API for Flower, password included."""
        password = self._passwords["flower"]
        return f"http://{FLOWER_USER}:{password}@{LOOPBACK}:{self._ports['management']}/api/"

    def _more_configuration(self) -> str:
        return (
            f"management.tcp.ip = {LOOPBACK}\nmanagement.tcp.port = {self._ports['management']}\n"
        )


def _definitions(passwords: Mapping[str, str]) -> dict[str, Any]:
    """Users, virtual hosts and rights, as RabbitMQ reads them at each start."""
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    # Flower declares its own event queue and binds it to the events' exchange. Worker commands
    # travel by celery.pidbox, which it may neither declare nor write to.
    events_only = {
        "configure": r"^(celeryev|celeryev\..+)$",
        "write": r"^celeryev\..+$",
        "read": r"^(celeryev|celeryev\..+)$",
    }
    return {
        "vhosts": [{"name": "/"}, {"name": VHOST}],
        "users": [
            _user(USER, passwords["admin"], ["administrator"]),
            _user(APP_USER, passwords["app"], []),
            # "management" shows what lies in its own virtual host, and no more.
            _user(FLOWER_USER, passwords["flower"], ["management"]),
        ],
        "permissions": [
            {"user": USER, "vhost": "/", **everything},
            {"user": USER, "vhost": VHOST, **everything},
            {"user": APP_USER, "vhost": VHOST, **everything},
            {"user": FLOWER_USER, "vhost": VHOST, **events_only},
        ],
    }


def _user(name: str, password: str, tags: list[str]) -> dict[str, Any]:
    """RabbitMQ's salted SHA-256: four bytes of salt, and the hash of salt and password."""
    salt = secrets.token_bytes(4)
    digest = hashlib.sha256(salt + password.encode()).digest()
    return {
        "name": name,
        "password_hash": base64.b64encode(salt + digest).decode(),
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": tags,
    }
