"""A database of the release before, with people's bookings in it, is brought up to date and serves on."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
import pytest
from alembic import command

from app.core.database import Database
from app.core.ids import new_id
from app.core.migrations import migrate, migration_config
from app.domain.busy import BusyKind
from app.domain.provider_search import FreeTime, Near, ProviderSort, ProviderWanted
from app.queries.availability import get_service_plan
from app.queries.busy import list_busy
from app.queries.pagination import PageRequest
from app.queries.provider_free import Offers, SoonestSlot, first_slots, read_offers, soonest_of_each
from app.queries.provider_search import ProviderSearch
from app.queries.tenancy import Door, enter
from tests.conftest import Databases
from tests.migrations.test_migrations import in_thread

PREVIOUS = "0001"
ORGANIZATION, VENUE, PROVIDER, SERVICE, CUSTOMER, HOLD, BOOKING, ALLOCATION = (new_id() for _ in range(8))
STARTS = datetime(2030, 5, 6, 13, tzinfo=UTC)
ENDS = STARTS + timedelta(hours=1)

WORLD: tuple[tuple[str, tuple[object, ...]], ...] = (
    (
        "INSERT INTO organization (id, slug, name, currency, locale) VALUES ($1, 'old', 'Old shop', 'ARS', 'es-AR')",
        (ORGANIZATION,),
    ),
    (
        "INSERT INTO venue (id, organization_id, name, time_zone, latitude, longitude, embed_key)"
        " VALUES ($1, $2, 'Centro', 'America/Argentina/Buenos_Aires', -34.6, -58.4, 'emb_old')",
        (VENUE, ORGANIZATION),
    ),
    (
        "INSERT INTO provider (id, organization_id, venue_id, name, rating) VALUES ($1, $2, $3, 'Lucía', 4.5)",
        (PROVIDER, ORGANIZATION, VENUE),
    ),
    (
        "INSERT INTO service (id, organization_id, name, category, price_minor, price_type, duration_minutes,"
        " buffer_before_minutes, buffer_after_minutes, advance_notice_minutes, maximum_advance_days,"
        " cancellation_notice_minutes, requires_approval, max_group_size)"
        " VALUES ($1, $2, 'Corte', 'Pelo', 1000, 'fixed', 60, 0, 15, 0, 1095, 1440, false, 1)",
        (SERVICE, ORGANIZATION),
    ),
    (
        "INSERT INTO offer (organization_id, provider_id, service_id) VALUES ($1, $2, $3)",
        (ORGANIZATION, PROVIDER, SERVICE),
    ),
    (
        "INSERT INTO schedule_version (id, organization_id, owner_id, number, effective, slot_interval_minutes, weekly)"
        " VALUES ($1, $2, $3, 1, daterange('2026-01-01', NULL), 15,"
        """ '[{"weekday": 0, "open": [[540, 1080]], "breaks": [[780, 840]]}]')""",
        (new_id(), ORGANIZATION, PROVIDER),
    ),
    (
        "INSERT INTO customer (id, organization_id, name, email) VALUES ($1, $2, 'Ana', 'ana@example.com')",
        (CUSTOMER, ORGANIZATION),
    ),
    (
        "INSERT INTO hold (id, organization_id, status, service_id, provider_id, starts_at, ends_at,"
        " buffer_before_minutes, buffer_after_minutes, expires_at, party_size, price_minor, currency)"
        " VALUES ($1, $2, 'consumed', $3, $4, $5, $6, 0, 15, $5, 1, 1000, 'ARS')",
        (HOLD, ORGANIZATION, SERVICE, PROVIDER, STARTS, ENDS),
    ),
    (
        "INSERT INTO booking (id, organization_id, number, confirmation_code, status, starts_at, ends_at, time_zone,"
        " party_size, provider_id, service_id, customer_id, hold_id, price_minor, currency, payment_status,"
        " payment_method, cancellable_until, cancellation_notice_minutes, requires_approval)"
        " VALUES ($1, $2, next_booking_number(), 'ABCD2345', 'confirmed', $3, $4, 'America/Argentina/Buenos_Aires', 1,"
        " $5, $6, $7, $8, 1000, 'ARS', 'unpaid', 'pay_on_arrival', $3, 1440, false)",
        (BOOKING, ORGANIZATION, STARTS, ENDS, PROVIDER, SERVICE, CUSTOMER, HOLD),
    ),
    (
        "INSERT INTO allocation (id, organization_id, subject_id, busy, starts_at, ends_at, status, hold_id,"
        " booking_id)"
        " VALUES ($1, $2, $3, tstzrange($4, $5::timestamptz + interval '15 minutes'), $4, $5, 'booked', $6, $7)",
        (ALLOCATION, ORGANIZATION, PROVIDER, STARTS, ENDS, HOLD, BOOKING),
    ),
)


@pytest.fixture
def previous_url(databases: Databases) -> Iterator[str]:
    databases.server.query('CREATE DATABASE "from_previous"')
    url = databases.server.url("from_previous")
    in_thread(lambda: command.upgrade(migration_config(url), PREVIOUS))
    yield url
    databases.drop(url)


async def _facts(connection: asyncpg.Connection[asyncpg.Record], table: str, row_id: UUID) -> dict[str, object]:
    row = await connection.fetchrow(f"SELECT * FROM {table} WHERE id = $1", row_id)
    assert row is not None
    return dict(row)


async def test_what_people_hold_stands_and_is_served(previous_url: str) -> None:
    connection = await asyncpg.connect(previous_url)
    kept = {
        "organization": ORGANIZATION,
        "provider": PROVIDER,
        "hold": HOLD,
        "booking": BOOKING,
        "allocation": ALLOCATION,
    }
    try:
        async with connection.transaction():
            for statement, arguments in WORLD:
                await connection.execute(statement, *arguments)
        before = {table: await _facts(connection, table, row_id) for table, row_id in kept.items()}
        in_thread(lambda: migrate(previous_url))
        after = {table: await _facts(connection, table, row_id) for table, row_id in kept.items()}
        with pytest.raises(asyncpg.ExclusionViolationError):
            await connection.execute(
                "INSERT INTO allocation (id, organization_id, subject_id, busy, starts_at, ends_at, status, expires_at)"
                " SELECT $1, organization_id, subject_id, busy, starts_at, ends_at, 'held', now() FROM allocation",
                new_id(),
            )
    finally:
        await connection.close()
    for table, row in before.items():
        assert {name: after[table][name] for name in row} == row
    await _is_served(previous_url)


OLD_HOLD = """
    SELECT outcome FROM hold_slot($1, $2, $3, $4, $5, $6, $7, 0, 15, interval '10 minutes', 1, 1000, 'ARS', NULL,
                                  '127.0.0.1', 5, 5)
"""
OLD_MOVE = """
    SELECT claimed FROM move_booking_time($1, $2, $3, $4, tstzrange($5, $6), $5, $6)
"""


async def test_processes_of_the_release_before_go_on_until_they_are_replaced(previous_url: str) -> None:
    connection = await asyncpg.connect(previous_url)
    try:
        async with connection.transaction():
            for statement, arguments in WORLD:
                await connection.execute(statement, *arguments)
        in_thread(lambda: migrate(previous_url))
        await connection.execute("SET ROLE turnero_system")
        hold = (new_id(), new_id(), ORGANIZATION, SERVICE, PROVIDER)
        assert await connection.fetchval(OLD_HOLD, *hold, STARTS, ENDS) == "taken"
        later = STARTS + timedelta(hours=2)
        assert await connection.fetchval(OLD_HOLD, *hold, later, later + timedelta(hours=1)) == "held"
        to = STARTS + timedelta(hours=5)
        moved = (new_id(), ORGANIZATION, BOOKING, PROVIDER, to, to + timedelta(hours=1))
        assert await connection.fetchval(OLD_MOVE, *moved) is True
        assert await connection.fetchval(OLD_HOLD, new_id(), new_id(), *hold[2:], STARTS, ENDS) == "held"
    finally:
        await connection.close()


async def test_a_step_that_was_interrupted_is_run_again(previous_url: str) -> None:
    connection = await asyncpg.connect(previous_url)
    try:
        async with connection.transaction():
            for statement, arguments in WORLD:
                await connection.execute(statement, *arguments)
        in_thread(lambda: command.upgrade(migration_config(previous_url), "0003"))
        await connection.execute("DELETE FROM provider_search")
        await connection.execute(
            "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'customer_organization_email_idx'::regclass"
        )
        await connection.execute("UPDATE alembic_version SET version_num = '0002'")
        in_thread(lambda: command.upgrade(migration_config(previous_url), "0003"))
        assert await connection.fetchval("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == 0
        assert await connection.fetchval("SELECT count(*) FROM pg_constraint WHERE NOT convalidated") == 0
        assert await connection.fetchval("SELECT count(*) FROM provider_search") == 1
    finally:
        await connection.close()


async def _is_served(url: str) -> None:
    database = Database(url)
    try:
        async with database.snapshot() as tx:
            await enter(tx, Door.SERVICE, SERVICE, user_id=None)
            plan = await get_service_plan(tx, SERVICE, None, date(2030, 5, 6), date(2030, 5, 7))
            busy = await list_busy(tx, plan.busy_subjects, STARTS, ENDS)
            free = FreeTime(date(2030, 5, 6), date(2030, 5, 6), ZoneInfo("UTC"))
            facts = await read_offers(tx, {SERVICE: [PROVIDER]}, free.window())
        slots = soonest_of_each(first_slots(facts, free, STARTS - timedelta(days=9)))

        async def ask(offers: Offers) -> dict[UUID, SoonestSlot]:
            assert offers == {SERVICE: [PROVIDER]}
            return slots

        wanted = ProviderWanted(text="lucia corte", near=Near(-34.6, -58.4, 1), free=free)
        search = ProviderSearch(database, ORGANIZATION, None, STARTS - timedelta(days=9), wanted, ask)
        page = await search.page(ProviderSort.PRICE_ASC, PageRequest(5))
    finally:
        await database.dispose()
    [offer] = plan.offers
    assert (offer.provider_id, offer.exceptions, offer.needs, bool(offer.limits)) == (PROVIDER, (), (), False)
    assert [(claim.kind, claim.starts_at) for claim in busy[PROVIDER].values()] == [(BusyKind.BOOKED, STARTS)]
    assert [(hit.provider.id, hit.soonest) for hit in page.hits] == [(PROVIDER, slots[PROVIDER])]
