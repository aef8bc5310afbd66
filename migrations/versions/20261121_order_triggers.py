"""order triggers."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from migrations.types import MONEY

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "order_triggers",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("account_id", sa.String(length=36), nullable=False),
        sa.Column("instance_id", sa.String(length=36), nullable=False),
        sa.Column("exchange", sa.String(length=64), nullable=False),
        sa.Column("symbol", sa.String(length=64), nullable=False),
        sa.Column("side", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("quantity", MONEY, nullable=False),
        sa.Column("trigger_price", MONEY, nullable=False),
        sa.Column("oco_group", sa.String(length=64), nullable=True),
        sa.Column("leg", sa.String(length=64), nullable=False),
        sa.Column("status", sa.String(length=32), nullable=False),
        sa.Column("armed_ts", sa.BigInteger(), nullable=False),
        sa.Column("fired_ts", sa.BigInteger(), nullable=True),
        sa.Column("fired_price", MONEY, nullable=True),
        sa.Column("signal_id", sa.String(length=36), nullable=True),
        sa.Column("reason", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("updated_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_order_triggers_account_id")
        ),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["strategy_instances.id"], name=op.f("fk_order_triggers_instance_id")
        ),
        sa.ForeignKeyConstraint(
            ["signal_id"], ["signals.id"], name=op.f("fk_order_triggers_signal_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_order_triggers")),
        sa.UniqueConstraint("instance_id", "leg", name=op.f("uq_order_triggers_instance_id_leg")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    with op.batch_alter_table("order_triggers", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_order_triggers_status_exchange_symbol"),
            ["status", "exchange", "symbol"],
            unique=False,
        )
        batch_op.create_index(
            batch_op.f("ix_order_triggers_instance_id_symbol_status"),
            ["instance_id", "symbol", "status"],
            unique=False,
        )


def downgrade() -> None:
    """Take back."""
    op.drop_table("order_triggers")
