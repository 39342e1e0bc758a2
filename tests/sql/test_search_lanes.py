"""search_providers answers by kept plans where it can: they find what the statements do that it makes elsewhere."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from bench.seed import Seeded, first_day, seed_bookings, seed_city
from tests.conftest import Databases

ARGUMENTS = "($1, $2, $3, CAST($4 AS jsonb), $5, $6, $7, $8, 200, $9, $10, $11, $12)"
MINUTE = int(first_day().timestamp()) // 60
WEEK = {"fromMinute": MINUTE, "toMinute": MINUTE + 5 * 1_440}
NEAR = {"latitude": -34.6, "longitude": -58.4, "radiusKm": 60}
STAFF = UUID(int=77)
SCATTERED = "hashtext(right(id::text, 12))"
"""A number without a pattern. Of the seeded row's own number alone: the rest of an id differs from run to run."""
CHANGES = (
    ("rating = 3.5", 4),
    ("name = 'Ana'", 5),
    ("name = repeat(U&'\\+10FFFF', 200)", 31),
    ("is_active = false", 6),
)
"""What is changed of a provider, and of one in how many."""


@dataclass(frozen=True, slots=True)
class Lanes:
    """The function, and copies of it: one without its lane for everybody, one that also takes few for many."""

    connection: asyncpg.Connection[asyncpg.Record]
    towns: tuple[Seeded, Seeded]
    now: datetime

    async def rows(
        self, name: str, town: Seeded, user: UUID | None, wanted: dict[str, Any], sort: str, *how: object
    ) -> list[tuple[Any, ...]]:
        falling = sort.endswith("-")
        arguments = (town.organization_uuid, user, self.now, json.dumps(wanted), sort.rstrip("-"), falling, *how)
        found = await self.connection.fetch(f"SELECT * FROM {name}{ARGUMENTS}", *arguments)
        return [tuple(row) for row in found]


@pytest.fixture(scope="module")
async def lanes(databases: Databases) -> AsyncIterator[Lanes]:
    url = databases.create()
    connection = await asyncpg.connect(url)
    try:
        busy, city = await seed_bookings(connection, 60, 16), await seed_city(connection, 150)
        now = datetime.now(UTC)
        # Free at some minute, or not; known, or to be asked; some names, ratings and prices alike.
        await connection.execute(
            "UPDATE offer_outlook o SET covered_to = 2147483647, duration_minutes = 30, longest_minutes = 30,"
            " largest_party = 4, horizon_days = 365,"
            " known_until = CASE WHEN n % 7 = 0 THEN '-infinity'::timestamptz ELSE 'infinity' END,"
            " days = CASE WHEN n % 3 > 0 THEN ARRAY[$1::integer / 1440] ELSE '{}'::integer[] END,"
            " firsts = CASE WHEN n % 3 > 0 THEN ARRAY[$1 + n % 5 * 30] ELSE '{}'::integer[] END,"
            " lasts = CASE WHEN n % 3 > 0 THEN ARRAY[$1 + n % 5 * 30 + 60] ELSE '{}'::integer[] END,"
            " steps = CASE WHEN n % 3 > 0 THEN ARRAY[20] ELSE '{}'::integer[] END"
            " FROM (SELECT provider_id, service_id, row_number() OVER (ORDER BY provider_id, service_id)::integer AS n"
            "       FROM offer_outlook) x WHERE (o.provider_id, o.service_id) = (x.provider_id, x.service_id)",
            MINUTE + 600,
        )
        for change, of in CHANGES:
            await connection.execute(f"UPDATE provider SET {change} WHERE {SCATTERED} % {of} = 0")
        await connection.execute(
            "INSERT INTO user_account (id, email, password_hash, name) VALUES ($1, 'a@example.com', '-', 'A')", STAFF
        )
        await connection.execute(
            "INSERT INTO membership (id, organization_id, user_id, role) VALUES ($1, $2, $1, 'staff')",
            STAFF,
            city.organization_uuid,
        )
        await connection.execute("UPDATE outlook_state SET position = (SELECT last_position FROM relay_state)")
        await connection.execute("DELETE FROM outbox_event WHERE position IS NULL")
        await _copy(connection, "search_by_statement", ("IF p_wanted = '{}'", "IF false AND p_wanted = '{}'"))
        await _copy(connection, "search_as_many", ("integer := 1500", "integer := 1"))
        yield Lanes(connection, (busy, city), now)
    finally:
        await connection.close()
        databases.drop(url)


async def _copy(connection: asyncpg.Connection[asyncpg.Record], name: str, change: tuple[str, str]) -> None:
    source: str = await connection.fetchval("SELECT pg_get_functiondef('search_providers'::regproc)")
    assert source.count(change[0]) == 1
    await connection.execute(source.replace("public.search_providers(", f"public.{name}(").replace(*change))


Place = tuple[Any, Any]
"""Key and id."""


def _stretches(rows: list[tuple[Any, ...]]) -> list[tuple[Place, Place]]:
    """From where and to where: all, from the middle, to the middle, and what is between the first and the last."""
    nowhere: Place = (None, None)
    places = [(row[3], row[2]) for row in rows if row[3] is not None]
    if not places:
        return [(nowhere, nowhere)]
    middle = places[len(places) // 2]
    return [(nowhere, nowhere), (middle, nowhere), (nowhere, middle), (places[0], places[-1])]


@pytest.mark.parametrize("sort", ["name", "name-", "created", "created-", "rating", "rating-"])
async def test_everybody(lanes: Lanes, sort: str) -> None:
    for town, user in ((lanes.towns[0], None), *((lanes.towns[1], user) for user in (None, STAFF))):
        whole = await lanes.rows("search_by_statement", town, user, {}, sort, False, 300, *4 * [None])
        assert len(whole) > 40
        for (after, before), backward, size in itertools.product(_stretches(whole), (False, True), (1, 300)):
            how = (backward, size, *after, *before)
            expected = await lanes.rows("search_by_statement", town, user, {}, sort, *how)
            assert await lanes.rows("search_providers", town, user, {}, sort, *how) == expected, how


WANTED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("name", {}),
    ("name-", {"isActive": True}),
    ("created", {"durationMinutes": 30}),
    ("created-", {"durationMinutes": 45, "partySize": 5}),
    ("rating-", {"minimumRating": 3}),
    ("price", {}),
    ("price-", {"languages": ["es"]}),
    ("price", {"category": "Pelo"}),
    ("distance", NEAR),
    ("soonest", {}),
    ("soonest", {**NEAR, "text": "ernandes"}),
    ("relevance-", {"text": "maria"}),
    ("relevance-", {"text": "corte fernandes"}),
    ("relevance-", {"text": "a"}),
    ("relevance-", {"text": "maria a"}),
    ("relevance-", {"text": "trainer"}),
    ("name", {"text": "ana", "minimumMinor": 1}),
    ("count", {}),
)


@pytest.mark.parametrize(("sort", "wanted"), WANTED)
async def test_the_free_where_they_are_few(lanes: Lanes, sort: str, wanted: dict[str, Any]) -> None:
    """As where they are many."""
    found = 0
    for town, user in ((lanes.towns[0], None), (lanes.towns[1], STAFF)):
        asked = {**WEEK, **wanted}
        whole = await lanes.rows("search_as_many", town, user, asked, sort, False, 300, *4 * [None])
        found += len(whole)
        stretches = _stretches([row for row in whole if row[4] and sort != "count"])
        for (after, before), backward, size in itertools.product(stretches, (False, True), (4, 300)):
            how = (backward, size, *after, *before)
            expected = await lanes.rows("search_as_many", town, user, asked, sort, *how)
            rows = await lanes.rows("search_providers", town, user, asked, sort, *how)
            assert _plain(rows, sort) == _plain(expected, sort), how
    assert found > 4 or sort == "count"


def _plain(rows: list[tuple[Any, ...]], sort: str) -> list[tuple[Any, ...]]:
    """Whoever must be asked stands where they stand; what else is told of them is not believed."""
    plain: list[tuple[Any, ...]] = []
    for role, own, provider, key, is_sure, distance, *offer, services, currency, record in rows:
        told = (key, *offer) if is_sure else ()
        plain.append((is_sure, provider, role, own, distance, told, sorted(services or ()), currency, record))
    if sort == "soonest":  # they come first, in any order
        unsure = [row for row in plain if not row[0]]
        return [*sorted(unsure, key=itemgetter(1)), *plain[len(unsure) :]]
    return plain
