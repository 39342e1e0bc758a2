"""Who is asked for by name is looked up: it does not matter how many others the organization has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest
from sqlalchemy import text

from app.core.database import Tx
from app.main import build_api
from app.queries.availability import get_service_plan, get_service_plans
from app.queries.tenancy import bind
from app.resolvers.context import Services
from tests.facts import WEEK
from tests.fixtures_api import make_settings
from tests.shop import Shop, make_shop

OTHERS = 3_000
"""So many that to read the whole table would be dear."""
_ROWS_READ = text("SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'provider'")
FROM, TO = WEEK.from_utc.date(), WEEK.to_utc.date()


@pytest.fixture
async def services(fresh_database_url: str, redis_url: str) -> AsyncIterator[Services]:
    made = build_api(make_settings(fresh_database_url, redis_url)).services
    yield made
    await made.database.dispose()


@pytest.fixture
async def shop(services: Services, fresh_database_url: str) -> Shop:
    made = await make_shop(services, providers=2)
    owner = await asyncpg.connect(fresh_database_url)
    try:
        await owner.execute("SET session_replication_role = replica")
        await owner.execute(
            "INSERT INTO provider (id, organization_id, venue_id, name)"
            " SELECT gen_random_uuid(), p.organization_id, p.venue_id, 'x' FROM provider p, generate_series(1, $2)"
            " WHERE p.id = $1",
            made.provider_uuids[0],
            OTHERS,
        )
        await owner.execute("VACUUM ANALYZE provider")
    finally:
        await owner.close()
    return made


async def _facts(tx: Tx, shop: Shop) -> object:
    statement = "SELECT facts FROM availability_facts(:service, :people, :from, :to, NULL, NULL, NULL, NULL, NULL, 200)"
    people = [shop.provider_uuids[0]]
    values = {"service": shop.service_uuids[0], "people": people, "from": WEEK.from_utc, "to": WEEK.to_utc}
    return await tx.scalar(text(statement), values)


async def _plan(tx: Tx, shop: Shop) -> object:
    return (await get_service_plan(tx, shop.service_uuids[0], shop.provider_uuids[:1], FROM, TO)).offers


async def _plans(tx: Tx, shop: Shop) -> object:
    [plan] = await get_service_plans(tx, [(shop.service_uuids[0], shop.provider_uuids[:1])], FROM, TO)
    return plan.offers


async def test_one_provider_is_looked_up(services: Services, shop: Shop) -> None:
    """By a plan that fits all arguments, as one is kept for statements that are sent often."""
    async with services.database.snapshot() as tx:
        await tx.execute(text("SET LOCAL plan_cache_mode = force_generic_plan"))
        await bind(tx, organization_id=shop.organization_uuid)
        assert 0 < await _looked_at(tx, _facts, shop) < 10
        assert 0 < await _looked_at(tx, _plan, shop) < 10
        assert 0 < await _looked_at(tx, _plans, shop) < 10


async def _looked_at(tx: Tx, read: Callable[[Tx, Shop], Awaitable[object]], shop: Shop) -> int:
    """At how many providers. What the connection did before counts, too, so it is taken off."""
    before: int = (await tx.execute(_ROWS_READ)).scalar_one()
    assert await read(tx, shop)
    after: int = (await tx.execute(_ROWS_READ)).scalar_one()
    return after - before
