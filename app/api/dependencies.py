"""What the routers need, handed in by ``app.main``; and the parameters that many routes share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Path, Query, Request, Security
from fastapi.security import HTTPBearer

from app.api.problems import ApiProblem
from app.core.ports import Clock
from app.schemas.common import EXCHANGE_PATTERN, NAME_PATTERN, UID_PATTERN
from app.services.accounts import AccountService
from app.services.backtests import BacktestService
from app.services.collection import CollectionService
from app.services.doctor import Check
from app.services.job_venues import JobVenues
from app.services.jobs import JobService
from app.services.kline_pages import KlinePages
from app.services.listings import Listings
from app.services.market_data import MarketDataService
from app.services.orders.cancelling import OrderCanceller
from app.services.orders.intake import OrderIntake
from app.services.orders.locking import InstrumentLocks
from app.services.orders.trust import TradingGate
from app.services.point_coverage import PointCoverage
from app.services.points import PointQueries
from app.services.quality import QualityService
from app.services.retention import RetentionService
from app.services.risk import RiskService
from app.services.sources import SourceCatalogue
from app.services.strategies.catalogue import StrategyCatalogue
from app.services.strategies.instances import InstanceService
from app.services.tokens import TokenService


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The services behind the API.

    Attributes:
        readiness: the checks of ``/ready``, by what they look at.
    """

    accounts: AccountService
    backtests: BacktestService
    canceller: OrderCanceller
    catalogue: StrategyCatalogue
    clock: Clock
    collection: CollectionService
    gate: TradingGate
    instances: InstanceService
    intake: OrderIntake
    jobs: JobService
    job_venues: JobVenues
    kline_pages: KlinePages
    market_data: MarketDataService
    listings: Listings
    locks: InstrumentLocks
    point_coverage: PointCoverage
    points: PointQueries
    quality: QualityService
    retention: RetentionService
    risk: RiskService
    sources: SourceCatalogue
    tokens: TokenService
    readiness: tuple[Check, ...]
    version: str
    environment: str
    reporting_currency: str


def services_of(request: Request) -> Services:
    """The services of the application that the request came to."""
    found: Services = request.app.state.services
    return found


# Not "def": the framework sends each dependency that is one to a thread, and waits for it.
async def _services(request: Request) -> Services:
    return services_of(request)


_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="token",
    description="Made at the first start and kept in `api-token` in the data directory.",
)


async def _principal(request: Request, _shown: Annotated[object, Security(_bearer)]) -> str:
    """The name of the token, which the guard has looked up; without one nothing is served."""
    name: str | None = getattr(request.state, "principal", None)
    if name is None:
        raise ApiProblem("unauthorized", "this route asks for a token")
    return name


App = Annotated[Services, Depends(_services)]
#: The name of the token that asks.
Principal = Annotated[str, Depends(_principal)]

Limit = Annotated[int, Query(ge=1, le=500, description="rows of a page")]
#: Checked where the page is read, with one code for every list: ``invalid-cursor``.
Cursor = Annotated[str | None, Query(description="`next_cursor` of the page before")]
#: Of a list by time, where the cursor is the time at which the next page begins.
TimeCursor = Annotated[
    str | None,
    Query(description="`next_cursor` of the page before, asked for with the same start and end"),
]
IdPath = Annotated[str, Path(pattern=UID_PATTERN)]
AccountPath = Annotated[str, Path(pattern=NAME_PATTERN, description="the account's id or its name")]
AccountQuery = Annotated[
    str | None, Query(pattern=NAME_PATTERN, description="only this account: its id or name")
]
InstanceQuery = Annotated[str | None, Query(pattern=UID_PATTERN, description="only this instance")]
ExchangeQuery = Annotated[
    str | None, Query(pattern=EXCHANGE_PATTERN, description="only this exchange")
]
