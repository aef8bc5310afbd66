"""Binding unmodified ccxt to a simulated exchange on loopback.

ccxt keeps its real URL strings (some of its behaviour depends on them); the transport
underneath sends every request for a known host of the venue to the simulator. While an
exchange is bound, no other host can be reached through it.
"""

from __future__ import annotations

import ipaddress
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import requests
from requests.adapters import HTTPAdapter
from yarl import URL

from app.core.errors import InvalidInput, TidemarkError

VENUE_HOSTS: Final[dict[str, frozenset[str]]] = {
    "binance": frozenset(
        {
            "api.binance.com",
            "api1.binance.com",
            "api2.binance.com",
            "api3.binance.com",
            "api4.binance.com",
            "data-api.binance.vision",
            "data-stream.binance.vision",
            "stream.binance.com",
            "ws-api.binance.com",
            "fapi.binance.com",
            "dapi.binance.com",
        }
    ),
    "binanceusdm": frozenset(
        {
            "fapi.binance.com",
            "fstream.binance.com",
            "ws-fapi.binance.com",
            # Its account and its key are those of Binance.
            "api.binance.com",
        }
    ),
    "okx": frozenset({"www.okx.com", "ws.okx.com"}),
    "bybit": frozenset({"api.bybit.com", "stream.bybit.com"}),
}
# ccxt opens its spot market streams at stream.binance.com:9443/ws/N.
_STREAM_HOSTS: Final = frozenset({"stream.binance.com", "data-stream.binance.vision"})
_PROXY_SETTINGS: Final = (
    "proxyUrl",
    "httpProxy",
    "httpsProxy",
    "socksProxy",
    "wsProxy",
    "wssProxy",
    "wsSocksProxy",
)
DEFAULT_CONNECT_SECONDS: Final = 2.0
DEFAULT_READ_SECONDS: Final = 10.0


class ForeignHost(TidemarkError):
    """A request for a host that is not the bound venue's; it was not sent."""

    code = "foreign-host"


def bind_sync(
    exchange: Any,
    base_url: str,
    *,
    connect_seconds: float = DEFAULT_CONNECT_SECONDS,
    read_seconds: float = DEFAULT_READ_SECONDS,
) -> None:
    """Send everything that a synchronous ccxt exchange asks to the simulator.

    Args:
        base_url: of the simulator, as in ``http://127.0.0.1:8800``.
        connect_seconds, read_seconds: deadlines on the wall; they replace ccxt's timeout.

    Raises:
        InvalidInput: ``base_url`` is not on loopback, or the venue is not simulated.
    """
    base, hosts = _checked(base_url), _hosts(exchange)
    _refuse_proxies(exchange)
    adapter = _LoopbackAdapter(base, hosts, (connect_seconds, read_seconds))
    session = requests.Session()
    session.trust_env = False
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    exchange.session = session


def bind_async(
    exchange: Any,
    base_url: str,
    *,
    connect_seconds: float = DEFAULT_CONNECT_SECONDS,
    read_seconds: float = DEFAULT_READ_SECONDS,
) -> None:
    """Send everything that an asynchronous ccxt (or ccxt.pro) exchange asks to the simulator.

    Must be called inside the event loop that will use the exchange; ``exchange.close()``
    closes the transport too. WebSocket connections have no read deadline.

    Raises:
        InvalidInput: ``base_url`` is not on loopback, or the venue is not simulated.
    """
    base, hosts = _checked(base_url), _hosts(exchange)
    _refuse_proxies(exchange)

    async def to_loopback(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if request.proxy is not None:
            raise ForeignHost("a proxy is set; nothing was sent")
        request.url = URL(_rewritten(str(request.url), base, hosts), encoded=True)
        return await handler(request)

    def session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            middlewares=(to_loopback,),
            timeout=aiohttp.ClientTimeout(sock_connect=connect_seconds),
            trust_env=False,
        )

    opened = exchange.open

    def open_on_loopback(lazy: bool = False) -> None:
        # ccxt makes a session of its own where it finds none, as after close().
        if exchange.session is None and not (lazy and exchange.closed_by_user):
            exchange.session = session()
        opened(lazy)

    exchange.open = open_on_loopback
    exchange.timeout = int((connect_seconds + read_seconds) * 1000)
    exchange.open()


class _LoopbackAdapter(HTTPAdapter):
    """Transport that knows no address but the simulator's."""

    def __init__(self, base: str, hosts: frozenset[str], timeout: tuple[float, float]) -> None:
        super().__init__(max_retries=0)
        self._base = base
        self._hosts = hosts
        self._timeout = timeout

    def send(  # type: ignore[override]
        self, request: requests.PreparedRequest, **options: Any
    ) -> requests.Response:
        """Send one request to the simulator.

        Raises:
            ForeignHost: it was meant for somebody else, or was to go by a proxy elsewhere.
        """
        proxies = dict(options.get("proxies") or {})
        if not all(_is_loopback(urlsplit(each).hostname or "") for each in proxies.values()):
            raise ForeignHost("a proxy beyond loopback is set; nothing was sent")
        moved = request.copy()
        moved.url = _rewritten(request.url or "", self._base, self._hosts)
        options |= {"timeout": self._timeout, "proxies": proxies}
        response = super().send(moved, **options)
        response.request = request
        return response


def _rewritten(url: str, base: str, hosts: frozenset[str]) -> str:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host not in hosts:
        raise ForeignHost(
            f"{host or url[:60]!r} is not a host of the simulated venue; nothing was sent"
        )
    path = parts.path
    if host in _STREAM_HOSTS and not path.startswith("/stream"):
        path = "/stream" + path
    query = f"?{parts.query}" if parts.query else ""
    return f"{base}{path}{query}"


def _checked(base_url: str) -> str:
    parts = urlsplit(base_url)
    if parts.scheme != "http" or not _is_loopback(parts.hostname or ""):
        raise InvalidInput(
            f"simulator URL was {base_url[:80]!r}; it must be http on a loopback address"
        )
    return base_url.rstrip("/")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _refuse_proxies(exchange: Any) -> None:
    for name in _PROXY_SETTINGS:
        if getattr(exchange, name, None) is not None:
            raise InvalidInput(f"{name} is set; a bound exchange talks to loopback alone")


def _hosts(exchange: Any) -> frozenset[str]:
    try:
        return VENUE_HOSTS[exchange.id]
    except KeyError:
        raise InvalidInput(
            f"venue {exchange.id!r} is not simulated; simulated are {', '.join(VENUE_HOSTS)}"
        ) from None
