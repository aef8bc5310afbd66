"""Queue ``orders``: from a signal to the venue's word. Each task may run any number of times."""

from __future__ import annotations

from app.services.orders.placing import place_signal
from workers.runtime import container, task


@task("orders.accept_signal")
def accept_signal(signal_id: str) -> None:
    """Judge a signal and, where it became an order, send it: one hop, not two."""
    place_signal(container().intake, container().sender, signal_id)


@task("orders.send")
def send(order_id: str) -> None:
    """Send an order that is NEW."""
    container().sender.send(order_id)


@task("orders.resolve")
def resolve(order_id: str) -> None:
    """Find out what became of an order whose outcome is unknown."""
    container().resolver.resolve(order_id)


@task("orders.cancel")
def cancel(order_id: str) -> None:
    """Take an order back from the venue."""
    container().canceller.cancel(order_id)


@task("orders.open_account")
def open_account(account_id: str) -> None:
    """Try a new account's keys and take over what it holds."""
    container().opener.open(account_id)


@task("orders.sync_account")
def sync_account(account_id: str) -> None:
    """Compare an account with its venue: orders and fills, and all of it where that is due."""
    container().account_sync.sync(account_id)
