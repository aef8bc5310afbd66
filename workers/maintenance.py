"""Queue ``maintenance``: periodic work. The loser of a slot does nothing."""

from __future__ import annotations

from workers.runtime import container, in_turn, task


@task("maintenance.sweep")
def sweep() -> None:
    """Drive on every signal, order, job, roll-up, source and event whose message was lost."""
    parts = container()
    if parts.schedule.take("maintenance.sweep"):
        in_turn(
            parts.sweeper.sweep,
            parts.jobs.sweep,
            parts.roll_ups.sweep,
            parts.source_runner.sweep,
            parts.relay.relay,
        )


@task("maintenance.sync_accounts")
def sync_accounts() -> None:
    """Compare every active account with its venue."""
    parts = container()
    if parts.schedule.take("maintenance.sync_accounts"):
        for account in parts.accounts.all():
            if account.status == "active":
                parts.queue.publish("orders.sync_account", account.id)


@task("maintenance.follow_plans")
def follow_plans() -> None:
    """Bring every enabled plan up to the market's present bar."""
    parts = container()
    if parts.schedule.take("maintenance.follow_plans"):
        parts.collection.follow_all()


@task("maintenance.evaluate_running")
def evaluate_running() -> None:
    """Evaluate the running instances that are behind: a message may have been lost."""
    parts = container()
    if parts.schedule.take("maintenance.evaluate_running"):
        for instance_id in parts.instances.behind():
            parts.queue.publish("strategies.evaluate", instance_id)


@task("maintenance.snapshot_equity")
def snapshot_equity() -> None:
    """Write the worth of every running instance."""
    parts = container()
    if parts.schedule.take("maintenance.snapshot_equity"):
        parts.accounts.snapshot_equity()


@task("maintenance.refresh_catalogues")
def refresh_catalogues() -> None:
    """Learn what the venues have changed of their instruments."""
    parts = container()
    if parts.schedule.take("maintenance.refresh_catalogues"):
        parts.catalogue_refresher.request_all()


@task("maintenance.refresh_catalogue")
def refresh_catalogue(exchange: str, symbol: str = "") -> None:
    """Bring what is used of a venue's catalogue, and a symbol, up to date."""
    container().catalogue_refresher.refresh(exchange, symbol)


@task("maintenance.choose_symbols")
def choose_symbols() -> None:
    """Bring new listings into the plans that choose their symbols."""
    parts = container()
    if parts.schedule.take("maintenance.choose_symbols"):
        for exchange in parts.collection.plans.choosing():
            parts.queue.publish("collection.choose_symbols", exchange)


@task("maintenance.verify_days")
def verify_days() -> None:
    """Have yesterday's klines compared with their venues."""
    parts = container()
    if parts.schedule.take("maintenance.verify_days"):
        parts.collection.verify_yesterday()


@task("maintenance.count_activity")
def count_activity() -> None:
    """Count what was traded on the days that are over, and flag what is dead."""
    parts = container()
    if parts.schedule.take("maintenance.count_activity"):
        parts.collection.activity.count_all()


@task("maintenance.retain")
def retain() -> None:
    """Remove bars that are older than a rule keeps, for a slice."""
    parts = container()
    if parts.schedule.take("maintenance.retain"):
        parts.retention.apply()


@task("maintenance.keep_partitions")
def keep_partitions() -> None:
    """Make the months ahead, where the bars lie in months."""
    parts = container()
    if parts.schedule.take("maintenance.keep_partitions"):
        parts.partitioning.maintain()


@task("maintenance.prune")
def prune() -> None:
    """Delete what nobody needs any more: old schedule slots, sent events, jobs of long ago."""
    parts = container()
    if parts.schedule.take("maintenance.prune"):
        parts.schedule.prune()
        parts.relay.prune()
        parts.jobs.prune()
