"""Functions that read made anew: people are looked up by name, and searches of the free by words are planned once.

Revision ID: 0011
Revises: 0010
"""

from __future__ import annotations

from migrations.run_sql import run_sql_file

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    run_sql_file("0011_reads.sql")


def downgrade() -> None:
    raise RuntimeError("migrations go forward only: restore a backup instead")
