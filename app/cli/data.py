"""``tidemark data``: collect, coverage, symbols, klines; files are in ``data_files``."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli import plans, quality
from app.cli.arguments import (
    Cursor,
    End,
    Exchange,
    Interval,
    Kind,
    Limit,
    Start,
    Symbol,
    group,
    range_of,
    time_of,
)
from app.cli.output import Json, emit, facts, table
from app.cli.plans import plan_of

if TYPE_CHECKING:
    from rich.console import Console

    from app.cli.session import Session
    from app.models import CollectionPlanRow
    from app.schemas.character import SeriesCharacter
    from app.schemas.market import Coverage

app = group(
    "Market data: symbols, plans, collect, import, export, coverage, verify, heal, retention, "
    "klines."
)
app.command("verify")(quality.verify)
app.command("heal")(quality.heal)
app.command("quality")(quality.quality)
#: Bars that an export holds in memory at once.
_CHUNK = 5_000
_COLLECTED = ("rows", "quarantined", "present", "pending", "exchange_side")
_COLUMNS = ("open_ts", "open", "high", "low", "close", "volume")


@app.command("collect")
def collect(
    plan: Annotated[str, typer.Argument(help="A plan's name or id; or use --symbol.")] = "",
    symbol: Annotated[list[str], typer.Option("--symbol", "-s", help="Without a plan.")] = [],  # noqa: B006
    interval: Interval = "1m",
    since: Annotated[str, typer.Option("--since", help="With --symbol: from when.")] = "",
    exchange: Exchange = "binance",
    kind: Kind = "trade",
    as_json: Json = False,
) -> None:
    """Fill what is missing of a plan, or of symbols for which a plan is made."""
    from app.cli.driving import finish_jobs, require_success
    from app.cli.findings import report_lines
    from app.cli.session import session
    from app.schemas.jobs import Job

    with session() as here:
        row = _plan(here, plan, symbol, interval, since, exchange, kind)
        started = here.container.collection.start(row.id)
        done = finish_jobs(here, [job.id for job in started]) if started else []
        require_success(done)
        beside = _points_beside(here, row)
        view = plans.shown(here, row)
    jobs = [Job.of(job) for job in done]
    rows = (
        [
            job.params["symbol"],
            job.params["interval"],
            *map((job.result or {}).get, _COLLECTED),
        ]
        for job in jobs
    )
    # Refused bars are in quarantine, and pending until they come in a better shape.
    columns = ("symbol", "interval", "stored>", "refused>", "present>", "pending>")

    def human(out: Console) -> None:
        table(out, (*columns, "missing at venue>"), rows, f"Plan {row.name} lacks nothing.")
        for job in jobs:
            if job.result:
                out.print(f"{job.params['symbol']} {job.params['interval']}:")
                for line in report_lines(job.result):
                    out.print(f"  {line}")
        if beside is not None:
            out.print(f"{', '.join(view.extras)}: {beside:,} points stored.")
        plans.say_skipped(out, view)

    skipped = [each.model_dump(mode="json") for each in view.skipped]
    document = {
        "plan": row.name,
        "skipped": skipped,
        "jobs": [job.model_dump(mode="json") for job in jobs],
        "points": beside,
    }
    emit(as_json, document, human)


def _points_beside(here: Session, row: CollectionPlanRow) -> int | None:
    """Points stored of what a plan follows beside its bars; None where it follows none, or where
    those who follow all plans do it."""
    if not row.extras or not here.works_alone:
        return None
    total = 0
    while True:
        # A page of each history with every turn.
        followed = here.container.collection.follow(row.id)
        total += followed.points
        if not followed.points:
            for what, why in followed.errors.items():
                sys.stderr.write(f"tidemark: {what} did not come: {why.partition(': ')[2]}\n")
            return total


@app.command("coverage")
def coverage(
    symbol: Annotated[str, typer.Option("--symbol", "-s", help="Without it: every series.")] = "",
    interval: Annotated[
        str, typer.Option("--interval", "-i", help="By default 1m; without --symbol all.")
    ] = "",
    exchange: Annotated[
        str, typer.Option("--exchange", "-e", help="By default binance; without --symbol all.")
    ] = "",
    kind: Annotated[
        str, typer.Option("--kind", help="By default trade; without --symbol all.")
    ] = "",
    start: Start = "",
    end: End = "",
    as_json: Json = False,
) -> None:
    """Show what is known of every expected bar, the gaps, and what is traded."""
    from app.cli.findings import character_lines, say_gaps
    from app.cli.session import session
    from app.core.market.intervals import interval as interval_of
    from app.core.market.klines import kline_kind
    from app.schemas.market import Coverage

    first, stop = range_of(start, end)
    with session() as here:
        service = here.container.quality
        names = (interval and interval_of(interval).name, kind and kline_kind(kind).value)
        if symbol:
            wanted = [(exchange or "binance", symbol, names[0] or "1m", names[1] or "trade")]
        else:
            wanted = [
                each
                for each in service.names(exchange or None)
                if names[0] in ("", each[2]) and names[1] in ("", each[3])
            ]
        found = [Coverage.of(service.coverage(*each[:3], first, stop, each[3])) for each in wanted]
        known = service.names(exchange or "binance") if symbol else ()

    def human(out: Console) -> None:
        _coverage_table(out, found)
        if symbol:
            if found[0].start is None:
                out.print(_why_nothing(found[0], known), soft_wrap=True)
            else:
                say_gaps(out, found[0])
            if found[0].character is not None:
                for line in character_lines(found[0].character):
                    out.print(line)

    emit(as_json, found[0] if symbol else found, human)


def _why_nothing(found: Coverage, known: Collection[tuple[str, ...]]) -> str:
    """Why no bar of a series is expected.

    Args:
        known: every series of its venue that is stored or planned.
    """
    from app.core.market.intervals import interval as interval_of
    from app.services.kline_sources import sources_of

    if (found.exchange, found.symbol, found.interval, found.kind) in known:
        return "No bar of it is expected in that range."
    for name in sources_of(interval_of(found.interval)):
        if (found.exchange, found.symbol, name, found.kind) in known:
            return (
                f"{found.interval} is not collected by itself: it is derived of {name} as it is "
                f"read, so look at --interval {name}."
            )
    return "Nothing of it was collected, and no plan wants it."


def _coverage_table(out: Console, found: Sequence[Coverage]) -> None:
    from app.schemas.times import rfc3339

    rows = (
        [
            each.exchange,
            each.symbol,
            each.interval if each.kind == "trade" else f"{each.interval} {each.kind}",
            None if each.start is None else rfc3339(each.start),
            None if each.end is None else rfc3339(each.end),
            each.expected,
            each.counts["present"],
            each.counts["pending"],
            each.counts["exchange_side"],
            each.counts["before_listing"] + each.counts["after_delisting"],
            each.counts["retired"],
            each.gaps,
            None if each.character is None else _verdict(each.character),
        ]
        for each in found
    )
    columns = ("exchange", "symbol", "interval", "from", "to", "expected>", "present>")
    # Expected are the three after it; those not listed and removed were never or are no more.
    more = ("pending>", "missing at venue>", "not listed>", "removed>", "gaps>")
    table(out, (*columns, *more, "without a trade"), rows, "Nothing was collected yet.")
    for note in sorted({f"{each.exchange}: {each.note}" for each in found if each.note}):
        out.print(f"Nothing is said of the bars after the last known one. {note}")


@app.command("symbols")
@app.command("instruments", hidden=True)
def symbols(
    exchange: Exchange = "binance",
    refresh: Annotated[bool, typer.Option("--refresh", help="Ask the exchange first.")] = False,
    limit: Limit = 100,
    cursor: Cursor = "",
    as_json: Json = False,
) -> None:
    """List what an exchange has, whether it can be traded now, and its filters."""
    from app.cli.session import session
    from app.schemas.common import listing
    from app.schemas.market import Instrument

    with session() as here:
        if refresh:
            here.container.market_data.sync_instruments(exchange)
        page, following = here.listings.instruments(exchange, limit, cursor or None)
    found = listing(page, Instrument.of, following)
    columns = ("symbol", "status", "tick_size", "step_size", "min_quantity", "min_notional")
    emit(
        as_json,
        found,
        lambda out: table(
            out,
            columns,
            ([getattr(each, column) for column in columns] for each in found.data),
            f"The catalogue is empty; fill it with: tidemark data symbols -e {exchange} --refresh",
        ),
    )


@app.command("price")
def price(symbol: Symbol, exchange: Exchange = "binance", as_json: Json = False) -> None:
    """Show the latest price of a symbol."""
    from app.cli.session import session
    from app.schemas.market import Price

    with session() as here:
        found = Price.of(here.container.market_data.get_latest_price(exchange, symbol))
    emit(as_json, found, lambda out: facts(out, found.model_dump().items()))


@app.command("klines")
def klines(
    symbol: Symbol,
    interval: Interval,
    exchange: Exchange = "binance",
    kind: Kind = "trade",
    start: Start = "",
    end: End = "",
    extra: Annotated[
        str, typer.Option("--extra", help="More columns: quote_volume, trade_count or both.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Write stored klines to stdout as CSV, exactly as the exchange stated them."""
    import json

    from app.cli.session import session
    from app.core.market.klines import extras_of, kline_kind

    of, names = kline_kind(kind).value, (*_COLUMNS, *extras_of(extra))
    series = {"exchange": exchange, "symbol": symbol, "interval": interval, "kind": of}
    columns: dict[str, list[Any]] = {name: [] for name in names}
    first, stop = range_of(start, end)
    with session() as here:
        lines = _lines(here, series, names, first, stop)
        if not as_json:
            sys.stdout.write(",".join(names) + "\n")
        for line in lines:
            if not as_json:
                cells = ("" if value is None else str(value) for value in line)
                sys.stdout.write(",".join(cells) + "\n")
                continue
            for column, value in zip(columns.values(), line, strict=True):
                column.append(value)
    if as_json:
        sys.stdout.write(json.dumps({**series, "exact": True, "columns": columns}) + "\n")


@app.command("jobs")
def collection_jobs(limit: Limit = 50, cursor: Cursor = "", as_json: Json = False) -> None:
    """List collection jobs, newest first."""
    from app.cli.jobs import list_jobs

    list_jobs("collection", limit, cursor, as_json)


def _verdict(found: SeriesCharacter) -> str:
    return ("dead, " if found.is_dead else "") + found.verdict.replace("_", " ")


def _lines(
    here: Session,
    series: dict[str, str],
    names: Sequence[str],
    start: int | None,
    end: int | None,
) -> Iterator[list[Any]]:
    """Bars as open time and canonical texts, read in pages; None for what is not known.

    Raises:
        NotFound: nothing is stored; at once, before the first bar is asked for.
    """
    from app.core.errors import NotFound

    stored = here.listings.stored_range(**series)
    if stored is None:
        of = "" if series["kind"] == "trade" else f"{series['kind']} "
        raise NotFound(
            f"no {of}klines of {series['symbol']} {series['interval']} are stored; collect them: "
            "tidemark data collect"
        )
    return _read(here, series, names, stored, stored[0] if start is None else start, end)


def _read(
    here: Session,
    series: dict[str, str],
    names: Sequence[str],
    stored: tuple[int, int],
    start: int,
    end: int | None,
) -> Iterator[list[Any]]:
    from decimal import Decimal

    from app.core.market.intervals import interval as interval_of
    from app.core.money import canonical
    from app.services.kline_pages import kline_page

    grid = interval_of(series["interval"])
    position: int | None = start
    while position is not None:
        page = kline_page(grid, stored, position, end, _CHUNK)
        if page is None:
            return
        for row in here.container.market_data.rows(**series, start=page.start, end=page.end):
            values = (getattr(row, name) for name in names)
            yield [canonical(each) if isinstance(each, Decimal) else each for each in values]
        position = page.following


def _plan(
    here: Session,
    plan: str,
    symbols: list[str],
    interval: str,
    since: str,
    exchange: str,
    kind: str,
) -> CollectionPlanRow:
    """The plan to collect: the named one, or one made of the options."""
    from app.core.errors import InvalidInput
    from app.core.market.klines import kline_kind

    if plan and not symbols:
        return plan_of(here, plan)
    if plan or not symbols:
        raise InvalidInput("name a plan, or give --symbol and --since to collect without one")
    since_ms = time_of("--since", since)
    if since_ms is None:
        raise InvalidInput("--since is needed with --symbol, as in --since 2026-01-01")
    return here.container.collection.plans.collecting(
        exchange, symbols, interval, kline_kind(kind), since_ms
    )
