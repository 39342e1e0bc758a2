"""Availability: exceptions, resources, sessions, calendars, search and the one-statement read.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

from migrations.run_sql import run_sql_file

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

PARTS = ("foundation", "sessions", "calendars", "search", "search_read", "claims", "facts")


def upgrade() -> None:
    for part in PARTS:
        run_sql_file(f"0002_{part}.sql")


def downgrade() -> None:
    raise RuntimeError("migrations go forward only: restore a backup instead")
