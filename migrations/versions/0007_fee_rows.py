"""What 0006 asks of rows that are there, checked while requests go on. Each step can be repeated.

Revision ID: 0007
Revises: 0006
"""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

CONSTRAINTS = (
    ("booking", "booking_uncounted_check"),
    ("payment", "payment_kind_check"),
    ("payment", "payment_processor_check"),
    ("payment", "payment_amount_check"),
    ("payment", "payment_capture_check"),
    ("payment", "payment_cash_check"),
    ("payment", "payment_keeper_id_fkey"),
    ("refund", "refund_cause_check"),
    ("refund", "refund_excess_check"),
)


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for table, constraint in CONSTRAINTS:
            op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {constraint}")


def downgrade() -> None:
    raise RuntimeError("migrations go forward only: restore a backup instead")
