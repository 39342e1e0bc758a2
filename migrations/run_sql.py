"""Runs a file of SQL beside the migrations inside the migration's transaction."""

from __future__ import annotations

from pathlib import Path

from alembic import op

SQL_FOLDER = Path(__file__).parent / "sql"


def run_sql_file(name: str) -> None:
    """Execute `migrations/sql/<name>`. It goes to the driver directly, which prepares single statements only."""
    op.execute("SELECT 1")  # the adapter opens its transaction at the first statement
    script = (SQL_FOLDER / name).read_text(encoding="utf-8")
    if not any(line.strip() and not line.startswith("--") for line in script.splitlines()):
        return
    connection = op.get_bind().connection.dbapi_connection
    connection.run_async(lambda driver: driver.execute(script))  # type: ignore[union-attr]
