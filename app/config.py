"""Every setting, typed. Sources, the first that speaks wins:

1. environment variables ``TIDEMARK_*`` (and ``LOG_LEVEL``)
2. ``.env`` at home, see ``home``
3. ``config/environments/<environment>.yaml``
4. the defaults below

Insecure values are refused outside development, and with any bind beyond loopback.
"""

from __future__ import annotations

import ipaddress
import os
import re
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import (
    AliasChoices,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from app.config_file import PREFIX, check_dotenv, check_names, read_settings_file
from app.core.errors import InvalidInput
from app.core.exchanges.proxies import named_proxies
from app.core.security.passwords import LEAST_LENGTH, is_weak
from app.core.wording import field_words

_ROOT: Final = Path(__file__).resolve().parent.parent
# Settings that may hold a password.
_URLS: Final = (
    "database_url",
    "broker_url",
    "redis_url",
    "flower_broker_url",
    "flower_broker_api",
)
# What each of them may begin with, and how it is written; see ``database_url`` for its own.
_SCHEMES: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    "broker_url": (("memory", "amqp", "amqps"), "memory:// or amqp://user:password@host/vhost"),
    "redis_url": (("redis", "rediss", "unix"), "redis://:password@host:6379/0"),
    "flower_broker_url": (("amqp", "amqps"), "amqp://user:password@host/vhost"),
    "flower_broker_api": (("http", "https"), "http://user:password@host:15672/api/"),
    "simulator_url": (("http",), "http://127.0.0.1:port"),
}
_VENUES: Final = "^[a-z0-9_, ]*$"
_CURRENCY: Final = "^[A-Z0-9]{2,12}$"
_HOST_NAME: Final = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?"
    r"(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?"
)
_FORMS: Final[Mapping[str, str]] = {
    _VENUES: "write venues as in okx, bybit; or all",
    _CURRENCY: "write a currency as in USDT",
}


class Environment(StrEnum):
    """Where this installation stands."""

    DEVELOPMENT = "development"
    TESTING = "testing"
    STAGING = "staging"
    PRODUCTION = "production"


class Settings(BaseSettings):
    """The settings of one process."""

    model_config = SettingsConfigDict(
        allow_inf_nan=False,
        env_prefix=PREFIX,
        extra="ignore",
        frozen=True,
        populate_by_name=True,
    )

    environment: Environment = Environment.DEVELOPMENT
    log_level: str = Field(
        "INFO", validation_alias=AliasChoices("TIDEMARK_LOG_LEVEL", "LOG_LEVEL", "log_level")
    )
    #: ``console`` for people, ``json`` for machines.
    log_format: Literal["console", "json"] = "console"

    #: Everything that embedded keeps: database, lock, vault key, simulator journal. A relative
    #: path lies at home; once loaded it is absolute.
    data_dir: Path = Field(Path("var"), validate_default=True)
    #: Empty: SQLite in the data directory. A relative path of SQLite lies at home too.
    database_url: str = ""
    #: ``memory:`` is embedded; ``amqp://…`` is RabbitMQ.
    broker_url: str = "memory://localhost/"
    #: Empty: prices and budget inside the process.
    redis_url: str = ""
    #: The broker as Flower sees it: a user who may listen to events alone. Empty: no Flower.
    flower_broker_url: str = ""
    #: RabbitMQ's management API as Flower asks it for the queues' lengths; may be empty.
    flower_broker_api: str = ""
    database_pool_size: int = Field(10, ge=1, le=200)
    #: Disk, MB, for klines kept in files beside the process for fast long reads; 0 keeps none.
    #: A million bars take 48 MB.
    segments_mb: int = Field(4_096, ge=0)

    #: Days for which a job is kept after its end. One that a backtest came of stays with it.
    keep_jobs_days: int = Field(30, ge=1, le=3_650)

    api_host: str = "127.0.0.1"
    api_port: int = Field(8700, ge=0, le=65535)
    api_docs: bool = True
    #: Processes that serve the API (full stack).
    api_workers: int = Field(1, ge=1, le=32)
    #: Flower's port, on loopback (full stack).
    flower_port: int = Field(5555, ge=1, le=65535)
    #: Tasks that Flower remembers, the latest; ten thousand take 60 MB.
    flower_max_tasks: int = Field(10_000, ge=100, le=1_000_000)
    #: Threads of each worker.
    worker_threads: int = Field(8, ge=1, le=64)
    #: Backtests at the same time, each in a process of its own (full stack).
    backtest_processes: int = Field(2, ge=1, le=64)

    #: Base URL of the simulated exchange; while set, no other host is ever spoken to.
    simulator_url: str = ""
    #: Seconds a venue may take to answer.
    venue_timeout_s: float = Field(10.0, gt=0, le=60)
    #: Request weight per minute and address at Binance, which allows 6000; that of other venues
    #: is changed in proportion.
    venue_weight: int = Field(6_000, ge=1)
    #: Proxies for public market data, beside the own address: ``http://user:password@host:port``,
    #: separated by commas; a name may follow behind a ``#``. Nothing signed passes them.
    proxies: SecretStr = SecretStr("")
    #: Venues that are asked for data gently, separated by commas, or ``all``: a request in 3 s of
    #: each address, and a rest after twenty.
    polite: str = Field("", pattern=_VENUES)
    #: Raw X25519 key; made on first use where it is missing.
    vault_key_file: Path = Path("vault.key")

    reporting_currency: str = Field("USDT", pattern=_CURRENCY)
    #: Request window of orders, ms: the fence against a sender that slept. At most 2 s.
    order_recv_window_ms: int = Field(2_000, ge=100, le=2_000)
    #: Time after which a venue's queries surely show what it accepted, ms.
    order_settle_ms: int = Field(1_000, ge=0, le=60_000)
    #: Age of a price, ms of market time, above which orders are denied.
    max_price_age_ms: int = Field(10_000, ge=100)
    #: Wall-clock limit of one call into user code, seconds.
    strategy_timeout_s: float = Field(10.0, gt=0, le=3_600)
    #: Wall-clock of one run of a data source, seconds; one that does not end then is killed 10 s
    #: later.
    source_timeout_s: float = Field(30.0, ge=1, le=45)
    #: Signals that a live instance may emit on one bar and the fills after it; more is a flood.
    max_signals_per_bar: int = Field(100, ge=1, le=1_000)
    #: Wall-clock limit of one backtest, seconds.
    backtest_timeout_s: float = Field(1_800.0, gt=0, le=604_800)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment over ``.env`` over the environment's YAML file."""
        del dotenv_settings, file_secret_settings
        dotenv = DotEnvSettingsSource(settings_cls, env_file=home() / ".env")
        places = (init_settings(), _environment(env_settings), _environment(dotenv))
        yaml = InitSettingsSource(settings_cls, init_kwargs=_of_yaml(_yaml_file(places)))
        return init_settings, env_settings, dotenv, yaml

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, value: str) -> str:
        if value.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
            raise ValueError("use DEBUG, INFO, WARNING, ERROR or CRITICAL")
        return value.upper()

    @field_validator("data_dir", mode="before")
    @classmethod
    def _named_directory(cls, value: object) -> object:
        if value == "":  # a path of no characters is the working directory
            raise ValueError("name a directory, or leave it unset for var")
        return value

    @field_validator("data_dir")
    @classmethod
    def _absolute_directory(cls, value: Path) -> Path:
        return _at_home(value)

    @field_validator(*_URLS)
    @classmethod
    def _whole_url(cls, value: str) -> str:
        try:
            _ = urlsplit(value).port
        except ValueError:
            raise ValueError(
                "it is no URL; write the special characters of a password as %40, %2F and so on"
            ) from None
        return value

    @field_validator(*_SCHEMES)
    @classmethod
    def _known_scheme(cls, value: str, info: ValidationInfo) -> str:
        schemes, form = _SCHEMES[str(info.field_name)]
        if info.field_name != "broker_url" and not value:
            return value
        if value.partition(":")[0] not in schemes:
            raise ValueError(f"write it as in {form}")
        return value

    @field_validator("broker_url")
    @classmethod
    def _some_broker(cls, value: str) -> str:
        if not value:
            raise ValueError(
                "write memory:// or amqp://user:password@host/vhost, or leave it unset"
            )
        return value

    @field_validator("api_host")
    @classmethod
    def _bindable_host(cls, value: str) -> str:
        if not _is_host(value):
            raise ValueError("write an address or a host name, as in 127.0.0.1, ::1 or localhost")
        return value

    @field_validator("polite")
    @classmethod
    def _known_venues(cls, value: str) -> str:
        from app.core.exchanges.factory import VENUES
        from app.core.exchanges.markets.generic import check_known

        try:
            for venue in sorted({*value.replace(",", " ").split()} - {"all", *VENUES}):
                check_known(venue)  # a name that nobody has would silently be no setting
        except InvalidInput as error:
            raise ValueError(error.message) from None
        return value

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, value: str) -> str:
        if value and not value.startswith(("sqlite://", "mysql+pymysql://")):
            raise ValueError("use sqlite:///path or mysql+pymysql://user:password@host/name")
        place, slashes, path = value.partition(":///")
        if place != "sqlite" or path.startswith((":memory:", "file:")) or not path:
            return value
        return f"{place}{slashes}{_at_home(Path(path))}"

    @field_validator("simulator_url")
    @classmethod
    def _loopback_simulator(cls, value: str) -> str:
        if value and not is_loopback(urlsplit(value).hostname or ""):
            raise ValueError("the simulated exchange must be on loopback, such as 127.0.0.1")
        return value.rstrip("/")

    @field_validator("proxies")
    @classmethod
    def _known_proxies(cls, value: SecretStr) -> SecretStr:
        try:
            named_proxies(value.get_secret_value())
        except InvalidInput as error:
            raise ValueError(error.message) from None
        return value

    @model_validator(mode="after")
    def _refuse_insecure(self) -> Self:
        exposed = not is_loopback(self.api_host)
        if not exposed and self.environment in (Environment.DEVELOPMENT, Environment.TESTING):
            return self
        why = "with a bind beyond loopback" if exposed else f"in {self.environment}"
        for name in _URLS:
            url = urlsplit(getattr(self, name))
            networked = url.scheme not in ("", "sqlite", "memory") and url.hostname is not None
            if networked and is_weak(unquote(url.password or ""), unquote(url.username or "")):
                raise ValueError(
                    f"TIDEMARK_{name.upper()} has no password, or a short or well-known one, "
                    f"which is refused {why}; set a random one of {LEAST_LENGTH} characters or "
                    "more, such as `openssl rand -hex 24` makes"
                )
        if self.api_docs and self.environment is Environment.PRODUCTION:
            raise ValueError("TIDEMARK_API_DOCS must be false in production")
        return self

    @property
    def sqlalchemy_url(self) -> str:
        """The database, with the embedded default filled in."""
        return self.database_url or f"sqlite:///{self.data_dir / 'tidemark.db'}"

    @property
    def named_proxies(self) -> dict[str, str]:
        """URL of each proxy that is used, with its password, by the name that may be shown.

        A simulated exchange is reached on loopback, and by proxies there.
        """
        found = named_proxies(self.proxies.get_secret_value())
        if not self.simulator_url:
            return found
        return {
            name: url for name, url in found.items() if is_loopback(urlsplit(url).hostname or "")
        }

    @property
    def polite_venues(self) -> frozenset[str]:
        """Venues that are treated gently; ``all`` is every one."""
        return frozenset(self.polite.replace(",", " ").split())

    @property
    def is_embedded(self) -> bool:
        """Whether queue and bus live inside one process."""
        return self.broker_url.startswith("memory:")

    @property
    def beat_file(self) -> Path:
        """Beat's state: ``celerybeat-schedule`` in the data directory; compose names a volume."""
        return self.data_dir / "celerybeat-schedule"

    @property
    def simulator_journal(self) -> Path:
        """What the simulated exchange has seen: its accounts are those of one record alone."""
        kind = "" if self.is_embedded else "-full"
        return self.data_dir / f"simulator{kind}.jsonl"

    @property
    def segments_path(self) -> Path:
        """Directory of the kline store's files. It may be deleted at any time."""
        return self.data_dir / "segments"

    @property
    def vault_key_path(self) -> Path:
        """The vault's key file; a relative name lies in the data directory."""
        return self.data_dir / self.vault_key_file


def load_settings(**overrides: object) -> Settings:
    """The settings of this process.

    Raises:
        InvalidInput: a value is malformed or insecure, or a name is unknown; one sentence for
            each.
    """
    try:
        _refuse_no_home()
        check_dotenv(home() / ".env")
        check_names(given_names(), Settings.model_fields)
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        in_file = _only_in_yaml(overrides)
        problems = [
            _problem(each, in_file) for each in error.errors(include_input=False, include_url=False)
        ]
        raise InvalidInput("; ".join(problems), code="invalid-settings") from None


def settings_or_exit() -> Settings:
    """The settings of a process that somebody else's command starts, such as ``celery -A``.

    Raises:
        SystemExit: 2; what is wrong with them stands on stderr, one sentence for each.
    """
    try:
        return load_settings()
    except InvalidInput as error:
        sys.stderr.write(f"tidemark: {error.message}\n")
        raise SystemExit(2) from None


def home() -> Path:
    """Where ``.env`` and a relative data directory lie, wherever a command is started.

    ``TIDEMARK_HOME``; without it the checkout that this code is of; where it is installed as a
    package instead, the working directory.
    """
    given = os.environ.get(f"{PREFIX}HOME", "")
    if given:
        return Path(given).expanduser().absolute()
    return _ROOT if (_ROOT / "pyproject.toml").is_file() else Path.cwd()


def given_names() -> set[str]:
    """Names that the environment or ``.env`` gives, in capitals."""
    dotenv = DotEnvSettingsSource(Settings, env_file=home() / ".env")
    return {each.upper() for each in [*os.environ, *dotenv.env_vars]}


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's loopback."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _is_host(name: str) -> bool:
    """Whether a socket may be bound to it, as far as its letters say."""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        # What is of digits and dots alone is an address that there is not.
        return _HOST_NAME.fullmatch(name) is not None and not name.replace(".", "").isdigit()
    return True


def _at_home(path: Path) -> Path:
    return (home() / path.expanduser()).resolve()


def _environment(source: PydanticBaseSettingsSource) -> dict[str, object]:
    """The environment's name alone, as a source has it; the others are not looked at yet."""
    assert isinstance(source, EnvSettingsSource)  # noqa: S101 - ``.env`` is one of them too
    return {"environment": source.env_vars.get("tidemark_environment")}


def _yaml_file(places: tuple[dict[str, object], ...]) -> Path:
    given = (place.get("environment") for place in places)
    name = next((each for each in given if each), "development")
    return _ROOT / "config" / "environments" / f"{Path(str(name)).name}.yaml"


def _of_yaml(path: Path) -> dict[str, Any]:
    """What the environment's YAML file gives, each setting by the name of its field."""
    return read_settings_file(path, _shown_file(path), Settings.model_fields)


def _shown_file(path: Path) -> str:
    return str(path.relative_to(_ROOT))


def _only_in_yaml(overrides: Mapping[str, object]) -> Mapping[str, str]:
    """The YAML file of each setting that nothing before it gives, by the field's name."""
    dotenv = DotEnvSettingsSource(Settings, env_file=home() / ".env")
    name = os.environ.get(f"{PREFIX}ENVIRONMENT") or dotenv.env_vars.get("tidemark_environment")
    path = _yaml_file((dict(overrides), {"environment": name}))
    said = {each.removeprefix(PREFIX).lower() for each in given_names()} | set(overrides)
    return {field: _shown_file(path) for field in _of_yaml(path) if field not in said}


def _refuse_no_home() -> None:
    """Refuse a home that is not there: an empty installation would begin at a misspelt name."""
    if not home().is_dir():
        raise InvalidInput(
            f"TIDEMARK_HOME {home()} is no directory; make it, or correct the name",
            code="invalid-settings",
        )


def _problem(error: Mapping[str, Any], in_file: Mapping[str, str]) -> str:
    """One of pydantic's errors, by the name that a person sets: a variable or a file's key."""
    reason = field_words(str(error["type"]), error.get("ctx") or {}, str(error["msg"]), _FORMS)
    if not error["loc"]:
        return reason  # settings that do not fit together name themselves
    name = str(error["loc"][0]).upper()  # an alias, or the name of the field
    if name == "TIDEMARK_LOG_LEVEL" and name not in given_names() and "LOG_LEVEL" in os.environ:
        return f"LOG_LEVEL: {reason}"  # the one name that others use as well
    name = name.removeprefix(PREFIX)
    if name.lower() in in_file:
        return f"the file {in_file[name.lower()]}, {name.lower()}: {reason}"
    return f"{PREFIX}{name}: {reason}"
