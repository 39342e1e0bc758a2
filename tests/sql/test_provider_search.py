"""The function that looks past row-level security: it shows one organization alone, and uses its indexes."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from app.domain.pricing import MAXIMUM_PRICE, PriceType, price
from bench.plans import plans
from bench.seed import Seeded, first_day, seed_bookings, seed_city
from tests.conftest import Databases
from tests.jobs.loops import until

PAGE = """
    SELECT provider_id, sort_key, is_sure, role, (found).organization_id AS organization_id
    FROM search_providers($1, $2, $3, CAST($4 AS jsonb), $5, $6, false, 21, 200, NULL, NULL, NULL, NULL)
"""
OBELISK = {"latitude": -34.6037, "longitude": -58.3816}
WEEK = {"fromMinute": int(first_day().timestamp()) // 60, "toMinute": int(first_day().timestamp()) // 60 + 5 * 1_440}


@dataclass(frozen=True, slots=True)
class Towns:
    """Two organizations: one in which one provider of a hundred is free, and a town of 3,000 without hours."""

    url: str
    admin: asyncpg.Connection[asyncpg.Record]
    busy: Seeded
    city: Seeded

    async def search(
        self,
        connection: asyncpg.Connection[asyncpg.Record],
        town: Seeded,
        wanted: dict[str, Any],
        sort: str = "name",
        *,
        user: UUID | None = None,
    ) -> list[asyncpg.Record]:
        falling = sort in {"rating", "relevance"}
        now = datetime.now(UTC)
        return await connection.fetch(PAGE, town.organization_uuid, user, now, json.dumps(wanted), sort, falling)


@pytest.fixture(scope="module")
async def towns(databases: Databases) -> AsyncIterator[Towns]:
    url = databases.create()
    admin = await asyncpg.connect(url)
    try:
        busy = await seed_bookings(admin, 300, 16)
        city = await seed_city(admin, 3_000)
        # As the worker would leave them: those of the first town are booked up, but for one in a hundred.
        await admin.execute(
            "UPDATE offer_outlook SET known_until = 'infinity', covered_to = 2147483647, duration_minutes = 30,"
            " longest_minutes = 30, largest_party = 4, horizon_days = 365"
        )
        free = [busy.provider_uuid(number) for number in range(0, 300, 100)]
        await admin.execute(
            "UPDATE offer_outlook SET days = ARRAY[$2::integer / 1440], firsts = ARRAY[$2::integer],"
            " lasts = ARRAY[$2::integer], steps = ARRAY[1] WHERE provider_id = ANY($1)",
            free,
            WEEK["fromMinute"] + 600,
        )
        await admin.execute("VACUUM ANALYZE")
        yield Towns(url, admin, busy, city)
    finally:
        await admin.close()
        databases.drop(url)


@pytest.fixture
async def app(towns: Towns) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """As requests have it, bound to no organization."""
    connection = await asyncpg.connect(towns.url, server_settings={"role": "turnero_app"})
    yield connection
    await connection.close()


# ── whose rows ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("wanted", "sort"),
    [
        ({}, "name"),
        ({}, "created"),
        ({}, "rating"),
        ({}, "price"),
        ({"text": "Fernandes"}, "relevance"),
        ({"text": "corte"}, "name"),
        ({**OBELISK, "radiusKm": 20_038}, "distance"),
        ({"languages": ["es"], "minimumRating": 3}, "rating"),
        ({"category": "Pelo", "minimumMinor": 1}, "price"),
        (WEEK, "soonest"),
        (WEEK, "name"),
    ],
)
async def test_one_organizations_rows_alone(
    towns: Towns, app: asyncpg.Connection[asyncpg.Record], wanted: dict[str, Any], sort: str
) -> None:
    for town in (towns.busy, towns.city):
        found = await towns.search(app, town, wanted, sort)
        assert {row["organization_id"] for row in found} <= {town.organization_uuid}
        assert {row["role"] for row in found} <= {None}
        assert found or (wanted is WEEK and town is towns.city)


async def test_ids_of_another_find_nothing(towns: Towns, app: asyncpg.Connection[asyncpg.Record]) -> None:
    other = towns.city
    for wanted in (
        {"serviceId": str(other.service_uuid(0))},
        {"venueId": str(other.row(1, 0))},
        {"serviceId": str(other.service_uuid(0)), **WEEK},
    ):
        for sort in ("name", "price"):
            assert await towns.search(app, towns.busy, wanted, sort) == []


async def test_words_stand_for_the_organizations_own(towns: Towns) -> None:
    """Those of another would find nobody, and leave less room for ours."""
    like = "SELECT word FROM search_words_like($1, $2, 500)"
    for wanted in ("fernandes", "er", "corte"):
        for town in (towns.busy, towns.city):
            found = {row["word"] for row in await towns.admin.fetch(like, town.organization_uuid, wanted)}
            own = "SELECT word FROM search_word WHERE organization_id = $1"
            assert found <= {row["word"] for row in await towns.admin.fetch(own, town.organization_uuid)}


async def test_no_such_organization(towns: Towns, app: asyncpg.Connection[asyncpg.Record]) -> None:
    nowhere = Seeded(UUID(int=1), 0)
    with pytest.raises(asyncpg.NoDataFoundError):
        await towns.search(app, nowhere, {})


async def test_the_staff_of_one_is_a_stranger_to_the_other(
    towns: Towns, app: asyncpg.Connection[asyncpg.Record]
) -> None:
    user = UUID(int=77)
    await towns.admin.execute(
        "INSERT INTO user_account (id, email, password_hash, name) VALUES ($1, 'a@example.com', '-', 'A')", user
    )
    await towns.admin.execute(
        "INSERT INTO membership (id, organization_id, user_id, role) VALUES ($1, $2, $1, 'staff')",
        user,
        towns.busy.organization_uuid,
    )
    for town in (towns.busy, towns.city):
        await towns.admin.execute("UPDATE provider SET is_active = false WHERE id = $1", town.provider_uuid(5))
    hidden = {"isActive": False}
    assert len(await towns.search(app, towns.busy, hidden, user=user)) == 1
    assert await towns.search(app, towns.busy, hidden) == []
    assert await towns.search(app, towns.city, hidden, user=user) == []


HOSTILE = ("'", "''; DROP TABLE provider; --", "%s", "%1$L", "%%", "\\", "\\'", "$1", "{", '"', "E'\\x00'", "$$ $$")


@pytest.mark.parametrize("text", HOSTILE)
async def test_values_are_never_statements(towns: Towns, app: asyncpg.Connection[asyncpg.Record], text: str) -> None:
    everything = {"text": f"{text} a{text}b", "category": text, "languages": [text], **OBELISK, "radiusKm": 5, **WEEK}
    for sort in ("name", "price", "distance", "relevance", "soonest", "count"):
        for wanted in ({"text": text}, {"category": text}, {"languages": [text]}, everything):
            if sort not in {"distance", "relevance", "soonest"} or wanted is everything:
                with suppress(asyncpg.InvalidParameterValueError):
                    await towns.search(app, towns.city, wanted, sort)


async def test_requests_reach_the_door_alone(app: asyncpg.Connection[asyncpg.Record]) -> None:
    for call in (
        "outlooks_overtaken(NULL, 0, 1, 1)",
        "search_words_like(gen_random_uuid(), 'a', 1)",
        "search_text_sql(gen_random_uuid(), 'a', true, 1)",
        "search_offer_sql(NULL, 'true', 1)",
        "search_free_sql(gen_random_uuid(), now(), 0, 1, 1, 1, NULL, 'true', 1)",
        "search_free_start(0, 0, 1, 1, 1, true, 0, 1, 1, 1, 1, 1, '{}', '{}', '{}')",
        "search_free_few('{}', 0, now(), 0, 1, 1, 1, true, '{}', '{}')",
        "search_everybody(gen_random_uuid(), true, 'name', true, 1, NULL, NULL)",
        "search_few(gen_random_uuid(), true, true, NULL, NULL, NULL, NULL, NULL, 'name', true, true, 1, 1,"
        " NULL, NULL, NULL, NULL, '{}', '{}', '{}', '{}', '{}', '{}', 1, '{}', '{}', '{}', '{}', '{}')",
        "refresh_provider_search('{}')",
        "refresh_provider_price('{}')",
        "refresh_service_search('{}')",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await app.execute(f"SELECT {call}")
    tables = ("provider_search", "provider_price", "service_search", "search_word", "offer_outlook", "outlook_state")
    for table in tables:
        rights = "has_table_privilege('turnero_app', $1, 'INSERT, UPDATE, DELETE, TRUNCATE')"
        assert await app.fetchval(f"SELECT {rights}", table) is False, table
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await app.execute("SELECT * FROM outlook_state")


# ── what is kept ──────────────────────────────────────────────────────────────────────────────────────


async def test_prices_are_those_of_the_domain(app: asyncpg.Connection[asyncpg.Record]) -> None:
    drawn = random.Random(3)
    given = [
        (drawn.choice(list(PriceType)), drawn.randrange(100), drawn.choice([None, 0, 7, MAXIMUM_PRICE]), minutes, own)
        for minutes in (1, 7, 30, 45, 90, 1_440)
        for own in (None, 1, 29, 30, 31, 1_440)
    ]
    for kind, base, own_base, minutes, own_minutes in given:
        call = "SELECT price_of_offer($1, $2, $3, $4, $5)"
        found = await app.fetchval(call, kind.value, base, own_base, minutes, own_minutes)
        assert found == price(kind, base if own_base is None else own_base, own_minutes or minutes)


async def test_prices_that_change_at_once(towns: Towns) -> None:
    """Neither of two changes sees the other's offer, and yet the lowest price of both is kept."""
    provider, organization = towns.city.provider_uuid(1), towns.city.organization_uuid
    services = [towns.city.service_uuid(number) for number in range(2)]
    await towns.admin.execute("UPDATE offer SET is_active = false WHERE provider_id = $1", provider)
    await towns.admin.execute(
        "INSERT INTO offer (provider_id, service_id, organization_id, price_minor) SELECT $1, s.id, $2, s.price"
        " FROM unnest($3::uuid[], ARRAY[10, 20]) AS s (id, price)"
        " ON CONFLICT (provider_id, service_id) DO UPDATE SET is_active = true, price_minor = excluded.price_minor",
        provider,
        organization,
        services,
    )
    kept = "SELECT rising_minor FROM provider_price WHERE provider_id = $1"
    assert await towns.admin.fetchval(kept, provider) == 10
    raised = "UPDATE offer SET price_minor = $3 WHERE provider_id = $1 AND service_id = $2"
    other, observer = await asyncpg.connect(towns.url), await asyncpg.connect(towns.url)

    async def is_waiting() -> bool:
        blocked = "SELECT cardinality(pg_blocking_pids($1)) > 0"
        return bool(await observer.fetchval(blocked, other.get_server_pid()))

    try:
        first, second = towns.admin.transaction(), other.transaction()
        await first.start()
        await second.start()
        await towns.admin.execute(raised, provider, services[0], 30)
        waiting = asyncio.create_task(other.execute(raised, provider, services[1], 40))
        await until(is_waiting)
        await first.commit()
        await waiting
        await second.commit()
    finally:
        await other.close()
        await observer.close()
    assert await towns.admin.fetchval(kept, provider) == 30


# ── how they are found ────────────────────────────────────────────────────────────────────────────────


@asynccontextmanager
async def plans_of_requests(towns: Towns) -> AsyncIterator[list[str]]:
    """What PostgreSQL does when a request asks."""
    async with plans(towns.admin) as found:
        await towns.admin.execute("SET ROLE turnero_app")
        try:
            yield found
        finally:
            await towns.admin.execute("RESET ROLE")


@pytest.mark.parametrize(
    ("wanted", "sort", "index"),
    [
        ({}, "name", "provider_search_name_idx"),
        ({}, "created", "provider_search_created_idx"),
        ({}, "rating", "provider_search_rating_idx"),
        ({}, "price", "provider_price_rising_idx"),
        ({**OBELISK, "radiusKm": 3}, "distance", "provider_search_position_idx"),
        ({"text": "002345"}, "name", "provider_search_words_idx"),
        ({"text": "fernandes"}, "name", "search_word_like_idx"),
        ({"languages": ["ja"]}, "name", "provider_search_words_idx"),
    ],
)
async def test_indexes_are_used(towns: Towns, wanted: dict[str, Any], sort: str, index: str) -> None:
    async with plans_of_requests(towns) as found:
        await towns.search(towns.admin, towns.city, wanted, sort)
    text = "\n".join(found)
    assert index in text
    assert "Seq Scan on provider_search" not in text


async def test_the_free_are_found_by_their_days(towns: Towns) -> None:
    async with plans_of_requests(towns) as found:
        rows = await towns.search(towns.admin, towns.busy, WEEK, "soonest")
    assert [row["provider_id"] for row in rows] == [towns.busy.provider_uuid(number) for number in (0, 100, 200)]
    assert all(row["is_sure"] for row in rows)
    assert "offer_outlook_days_idx" in "\n".join(found)


async def test_events_that_nobody_looked_at_in_time(towns: Towns, app: asyncpg.Connection[asyncpg.Record]) -> None:
    """They were purged, and may have changed anything: nothing is believed."""
    known = await towns.admin.fetchrow("SELECT * FROM relay_state")
    assert known is not None
    assert [row["is_sure"] for row in await towns.search(app, towns.busy, WEEK, "soonest")] == [True] * 3
    change = "UPDATE relay_state SET last_position = $1, purged_position = $2"
    await towns.admin.execute(change, known["last_position"] + 2, known["last_position"] + 1)
    found = await towns.search(app, towns.busy, WEEK, "soonest")
    await towns.admin.execute(change, known["last_position"], known["purged_position"])
    assert [row["is_sure"] for row in found] == [False] * 201
