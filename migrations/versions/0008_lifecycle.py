"""The whole life of a booking: history, guests, series, groups, waitlist, bulk changes.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

from migrations.run_sql import run_sql_file

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

PARTS = ("history", "guests", "series", "groups", "waitlist", "bulk")


def upgrade() -> None:
    for part in PARTS:
        run_sql_file(f"0008_{part}.sql")


def downgrade() -> None:
    raise RuntimeError("migrations go forward only: restore a backup instead")
