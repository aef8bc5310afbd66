"""Client of the simulated exchange's control API."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any

from app.core.errors import InvalidInput, Unavailable
from app.core.money import canonical

if TYPE_CHECKING:
    import httpx


class SimulatorControl:
    """Opens accounts and moves the market of one simulator. Safe to share by threads.

    Args:
        base_url: of the simulator, on loopback; empty where none is configured.
    """

    def __init__(self, base_url: str, timeout_s: float = 60.0) -> None:
        self._url = base_url.rstrip("/")
        self._timeout_s = timeout_s

    def clock(self) -> dict[str, Any]:
        """``{"market_ms", "wall_ms", "mode"}``.

        Raises:
            Unavailable: the simulator cannot be reached.
        """
        return self._call("GET", "/clock")

    def advance(self, to_ms: int) -> int:
        """Move a stepped market on; the new market time, ms.

        Raises:
            InvalidInput: the simulator refuses, for instance because its clock runs by itself.
            Unavailable: it cannot be reached.
        """
        return int(self._call("POST", "/advance", {"to_ms": to_ms})["market_ms"])

    def open_account(
        self, exchange: str, name: str, balances: Mapping[str, Decimal]
    ) -> dict[str, str]:
        """Open an account; its ``apiKey`` and ``secret``.

        Raises:
            InvalidInput: the simulator refuses a balance or the name.
            Unavailable: it cannot be reached, or none is configured.
        """
        del exchange  # one simulator speaks for every venue
        amounts = {asset: canonical(amount) for asset, amount in balances.items()}
        made = self._call("POST", "/accounts", {"name": name, "balances": amounts})
        return {"apiKey": made["api_key"], "secret": made["api_secret"]}

    @cached_property
    def _http(self) -> httpx.Client:
        """One client: 24 ms of a core go into the TLS settings of each, used or not.

        It keeps no connection, so there is none to close or to find stale.
        """
        import httpx

        alone = httpx.Limits(max_keepalive_connections=0)
        return httpx.Client(timeout=self._timeout_s, trust_env=False, limits=alone)

    def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        import httpx

        if not self._url:
            raise Unavailable(
                "no simulated exchange is configured; start one with `tidemark up`, or set "
                "TIDEMARK_SIMULATOR_URL"
            )
        try:
            response = self._http.request(method, f"{self._url}/control{path}", json=body)
            answer = response.json()
        except (httpx.HTTPError, ValueError) as error:
            raise Unavailable(
                f"the simulated exchange does not answer ({type(error).__name__}); is it running?"
            ) from None
        if response.status_code != 200:
            raise InvalidInput(f"the simulated exchange refused: {answer.get('error', answer)}")
        return dict(answer)
