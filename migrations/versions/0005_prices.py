"""Prices: rules that change them, promo codes, quotes made by staff.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

from migrations.run_sql import run_sql_file

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

PARTS = ("rules", "facts", "holds", "promo", "doors")
"""Those of the doors come last: they name tables of the others."""


def upgrade() -> None:
    for part in PARTS:
        run_sql_file(f"0005_{part}.sql")


def downgrade() -> None:
    raise RuntimeError("migrations go forward only: restore a backup instead")
