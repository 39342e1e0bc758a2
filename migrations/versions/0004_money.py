"""Money: terms of payment, prices, payments, the ledger, payouts.

Revision ID: 0004
Revises: 0003
"""

from __future__ import annotations

from migrations.run_sql import run_sql_file

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

PARTS = ("foundation", "payments", "ledger")


def upgrade() -> None:
    for part in PARTS:
        run_sql_file(f"0004_{part}.sql")


def downgrade() -> None:
    raise RuntimeError("migrations go forward only: restore a backup instead")
