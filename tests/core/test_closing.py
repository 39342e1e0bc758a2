"""What triggers say reaches the end of their own transaction, once, and of no other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest
from sqlalchemy import text

from app.core.database import Database, Tx


@pytest.fixture
async def told() -> list[list[str]]:
    return []


@pytest.fixture
async def database(database_url: str, told: list[list[str]]) -> AsyncIterator[Database]:
    async def closing(tx: Tx, said: Sequence[str]) -> None:
        await tx.execute(text("SELECT 1"))  # it is still open
        told.append(list(said))

    made = Database(database_url, pool_size=2, closing=closing)
    yield made
    await made.dispose()


async def say(tx: Tx, what: str) -> None:
    await tx.execute(text(f"DO $$ BEGIN RAISE NOTICE '{what}'; END $$"))


async def test_each_thing_once_before_the_commit(database: Database, told: list[list[str]]) -> None:
    async with database.transaction() as tx:
        await say(tx, "turnero:one")
        await say(tx, "turnero:one")
        await say(tx, "somebody else''s")
        await say(tx, "turnero:two")
        assert told == []
    assert told == [["one", "two"]]
    async with database.transaction() as tx:
        await tx.execute(text("SELECT 1"))
    assert len(told) == 1


async def test_what_was_rolled_back_was_not_so(database: Database, told: list[list[str]]) -> None:
    async def fail() -> None:
        async with database.transaction() as tx:
            await say(tx, "turnero:one")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    for _ in range(3):
        async with database.transaction() as tx:
            await tx.execute(text("SELECT 1"))
    assert told == []


async def test_others_hear_nothing_of_it(database: Database, told: list[list[str]]) -> None:
    async with database.transaction() as first:
        await say(first, "turnero:one")
        async with database.transaction() as second:
            await second.execute(text("SELECT 1"))
        assert told == []
    assert told == [["one"]]
