"""Alembic's entry point. The URL comes from the caller (`turnero migrate`), never from a file."""

from __future__ import annotations

import asyncio
import time

from alembic import context
from sqlalchemy import Connection, pool, text
from sqlalchemy.ext.asyncio import create_async_engine

from app.core.database import async_url
from app.models import Base

MIGRATION_LOCK = 7_431_100_112
RETRY_S = 0.2


def run(connection: Connection) -> None:
    # Two deployments that start together must not migrate at once.
    _lock(connection)
    # From here on: a migration that waits for a busy table gives way instead of stopping everybody behind it.
    connection.execute(text("SET lock_timeout = '5s'"))
    connection.commit()
    context.configure(connection=connection, target_metadata=Base.metadata, transaction_per_migration=True)
    try:
        with context.begin_transaction():
            context.run_migrations()
    finally:
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": MIGRATION_LOCK})
        connection.commit()


def _lock(connection: Connection) -> None:
    """Asks again and again: one that waits inside a statement holds a snapshot, and an index that is being built
    concurrently by the other would wait for that.
    """
    while not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": MIGRATION_LOCK}):
        connection.commit()
        time.sleep(RETRY_S)
    connection.commit()


async def main() -> None:
    url = context.config.get_main_option("sqlalchemy.url")
    if not url:
        raise RuntimeError("no database URL: run `turnero migrate`")
    engine = create_async_engine(async_url(url), poolclass=pool.NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(run)
    await engine.dispose()


if context.is_offline_mode():
    raise RuntimeError("migrations run against a live database: docs/adr/0002 says why")
asyncio.run(main())
