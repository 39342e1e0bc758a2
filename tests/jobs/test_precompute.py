"""Facts of the busiest, put where every process finds them before anybody asks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from app.core.database import APP_ROLE, Database
from app.domain.plan import Window
from app.jobs import precompute
from app.jobs.precompute import KIND, Precomputing
from app.jobs.registry import JobServices
from app.jobs.runner import Runner
from app.main import build_api
from app.ports import ShiftedClock
from app.queries.availability_facts import FactsQuestion, Told
from app.queries.busiest import Busiest, list_busiest
from app.queries.facts_cache import FactsReader
from app.resolvers.context import Services
from tests.adapters.facts_twin import MemoryFacts
from tests.fixtures_api import make_settings
from tests.jobs.loops import until
from tests.jobs.work import ask, is_done
from tests.shop import Shop, at, make_shop, set_offer

WEEK = Window(at(8, 0), at(15, 0))


@pytest.fixture
async def services(fresh_database_url: str, redis_url: str) -> AsyncIterator[Services]:
    services = build_api(make_settings(fresh_database_url, redis_url)).services
    yield services
    await services.database.dispose()


@pytest.fixture
async def shops(services: Services) -> tuple[Shop, Shop]:
    """One that is booked much, and one that is not."""
    return await make_shop(services, providers=3), await make_shop(services)


@pytest.fixture
async def hold(fresh_database_url: str) -> AsyncIterator[Any]:
    """Makes a hold of a shop's provider, so many days ago."""
    connection = await asyncpg.connect(fresh_database_url)

    async def make(shop: Shop, number: int, days_ago: float) -> None:
        made_at = datetime.now(UTC) - timedelta(days=days_ago)
        await connection.execute(
            "INSERT INTO hold (id, organization_id, status, service_id, provider_id, starts_at, ends_at,"
            " buffer_before_minutes, buffer_after_minutes, expires_at, party_size, price_minor, currency)"
            " VALUES (uuidv7($1 - now()), $2, 'consumed', $3, $4, $5, $6, 0, 0, $5, 1, 1, 'USD')",
            made_at,
            shop.organization_uuid,
            shop.service_uuids[0],
            shop.provider_uuids[number],
            at(1, 9),
            at(1, 10),
        )

    yield make
    await connection.close()


async def _run(database: Database, shared: MemoryFacts | None) -> None:
    handlers = Precomputing(shared, ShiftedClock()).handlers()
    runner = Runner(database, JobServices(database, timedelta(hours=1), timedelta(hours=1)), handlers)
    job_id = await ask(database, KIND)
    await runner.start(job_id)
    await until(lambda: is_done(database, job_id))
    await runner.stop(1)


async def test_the_busiest_come_first_and_the_old_do_not_count(
    database: Database, shops: tuple[Shop, Shop], hold: Any
) -> None:
    busy, quiet = shops
    for number, count in ((0, 1), (1, 3), (2, 2)):
        for _ in range(count):
            await hold(busy, number, 1)
    await hold(quiet, 0, 6.9)
    for _ in range(9):
        await hold(quiet, 0, 7.1)
    async with database.snapshot() as tx:
        found = await list_busiest(tx, datetime.now(UTC), services=5, pairs=3)
        assert len(await list_busiest(tx, datetime.now(UTC), services=1, pairs=1)) == 2
    service = busy.service_uuids[0]
    pairs = [Busiest(service, busy.provider_uuids[number]) for number in (1, 2)]
    assert found[:4] == [Busiest(service, None), Busiest(quiet.service_uuids[0], None), *pairs]


async def test_a_process_that_starts_finds_them_there(
    database: Database, shops: tuple[Shop, Shop], hold: Any, fresh_database_url: str
) -> None:
    busy, _ = shops
    await hold(busy, 0, 1)
    shared = MemoryFacts()
    await _run(database, shared)
    assert len(shared.values) == 2
    app = Database(fresh_database_url, role=APP_ROLE, pool_size=1)
    reader = FactsReader(app, local_bytes=1_000_000, shared=shared)
    now = datetime.now(UTC)
    await reader.read(FactsQuestion.of(shops[1].service_uuids[0], None, WEEK), now)  # it learns whose database it is
    for people in (None, busy.provider_uuids[:1]):
        answer, _ = await reader.read(FactsQuestion.of(busy.service_uuids[0], people, WEEK), now)
        assert answer.told is Told.UNCHANGED
    await app.dispose()


async def test_only_what_changed_is_written_again(database: Database, shops: tuple[Shop, Shop], hold: Any) -> None:
    busy, quiet = shops
    await hold(busy, 0, 1)
    await hold(quiet, 0, 1)
    shared = MemoryFacts()
    await _run(database, shared)
    assert shared.puts == 4
    await _run(database, shared)
    assert shared.puts == 4
    await set_offer(busy, 0, duration_minutes=45)
    await _run(database, shared)
    assert shared.puts == 6
    shared.values.clear()
    await _run(database, shared)
    assert shared.puts == 10


async def test_without_a_cache_it_does_nothing_and_ends(
    database: Database, shops: tuple[Shop, Shop], hold: Any
) -> None:
    await hold(shops[0], 0, 1)
    await hold(shops[1], 0, 1)
    shared = MemoryFacts()
    shared.is_away = True
    await _run(database, shared)
    assert (shared.gets, shared.puts) == (1, 0)
    await _run(database, None)


async def test_its_work_is_bounded() -> None:
    assert precompute.MOST_SERVICES + precompute.MOST_PAIRS <= 200
    assert [one.name for one in precompute.RECURRING] == [KIND]
