"""``tidemark data verify|heal|quality``: how complete and how right stored klines are."""

from __future__ import annotations

import math
from typing import Annotated, Any

import typer

from app.cli.arguments import End, Exchange, Interval, Kind, Start, Symbol, range_of
from app.cli.output import Json, emit, facts, table
from app.cli.plans import plan_of

Days = Annotated[int, typer.Option("--days", min=1, help="The latest finished days, so many.")]
_MONTH_DAYS = 30


def verify(
    symbol: Symbol,
    interval: Interval = "1m",
    exchange: Exchange = "binance",
    kind: Kind = "trade",
    days: Days = 1,
    despite_shift: Annotated[
        bool,
        typer.Option("--despite-shift", help="Also where stored bars lie whole hours away."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Compare stored days with the exchange, bar by bar, and repair what differs."""
    from app.cli.driving import finish_jobs, require_success
    from app.cli.session import session
    from app.core.market.klines import kline_kind
    from app.services.collection.target import target
    from app.services.collection.verifying import SKIPPED

    with session() as here:
        wanted = target(exchange, symbol, interval, 0, kline_kind(kind))
        job = here.container.collection.verify(wanted, days, despite_shift=despite_shift)
        done = finish_jobs(here, [job.id])
        require_success(done)
    found: dict[str, Any] = done[0].result or {}
    rows = {
        "days": found["slices_total"],
        "bars compared": found["compared"],
        "differed, revised now": found["differed"],
        "missed, stored now": found["missed"],
        "not at the exchange": found["surplus"],
        "not compared, the exchange said nothing of them": found["uncompared"],
        "hours and days compared": found["derived_compared"],
        "hours and days that differ": found["derived_differed"],
    }

    def human(out: Any) -> None:
        facts(out, rows.items())
        if skipped := found.get(SKIPPED, 0):
            out.print(f"Left out: {skipped} days of which nothing is stored or planned.")

    emit(as_json, found, human)


def heal(
    plan: Annotated[str, typer.Argument(help="A plan's name or id.")], as_json: Json = False
) -> None:
    """Ask at once for every missing bar, also for those that were asked for in vain."""
    from app.cli.driving import finish_jobs, require_success
    from app.cli.session import session
    from app.schemas.jobs import Job

    with session() as here:
        row = plan_of(here, plan)
        started = here.container.collection.start(row.id, heal=True)
        done = finish_jobs(here, [job.id for job in started]) if started else []
        require_success(done)
    jobs = [Job.of(job) for job in done]
    rows = (
        [job.params["symbol"], job.params["interval"], *map((job.result or {}).get, _COUNTS)]
        for job in jobs
    )
    columns = ("symbol", "interval", "healed>", "pending>", "missing at venue>")
    emit(
        as_json,
        {"plan": row.name, "jobs": [job.model_dump(mode="json") for job in jobs]},
        lambda out: table(out, columns, rows, f"Plan {row.name} lacks nothing."),
    )


_COUNTS = ("rows", "pending", "exchange_side")


def quality(
    symbol: Symbol,
    interval: Interval = "1m",
    exchange: Exchange = "binance",
    kind: Kind = "trade",
    start: Start = "",
    end: End = "",
    as_json: Json = False,
) -> None:
    """Show what is traded, and how complete and right verified days are; else the latest 30."""
    from app.cli.findings import character_lines
    from app.cli.session import session
    from app.core.market.klines import kline_kind
    from app.schemas.quality import Quality

    first, stop = range_of(start, end)
    with session() as here:
        service = here.container.quality
        series = (exchange, symbol, interval)
        found = Quality.of(
            service.quality(*series, first, stop, kline_kind(kind), latest=_MONTH_DAYS)
        )
    columns = (
        "day",
        "expected",
        "present",
        "exchange_side",
        "pending",
        "quiet",
        "differed",
        "missed",
        "surplus",
        "uncompared",
    )
    names = (columns[0], *(f"{name.replace('_', ' ')}>" for name in columns[1:]))

    def human(out: Any) -> None:
        rows = ([getattr(day, column) for column in columns] for day in found.days)
        table(out, names, rows, "No day was verified yet; do it with: tidemark data verify")
        if found.days:
            out.print(
                f"stored of what the exchange has, before repairs: {_percent(found.success_rate)}; "
                f"right when first compared: {_percent(found.accuracy)}"
            )
        if found.uncompared:
            out.print(f"{found.uncompared} stored bars were not compared; verify again later")
        if found.character is not None:
            for line in character_lines(found.character):
                out.print(line)

    emit(as_json, found, human)


def _percent(part: float | None) -> str:
    """A part in percent, cut off rather than rounded: 100.0000 % is nothing less than all."""
    return "unknown" if part is None else f"{math.floor(1_000_000 * part) / 10_000:.4f} %"
