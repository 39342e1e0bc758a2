"""Live delivery: who is told of what.

Revision ID: 0009
Revises: 0008
"""

from __future__ import annotations

from migrations.run_sql import run_sql_file

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

PARTS = ("events", "presence")


def upgrade() -> None:
    for part in PARTS:
        run_sql_file(f"0009_{part}.sql")


def downgrade() -> None:
    raise RuntimeError("migrations go forward only: restore a backup instead")
