"""``tidemark data import`` and ``tidemark data export``: market history from and to files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from app.cli.arguments import End, Exchange, Interval, Start, Symbol, range_of
from app.cli.output import Json, emit, facts, table

if TYPE_CHECKING:
    from rich.console import Console

    from app.models import JobRow

_Source = Annotated[str, typer.Argument(metavar="PATH|URL", help="File, directory or archive.")]
_Kind = Annotated[str, typer.Option("--kind", help="trade, mark or index.")]
_Columns = Annotated[
    str, typer.Option("--columns", help="By name or position: ts=0,open=1,high=2,…")
]
_Unit = Annotated[str, typer.Option("--time-unit", help="s, ms, us, ns or iso.")]
_Offset = Annotated[
    str, typer.Option("--utc-offset", help="How far the file's times are ahead of UTC: +08:00, 0.")
]
_Format = Annotated[
    str, typer.Option("--format", help="csv, json, feather or parquet; else by the name.")
]

_Trades = Annotated[bool, typer.Option("--trades", help="The rows are trades.")]
_Funding = Annotated[
    bool, typer.Option("--funding", help="The rows are funding rates; else by the name.")
]
_Complete = Annotated[
    bool, typer.Option("--complete", help="A bar that the files lack does not exist.")
]
_DespiteShift = Annotated[
    bool, typer.Option("--despite-shift", help="Keep bars that are stored whole hours away.")
]
_Whole = Annotated[
    bool, typer.Option("--whole", help="A last line without a line end is not cut: take it.")
]
_Revise = Annotated[
    bool, typer.Option("--revise", help="The file is right where most stored bars differ from it.")
]
_DespiteName = Annotated[
    bool, typer.Option("--despite-name", help="The symbol or interval in the name is wrong.")
]
_NewExchange = Annotated[
    bool, typer.Option("--new-exchange", help="The exchange is one that ccxt does not know.")
]

# What is wrong with a file, as a job keeps it: as bad an input where its turn comes late.
_BAD_FILES: Final = frozenset({
    "invalid-input", "shifted", "contradicted", "unplaced-files", "files-left-out", "unreachable",
    "gone", "nothing-there",
})  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the commands to a group."""
    app.command("import")(import_files)
    app.command("export")(export_file)


def import_files(
    source: _Source,
    exchange: Exchange = "binance",
    symbol: Annotated[str, typer.Option("--symbol", "-s", help="Else by the file's name.")] = "",
    interval: Annotated[
        str, typer.Option("--interval", "-i", help="Else by the file's name; of bars of trades.")
    ] = "",
    kind: _Kind = "",
    format_: _Format = "",
    columns: _Columns = "",
    time_unit: _Unit = "",
    utc_offset: _Offset = "",
    start: Start = "",
    end: End = "",
    trades: _Trades = False,
    funding: _Funding = False,
    complete: _Complete = False,
    despite_shift: _DespiteShift = False,
    whole: _Whole = False,
    revise: _Revise = False,
    despite_name: _DespiteName = False,
    new_exchange: _NewExchange = False,
    as_json: Json = False,
) -> None:
    """Store bars and funding of files: Binance's archive, freqtrade, CSV, Parquet, feather."""
    from app.cli.driving import finish_jobs, require_success
    from app.cli.session import session
    from app.core.market.files.mapping import columns_of
    from app.core.market.files.times import utc_offset as offset_of
    from app.services.importing import ImportOrder

    first, stop = range_of(start, end)
    order = ImportOrder(
        source=_place_of(source),
        exchange=exchange,
        symbol=symbol,
        interval=interval,
        kind=kind,
        format=format_,
        columns=columns_of(columns),
        time_unit=time_unit,
        utc_offset_ms=offset_of(utc_offset) if utc_offset else None,
        start=first,
        end=stop,
        complete=complete,
        trades=trades,
        funding=funding,
        despite_shift=despite_shift,
        whole=whole,
        revise=revise,
        despite_name=despite_name,
        new_exchange=new_exchange,
    )
    with session() as here:
        job = here.container.importing.start(order)
        (done,) = finish_jobs(here, [job.id])
    _tell(done, as_json)
    require_success([done], bad_input=_BAD_FILES)


def _place_of(source: str) -> str:
    """A URL as it was given, a path from the root.

    Raises:
        InvalidInput: it is empty.
    """
    from app.core.errors import InvalidInput

    if not source.strip():
        # Resolved, it would be the directory in which the command was given.
        raise InvalidInput("PATH|URL is empty; give a file, a directory or a URL")
    return source if "://" in source else str(Path(source).resolve())


def _tell(done: JobRow, as_json: bool) -> None:
    """Print the account of an import that has ended, well or not."""
    result = {"job_id": done.id, **(done.result or {})}
    if done.result is not None:
        # What came in before a failure is in the record: the account is told all the same.
        said = (done.error or {}).get("message")
        emit(as_json, result, lambda out: _show(out, result, said))
    if not as_json:
        _require_files(done)


def export_file(
    path: Annotated[Path, typer.Argument(help="As in BTC_USDT-1m.feather; replaced at once.")],
    symbol: Symbol,
    interval: Interval,
    exchange: Exchange = "binance",
    kind: _Kind = "trade",
    format_: Annotated[str, typer.Option("--format", help="csv, parquet or feather.")] = "",
    start: Start = "",
    end: End = "",
    as_json: Json = False,
) -> None:
    """Write stored bars to a file: Parquet, CSV, or feather as freqtrade reads it."""
    from dataclasses import asdict

    from app.cli.session import session
    from app.schemas.times import rfc3339

    first, stop = range_of(start, end)
    with session() as here:
        found = here.container.exporting.export(
            path.absolute(),
            exchange,
            symbol,
            interval,
            kind=kind,
            start=first,
            end=stop,
            format_=format_,
        )
    document = asdict(found)
    shown = {**document, "first": rfc3339(found.first), "last": rfc3339(found.last)}
    made_of = ", ".join(shown.pop("derived_of"))
    if made_of:
        shown["not in it"] = f"bars that are derived of {made_of} as they are read"
    emit(as_json, document, lambda out: facts(out, shown.items()))


def _show(out: Console, result: dict[str, Any], said: str | None) -> None:
    """Show the account of an import.

    Args:
        said: why it failed, which the last line says.
    """
    from app.cli.findings import report_lines
    from app.cli.import_notes import notes
    from app.schemas.times import rfc3339

    rows = (
        [
            each["symbol"],
            each["interval"],
            each["new"],
            each["unchanged"],
            each["revised"],
            each["bad"],
            each["gaps"]["count"],
            each["gaps"]["bars"],
            each["zero_volume"]["bars"],
            "–" if each["first"] is None else rfc3339(each["first"]),
            "–" if each["last"] is None else rfc3339(each["last"]),
        ]
        for each in result["series"]
    )
    columns = ("symbol", "interval", "new>", "same>", "revised>", "refused>", "gaps>", "missing>")
    if result["series"] or not result["funding"]:
        refused = result["left_out"] or result["shifts"] or result["unplaced"]
        none = "No bar was stored." if refused else "No bar was found."
        table(out, (*columns, "no volume>", "first", "last"), rows, none)
    filled = result.get("filled", 0)
    if result["unchanged"] and not (result["new"] or result["revised"] or filled):
        out.print("Every bar was stored already: nothing has changed.")
    for each in result["series"]:
        out.print(f"{each['symbol']} {each['interval']}:")
        for line in report_lines(each):
            out.print(f"  {line}")
        for reason, bars in each.get("reasons", {}).items():
            out.print(f"  refused: {bars:,}: {reason}", markup=False)
        _show_gaps(out, each)
    for each in result["funding"]:
        _show_funding(out, each)
    unlisted = [each for each in [*result["series"], *result["funding"]] if _is_unlisted(each)]
    for symbol, exchange in dict.fromkeys((each["symbol"], each["exchange"]) for each in unlisted):
        out.print(f"{symbol} is not in the catalogue of {exchange}.", markup=False)
    for note in notes(result, said):
        out.print(note, markup=False)
    speed = f", {result['rows_per_s']:,} a second" if result["rows_per_s"] else ""
    if result.get("trades"):
        out.print(f"{result['trades']:,} trades{speed}, of which {result['rows']:,} bars came.")
    else:
        out.print(f"{result['rows']:,} rows{speed}.")


def _is_unlisted(account: dict[str, Any]) -> bool:
    # A job of an older release does not say it of funding.
    return not account.get("in_catalogue", True)


def _require_files(job: JobRow) -> None:
    """Nothing, where every file of several came in: the account has said of each other why.

    Raises:
        InvalidInput: some did not.
    """
    from app.core.errors import InvalidInput
    from app.services.importing.account import FIRST

    error = job.error or {}
    if error.get("code") == "files-left-out":
        many, _, _ = str(error["message"]).partition(FIRST)
        message = f"the import job failed: {many}; the account says of each why"
        raise InvalidInput(message, code=error["code"])


def _show_funding(out: Console, found: dict[str, Any]) -> None:
    pause = "" if found["hours_apart"] is None else f"every {found['hours_apart']} h, "
    out.print(
        f"{found['symbol']} funding: {found['new']:,} new, {found['unchanged']:,} stored already, "
        f"{found['revised']:,} revised, {pause}{found['gaps']['bars']:,} "
        f"missing in between, {found['off_hour']:,} of them stamped behind the full hour."
    )


def _show_gaps(out: Console, series: dict[str, Any], most: int = 10) -> None:
    from app.schemas.times import rfc3339

    ranges = sorted(series["gaps"]["ranges"], key=lambda each: each[2], reverse=True)[:most]
    rows = ([rfc3339(start), rfc3339(end), bars] for start, end, bars in sorted(ranges))
    if ranges:
        title = f"longest gaps of {series['symbol']} from"
        table(out, (title, "to", "bars>"), rows, "")
