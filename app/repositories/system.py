"""Schedule runs, leases, tokens, bans, standing alarms, and whose market the record holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

from sqlalchemy import CursorResult, bindparam, delete, func, select
from sqlalchemy.exc import IntegrityError

from app.models import (
    AccountRow,
    ApiTokenRow,
    InstrumentRow,
    KlineSeriesRow,
    LeaseRow,
    RecordWorldRow,
    ScheduleRunRow,
    StandingAlarmRow,
    VenueBanRow,
)
from app.repositories.base import Repository
from app.repositories.prepared import Prepared

# The key of the one row that says whose market the record holds.
_WORLD: Final = 1
_HELD: Final = Prepared(
    select(LeaseRow.name).where(
        LeaseRow.name == bindparam("name"),
        LeaseRow.owner == bindparam("owner"),
        LeaseRow.epoch == bindparam("epoch"),
        LeaseRow.until > bindparam("now"),
    )
)
_BANS: Final = Prepared(select(VenueBanRow).where(VenueBanRow.until > bindparam("after")))


class SystemRepository(Repository):
    """Small tables that keep processes out of each other's way."""

    def take_slot(self, task: str, due_slot: int, owner: str, now_ms: int) -> bool:
        """Insert one run of a periodic task; False if another scheduler has this slot."""
        try:
            with self._session.begin_nested():
                self._session.add(
                    ScheduleRunRow(task=task, due_slot=due_slot, owner=owner, started_at=now_ms)
                )
        except IntegrityError:
            return False
        return True

    def last_runs(self) -> dict[str, int]:
        """Latest slot of each periodic task, ms."""
        rows = self._session.execute(
            select(ScheduleRunRow.task, func.max(ScheduleRunRow.due_slot)).group_by(
                ScheduleRunRow.task
            )
        )
        return {task: slot for task, slot in rows}  # noqa: C416 - rows are not pairs to mypy

    def last_run(self, task: str) -> int | None:
        """Latest slot of one periodic task, ms; None where it never ran."""
        return self._session.scalar(
            select(func.max(ScheduleRunRow.due_slot)).where(ScheduleRunRow.task == task)
        )

    def prune_slots(self, before_ms: int) -> None:
        """Delete runs of old slots."""
        self._session.execute(delete(ScheduleRunRow).where(ScheduleRunRow.due_slot < before_ms))

    def take_lease(self, name: str, owner: str, now_ms: int, ttl_ms: int) -> int | None:
        """Hold or renew a named lease; its epoch, or None while another owner holds it."""
        row = self._session.scalars(
            select(LeaseRow)
            .where(LeaseRow.name == name)
            .with_for_update()
            .execution_options(populate_existing=True)
        ).one_or_none()
        if row is None:
            row = LeaseRow(name=name, owner=owner, until=now_ms + ttl_ms, epoch=1)
            try:
                with self._session.begin_nested():
                    self._session.add(row)
            except IntegrityError:
                return None
            return 1
        if row.owner != owner:
            if row.until > now_ms:
                return None
            row.owner, row.epoch = owner, row.epoch + 1
        row.until = now_ms + ttl_ms
        return row.epoch

    def release_lease(self, name: str, owner: str) -> None:
        """Give a lease back."""
        self._session.execute(
            delete(LeaseRow).where(LeaseRow.name == name, LeaseRow.owner == owner)
        )

    def holds_lease(self, name: str, owner: str, epoch: int, now_ms: int) -> bool:
        """Whether a lease is still the owner's of that epoch: the fence of what it writes."""
        names = {"name": name, "owner": owner, "epoch": epoch, "now": now_ms}
        return bool(_HELD.rows(self._session, names))

    def leases(self, prefix: str, now_ms: int) -> Sequence[LeaseRow]:
        """Leases in force whose names begin so, by name."""
        return self._session.scalars(
            select(LeaseRow)
            .where(LeaseRow.name.startswith(prefix, autoescape=True), LeaseRow.until > now_ms)
            .order_by(LeaseRow.name)
        ).all()

    def drop_leases(self, prefix: str) -> None:
        """Take leases from whoever holds them. Only where nobody can be left to hold one."""
        self._session.execute(
            delete(LeaseRow).where(LeaseRow.name.startswith(prefix, autoescape=True))
        )

    def tokens(self) -> Sequence[ApiTokenRow]:
        """API tokens in force."""
        return self._session.scalars(
            select(ApiTokenRow).where(ApiTokenRow.revoked_at.is_(None)).order_by(ApiTokenRow.id)
        ).all()

    def token_by_digest(self, digest: str) -> ApiTokenRow | None:
        """The token in force with that digest, or None."""
        return self._session.scalars(
            select(ApiTokenRow).where(
                ApiTokenRow.digest == digest, ApiTokenRow.revoked_at.is_(None)
            )
        ).one_or_none()

    def knew_token(self, digest: str) -> bool:
        """Whether there is or was a token with that digest."""
        found = select(ApiTokenRow.id).where(ApiTokenRow.digest == digest)
        return self._session.scalars(found).one_or_none() is not None

    def add_token(self, row: ApiTokenRow) -> None:
        """Insert a token."""
        self._session.add(row)

    def bans(self, after_ms: int) -> Sequence[VenueBanRow]:
        """Bans that end, or ended, after a time."""
        return _BANS.all(self._session, {"after": after_ms})

    def save_ban(self, scope: str, until: int, reason: str, now_ms: int) -> None:
        """Keep the later of the known and the new end of a ban."""
        row = self._session.get(VenueBanRow, scope, with_for_update=True)
        if row is None:
            self._session.add(VenueBanRow(scope=scope, until=until, reason=reason, seen_at=now_ms))
        elif until > row.until:
            row.until, row.reason, row.seen_at = until, reason, now_ms

    def alarm_stands(self, name: str) -> bool:
        """Whether a condition was told and has not ended."""
        return self._session.get(StandingAlarmRow, name) is not None

    def standing_alarms(self, prefix: str) -> Sequence[str]:
        """Names of the conditions that stand and begin so."""
        name = StandingAlarmRow.name
        return self._session.scalars(
            select(name).where(name.startswith(prefix, autoescape=True)).order_by(name)
        ).all()

    def begin_alarm(self, name: str, text: str, now_ms: int) -> bool:
        """Note that a condition stands; False if it did already."""
        try:
            with self._session.begin_nested():
                self._session.add(StandingAlarmRow(name=name, since=now_ms, text=text[:300]))
        except IntegrityError:
            return False
        return True

    def end_alarm(self, name: str) -> bool:
        """Note that a condition has ended; False if it did not stand."""
        ended = self._session.execute(delete(StandingAlarmRow).where(StandingAlarmRow.name == name))
        return cast("CursorResult[Any]", ended).rowcount == 1

    def world(self) -> str | None:
        """Whose market the record holds; None before its first use."""
        row = self._session.get(RecordWorldRow, _WORLD)
        return None if row is None else row.world

    def holds_market(self) -> bool:
        """Whether anything came of an exchange: instruments, series, or an account."""
        return any(
            self._session.scalars(select(key).limit(1)).first() is not None
            for key in (InstrumentRow.id, KlineSeriesRow.id, AccountRow.id)
        )

    def forget_world(self) -> None:
        """Let the next use decide again whose market the record holds."""
        self._session.execute(delete(RecordWorldRow))

    def claim_world(self, world: str, now_ms: int) -> str:
        """Write down whose market the record holds where nobody has yet; what it then holds.

        Raises:
            IntegrityError: another process was faster; asked again, it is the other's word.
        """
        held = self.world()
        if held is not None:
            return held
        self._session.add(RecordWorldRow(id=_WORLD, world=world, since=now_ms))
        self._session.flush()
        return world
