"""What the tests of jobs share. Each test has a database of its own, since the outbox and the jobs are one for all."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from uuid import UUID

import pytest

from app.adapters.valkey import Valkey
from app.core.database import SYSTEM_ROLE, Database
from app.queries.event import log_state
from tests.jobs.ground import Ground, make_ground
from tests.jobs.valkey_server import ValkeyServer


@pytest.fixture
async def database(fresh_database_url: str) -> AsyncIterator[Database]:
    database = Database(fresh_database_url, role=SYSTEM_ROLE, pool_size=30)
    yield database
    await database.dispose()


@pytest.fixture
async def ground(database: Database) -> Ground:
    return await make_ground(database)


@pytest.fixture
async def installation(database: Database) -> UUID:
    async with database.transaction() as tx:
        return (await log_state(tx)).installation_id


@pytest.fixture
def valkey_server() -> Iterator[ValkeyServer]:
    with ValkeyServer() as server:
        yield server


@pytest.fixture
async def valkey(valkey_server: ValkeyServer) -> AsyncIterator[Valkey]:
    valkey = Valkey(valkey_server.url)
    yield valkey
    await valkey.close()
