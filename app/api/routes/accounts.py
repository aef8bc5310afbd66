"""Accounts, balances, positions, fills."""

from __future__ import annotations

from fastapi import APIRouter, Response

from app.api.dependencies import AccountPath, AccountQuery, App, Cursor, Limit, Principal
from app.api.guard import GuardedRoute
from app.api.openapi import problems
from app.schemas.accounts import (
    Account,
    Balance,
    Fill,
    InstrumentLock,
    NewAccount,
    Position,
    Reconciliation,
    Unlock,
    Unlocked,
)
from app.schemas.common import Listing, listing

router = APIRouter(prefix="/api/v1", tags=["accounts"], route_class=GuardedRoute)


# A worker opens an account in well under a second; a person waits for that rather than poll.
_OPENING_S = 2.0


@router.post(
    "/accounts",
    status_code=201,
    summary="Open a simulated account",
    responses={
        202: {
            "model": Account,
            "description": "Added; a worker is still opening it: ask at `Location`, "
            "whose `error` says what is in the way",
        },
        **problems(409, 503, body=True),
    },
)
def create_account(body: NewAccount, app: App, _: Principal, response: Response) -> Account:
    """Opens an account at the simulated exchange with these balances and adds it here.

    Its keys are sealed here and read by a worker, which takes its balances over. Where that
    takes longer than two seconds the answer is 202. The same request again tries once more.
    """
    added = app.accounts.add_simulated(body.name, body.exchange, body.balances)
    row = app.accounts.wait_until_opened(added.id, _OPENING_S)
    if row.status == "opening":
        response.status_code = 202
    response.headers["Location"] = f"/api/v1/accounts/{row.id}"
    return Account.of(row)


@router.get("/accounts", summary="List accounts", responses=problems())
def list_accounts(app: App, _: Principal) -> Listing[Account]:
    """Every account, oldest first."""
    return listing(app.accounts.all(), Account.of)


@router.get("/accounts/{account}", summary="Get an account", responses=problems(404))
def get_account(account: AccountPath, app: App, _: Principal) -> Account:
    """One account, by id or name."""
    return Account.of(app.accounts.get(account))


@router.get(
    "/accounts/{account}/reconciliation",
    summary="How an account stands with its venue",
    responses=problems(404),
)
def get_reconciliation(account: AccountPath, app: App, _: Principal) -> Reconciliation:
    """Whether new orders of the account are sent, and if not, why."""
    return Reconciliation.of(app.gate.state(account))


@router.post(
    "/accounts/{account}/reconcile",
    status_code=202,
    summary="Compare an account with its venue",
    responses=problems(404, 409),
)
def reconcile_account(
    account: AccountPath, app: App, principal: Principal, response: Response
) -> Reconciliation:
    """Asks for a full comparison. New orders wait for it; cancels pass."""
    app.gate.require_reconciliation(f"asked for by api:{principal}", account)
    state = Reconciliation.of(app.gate.state(account))
    response.headers["Location"] = f"/api/v1/accounts/{state.account_id}/reconciliation"
    return state


@router.get("/accounts/{account}/locks", summary="List locks in force", responses=problems(404))
def list_locks(account: AccountPath, app: App, _: Principal) -> Listing[InstrumentLock]:
    """Instruments of the account that take no new risk, oldest first."""
    return listing(app.locks.locks(account), InstrumentLock.of)


@router.post(
    "/accounts/{account}/unlock",
    summary="Lift locks",
    responses=problems(404, body=True),
)
def unlock(account: AccountPath, body: Unlock, app: App, principal: Principal) -> Unlocked:
    """Lifts the locks of the account, or of one symbol. Somebody should have looked first."""
    return Unlocked(lifted=app.locks.unlock(account, body.symbol, f"api:{principal}"))


@router.get("/accounts/{account}/balances", summary="List balances", responses=problems(404))
def list_balances(account: AccountPath, app: App, _: Principal) -> Listing[Balance]:
    """Every asset of an account by name."""
    return listing(app.accounts.balances(account), Balance.of)


@router.get("/accounts/{account}/positions", summary="List positions", responses=problems(404))
def list_positions(
    account: AccountPath, app: App, _: Principal, flat: bool = False
) -> Listing[Position]:
    """What each instance holds, valued at the present price; closed positions with `flat=true`."""
    return listing(app.accounts.positions(account, flat=flat), Position.of)


@router.get("/fills", summary="List fills", responses=problems(404))
def list_fills(
    app: App, _: Principal, account: AccountQuery = None, limit: Limit = 100, cursor: Cursor = None
) -> Listing[Fill]:
    """Trades at the venues, newest first."""
    page = app.accounts.fills(app.listings.account_id(account), limit, cursor)
    return listing(page.rows, Fill.of, page.next_cursor)
