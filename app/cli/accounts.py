"""``tidemark account``."""

from __future__ import annotations

from typing import Annotated

import typer

from app.cli.arguments import Exchange, amount_of, group, pairs_of
from app.cli.output import Json, emit, facts, table

app = group("Accounts: add, list, show.")
Name = Annotated[str, typer.Argument(help="The account's name or id.")]


@app.command("add-simulated")
def add_simulated(
    name: Annotated[str, typer.Argument(help="A name of your own.")],
    balance: Annotated[
        list[str], typer.Option("--balance", "-b", help="As in USDT=10000; repeatable.")
    ],
    exchange: Exchange = "binance",
    as_json: Json = False,
) -> None:
    """Open an account at the simulated exchange (模拟盘) and add it."""
    from app.cli.session import session
    from app.schemas.accounts import Account

    held = {
        asset: amount_of("--balance", text)
        for asset, text in pairs_of("--balance", balance).items()
    }
    with session() as here:
        row = here.container.accounts.add_simulated(name, exchange, held)
    account = Account.of(row)
    emit(as_json, account, lambda out: out.print(f"Account {account.name} is {account.status}."))


@app.command("list")
def list_accounts(as_json: Json = False) -> None:
    """List accounts."""
    from app.cli.session import session
    from app.schemas.accounts import Account

    with session() as here:
        found = [Account.of(row) for row in here.container.accounts.all()]
    columns = ("name", "kind", "exchange", "status", "id")
    emit(
        as_json,
        found,
        lambda out: table(
            out,
            columns,
            ([getattr(each, column) for column in columns] for each in found),
            "No account yet; add one with: tidemark account add-simulated NAME -b USDT=10000",
        ),
    )


@app.command("show")
def show_account(name: Name, as_json: Json = False) -> None:
    """Show an account with its balances and positions."""
    from rich.console import Console

    from app.cli.session import session
    from app.schemas.accounts import Account, Balance, Position

    with session() as here:
        accounts = here.container.accounts
        account = Account.of(accounts.get(name))
        balances = [Balance.of(row) for row in accounts.balances(account.id)]
        positions = [Position.of(view) for view in accounts.positions(account.id)]

    def human(out: Console) -> None:
        facts(out, account.model_dump().items())
        table(
            out,
            ("asset", "free>", "locked>", "total>"),
            ([each.asset, each.free, each.locked, each.total] for each in balances),
            "No balance.",
        )
        columns = ("instance", "symbol", "quantity>", "average>", "price>", "PnL>", "realized>")
        rows = (
            [
                each.instance,
                each.symbol,
                each.quantity,
                each.average_price,
                each.price,
                each.unrealized_pnl,
                each.realized_pnl,
            ]
            for each in positions
        )
        table(out, columns, rows, "No open position.")

    document = {
        **account.model_dump(mode="json"),
        "balances": [each.model_dump(mode="json") for each in balances],
        "positions": [each.model_dump(mode="json") for each in positions],
    }
    emit(as_json, document, human)
