"""docker-compose.yml against the code: commands, names, limits, and what is published.

Docker itself runs where the images are built; what can be said without it is said here.
"""

from __future__ import annotations

import importlib.util
import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from app.cli.main import app as cli
from app.cli.supervision.table import WORKERS, flower_arguments, worker_arguments
from app.config import Settings
from app.config_file import OTHER_NAMES

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, each in SERVICES.items() if each["image"].startswith("tidemark:")]
ONE_SHOT = {"migrate", "rabbitmq-definitions"}


def test_every_part_of_the_stack_is_there() -> None:
    assert set(SERVICES) == {
        *("mysql", "rabbitmq", "rabbitmq-definitions", "redis", "nginx", "flower"),
        *("pod", "migrate", "api", "beat", "streams", "simulator"),
        *(f"worker-{each.name}" for each in WORKERS),
    }


@pytest.mark.parametrize("worker", WORKERS, ids=lambda worker: worker.name)
def test_workers_run_the_supervisors_commands(worker: Any) -> None:
    command = SERVICES[f"worker-{worker.name}"]["command"]
    assert command == ["python", *worker_arguments(worker, Settings(environment="testing"))]


def test_the_commands_that_its_head_names_can_be_run() -> None:
    """``run`` takes the place of a service's command, and no image has an entry point."""
    found = re.findall(r"^# +docker compose run --rm (\S+) (.+)$", TEXT, re.MULTILINE)
    assert found
    for service, command in found:
        program, flag, module, *arguments = command.split()
        assert service in SERVICES
        assert (program, flag) == ("python", "-m")
        assert importlib.util.find_spec(module) is not None
        assert CliRunner().invoke(cli, [*arguments, "--help"]).exit_code == 0


def test_nginx_asks_again_for_the_address_of_a_container_that_was_made_anew() -> None:
    text = (ROOT / "deploy/compose/upstreams.conf").read_text()
    servers = re.findall(r"^ +server (\S+):\d+(.*);$", text, re.MULTILINE)
    assert {name for name, _ in servers} == {"pod", "flower"}
    assert {options.strip() for _, options in servers} == {"resolve"}
    assert text.count("zone ") == len(servers), "what is shared by the workers of nginx"
    assert "resolver 127.0.0.11" in text


def test_who_shares_the_network_of_the_pod_is_started_anew_with_it() -> None:
    for name, each in SERVICES.items():
        if each.get("network_mode") == "service:pod":
            assert each["depends_on"]["pod"] == {"condition": "service_healthy", "restart": True}, (
                name
            )


def test_who_shares_the_network_of_the_pod_ends_when_that_is_gone() -> None:
    """Docker restarts what ends, in the new network; what is unhealthy it leaves as it is."""
    guard = "grep -q eth /proc/net/dev || kill -9 -1; exec python "
    for name, each in SERVICES.items():
        if each.get("network_mode") == "service:pod" and name not in ONE_SHOT:
            kind, command = each["healthcheck"]["test"]
            assert (kind, command.startswith(guard)) == ("CMD-SHELL", True), name
            assert each["restart"] == "unless-stopped"


def test_nobody_needs_a_right_that_an_init_of_root_would_lack() -> None:
    """Without CAP_KILL root cannot pass a SIGTERM on to a server of another user."""
    for name, each in SERVICES.items():
        if not each["image"].startswith("tidemark:"):
            assert not each["user"].startswith("0"), name
        assert "cap_add" not in each, name


def test_the_example_names_every_password_and_no_password_is_made_in_the_log() -> None:
    example = (ROOT / "deploy/compose/example.env").read_text()
    named = set(re.findall(r"^([A-Z_]+)=", example, re.MULTILINE))
    assert set(re.findall(r"\$\{([A-Z_]+):\?", TEXT)) <= named
    assert "MYSQL_RANDOM_ROOT_PASSWORD" not in TEXT


def test_flower_runs_the_supervisors_command() -> None:
    assert SERVICES["flower"]["command"] == ["python", *flower_arguments("0.0.0.0", 5555)]  # noqa: S104


def test_beat_keeps_its_schedule_in_a_volume_of_its_own() -> None:
    command = SERVICES["beat"]["command"]
    file = Path(command[command.index("-s") + 1])
    assert file.name == "celerybeat-schedule"
    assert f"celerybeat-schedule:{file.parent}" in SERVICES["beat"]["volumes"]


@pytest.mark.parametrize("name", OURS)
def test_commands_name_modules_and_files_that_exist(name: str) -> None:
    command = SERVICES[name]["command"]
    if name == "streams" and importlib.util.find_spec("workers.streams") is None:
        pytest.skip("the process is not part of this release; the supervisor leaves it out too")
    for flag, module in itertools.pairwise(command):
        if flag in ("-m", "-A"):
            assert importlib.util.find_spec(module) is not None, module
    for word in command:
        if word.startswith("deploy/"):
            assert (ROOT / word).is_file(), word


@pytest.mark.parametrize("name", OURS)
def test_the_environment_names_settings_that_exist(name: str) -> None:
    known = {f"TIDEMARK_{each.upper()}" for each in Settings.model_fields}
    known |= {f"TIDEMARK_{each}" for each in OTHER_NAMES}
    if name == "rabbitmq-definitions":  # reads no settings; see deploy/rabbitmq/render.py
        known = {"TIDEMARK_APP_PASSWORD", "TIDEMARK_FLOWER_PASSWORD"}
    given = {each for each in SERVICES[name].get("environment", {}) if each.startswith("TIDEMARK")}
    assert given <= known


def test_nginx_alone_is_published_and_only_on_loopback_unless_told() -> None:
    published = {name: each["ports"] for name, each in SERVICES.items() if "ports" in each}
    assert published == {"nginx": ["${PUBLISH_ADDRESS:-127.0.0.1:8080}:8080"]}
    assert not [name for name, each in SERVICES.items() if each.get("network_mode") == "host"]
    assert COMPOSE["networks"]["inside"]["internal"] is True
    for name in ("mysql", "rabbitmq", "redis"):
        assert SERVICES[name]["networks"] == ["inside"]
    assert SERVICES["nginx"]["networks"] == ["edge"]


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_bounded_pinned_and_without_privileges(name: str) -> None:
    service = SERVICES[name]
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")
    assert "docker.sock" not in str(service.get("volumes", ""))
    assert re.search(r":[0-9]+\.[0-9]+", service["image"]), "pinned by tag"
    if name in ONE_SHOT:
        assert service["healthcheck"] == {"disable": True}
        assert service["restart"] == "no"
    else:
        assert service["healthcheck"]["test"]
    if name not in ("mysql", "rabbitmq"):  # these two write beside their data
        assert service["read_only"] is True


def test_secrets_have_no_defaults() -> None:
    secret = re.compile(r"\$\{([A-Z_]*(?:PASSWORD|HTPASSWD|SECRET|TOKEN)[A-Z_]*)(.*?)\}")
    found = secret.findall(TEXT)
    assert {name for name, _ in found} == {
        "MYSQL_PASSWORD",
        "MYSQL_ROOT_PASSWORD",
        "REDIS_PASSWORD",
        "RABBITMQ_APP_PASSWORD",
        "RABBITMQ_FLOWER_PASSWORD",
        "FLOWER_HTPASSWD",
    }
    assert all(rest.startswith(":?") for _, rest in found), "compose refuses to start without"
    example = (ROOT / "deploy/compose/example.env").read_text()
    assert not re.search(r"PASSWORD=.+", example)


def test_mounted_files_exist() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            if source.startswith("./"):
                assert (ROOT / source).exists(), source
            elif not source.startswith("$"):
                assert source in COMPOSE["volumes"]


def test_the_image_runs_as_nobody_special_and_checks_its_health() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    stages = re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)
    assert len(stages) == 2
    assert all(re.search(r":[0-9]+\.[0-9]+\.[0-9]+-", stage) for stage in stages)
    last = dockerfile.rpartition("\nFROM ")[2]
    assert re.search(r"^USER tidemark", last, re.MULTILINE)
    assert "HEALTHCHECK" in last
    assert "--require-hashes" in dockerfile
    assert "uv sync --locked" in dockerfile
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE)
    ignored = (ROOT / ".dockerignore").read_text()
    for sources in copied:
        for source in sources.split():
            assert (ROOT / source).exists(), source
            assert f"!{source}\n" in ignored, f"{source} does not reach the image"
