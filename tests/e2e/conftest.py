"""What tests of many at once share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.e2e.crowd import HOLDS_OF_NOBODY, MISMATCHED, OVERLAPS, Question, deadlocks


@pytest.fixture
async def count(database_url: str) -> AsyncIterator[Question]:
    """Runs SQL whose answer is one number."""
    connection = await asyncpg.connect(database_url)

    async def ask(sql: str) -> int:
        number: int = await connection.fetchval(sql)
        return number

    yield ask
    await connection.close()


@pytest.fixture
async def sound(count: Question) -> AsyncIterator[None]:
    """After the test: no overlap, every booking has its time and no other has, and nobody met in a deadlock.

    Rows that other tests wrote by hand may lie in the same database: what matters is that no more went wrong.
    """
    mismatched, lost, met = await count(MISMATCHED), await count(HOLDS_OF_NOBODY), await deadlocks(count)
    yield
    assert await count(OVERLAPS) == 0
    assert await count(MISMATCHED) == mismatched
    assert await count(HOLDS_OF_NOBODY) == lost
    assert await deadlocks(count) == met
