"""The one statement behind a search: what it tells, to whom, and that it never calls something old unchanged."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from app.commands.purge import purge_events
from app.commands.relay import number_events
from app.core.database import APP_ROLE, SYSTEM_ROLE, Database
from app.domain import slots as engine
from app.domain.errors import NotFound
from app.domain.limits import claims_window
from app.domain.plan import Window
from app.queries.availability import get_service_plan
from app.queries.availability_facts import Facts, Told
from app.queries.busy import list_busy
from app.queries.tenancy import bind
from app.resolvers.context import Services
from tests.facts import WEEK, Follower, ask
from tests.fixtures_api import RunningApi
from tests.random_rows import RandomRows
from tests.rooms import make_room, need_any
from tests.shop import OFFICE, Shop, at, make_shop, set_active, set_offer

NOW = at(0, 12)


@pytest.fixture
def services(running: RunningApi) -> Services:
    return running.api.services


@pytest.fixture
async def admin(database_url: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    """The owner of the tables."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def lone(database_url: str) -> AsyncIterator[Database]:
    """One connection for single statements, so that what one leaves behind would meet the next."""
    database = Database(database_url, role=APP_ROLE, pool_size=2, direct_size=1)
    yield database
    await database.dispose()


# ── the same facts ────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("seed", range(8))
async def test_they_are_those_of_plan_and_claims(
    services: Services, admin: asyncpg.Connection[Any], lone: Database, seed: int
) -> None:
    rng = Random(seed)
    rules = {"buffer_before_minutes": rng.choice([0, 15]), "buffer_after_minutes": rng.choice([0, 20, 1_440])}
    service = {**rules, "maximum_duration_minutes": rng.choice([None, 180]), "advance_notice_minutes": 60}
    weekly = rng.choice([OFFICE, None]) if seed == 3 else OFFICE
    shop = await make_shop(services, providers=3, weekly=weekly, slot_interval=15, service=service)
    await RandomRows(admin, shop, rng).fill()
    for _ in range(3):
        from_day = rng.randint(-2, 8)
        starts = Window(at(from_day, rng.randint(0, 23)), at(from_day + rng.randint(1, 7), rng.randint(0, 23)))
        people = rng.choice([None, tuple(rng.sample(shop.provider_uuids, 2))])
        await _compare(services, lone, shop, starts, people)


async def _compare(
    services: Services, database: Database, shop: Shop, starts: Window, people: tuple[UUID, ...] | None
) -> None:
    facts = (await ask(database, shop, people=people, starts=starts)).facts
    async with services.database.snapshot() as tx:
        await bind(tx, organization_id=shop.organization_uuid)
        days = (starts.from_utc.date(), (starts.to_utc + timedelta(days=400)).date())
        plan = await get_service_plan(tx, shop.service_uuids[0], people, *days)
        for duration in (None, 30, 45, 180):
            plans = plan.plans(duration)
            mine = facts.service.plan.plans(duration)
            assert _bare(mine) == _bare(plans)
            known = claims_window(plans, starts)
            found = await list_busy(tx, plan.busy_subjects, known.from_utc, known.to_utc)
            busy = {subject: claims.values() for subject, claims in found.items()}
            wanted = engine.free_masks(plans, busy, starts, plan.rules(NOW))
            given = engine.free_masks(mine, facts.busy, starts, facts.service.plan.rules(NOW))
            assert [(one.free, one.served) for one in given] == [(one.free, one.served) for one in wanted]
    assert replace(facts.service.plan, offers=()) == replace(plan, offers=(), position=0, unnumbered=(), name="")


def _bare(plans: tuple[engine.ProviderPlan, ...]) -> list[engine.ProviderPlan]:
    """Without what lies outside of the dates that one of them asked for."""
    return [replace(plan, exceptions=()) for plan in plans]


async def test_who_is_there_and_who_may_be_seen(services: Services, lone: Database) -> None:
    shop, other = await make_shop(services, providers=2), await make_shop(services)
    stranger = other.provider_uuids[0]
    facts = (await ask(lone, shop, people=(shop.provider_uuids[0], stranger, uuid4()))).facts
    assert facts.service.visible == {shop.provider_uuids[0]}
    assert stranger not in facts.versions
    assert set(facts.versions) == {shop.service_uuids[0], shop.venue_uuid, shop.provider_uuids[0]}
    assert next(iter(facts.versions)) == shop.service_uuids[0]


async def test_nothing_of_the_organization_is_left_on_the_connection(services: Services, lone: Database) -> None:
    shop = await make_shop(services)
    await ask(lone, shop)
    for statement, left in (
        ("SELECT current_setting('app.organization_id', true)", ""),
        ("SELECT count(*) FROM provider", 0),
        ("SELECT count(*) FROM busy_times(ARRAY[$1::uuid], '2000-01-01', '2100-01-01')", 0),
    ):
        row = await lone.fetch_row(statement, *([shop.provider_uuids[0]] if "$1" in statement else []))
        assert row is not None
        assert (row[0] or left) == left


async def test_what_is_not_there_is_not_found(services: Services, lone: Database) -> None:
    shop = await make_shop(services)
    with pytest.raises(NotFound):
        await ask(lone, replace(shop, service_uuids=[uuid4()]))
    with pytest.raises(NotFound):
        await ask(lone, replace(shop, service_uuids=[shop.provider_uuids[0]]))


async def test_the_worker_is_told_the_same(services: Services, lone: Database, database_url: str) -> None:
    shop = await make_shop(services, providers=2)
    worker = Database(database_url, role=SYSTEM_ROLE, pool_size=1)
    told = await ask(worker, shop)
    await worker.dispose()
    assert (await ask(lone, shop, known=told.facts)).told is Told.UNCHANGED


async def test_versions_of_another_run_of_the_server_say_nothing(services: Services, lone: Database) -> None:
    shop = await make_shop(services)
    facts = (await ask(lone, shop)).facts
    assert (await ask(lone, shop, known=facts)).told is Told.UNCHANGED
    assert (await ask(lone, shop, known=replace(facts, epoch=facts.epoch + 1))).told is Told.WHOLE


async def test_after_a_restore_below_the_running_server_nothing_is_known(fresh: Fresh) -> None:
    """The event log's state is read in from a backup: its positions will be given again."""
    writer = fresh.writers[0]
    await writer.execute("CREATE TABLE backup AS SELECT * FROM relay_state")
    await _claim(writer, fresh.shop, fresh.shop.provider_uuids[0], at(3, 9))
    await fresh.number()
    follower = Follower(fresh.database, fresh.shop)
    await follower.look()
    await writer.execute("DELETE FROM outbox_event; DELETE FROM allocation")
    await writer.execute("TRUNCATE relay_state; INSERT INTO relay_state SELECT * FROM backup")
    assert (await follower.look()).told is Told.WHOLE
    await writer.execute("UPDATE relay_state SET installation_id = uuidv7()")
    assert (await follower.look()).told is Told.WHOLE
    assert (await follower.look()).told is Told.UNCHANGED


async def test_a_version_of_the_future_says_nothing(services: Services, lone: Database) -> None:
    shop = await make_shop(services)
    facts = (await ask(lone, shop)).facts
    ahead = {subject: version + (1 << 30) for subject, version in facts.versions.items()}
    told = await ask(lone, shop, known=replace(facts, versions=ahead))
    assert (told.told, told.facts.versions) == (Told.CHANGED, facts.versions)


# ── changes ───────────────────────────────────────────────────────────────────────────────────────────


async def _claim(
    connection: asyncpg.Connection[Any],
    shop: Shop,
    subject_id: UUID,
    start: datetime,
    *,
    lasts: timedelta = timedelta(minutes=30),
    buffer: timedelta = timedelta(0),
) -> UUID | None:
    """As a hold does, in the caller's transaction."""
    allocation_id, end = uuid4(), start + lasts
    claimed = await connection.fetchval(
        "SELECT claimed FROM claim_time($1, $2, $3, $4, $5, $6, 'held', NULL, NULL, $7, 'HELD')",
        allocation_id,
        shop.organization_uuid,
        subject_id,
        asyncpg.Range(start - buffer, end + buffer),
        start,
        end,
        at(300, 0),
    )
    return allocation_id if claimed else None


async def test_only_those_whose_time_changed_are_read_anew(
    services: Services, admin: asyncpg.Connection[Any], lone: Database
) -> None:
    shop = await make_shop(services, providers=4)
    follower = Follower(lone, shop)
    await follower.look()
    first = follower.facts
    assert first is not None
    await _claim(admin, shop, shop.provider_uuids[2], at(3, 9))
    answer = await follower.look()
    assert answer.told is Told.CHANGED
    assert answer.changed == {shop.provider_uuids[2]}
    assert answer.facts.service is first.service
    assert answer.facts.busy[shop.provider_uuids[0]] is first.busy[shop.provider_uuids[0]]
    assert (await follower.look()).told is Told.UNCHANGED
    await set_offer(shop, 1, duration_minutes=90)
    assert (await follower.look()).changed == set(shop.provider_uuids)


async def test_a_rooms_time_is_known_as_far_as_those_need_it_who_may_come_back(
    services: Services, admin: asyncpg.Connection[Any], lone: Database
) -> None:
    """Whoever offers three hours is away; the room is taken when they would still be at it.

    Their coming back is told of nobody else here, as when their offer is made beside it.
    """
    shop = await make_shop(services, providers=2)
    room = await make_room(shop)
    await need_any(shop, room)
    await set_offer(shop, 1, duration_minutes=180)
    await set_active(shop, "provider", shop.provider_uuids[1], False)
    await _claim(admin, shop, room.units[0], WEEK.to_utc + timedelta(hours=2))
    follower = Follower(lone, shop)
    await follower.look()
    await admin.execute("UPDATE provider SET is_active = true WHERE id = $1", shop.provider_uuids[1])
    await admin.execute(
        "INSERT INTO outbox_event (organization_id, type, subject_id, payload) VALUES ($1, 'x', $2, '{}')",
        shop.organization_uuid,
        shop.provider_uuids[1],
    )
    assert (await follower.look()).changed == {shop.provider_uuids[1]}


async def test_a_rooms_longest_visit_is_seen_to_its_end(
    services: Services, admin: asyncpg.Connection[Any], lone: Database
) -> None:
    shop = await make_shop(services)
    room = await make_room(shop)
    await need_any(shop, room)
    start = WEEK.from_utc - timedelta(days=6) + timedelta(minutes=1)
    await _claim(admin, shop, room.units[0], start, lasts=timedelta(days=5), buffer=timedelta(days=1))
    facts = (await ask(lone, shop)).facts
    assert len(facts.busy[room.units[0]].details) == 1


async def test_a_change_that_is_not_committed_is_none(
    services: Services, admin: asyncpg.Connection[Any], lone: Database
) -> None:
    shop = await make_shop(services)
    follower = Follower(lone, shop)
    await follower.look()
    transaction = admin.transaction()
    await transaction.start()
    await _claim(admin, shop, shop.provider_uuids[0], at(3, 9))
    assert (await follower.look()).told is Told.UNCHANGED
    await transaction.commit()
    assert (await follower.look()).told is Told.CHANGED
    assert (await follower.look()).told is Told.UNCHANGED


async def test_neither_a_number_nor_a_purge_is_a_change(fresh: Fresh) -> None:
    follower = Follower(fresh.database, fresh.shop)
    await follower.look()
    await fresh.number()
    assert (await follower.look()).told is Told.UNCHANGED
    await _claim(fresh.writers[0], fresh.shop, fresh.shop.provider_uuids[0], at(3, 9))
    assert (await follower.look()).told is Told.CHANGED
    await fresh.number()
    assert (await follower.look()).told is Told.UNCHANGED
    await fresh.purge()  # as if 72 h had passed: what happened before that is not known any more
    assert (await follower.look()).told is Told.CHANGED
    await fresh.purge()
    assert (await follower.look()).told is Told.UNCHANGED


@pytest.mark.parametrize("seed", range(6))
async def test_nothing_old_is_ever_called_unchanged(fresh: Fresh, seed: int) -> None:
    """Transactions that overlap, roll back and commit in any order, while events are numbered and purged."""
    rng = Random(seed)
    follower = Follower(fresh.database, fresh.shop)
    open_ones: list[tuple[asyncpg.Connection[Any], Any]] = []
    starts = iter(at(2, 0) + timedelta(minutes=30 * number) for number in range(300))
    steps = ["begin", "begin", "claim", "claim", "claim", "commit", "commit", "roll back", "number", "number", "purge"]
    for _ in range(120):
        step = rng.choice(steps)
        if step == "begin" and len(open_ones) < 3:
            connection = fresh.writers[len(open_ones)] if not open_ones else fresh.free_writer(open_ones)
            transaction = connection.transaction()
            await transaction.start()
            open_ones.append((connection, transaction))
        elif step == "claim" and open_ones:
            connection, _ = rng.choice(open_ones)
            await _claim(connection, fresh.shop, rng.choice(fresh.shop.provider_uuids), next(starts))
        elif step in {"commit", "roll back"} and open_ones:
            _, transaction = open_ones.pop(rng.randrange(len(open_ones)))
            await (transaction.commit() if step == "commit" else transaction.rollback())
        elif step == "number":
            await fresh.number()
        elif step == "purge":
            await fresh.purge()
        await follower.look()
    for _, transaction in open_ones:
        await transaction.rollback()
    assert follower.told.count(Told.UNCHANGED) > 10
    assert follower.told.count(Told.CHANGED) > 3


class Fresh:
    """A database whose events nobody else numbers."""

    def __init__(self, services: Services, shop: Shop, writers: list[asyncpg.Connection[Any]]) -> None:
        self.database = services.database
        self.shop = shop
        self.writers = writers
        self.worker: Database

    def free_writer(self, taken: list[tuple[asyncpg.Connection[Any], Any]]) -> asyncpg.Connection[Any]:
        return next(one for one in self.writers if all(one is not other for other, _ in taken))

    async def number(self) -> None:
        await number_events(self.worker)

    async def purge(self) -> None:
        async with self.worker.transaction() as tx:
            await purge_events(tx, timedelta(0))


@pytest.fixture
async def fresh(fresh_database_url: str, redis_url: str) -> AsyncIterator[Fresh]:
    from app.main import build_api
    from tests.fixtures_api import make_settings

    services = build_api(make_settings(fresh_database_url, redis_url)).services
    shop = await make_shop(services, providers=3)
    writers = [await asyncpg.connect(fresh_database_url) for _ in range(3)]
    made = Fresh(services, shop, writers)
    made.worker = Database(fresh_database_url, role=SYSTEM_ROLE, pool_size=1)
    yield made
    await made.worker.dispose()
    await services.database.dispose()
    await asyncio.gather(*(writer.close() for writer in writers))


# ── by indexes ────────────────────────────────────────────────────────────────────────────────────────


async def test_every_table_that_grows_is_read_by_an_index(fresh: Fresh, fresh_database_url: str) -> None:
    """The plans of the statements inside, as the API's role has them, with many rows of many others."""
    shop = fresh.shop
    for statement in _MANY_ROWS:
        await fresh.writers[0].execute(statement)
    known: Facts = (await ask(fresh.database, shop)).facts
    plans = await explain(fresh_database_url, shop, known)
    assert len(plans) > 4
    text = "\n".join(plans)
    for table in ("allocation", "outbox_event", "provider", "offer", "schedule_version", "blocked_time"):
        assert f"Seq Scan on {table}" not in text, text
    for index in ("allocation_subject_starts_idx", "blocked_time_subject_idx", "outbox_event_subject_idx"):
        assert index in text, text


_MANY_ROWS = (
    "SET session_replication_role = replica",
    "CREATE TABLE many AS SELECT gen_random_uuid() AS id FROM generate_series(1, 300)",
    """INSERT INTO allocation (id, organization_id, subject_id, busy, starts_at, ends_at, status, booking_id)
       SELECT gen_random_uuid(), many.id, many.id, tstzrange(t, t + interval '30 min'), t, t + interval '30 min',
              'booked', gen_random_uuid()
       FROM many, generate_series(now(), now() + interval '40 days', interval '1 day') t""",
    """INSERT INTO blocked_time (id, organization_id, subject_id, starts_at, ends_at, kind)
       SELECT gen_random_uuid(), many.id, many.id, t, t + interval '30 min', 'time_off'
       FROM many, generate_series(now(), now() + interval '40 days', interval '2 days') t""",
    """INSERT INTO outbox_event (organization_id, type, subject_id, payload, position)
       SELECT many.id, 'x', many.id, '{}', row_number() OVER () + 1000000 FROM many, generate_series(1, 40)""",
    """INSERT INTO provider (id, organization_id, venue_id, name) SELECT id, id, id, 'x' FROM many""",
    """INSERT INTO offer (provider_id, service_id, organization_id) SELECT id, gen_random_uuid(), id
       FROM many, generate_series(1, 10)""",
    """INSERT INTO schedule_version (id, organization_id, owner_id, number, effective, slot_interval_minutes, weekly)
       SELECT gen_random_uuid(), many.id, many.id, n, daterange('2020-01-01'::date + n, '2020-01-01'::date + n + 1), 15,
              '[]'
       FROM many, generate_series(1, 10) n""",
    "RESET session_replication_role",
    "VACUUM ANALYZE",
)


async def explain(database_url: str, shop: Shop, known: Facts) -> list[str]:
    """Plans of all statements of one read by somebody who knows the service but nobody's time."""
    connection = await asyncpg.connect(database_url)
    plans: list[str] = []
    connection.add_log_listener(lambda _connection, message: plans.append(message.message))
    try:
        await connection.execute(
            "LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET auto_explain.log_nested_statements = on;"
            " SET auto_explain.log_level = notice; SET client_min_messages = notice; SET jit = off;"
            " SET ROLE turnero_app"
        )
        service_id = shop.service_uuids[0]
        await connection.fetchrow(
            "SELECT * FROM availability_facts($1, NULL, $2, $3, NULL, $4, $5, $6, 1, 200)",
            service_id,
            WEEK.from_utc,
            WEEK.to_utc,
            known.epoch,
            [service_id, shop.provider_uuids[0]],
            [known.versions[service_id], 0],
        )
    finally:
        await connection.close()
    return plans
