"""``tidemark data sources``: any other series, by an author's file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.arguments import Params, group, params_of
from app.cli.output import Json, emit, facts, table

if TYPE_CHECKING:
    from rich.console import Console

    from app.core.sources.loader import SourceRef
    from app.services.sources.running import RunReport

app = group("Data sources: check, add, list, show, run, enable, disable, remove.")
File = Annotated[str, typer.Argument(help="A .py file, or a built-in: fear_greed.")]
Name = Annotated[str, typer.Argument(help="The source's name.")]


@app.command("list")
def list_sources(as_json: Json = False) -> None:
    """List data sources, and how their last runs went."""
    from app.cli.session import session
    from app.schemas.sources import DataSource

    with session() as here:
        found = [DataSource.of(row) for row in here.container.sources.all()]
    rows = (
        [each.name, each.file, each.every, each.enabled, each.ran_at, each.error or "–"]
        for each in found
    )
    columns = ("name", "file", "every", "enabled", "last run", "error")
    emit(as_json, found, lambda out: table(out, columns, rows, "No data source."))


@app.command("show")
def show_source(name: Name, as_json: Json = False) -> None:
    """Show a data source, its series, and its latest refused observations."""
    from app.cli.session import session
    from app.schemas.sources import DataSourceDetail, RefusedObservation

    with session() as here:
        detail = DataSourceDetail.of_view(here.container.sources.get(name))
        bad = [RefusedObservation.of(row) for row in here.container.sources.quarantined(name, 5)]

    def human(out: Console) -> None:
        shown = ("name", "title", "file", "every", "enabled", "symbols", "params", "ran_at")
        pairs = [(each, getattr(detail, each)) for each in (*shown, "due_at", "error", "result")]
        facts(out, pairs)
        series = ([each.exchange, each.kind, each.symbol, each.newest] for each in detail.series)
        columns = ("exchange", "kind", "symbol", "newest")
        table(out, columns, series, "No observation yet.")
        if bad:
            out.print(f"{detail.quarantined} in quarantine; the latest:")
            table(out, ("observation", "reason"), ([each.row, each.reason] for each in bad), "")

    document = {**detail.model_dump(mode="json"), "refused": [each.model_dump() for each in bad]}
    emit(as_json, document, human)


@app.command("check")
def check_source(
    file: File,
    param: Params = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Check a file without registering it. It is read in a child process."""
    from app.cli.session import session

    with session(migrate=False) as here:
        info = here.container.sources.check(_ref(file), params_of(param))
    document = {"class": info.class_name, "title": info.title, "parameters": info.schema}
    emit(
        as_json,
        document,
        lambda out: out.print(
            f"{file} is usable: {info.class_name}" + (f", {info.title}" if info.title else ""),
            markup=False,
        ),
    )


@app.command("add")
def add_source(
    file: File,
    every: Annotated[str, typer.Option("--every", help="30s to 31d, as in 5m, 1h, 1d.")],
    name: Annotated[str, typer.Option("--name", help="By default the file's name.")] = "",
    symbol: Annotated[
        list[str], typer.Option("--symbol", "--symbols", "-s", help="As in BTC/USDT; repeatable.")
    ] = [],  # noqa: B006
    param: Params = [],  # noqa: B006
    disabled: Annotated[bool, typer.Option("--disabled", help="Do not ask it yet.")] = False,
    as_json: Json = False,
) -> None:
    """Register a data source, or a new version of it; a running Tidemark asks it from then on."""
    from app.cli.session import session
    from app.core.sources.period import period_ms
    from app.schemas.sources import DataSource
    from app.services.sources import NewSource

    ref = _ref(file)
    chosen = name or Path(ref.name).stem
    new = NewSource(chosen, ref, period_ms(every), symbol, params_of(param), not disabled)
    with session() as here:
        made = DataSource.of(here.container.sources.add(new))
    emit(
        as_json,
        made,
        lambda out: out.print(
            f"Data source {made.name} {made.sha256[:12]}, every {made.every}; ask it now with: "
            f"tidemark data sources run {made.name}"
        ),
    )


@app.command("run")
def run_source(name: Name, as_json: Json = False) -> None:
    """Ask a data source here and now, be it due or not; what it gives is stored."""
    from app.cli.session import session
    from app.core.errors import Unavailable

    with session() as here:
        row = here.container.sources.get(name).row
        report = here.container.source_runner.run_now(row.id)
    if report.error is not None:
        raise Unavailable(report.error, code="source-error")
    document = {
        "name": report.name,
        "state": report.state,
        "end": report.end,
        **report.kept.as_row(),
        "reasons": list(report.reasons),
    }
    emit(as_json, document, lambda out: _told(out, report))


@app.command("enable")
def enable_source(name: Name, as_json: Json = False) -> None:
    """Ask a data source again."""
    _enable(name, True, as_json)


@app.command("disable")
def disable_source(name: Name, as_json: Json = False) -> None:
    """Ask a data source no more; what is stored stays."""
    _enable(name, False, as_json)


@app.command("remove")
def remove_source(name: Name, as_json: Json = False) -> None:
    """Remove a data source; what it gave stays and can be read."""
    from app.cli.session import session

    with session() as here:
        row = here.container.sources.remove(name)
    said = f"Data source {row.name} is removed."
    emit(as_json, {"removed": row.name}, lambda out: out.print(said))


def _enable(name: str, enabled: bool, as_json: bool) -> None:
    from app.cli.session import session
    from app.schemas.sources import DataSource

    with session() as here:
        made = DataSource.of(here.container.sources.enable(name, enabled))
    state = "enabled" if made.enabled else "disabled"
    emit(as_json, made, lambda out: out.print(f"Data source {made.name} is {state}."))


def _told(out: Console, report: RunReport) -> None:
    kept = report.kept
    out.print(
        f"{report.name}: {kept.observed} observations, {kept.stored} new or changed, "
        f"{kept.quarantined} refused."
    )
    for reason in report.reasons:
        out.print(f"  refused, since {reason}", markup=False)


def _ref(file: str) -> SourceRef:
    """The file of a path, or the built-in of a name.

    Raises:
        BadSourceFile: it is a path, and cannot be read as Python text.
    """
    from app.core.sources.errors import BadSourceFile
    from app.core.sources.loader import SourceRef

    path = Path(file)
    if path.suffix != ".py":
        return SourceRef(file)
    try:
        return SourceRef(path.name, path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadSourceFile(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadSourceFile(f"{path.name} is not UTF-8 text") from None
