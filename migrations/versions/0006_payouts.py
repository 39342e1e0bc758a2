"""Payouts to providers, fees and saved methods, reconciliation with the processor.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

from migrations.run_sql import run_sql_file

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

PARTS = ("payouts", "fees", "reconciliation")


def upgrade() -> None:
    for part in PARTS:
        run_sql_file(f"0006_{part}.sql")


def downgrade() -> None:
    raise RuntimeError("migrations go forward only: restore a backup instead")
