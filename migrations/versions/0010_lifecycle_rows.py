"""What 0008 asks of bookings that are there, checked and indexed while requests go on. Each step can be repeated.

Revision ID: 0010
Revises: 0009
"""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

CONSTRAINTS = (
    ("booking", "booking_series_id_fkey"),
    ("booking", "booking_series_check"),
    ("booking", "booking_hold_check"),
)
INDEX = "booking_series_index_idx"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for table, constraint in CONSTRAINTS:
            op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {constraint}")
        # Building an index concurrently waits for old transactions, and nobody waits for it.
        op.execute("SET lock_timeout = 0")
        op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX}")  # what an interrupted run left is not valid
        op.execute(
            f"CREATE UNIQUE INDEX CONCURRENTLY {INDEX} ON booking (series_id, series_index) WHERE series_id IS NOT NULL"
        )
        op.execute("SET lock_timeout = '5s'")


def downgrade() -> None:
    raise RuntimeError("migrations go forward only: restore a backup instead")
