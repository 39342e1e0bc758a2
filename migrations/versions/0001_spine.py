"""The spine: organizations, catalogue, schedules, allocations, holds, bookings, events and jobs.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

from migrations.run_sql import run_sql_file

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    for part in ("ground", "tables", "functions", "access"):
        run_sql_file(f"0001_{part}.sql")


def downgrade() -> None:
    raise RuntimeError("migrations go forward only: restore a backup instead")
