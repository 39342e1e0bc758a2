"""Migrations lead from an empty database to what the models say, one after the other, and only forward."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import asyncpg
import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import CheckConstraint
from sqlalchemy.dialects.postgresql import ExcludeConstraint

from app.core.migrations import head_revision, migrate, migration_config
from app.models import Base
from tests.conftest import Databases


@pytest.fixture
def empty_url(databases: Databases) -> Iterator[str]:
    databases.server.query('CREATE DATABASE "from_empty"')
    url = databases.server.url("from_empty")
    yield url
    databases.drop(url)


def in_thread(work: Callable[[], None]) -> None:
    """Alembic runs an event loop of its own, and the tests' is running already."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(work).result()


def test_there_is_one_line_of_revisions() -> None:
    scripts = ScriptDirectory.from_config(migration_config("postgresql:///unused"))
    assert len(scripts.get_heads()) == 1
    revisions = [script.revision for script in scripts.walk_revisions()]
    assert revisions == sorted(revisions, reverse=True)


async def test_from_empty_to_head_and_again(empty_url: str) -> None:
    in_thread(lambda: migrate(empty_url))
    in_thread(lambda: migrate(empty_url))
    connection = await asyncpg.connect(empty_url)
    try:
        assert await connection.fetchval("SELECT version_num FROM alembic_version") == head_revision()
        assert await connection.fetchval("SELECT count(*) FROM relay_state") == 1
    finally:
        await connection.close()


@pytest.mark.filterwarnings("ignore:Did not recognize type '(xid8|cube)'")
def test_the_models_say_what_the_database_has(database_url: str) -> None:
    in_thread(lambda: command.check(migration_config(database_url)))


async def test_what_alembic_does_not_compare(database_url: str) -> None:
    """Exclusion and check constraints: every one of the models stands in the database under its name."""
    connection = await asyncpg.connect(database_url)
    try:
        rows = await connection.fetch(
            "SELECT conrelid::regclass::text AS table, conname FROM pg_constraint"
            " WHERE contype IN ('c', 'x') AND connamespace = 'public'::regnamespace"
        )
    finally:
        await connection.close()
    found = {(row["table"], row["conname"]) for row in rows}
    expected = {
        (table.name, str(constraint.name))
        for table in Base.metadata.tables.values()
        for constraint in table.constraints
        if isinstance(constraint, CheckConstraint | ExcludeConstraint)
    }
    assert expected == found


def test_there_is_no_way_back(empty_url: str) -> None:
    in_thread(lambda: migrate(empty_url))
    with pytest.raises(RuntimeError, match="forward only"):
        in_thread(lambda: command.downgrade(migration_config(empty_url), "base"))


async def test_two_deployments_migrate_once(empty_url: str) -> None:
    environment = {**os.environ, "TURNERO_DATABASE_URL": empty_url}
    both = [
        await asyncio.create_subprocess_exec(sys.executable, "-m", "app", "migrate", env=environment) for _ in range(2)
    ]
    assert [await each.wait() for each in both] == [0, 0]
    connection = await asyncpg.connect(empty_url)
    try:
        assert await connection.fetchval("SELECT count(*) FROM alembic_version") == 1
    finally:
        await connection.close()
