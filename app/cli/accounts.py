"""``tidemark account``."""

from __future__ import annotations

from typing import Annotated

import typer

from app.cli.arguments import Exchange, amount_of, group, pairs_of
from app.cli.output import Json, emit, facts, table

app = group("Accounts: add, list, show, reconcile, unlock, resume.")
Name = Annotated[str, typer.Argument(help="The account's name or id.")]


@app.command("add-simulated")
def add_simulated(
    name: Annotated[str, typer.Argument(help="A name of your own.")],
    balance: Annotated[
        list[str], typer.Option("--balance", "-b", help="As in USDT=10000; repeatable.")
    ],
    exchange: Exchange = "binance",
    wait: Annotated[float, typer.Option("--wait", help="Seconds to wait for it.", min=0)] = 30.0,
    as_json: Json = False,
) -> None:
    """Open an account at the simulated exchange (模拟盘) and add it."""
    from app.cli.opening import opened
    from app.cli.session import session
    from app.core.errors import Unavailable
    from app.schemas.accounts import Account

    held = {
        asset: amount_of("--balance", text)
        for asset, text in pairs_of("--balance", balance).items()
    }
    with session() as here:
        row = opened(here, here.container.accounts.add_simulated(name, exchange, held), wait)
    account = Account.of(row)
    if account.status == "opening":
        raise Unavailable(
            f"account {account.name} was added and is not open yet: "
            + (account.error or "no worker of queue orders has taken it; is one running?")
        )
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


@app.command("resume")
def resume(
    name: Name,
    wait: Annotated[float, typer.Option("--wait", help="Seconds to wait for it.", min=0)] = 30.0,
    as_json: Json = False,
) -> None:
    """Let an account trade again whose key the venue had refused and takes now."""
    from app.cli.session import session
    from app.cli.trust import resumed
    from app.core.errors import Unavailable
    from app.schemas.accounts import Account

    with session() as here:
        row, is_trusted = resumed(here, name, wait)
    account = Account.of(row)
    if not is_trusted:
        why = account.error or "it was not compared in time; is a worker of queue orders running?"
        raise Unavailable(f"account {account.name} is {account.status}: {why}")
    emit(as_json, account, lambda out: out.print(f"Account {account.name} is {account.status}."))


@app.command("reconcile")
def reconcile(
    name: Name,
    wait: Annotated[float, typer.Option("--wait", help="Seconds to wait for it.", min=0)] = 30.0,
    as_json: Json = False,
) -> None:
    """Compare an account with its venue; new orders wait for it, cancels pass."""
    from app.cli.session import session
    from app.cli.trust import reconciled
    from app.core.errors import Unavailable
    from app.schemas.accounts import Reconciliation

    with session() as here:
        state = reconciled(here, name, wait)
    if not state.is_trusted:
        raise Unavailable(
            f"account {name} was not reconciled within {wait:g} s: "
            + (state.error or "a difference is being looked at, or an order is under way")
        )
    said = Reconciliation.of(state)
    emit(as_json, said, lambda out: out.print(f"Account {name} agrees with its venue."))


@app.command("locks")
def list_locks(name: Name, as_json: Json = False) -> None:
    """List the instruments of an account that take no new risk."""
    from app.cli.session import session
    from app.schemas.accounts import InstrumentLock

    with session() as here:
        found = [InstrumentLock.of(row) for row in here.container.locks.locks(name)]
    rows = (
        [each.symbol, "yes" if each.explained else "no", each.created_at, each.reason]
        for each in found
    )
    columns = ("symbol", "lifts itself", "since", "reason")
    emit(as_json, found, lambda out: table(out, columns, rows, "Nothing is locked."))


@app.command("unlock")
def unlock(
    name: Name,
    symbol: Annotated[str, typer.Option("--symbol", "-s", help="Only this one.")] = "",
    as_json: Json = False,
) -> None:
    """Lift the locks of an account, once somebody has looked."""
    from app.cli.risk import who
    from app.cli.session import session
    from app.schemas.accounts import Unlocked

    with session() as here:
        done = Unlocked(lifted=here.container.locks.unlock(name, symbol or None, who()))
    emit(as_json, done, lambda out: out.print(f"Lifted: {done.lifted}."))


@app.command("show")
def show_account(name: Name, as_json: Json = False) -> None:
    """Show an account with its balances and positions."""
    from rich.console import Console

    from app.cli.session import session
    from app.schemas.accounts import Account, Balance, InstrumentLock, Position, Reconciliation

    with session() as here:
        accounts = here.container.accounts
        account = Account.of(accounts.get(name))
        balances = [Balance.of(row) for row in accounts.balances(account.id)]
        positions = [Position.of(view) for view in accounts.positions(account.id)]
        stands = Reconciliation.of(here.container.gate.state(account.id))
        locks = [InstrumentLock.of(row) for row in here.container.locks.locks(account.id)]

    def human(out: Console) -> None:
        facts(out, account.model_dump().items())
        facts(out, stands.model_dump(exclude={"account_id"}).items())
        if locks:
            found = ([each.symbol, each.reason] for each in locks)
            table(out, ("locked", "reason"), found, "")
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
        "reconciliation": stands.model_dump(mode="json"),
        "locks": [each.model_dump(mode="json") for each in locks],
    }
    emit(as_json, document, human)
