"""Claims of several subjects, at SQL level: all or nothing, and never in a circle."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.shop import at
from tests.sql.ground import HALF_HOUR, Connection, Ground, claim, limit, live, make_ground, need, person, put

TEN = at(3, 10)
HOUR = timedelta(hours=1)
LAPSED = timedelta(minutes=-1)


@pytest.fixture
async def ground(database_url: str) -> Ground:
    return await make_ground(database_url)


@pytest.fixture
async def connection(ground: Ground) -> AsyncIterator[Connection]:
    async with ground.connect() as opened:
        yield opened


async def test_everything_is_claimed_and_told(ground: Ground, connection: Connection) -> None:
    one, two = ground.people
    row = await claim(
        connection, ground, [person(one, TEN), person(two, TEN + HALF_HOUR)], [need(ground.units, TEN, 2)]
    )
    assert (row["outcome"], row["refused"], row["lapsed_bookings"]) == ("claimed", None, [])
    everybody = (*ground.people, *ground.units)
    spans = {subject: (low, high) for subject, low, high in await live(connection, *everybody)}
    span = (TEN, TEN + HALF_HOUR)
    assert spans == {one: span, two: (TEN + HALF_HOUR, TEN + HOUR), **dict.fromkeys(ground.units, span)}
    told = await connection.fetch(
        "SELECT subject_id, payload FROM outbox_event WHERE organization_id = $1", ground.organization
    )
    assert {event["subject_id"] for event in told} == set(everybody)
    expiries = await connection.fetch("SELECT DISTINCT expires_at FROM allocation WHERE subject_id = $1", one)
    assert [each["expires_at"] for each in expiries] == [row["expires_at"]]


async def test_what_fails_leaves_nothing(ground: Ground, connection: Connection) -> None:
    """Not even what had lapsed is given back, and no lock stays."""
    one, two = ground.people
    booking = uuid4()
    lapsed = await put(connection, ground, one, TEN, TEN + HALF_HOUR, expires_in=LAPSED, booking=booking)
    await put(connection, ground, two, TEN, TEN + HALF_HOUR)
    async with connection.transaction():
        row = await claim(connection, ground, [person(one, TEN), person(two, TEN)])
        assert (row["outcome"], row["refused"], row["expires_at"]) == ("taken", two, None)
        assert row["lapsed_bookings"] == []
        async with ground.connect() as other:
            await other.fetch("SELECT 1 FROM provider WHERE id = $1 FOR NO KEY UPDATE NOWAIT", one)
    assert await connection.fetchval("SELECT status FROM allocation WHERE id = $1", lapsed) == "held"
    assert (
        await connection.fetchval("SELECT count(*) FROM outbox_event WHERE organization_id = $1", ground.organization)
        == 0
    )
    row = await claim(connection, ground, [person(one, TEN), person(two, TEN + HALF_HOUR)])
    assert (row["outcome"], row["lapsed_bookings"]) == ("claimed", [booking])


async def test_units_lowest_first_without_those_that_are_off_or_blocked(ground: Ground, connection: Connection) -> None:
    first, second = ground.units
    start = TEN

    async def taken() -> UUID | None:
        row = await claim(connection, ground, [person(uuid4(), start)], [need(ground.units, start)])
        if row["outcome"] != "claimed":
            assert (row["outcome"], row["refused"]) == ("resource", None)
            return None
        return next(subject for subject, low, _ in await live(connection, *ground.units) if low == start)

    assert await taken() == first
    start = TEN + HOUR
    await connection.execute("UPDATE resource_unit SET is_active = false WHERE id = $1", first)
    assert await taken() == second
    await connection.execute("UPDATE resource_unit SET is_active = true WHERE id = $1", first)
    start = TEN + 2 * HOUR
    await connection.execute(
        "INSERT INTO blocked_time (id, organization_id, subject_id, starts_at, ends_at, kind)"
        " VALUES (gen_random_uuid(), $1, $2, $3, $4, 'time_off')",
        ground.organization,
        first,
        start + timedelta(minutes=29),
        start + HOUR,
    )
    assert await taken() == second
    assert await taken() is None
    start = TEN + 3 * HOUR
    await connection.execute("UPDATE resource SET is_active = false WHERE organization_id = $1", ground.organization)
    assert await taken() is None


async def test_no_more_units_are_looked_at_than_are_wanted(database_url: str) -> None:
    """Of a hundred bicycles two are out: asked about each beside each, a claim would take half a second."""
    ground = await make_ground(database_url, units=100)
    async with ground.connect() as connection:
        for unit in ground.units[:2]:
            await put(connection, ground, unit, TEN, TEN + HOUR, expires_in=None)
        async with connection.transaction():
            await connection.execute("SET LOCAL track_functions = 'all'")
            row = await claim(connection, ground, [person(ground.people[0], TEN)], [need(ground.units, TEN, 3)])
            asked = "SELECT calls FROM pg_stat_xact_user_functions WHERE funcname = 'is_subject_busy'"
            assert (row["outcome"], await connection.fetchval(asked)) == ("claimed", 5)
        taken = {subject for subject, _, _ in await live(connection, *ground.units)}
        assert taken == set(ground.units[:5])


async def test_a_unit_serves_two_services_of_a_visit_once(ground: Ground, connection: Connection) -> None:
    first, second = ground.units
    await put(connection, ground, first, TEN + HOUR, TEN + 2 * HOUR)
    needs = [
        need(ground.units, TEN, length=timedelta(minutes=40)),
        need(ground.units, TEN + HALF_HOUR),
        need(ground.units, TEN + HOUR),
        need(ground.units, TEN + 3 * HOUR),
    ]
    row = await claim(connection, ground, [person(ground.people[0], TEN, 4 * HOUR)], needs)
    assert row["outcome"] == "claimed"
    assert await live(connection, first, second) == [
        (first, TEN, TEN + HOUR),
        (first, TEN + HOUR, TEN + 2 * HOUR),
        (first, TEN + 3 * HOUR, TEN + 3 * HOUR + HALF_HOUR),
        (second, TEN + HOUR, TEN + HOUR + HALF_HOUR),
    ]
    # Where the customer has been already comes before a lower number.
    await put(connection, ground, first, TEN + 10 * HOUR, TEN + 10 * HOUR + HALF_HOUR)
    needs = [need(ground.units, TEN + 10 * HOUR), need(ground.units, TEN + 11 * HOUR)]
    assert (await claim(connection, ground, [person(ground.people[1], TEN, HOUR)], needs))["outcome"] == "claimed"
    assert [low for _, low, _ in await live(connection, second)][1:] == [TEN + 10 * HOUR, TEN + 11 * HOUR]


async def test_limits_count_what_is_live_and_starts_in_them(ground: Ground, connection: Connection) -> None:
    one, two = ground.people
    day = (at(3, 0), at(4, 0))
    await put(connection, ground, one, day[0] - HOUR, day[0] - HALF_HOUR)
    await put(connection, ground, one, day[1], day[1] + HALF_HOUR)
    await put(connection, ground, one, TEN - 2 * HOUR, TEN - HOUR, expires_in=LAPSED)
    await put(connection, ground, two, TEN - 2 * HOUR, TEN - HOUR)
    full = [limit(one, *day, 1)]
    assert (await claim(connection, ground, [person(one, TEN)], limits=full))["outcome"] == "claimed"
    row = await claim(connection, ground, [person(one, TEN + HOUR)], limits=full)
    assert (row["outcome"], row["refused"]) == ("limit", one)
    # Of one hold all rows count as one.
    row = await claim(
        connection, ground, [person(one, TEN + HOUR), person(one, TEN + 2 * HOUR)], limits=[limit(one, *day, 2)]
    )
    assert row["outcome"] == "claimed"


async def test_lapsed_rows_that_somebody_is_at_count_as_taken(ground: Ground, connection: Connection) -> None:
    one, two = ground.people
    first = await put(connection, ground, one, TEN, TEN + HALF_HOUR, expires_in=LAPSED)
    await put(connection, ground, one, TEN + HALF_HOUR, TEN + HOUR, expires_in=LAPSED)
    async with ground.connect() as other, other.transaction():
        await other.execute("SELECT 1 FROM allocation WHERE id = $1 FOR NO KEY UPDATE", first)
        async with connection.transaction():
            assert (
                await connection.fetchval("SELECT release_lapsed($1, tstzrange($2, $3))", one, TEN, TEN + HOUR) is None
            )
        row = await claim(connection, ground, [person(one, TEN, HOUR)])
        assert (row["outcome"], row["refused"]) == ("taken", one)
    assert (await claim(connection, ground, [person(one, TEN, HOUR), person(two, TEN)]))["outcome"] == "claimed"


async def test_a_hold_ends_with_its_last_row(ground: Ground, connection: Connection) -> None:
    one, two = ground.people
    hold = uuid4()
    await connection.execute(
        """
        INSERT INTO hold (id, organization_id, status, service_id, provider_id, starts_at, ends_at,
                          buffer_before_minutes, buffer_after_minutes, expires_at, party_size, price_minor, currency)
        VALUES ($1, $2, 'active', $1, $3, $4, $5, 0, 0, clock_timestamp() - interval '1 minute', 1, 0, 'USD')
        """,
        hold,
        ground.organization,
        one,
        TEN,
        TEN + HOUR,
    )
    for who in ground.people:
        await put(connection, ground, who, TEN, TEN + HALF_HOUR, expires_in=LAPSED, hold=hold)
    status = "SELECT status FROM hold WHERE id = $1"
    await claim(connection, ground, [person(one, TEN)])
    assert await connection.fetchval(status, hold) == "active"
    # More than other tests left behind.
    assert await connection.fetchval("SELECT expire_held_time(10000)") >= 1
    assert await connection.fetchval(status, hold) == "expired"
    assert await live(connection, two) == []


async def test_nobody_waits_in_a_circle(ground: Ground) -> None:
    """People and rooms in every order, some alone and some together, some with lapsed rows in their way."""
    one, two = ground.people

    async def attempt(number: int) -> str:
        async with ground.connect() as connection:
            outcomes = []
            for step in range(6):
                start = TEN + timedelta(minutes=10 * ((number + step) % 5))
                expires_in = LAPSED if (number + step) % 3 == 0 else HOUR
                async with connection.transaction():
                    claims = [[person(one, start)], [person(two, start), person(one, start + HALF_HOUR)]]
                    claims += [[person(one, start), person(two, start + HALF_HOUR)], [person(two, start)]]
                    row = await claim(
                        connection, ground, claims[number % 4], [need(ground.units, start)] if number % 3 else []
                    )
                    if row["outcome"] == "claimed":
                        await connection.execute(
                            "UPDATE allocation SET expires_at = clock_timestamp() + $2 WHERE subject_id = ANY ($1)"
                            " AND status = 'held' AND xmin = pg_current_xact_id()::xid",
                            [*ground.people, *ground.units],
                            expires_in,
                        )
                outcomes.append(row["outcome"])
            return str(Counter(outcomes).most_common(1)[0][0])

    async with ground.connect() as connection:
        before = await _deadlocks(connection)
        await asyncio.gather(*(attempt(number) for number in range(24)))
        assert await _deadlocks(connection) == before
        overlaps = """
            SELECT count(*) FROM allocation a JOIN allocation b ON a.subject_id = b.subject_id AND a.id < b.id
                AND a.busy && b.busy AND a.status <> 'released' AND b.status <> 'released'
            WHERE a.organization_id = $1
        """
        assert await connection.fetchval(overlaps, ground.organization) == 0


async def test_bookings_that_change_places(ground: Ground) -> None:
    """Each gives back what the other takes: the locks of both sides come first, so that no one is left waiting."""
    bookings = [uuid4(), uuid4()]
    places = [TEN, TEN + HALF_HOUR]
    async with ground.connect() as connection:
        for booking, start in zip(bookings, places, strict=True):
            for who in (*ground.people, *ground.units):
                await put(connection, ground, who, start, start + HALF_HOUR, expires_in=None, booking=booking)
        before = await _deadlocks(connection)

    async def swap(number: int) -> str:
        async with ground.connect() as connection:
            order = ground.people if number % 2 else tuple(reversed(ground.people))
            target = places[(number + 1) % 2]
            wanted: dict[str, Any] = {
                "claims": [person(who, target) for who in order],
                "needs": [need(ground.units, target, 2)],
                "limits": [],
            }
            transaction = connection.transaction()
            await transaction.start()
            row = await connection.fetchrow(
                "SELECT * FROM move_booking_time($1, $2, $3::text::jsonb)",
                ground.organization,
                bookings[number % 2],
                json.dumps(wanted),
            )
            assert row is not None
            await (transaction.commit() if row["outcome"] == "claimed" else transaction.rollback())
            return str(row["outcome"])

    outcomes = await asyncio.gather(*(swap(number) for number in range(16)))
    assert set(outcomes) <= {"taken", "claimed"}
    async with ground.connect() as connection:
        assert await _deadlocks(connection) == before
        assert len(await live(connection, *ground.people, *ground.units)) == 8


async def _deadlocks(connection: Connection) -> int:
    await connection.execute("SELECT pg_stat_force_next_flush(), pg_sleep(0.1)")
    return int(await connection.fetchval("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"))


async def test_the_claim_of_one_takes_no_lock(ground: Ground, connection: Connection) -> None:
    """Somebody else may hold the person's row, for hours: a simple claim goes past it."""
    one = ground.people[0]
    async with ground.connect() as other, other.transaction():
        await other.execute("SELECT 1 FROM provider WHERE id = $1 FOR NO KEY UPDATE", one)
        claimed = await asyncio.wait_for(
            connection.fetchval(
                "SELECT claimed FROM claim_time(gen_random_uuid(), $1, $2, tstzrange($3, $4), $3, $4, 'held', NULL,"
                " NULL, $4, 'HELD')",
                ground.organization,
                one,
                TEN,
                TEN + HALF_HOUR,
            ),
            30,
        )
        assert claimed is True


async def test_as_requests_have_it_only_their_own_organization(ground: Ground, database_url: str) -> None:
    """Row-level security holds inside the functions, too: nothing of another organization is seen or written."""
    other = await make_ground(database_url)
    async with ground.connect() as connection, connection.transaction():
        await connection.execute("SET LOCAL ROLE turnero_app")
        await connection.execute("SELECT set_config('app.organization_id', $1, true)", str(ground.organization))
        row = await claim(connection, ground, [person(ground.people[0], TEN)], [need(other.units, TEN)])
        assert row["outcome"] == "resource"
        row = await claim(connection, ground, [person(ground.people[0], TEN)], [need(ground.units, TEN)])
        assert row["outcome"] == "claimed"


@pytest.mark.parametrize("function", ["lock_subjects", "claim_together", "move_booking_time", "free_time"])
async def test_functions_have_a_fixed_search_path(connection: Connection, function: str) -> None:
    config = await connection.fetchval("SELECT proconfig FROM pg_proc WHERE proname = $1", function)
    assert any(setting.startswith("search_path=pg_catalog") for setting in config)
