"""Single statements straight through the driver: what happens to them when the server, or the caller, goes away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from app.core import direct_pool
from app.core.database import APP_ROLE, Database
from app.core.outages import describe
from app.web.graphql.errors import is_outage

WHO = "SELECT current_user::text, pg_backend_pid(), current_setting('timezone'), current_setting('statement_timeout')"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url, pool_size=1, direct_size=2, statement_timeout_ms=3_000)
    yield database
    await database.dispose()


async def _who(database: Database) -> asyncpg.Record:
    row = await database.fetch_row(WHO)
    assert row is not None
    return row


async def _pid(database: Database) -> int:
    pid: int = (await _who(database))[1]
    return pid


async def test_it_acts_as_the_pool_does(database: Database) -> None:
    role, _, zone, timeout = await _who(database)
    assert (role, zone, timeout) == (APP_ROLE, "UTC", "3s")


async def test_a_connection_is_used_again_and_never_by_two_at_once(database: Database) -> None:
    first = await _pid(database)
    assert await _pid(database) == first
    pids = await asyncio.gather(*(database.fetch_row("SELECT pg_backend_pid(), pg_sleep(0.02)") for _ in range(8)))
    assert len({row[0] for row in pids if row is not None}) == 2


async def test_no_row_is_none(database: Database) -> None:
    assert await database.fetch_row("SELECT 1 WHERE false") is None


async def test_connections_that_died_meanwhile_are_replaced(database: Database, database_url: str) -> None:
    await asyncio.gather(*(database.fetch_row("SELECT pg_sleep(0.02)") for _ in range(2)))
    first = await _pid(database)
    admin = await asyncpg.connect(database_url)
    await admin.fetch("SELECT pg_terminate_backend($1, 5000)", first)
    await admin.close()
    assert await _pid(database) != first


async def test_a_fault_of_the_statement_leaves_the_connection(database: Database) -> None:
    first = await _pid(database)
    with pytest.raises(asyncpg.DivisionByZeroError):
        await database.fetch_row("SELECT 1 / 0")
    with pytest.raises(asyncpg.DataError) as refused:
        await database.fetch_row("SELECT $1::int", "one")
    assert not is_outage(refused.value)
    assert await _pid(database) == first


async def test_a_statement_that_takes_too_long_is_an_outage(database: Database) -> None:
    await database.fetch_row("SELECT set_config('statement_timeout', '20', false)")
    with pytest.raises(asyncpg.QueryCanceledError) as late:
        await database.fetch_row("SELECT pg_sleep(5)")
    assert is_outage(late.value)


async def test_who_leaves_in_the_middle_leaves_no_answer_behind(database: Database) -> None:
    first = await _pid(database)
    asked = asyncio.create_task(database.fetch_row("SELECT pg_sleep(2)"))
    await asyncio.sleep(0.05)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    assert await _pid(database) != first


async def test_without_a_server_it_is_an_outage() -> None:
    nowhere = Database("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(ConnectionRefusedError) as away:
        await nowhere.fetch_row("SELECT 1")
    assert is_outage(away.value)
    assert describe(away.value)
    await nowhere.dispose()


async def test_waiting_for_a_turn_ends(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct_pool, "TURN_TIMEOUT_S", 0.05)
    busy = [asyncio.create_task(database.fetch_row("SELECT pg_sleep(2)")) for _ in range(2)]
    await asyncio.sleep(0.05)
    with pytest.raises(TimeoutError):
        await database.fetch_row("SELECT 1")
    for one in busy:
        one.cancel()
    await asyncio.gather(*busy, return_exceptions=True)
    assert await database.fetch_row("SELECT 1") is not None
