"""``tidemark data retention``: how long bars are kept."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.arguments import group
from app.cli.output import Json, emit, note, table

if TYPE_CHECKING:
    from app.core.market.retention import KeepRule
    from app.schemas.retention import Freed

app = group("How long bars are kept: set, list, remove, preview, apply, collect-again.")
Exchanges = Annotated[str, typer.Option("--exchange", "-e", help="Venue id, or * for all.")]
Pattern = Annotated[str, typer.Option("--symbol", "-s", help="A pattern, as in '*/USDT'.")]
Interval = Annotated[str, typer.Option("--interval", "-i", help="Of the bars, as in 1m.")]


@app.command("set")
def set_rule(
    interval: Interval,
    exchange: Exchanges = "*",
    symbol: Pattern = "*",
    keep_days: Annotated[
        int, typer.Option("--keep-days", min=0, help="Days behind the market's present.")
    ] = 0,
    forever: Annotated[
        bool, typer.Option("--forever", help="Keep these, whatever another rule says.")
    ] = False,
    dry: Annotated[
        bool, typer.Option("--dry", help="Say what it would remove, and set nothing.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Keep bars of matching series for so many days; what is older is removed within minutes."""
    from app.cli.session import session
    from app.core.errors import InvalidInput
    from app.schemas.retention import Freed, KeepRuleView

    if bool(keep_days) == forever:
        raise InvalidInput("say --keep-days N, or --forever")
    if not re.fullmatch(r"\*|[a-z0-9_]{1,32}", exchange):
        raise InvalidInput(f"--exchange was {exchange[:40]!r}; write an id, as in binance, or *")
    names = (exchange, symbol, interval, None if forever else keep_days)
    with session() as here:
        service = here.container.retention
        if dry:
            freed = [Freed.of(each) for each in service.preview_with(*names)]
            emit(as_json, freed, lambda out: _freed(out, freed))
            return
        rule = service.set(*names)
        if said := service.note_of(rule):
            note(said)
    made = KeepRuleView.of(rule)
    emit(as_json, made, lambda out: out.print(f"Rule {made.id}: {_words(rule)}."))


@app.command("list")
def list_rules(as_json: Json = False) -> None:
    """List the rules; without one nothing is ever removed."""
    from app.cli.session import session
    from app.schemas.retention import KeepRuleView

    with session() as here:
        rules = here.container.retention.rules()
    rows = ([each.exchange, each.symbol, each.interval, _days(each), each.id] for each in rules)
    columns = ("exchange", "symbol", "interval", "keep>", "id")
    found = [KeepRuleView.of(each) for each in rules]
    emit(as_json, found, lambda out: table(out, columns, rows, "No rule: everything is kept."))


@app.command("remove")
def remove_rule(
    rule_id: Annotated[str, typer.Argument(help="The rule's id.")], as_json: Json = False
) -> None:
    """Delete a rule; what it removed stays away until it is collected again."""
    from app.cli.session import session

    with session() as here:
        here.container.retention.remove(rule_id)
    emit(
        as_json,
        {"removed": rule_id},
        lambda out: out.print(
            "The rule is gone; what it removed comes back by: tidemark data retention collect-again"
        ),
    )


@app.command("preview")
def preview(as_json: Json = False) -> None:
    """Show what the rules would remove now, by series."""
    from app.cli.session import session
    from app.schemas.retention import Freed

    with session() as here:
        found = [Freed.of(each) for each in here.container.retention.preview()]
    emit(as_json, found, lambda out: _freed(out, found))


@app.command("apply")
def apply(as_json: Json = False) -> None:
    """Remove now what the rules no longer keep; a running Tidemark does it every five minutes."""
    from app.cli.session import session

    bars = 0
    months: list[str] = []
    with session() as here:
        while True:
            removed = here.container.retention.apply()
            bars, months = bars + removed.bars, months + removed.partitions
            if removed.is_done:
                break
    what = f"{bars:,} bars removed" + (f", and whole months: {', '.join(months)}" if months else "")
    emit(as_json, {"bars": bars, "partitions": months}, lambda out: out.print(f"{what}."))


@app.command("collect-again")
def collect_again(as_json: Json = False) -> None:
    """Have plans ask again for what was removed and no rule removes any more."""
    from app.cli.session import session

    with session() as here:
        bars = here.container.retention.collect_again()
    text = f"{bars:,} bars are asked for again by the plans that they are in."
    emit(as_json, {"bars": bars}, lambda out: out.print(text))


def _freed(out: Any, found: list[Freed]) -> None:
    rows = (
        [
            each.exchange,
            each.symbol,
            each.interval,
            each.keep_days,
            f"{each.bars:,}",
            each.megabytes,
        ]
        for each in found
    )
    columns = ("exchange", "symbol", "interval", "keep days>", "bars>", "MB>")
    table(out, columns, rows, "Nothing is older than the rules keep.")
    if found:
        bars, size = sum(each.bars for each in found), sum(each.megabytes for each in found)
        out.print(f"{bars:,} bars, about {size:,.1f} MB")


def _days(rule: KeepRule) -> str:
    return "for ever" if rule.keep_days is None else f"{rule.keep_days} days"


def _words(rule: KeepRule) -> str:
    return f"bars of {rule.interval} of {rule.symbol} at {rule.exchange} are kept {_days(rule)}"
