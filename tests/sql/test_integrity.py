"""What PostgreSQL refuses by itself, whatever the code above does: statements written by hand, as the tables' owner."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import asyncpg
import pytest
from sqlalchemy import event

from app.core.database import Database
from app.queries.busy import list_busy
from app.queries.tenancy import bind
from tests.fixtures_api import GraphQLClient, RunningApi
from tests.journey import Made, Visitor
from tests.shop import at, make_shop

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

INSERT = """
INSERT INTO allocation (id, organization_id, subject_id, busy, starts_at, ends_at, status, booking_id, expires_at)
SELECT gen_random_uuid(), organization_id, subject_id, $2::text::tstzrange, $3, $4, $5, booking_id, $6
FROM allocation WHERE id = $1
"""


class Taken:
    """A booking of 10:00 to 10:30 with 15 minutes of buffer after it, and its row in the table."""

    def __init__(self, connection: Connection, row: asyncpg.Record, visitor: Visitor, made: Made) -> None:
        self.connection, self.row, self.visitor, self.made = connection, row, visitor, made

    async def insert(self, busy: str, status: str = "booked", **other: Any) -> str:
        facts = {"starts_at": at(3, 10), "ends_at": at(3, 10, 30), "expires_at": at(9, 0), **other}
        return str(
            await self.connection.execute(
                INSERT, self.row["id"], busy, facts["starts_at"], facts["ends_at"], status, facts["expires_at"]
            )
        )


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    opened: Connection = await asyncpg.connect(database_url)
    yield opened
    await opened.close()


@pytest.fixture
async def taken(running: RunningApi, client: GraphQLClient, connection: Connection) -> Taken:
    shop = await make_shop(running.api.services, service={"buffer_after_minutes": 15})
    visitor = Visitor(client, shop)
    made = await visitor.booked(at(3, 10))
    row = await connection.fetchrow(
        "SELECT * FROM allocation WHERE subject_id = $1 AND status = 'booked'", shop.provider_uuids[0]
    )
    assert row is not None
    return Taken(connection, row, visitor, made)


def _range(start: Any, end: Any) -> str:
    return f"[{start.isoformat()},{end.isoformat()})"


@pytest.mark.parametrize("status", ["held", "booked"])
@pytest.mark.parametrize(
    ("start", "end"),
    [
        (at(3, 10), at(3, 10, 45)),
        (at(3, 9), at(3, 10, 1)),
        (at(3, 10, 44), at(3, 11)),
        (at(3, 10, 10), at(3, 10, 20)),
        (at(1, 0), at(5, 0)),
    ],
)
async def test_overlaps_are_refused(taken: Taken, status: str, start: Any, end: Any) -> None:
    with pytest.raises(asyncpg.ExclusionViolationError) as refused:
        await taken.insert(_range(start, end), status, starts_at=start, ends_at=end)
    assert refused.value.constraint_name == "allocation_no_overlap"


async def test_neighbours_and_released_rows_are_fine(taken: Taken) -> None:
    before, after = (at(3, 9), at(3, 10)), (at(3, 10, 45), at(3, 11))
    for start, end in (before, after):
        assert await taken.insert(_range(start, end), starts_at=start, ends_at=end) == "INSERT 0 1"
    assert await taken.insert(_range(at(3, 10), at(3, 10, 30)), "released") == "INSERT 0 1"


async def test_updates_are_refused_too(taken: Taken) -> None:
    await taken.insert(_range(at(3, 12), at(3, 13)), starts_at=at(3, 12), ends_at=at(3, 13))
    await taken.insert(_range(at(3, 10), at(3, 10, 30)), "released")
    for change in (
        "busy = tstzrange(lower(busy) - interval '2 hours', upper(busy)) WHERE starts_at = $1",
        "status = 'booked' WHERE status = 'released' AND starts_at < $1",
    ):
        with pytest.raises(asyncpg.ExclusionViolationError):
            await taken.connection.execute(
                f"UPDATE allocation SET {change} AND subject_id = $2", at(3, 12), taken.row["subject_id"]
            )


@pytest.mark.parametrize(
    "busy",
    [
        "empty",
        "[2026-11-20 10:00+00,2026-11-20 10:00+00)",
        "[,)",
        "(,2030-01-01 00:00+00)",
        "[2020-01-01 00:00+00,)",
        "[2020-01-01 00:00+00,infinity)",
        "[-infinity,2030-01-01 00:00+00)",
        "[2020-01-01 00:00+00,2040-01-01 00:00+00]",
        "(2020-01-01 00:00+00,2040-01-01 00:00+00)",
    ],
)
async def test_ranges_that_would_slip_through(taken: Taken, busy: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await taken.insert(busy)
    assert refused.value.constraint_name in {"allocation_busy_check", "allocation_service_within_busy_check"}


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("starts_at = ends_at", "allocation_service_within_busy_check"),
        ("ends_at = ends_at + interval '16 minutes'", "allocation_service_within_busy_check"),
        ("starts_at = starts_at - interval '1 minute'", "allocation_service_within_busy_check"),
        ("status = 'held', expires_at = NULL", "allocation_held_expires_check"),
        ("booking_id = NULL", "allocation_taken_for_check"),
        ("status = 'maybe'", "allocation_status_check"),
    ],
)
async def test_rows_that_make_no_sense(taken: Taken, change: str, constraint: str) -> None:
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await taken.connection.execute(f"UPDATE allocation SET {change} WHERE id = $1", taken.row["id"])
    assert refused.value.constraint_name == constraint


@pytest.mark.parametrize("table", ["booking_transition", "audit_entry"])
async def test_history_is_only_added_to(taken: Taken, table: str) -> None:
    count = await taken.connection.fetchval(f"SELECT count(*) FROM {table}")
    assert count > 0
    changes = (f"UPDATE {table} SET reason = 'x'", f"DELETE FROM {table} WHERE false", f"TRUNCATE {table}")
    for mode in ("origin", "replica"):  # not even where other triggers are switched off
        await taken.connection.execute(f"SET session_replication_role = {mode}")
        for statement in changes:
            with pytest.raises(asyncpg.RestrictViolationError, match="append-only"):
                await taken.connection.execute(statement)
    assert await taken.connection.fetchval(f"SELECT count(*) FROM {table}") == count


async def test_the_version_rises_with_every_update(taken: Taken) -> None:
    async def version(change: str) -> int:
        return int(
            await taken.connection.fetchval(
                f"UPDATE booking SET {change} WHERE id = $1 RETURNING version", taken.row["booking_id"]
            )
        )

    assert [await version("notes = 'a'"), await version("notes = notes"), await version("version = 100")] == [2, 3, 4]


async def test_numbers(connection: Connection) -> None:
    transaction = connection.transaction()
    await transaction.start()
    numbers = [await connection.fetchval("SELECT next_booking_number()") for _ in range(3)]
    year = await connection.fetchval("SELECT to_char(turnero_now() AT TIME ZONE 'UTC', 'YYYY')")
    assert all(number[:9] == f"TRN-{year}-" and len(number) == 15 for number in numbers)
    assert numbers == sorted(set(numbers))
    await connection.execute("SELECT set_config('app.clock_offset', '40 years', true)")
    assert (await connection.fetchval("SELECT next_booking_number()"))[4:8] == str(int(year) + 40)
    last = await connection.fetchval("SELECT last_value FROM booking_number_seq")
    await transaction.rollback()
    assert await connection.fetchval("SELECT last_value FROM booking_number_seq") >= last  # never goes back


async def test_numbers_beyond_six_digits(fresh_database_url: str) -> None:
    opened: Connection = await asyncpg.connect(fresh_database_url)
    try:
        await opened.execute("SELECT setval('booking_number_seq', 999998)")
        numbers = [await opened.fetchval("SELECT next_booking_number()") for _ in range(2)]
    finally:
        await opened.close()
    assert [number[9:] for number in numbers] == ["999999", "1000000"]


async def test_numbers_of_many_at_once_differ_and_rise_without_a_lock(database_url: str) -> None:
    """Each writer keeps its transaction open until all have theirs: nobody waits for anybody's number."""
    everybody = asyncio.Barrier(6)

    async def draw() -> list[int]:
        opened: Connection = await asyncpg.connect(database_url)
        try:
            async with opened.transaction():
                drawn = [await opened.fetchval("SELECT next_booking_number()") for _ in range(20)]
                await asyncio.wait_for(everybody.wait(), 60)
            return [int(number[9:]) for number in drawn]
        finally:
            await opened.close()

    found = await asyncio.gather(*(draw() for _ in range(6)))
    assert all(numbers == sorted(numbers) for numbers in found)
    assert len({number for numbers in found for number in numbers}) == 120


async def test_many_writers_by_hand_have_one_winner(taken: Taken, database_url: str) -> None:
    """Through the function that every claim takes: no error, no deadlock, one row."""
    subject, organization = uuid4(), taken.row["organization_id"]

    async def claim(number: int) -> bool:
        opened: Connection = await asyncpg.connect(database_url)
        try:
            start = at(3, 10) + timedelta(minutes=number % 3 * 5)
            return bool(
                await opened.fetchval(
                    "SELECT claimed FROM claim_time($1, $2, $3, tstzrange($4, $5), $4, $5, 'booked', NULL, $6, NULL,"
                    " 'BOOKED')",
                    uuid4(),
                    organization,
                    subject,
                    start,
                    start + timedelta(minutes=30),
                    taken.row["booking_id"],
                )
            )
        finally:
            await opened.close()

    outcomes = await asyncio.gather(*(claim(number) for number in range(20)))
    assert Counter(outcomes) == {True: 1, False: 19}


async def test_the_busy_query_reads_its_index_alone(fresh_database_url: str) -> None:
    """20,000 claims of 20 people: one person's month comes from the covering index."""
    subject = uuid4()
    opened: Connection = await asyncpg.connect(fresh_database_url)
    try:
        # VACUUM takes no row for visible to all whose commit was not flushed yet.
        await opened.execute("SET synchronous_commit = on")
        organization = await _claims(opened, subject)
        await opened.execute("VACUUM ANALYZE allocation")
        plan = await _plan_of_busy(fresh_database_url, organization, subject)
    finally:
        await opened.close()
    assert "Index Only Scan using allocation_subject_starts_idx" in plan, plan
    assert "Seq Scan on allocation" not in plan, plan


async def _claims(connection: Connection, subject: UUID) -> UUID:
    organization = uuid4()
    await connection.execute(
        "INSERT INTO organization (id, slug, name, currency, locale) VALUES ($1, 'busy', 'Busy', 'USD', 'en')",
        organization,
    )
    await connection.execute(
        """
        INSERT INTO allocation (id, organization_id, subject_id, busy, starts_at, ends_at, status, expires_at)
        SELECT gen_random_uuid(), $1, CASE who WHEN 0 THEN $2 ELSE md5(who::text)::uuid END,
               tstzrange(t, t + interval '30 minutes'), t, t + interval '30 minutes', 'held', 'infinity'
        FROM generate_series(0, 19) AS who, generate_series(0, 999) AS n,
             LATERAL (SELECT $3::timestamptz + n * interval '45 minutes') AS starts (t)
        ORDER BY random() -- as bookings come
        """,
        organization,
        subject,
        at(0, 0),
    )
    return organization


async def _plan_of_busy(url: str, organization: UUID, subject: UUID) -> str:
    """How PostgreSQL answers the very statement that searches send, as the role they have."""
    database = Database(url)
    sent: list[tuple[str, Any]] = []

    def note(*arguments: Any) -> None:
        sent.append((arguments[2], arguments[3]))

    try:
        async with database.snapshot() as tx:
            await bind(tx, organization_id=organization)
            event.listen(database.engine.sync_engine, "before_cursor_execute", note)
            found = await list_busy(tx, [subject], at(1, 0), at(8, 0))
            event.remove(database.engine.sync_engine, "before_cursor_execute", note)
            assert len(found[subject]) > 300
            [(statement, parameters)] = sent
            connection = await tx.connection()
            rows = await connection.exec_driver_sql(f"EXPLAIN (ANALYZE, COSTS OFF) {statement}", parameters)
            return "\n".join(row[0] for row in rows)
    finally:
        await database.dispose()


async def test_a_claim_looks_at_held_time_alone(fresh_database_url: str) -> None:
    """However many bookings a provider ever had. The bookings are none, so all is rolled back before anyone checks."""
    subject, organization = uuid4(), uuid4()
    opened: Connection = await asyncpg.connect(fresh_database_url)
    transaction = opened.transaction()
    await transaction.start()
    try:
        await opened.execute(
            "INSERT INTO organization (id, slug, name, currency, locale) VALUES ($1, 'old', 'Old', 'USD', 'en')",
            organization,
        )
        await opened.execute(
            """
            INSERT INTO allocation (id, organization_id, subject_id, busy, starts_at, ends_at, status, booking_id)
            SELECT gen_random_uuid(), $1, $2, tstzrange(t, t + interval '30 minutes'), t, t + interval '30 minutes',
                   'booked', gen_random_uuid()
            FROM generate_series(1, 5000) AS n, LATERAL (SELECT $3::timestamptz - n * interval '1 hour') AS starts (t)
            """,
            organization,
            subject,
            at(0, 0),
        )
        await opened.execute("ANALYZE allocation")
        await opened.execute("SET LOCAL ROLE turnero_app")
        await opened.execute("SELECT set_config('app.organization_id', $1, true)", str(organization))
        rows = await opened.fetch(
            f"""
            EXPLAIN SELECT a.id FROM allocation a
            WHERE a.subject_id = '{subject}' AND a.busy && tstzrange(now(), now() + interval '1 hour')
              AND a.status = 'held' AND a.expires_at <= turnero_now()
            ORDER BY a.id FOR NO KEY UPDATE SKIP LOCKED
            """
        )
    finally:
        await transaction.rollback()
        await opened.close()
    plan = "\n".join(row[0] for row in rows)
    assert "allocation_held_idx" in plan, plan
