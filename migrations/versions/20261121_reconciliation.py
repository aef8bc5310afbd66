"""reconciliation."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from migrations.types import LONG_TEXT, MONEY

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_COUNTS = ("epoch", "reconciled_epoch", "sync_failures")
_TIMES = ("opened_ts", "reconciled_at", "sync_not_before")
_TEXTS = ("epoch_reason", "sync_error")
_INDEXES = (
    ("orders", ["account_id", "status"]),
    ("postings", ["account_id", "id"]),
)
_TABLE: dict[str, Any] = {
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mysql_engine": "InnoDB",
}


def upgrade() -> None:
    """Apply."""
    for name in _COUNTS:
        op.add_column("accounts", _number(name, sa.Integer()))
    for name in _TIMES:
        op.add_column("accounts", _number(name, sa.BigInteger()))
    for name in _TEXTS:
        op.add_column("accounts", sa.Column(name, sa.String(length=300), nullable=True))
    # Nullable, for MySQL gives a text no default.
    op.add_column("accounts", sa.Column("suspects", LONG_TEXT, nullable=True))
    for table, columns in _INDEXES:
        op.create_index(op.f(_index(table, columns)), table, columns)
    op.create_table(
        "instrument_locks",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("account_id", sa.String(length=36), nullable=False),
        sa.Column("symbol", sa.String(length=64), nullable=False),
        sa.Column("reason", sa.String(length=300), nullable=False),
        sa.Column("explained", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("cleared_at", sa.BigInteger(), nullable=True),
        sa.Column("cleared_by", sa.String(length=64), nullable=True),
        _account("instrument_locks"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_instrument_locks")),
        **_TABLE,
    )
    op.create_index(
        op.f("ix_instrument_locks_account_id_cleared_at"),
        "instrument_locks",
        ["account_id", "cleared_at"],
    )
    op.create_table(
        "adjustments",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("account_id", sa.String(length=36), nullable=False),
        sa.Column("asset", sa.String(length=64), nullable=False),
        sa.Column("amount", MONEY, nullable=False),
        sa.Column("ours", MONEY, nullable=False),
        sa.Column("theirs", MONEY, nullable=False),
        sa.Column("reason", sa.String(length=300), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        _account("adjustments"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_adjustments")),
        **_TABLE,
    )
    op.create_index(op.f("ix_adjustments_account_id_at"), "adjustments", ["account_id", "at"])


def downgrade() -> None:
    """Take back."""
    op.drop_table("adjustments")
    op.drop_table("instrument_locks")
    for table, columns in reversed(_INDEXES):
        op.drop_index(op.f(_index(table, columns)), table_name=table)
    for name in ("suspects", *_TEXTS, *_TIMES, *_COUNTS):
        op.drop_column("accounts", name)


def _number(name: str, kind: sa.types.TypeEngine[int]) -> sa.Column[int]:
    return sa.Column(name, kind, nullable=False, server_default="0")


def _index(table: str, columns: list[str]) -> str:
    return f"ix_{table}_{'_'.join(columns)}"


def _account(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["account_id"], ["accounts.id"], name=op.f(f"fk_{table}_account_id_accounts")
    )
