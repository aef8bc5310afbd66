"""The HTTP application of one process: ``create_app(container)``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app import __version__
from app.api.application import build_app
from app.api.dependencies import Services
from app.cli.probes import readiness
from app.services.listings import Listings
from app.services.point_coverage import PointCoverage
from app.services.points import PointQueries

if TYPE_CHECKING:
    from fastapi import FastAPI

    from app.wiring import Container

#: What the database's driver raises, and the status that says it best.
_FAILURES: dict[type[Exception], int] = {
    IntegrityError: 409,
    OperationalError: 503,
    InterfaceError: 503,
    PoolTimeout: 503,
}


def create_app(container: Container) -> FastAPI:
    """The API over the parts of a container."""
    settings = container.settings
    services = Services(
        accounts=container.accounts,
        backtests=container.backtests,
        canceller=container.canceller,
        catalogue=container.catalogue,
        clock=container.clock,
        collection=container.collection,
        gate=container.gate,
        instances=container.instances,
        intake=container.intake,
        jobs=container.jobs,
        job_venues=container.job_venues,
        kline_pages=container.kline_pages,
        market_data=container.market_data,
        listings=Listings(container.units),
        locks=container.locks,
        point_coverage=PointCoverage(container.units, container.market_clock),
        points=PointQueries(container.units),
        quality=container.quality,
        retention=container.retention,
        risk=container.risk,
        sources=container.sources,
        tokens=container.tokens,
        readiness=readiness(container),
        version=__version__,
        environment=settings.environment.value,
        reporting_currency=settings.reporting_currency,
    )
    return build_app(services, docs=settings.api_docs, failures=_FAILURES)
