"""Orders are found by the venue's id, at every trade that is read from it."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_orders_account_id_venue_order_id", "orders", ["account_id", "venue_order_id"]
    )


def downgrade() -> None:
    op.drop_index("ix_orders_account_id_venue_order_id", table_name="orders")
