"""Who is told of what: kept beside the log, read along an index, and shown to nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest

from app.commands.purge import purge_events
from app.commands.relay import number_events
from app.core.database import APP_ROLE, SYSTEM_ROLE, Database
from app.core.ids import new_id
from app.queries.event import events_told, events_waiting, keys_of_person
from app.queries.tenancy import bind
from bench.plans import plans
from tests.conftest import Databases

CROWD = 20_000


@dataclass(frozen=True, slots=True)
class Log:
    """A database whose events nobody else numbers, with two organizations and somebody who acts as a provider of the
    second."""

    admin: asyncpg.Connection[asyncpg.Record]
    app: Database
    system: Database
    ours: UUID
    theirs: UUID
    person: UUID
    provider: UUID

    async def write(self, organization: UUID, *audiences: Sequence[UUID] | None) -> list[int]:
        """One event for each; their ids."""
        return [
            await self.admin.fetchval(
                "INSERT INTO outbox_event (organization_id, type, subject_id, payload, audience)"
                " VALUES ($1, 'booking.created', $2, '{}', $3) RETURNING id",
                organization,
                uuid4(),
                audience,
            )
            for audience in audiences
        ]

    async def number(self) -> None:
        await number_events(self.system)

    async def told(
        self, *keys: UUID, after: int = 0, limit: int = 100, user: UUID | None = None, at: UUID | None = None
    ) -> list[int]:
        """Positions, as a request reads them."""
        async with self.app.snapshot() as tx:
            await bind(tx, organization_id=at, user_id=user)
            events = await events_told(tx, keys, after, limit=limit)
        positions = [event.position or 0 for event in events]
        assert all(set(keys) & set(event.audience) for event in events)
        assert positions == sorted(set(positions))
        return positions


@pytest.fixture(scope="module")
async def log(databases: Databases) -> AsyncIterator[Log]:
    url = databases.create()
    admin = await asyncpg.connect(url, server_settings={"session_replication_role": "replica"})
    app, system = Database(url, role=APP_ROLE, pool_size=2), Database(url, role=SYSTEM_ROLE, pool_size=2)
    log = Log(admin, app, system, uuid4(), uuid4(), new_id(), new_id())
    for organization in (log.ours, log.theirs):
        await admin.execute(
            "INSERT INTO organization (id, slug, name, currency, locale) VALUES ($1, $2, 'Shop', 'USD', 'en')",
            organization,
            str(organization),
        )
    await admin.execute(
        "INSERT INTO provider (id, organization_id, venue_id, user_id, name) VALUES ($1, $2, $2, $3, 'Nora')",
        log.provider,
        log.theirs,
        log.person,
    )
    yield log
    await app.dispose()
    await system.dispose()
    await admin.close()


@pytest.fixture(autouse=True)
async def nothing_yet(log: Log) -> None:
    await log.admin.execute("DELETE FROM outbox_event; DELETE FROM event_audience")
    await log.admin.execute("UPDATE relay_state SET last_position = 0, published_position = 0, purged_position = 0")


async def test_each_event_once_however_many_keys_it_has(log: Log) -> None:
    key, other = new_id(), new_id()
    await log.write(log.ours, [key], None, [other], [key, other], [key, key], [])
    assert await log.told(key, other, at=log.ours) == []  # no place in the log yet
    await log.number()
    assert await log.told(key, at=log.ours) == [1, 4, 5]
    assert await log.told(key, other, at=log.ours) == [1, 3, 4, 5]
    assert await log.told(key, other, at=log.ours, after=1, limit=2) == [3, 4]
    assert await log.told(at=log.ours) == []


async def test_what_waits_is_of_one_organization_and_one_key(log: Log) -> None:
    key = new_id()
    mine, _, again = await log.write(log.ours, [key], [new_id()], [new_id(), key])
    await log.write(log.theirs, [key])
    async with log.app.snapshot() as tx:
        await bind(tx, organization_id=log.ours)
        assert [event.id for event in await events_waiting(tx, log.ours, key)] == [mine, again]
        assert [event.id for event in await events_waiting(tx, log.ours, key, limit=1)] == [mine]
        assert await events_waiting(tx, log.theirs, key) == []  # row-level security
    await log.number()
    async with log.app.snapshot() as tx:
        await bind(tx, organization_id=log.ours)
        assert await events_waiting(tx, log.ours, key) == []


async def test_a_persons_own_in_all_organizations_and_nobody_elses(log: Log) -> None:
    stranger = new_id()
    await log.write(log.ours, [log.person], [stranger])
    await log.write(log.theirs, [log.person], [stranger], [log.provider])
    await log.number()
    async with log.app.snapshot() as tx:
        await bind(tx, user_id=log.person)
        keys = await keys_of_person(tx)
    assert keys == {log.person, log.provider}
    assert await log.told(*keys, user=log.person) == [1, 3, 5]
    # Of others' keys nothing but what is of the organization that one is bound to; with one's own beside them, too.
    assert await log.told(stranger, user=log.person) == []
    assert await log.told(stranger, log.person, user=log.person) == []
    assert await log.told(log.person, user=stranger) == []
    assert await log.told(log.person) == []
    assert await log.told(stranger, user=log.person, at=log.ours) == [2]
    assert await log.told(log.provider, user=stranger, at=log.ours) == []


async def test_who_acts_as_nobody_has_one_key(log: Log) -> None:
    await log.admin.execute("UPDATE provider SET is_active = false WHERE id = $1", log.provider)
    async with log.app.snapshot() as tx:
        await bind(tx, user_id=log.person)
        assert await keys_of_person(tx) == {log.person}
    await log.admin.execute("UPDATE provider SET is_active = true WHERE id = $1", log.provider)


async def test_requests_do_not_touch_the_index(log: Log) -> None:
    for statement in ("SELECT * FROM event_audience", "DELETE FROM event_audience"):
        async with log.app.transaction() as tx:
            with pytest.raises(Exception, match="permission denied"):
                await (await tx.connection()).exec_driver_sql(statement)


async def test_purged_with_the_events(log: Log) -> None:
    key = new_id()
    await log.write(log.ours, [key], [key, new_id()], None, [key])
    await log.number()
    await log.admin.execute("UPDATE outbox_event SET occurred_at = occurred_at - interval '1 day' WHERE position <= 2")
    async with log.system.transaction() as tx:
        assert await purge_events(tx, timedelta(hours=1)) == 2
    assert [row["position"] for row in await log.admin.fetch("SELECT position FROM event_audience")] == [4]
    assert await log.told(key, at=log.ours) == [4]


async def test_a_few_rows_are_read_of_a_long_log(log: Log) -> None:
    """Of somebody who is told of much, and of somebody who is told of little: what came after the cursor alone."""
    busy, quiet = new_id(), new_id()
    await log.admin.execute(
        f"""
        INSERT INTO outbox_event (organization_id, type, subject_id, payload, audience, position)
        SELECT $1, 'booking.created', uuidv7(), '{{}}',
               CASE WHEN n % 1000 = 0 THEN ARRAY[$3::uuid] WHEN n % 2 = 0 THEN ARRAY[$2::uuid]
                    ELSE ARRAY[gen_random_uuid()] END, n
        FROM generate_series(1, {CROWD}) AS n
        """,
        log.ours,
        busy,
        quiet,
    )
    await log.admin.execute(
        "INSERT INTO event_audience (key, position)"
        " SELECT unnest(e.audience), e.position FROM outbox_event e WHERE e.position IS NOT NULL"
    )
    await log.admin.execute("ANALYZE outbox_event; ANALYZE event_audience")
    await log.admin.execute("VACUUM event_audience")
    async with plans(log.admin) as found:
        await log.admin.execute("SET ROLE turnero_app")
        await log.admin.fetchval("SELECT set_config('app.organization_id', $1, false)", str(log.ours))
        for key, after, told in ((busy, CROWD - 100, 49), (quiet, CROWD // 2, 10), (busy, 0, 100)):
            rows = await log.admin.fetch("SELECT * FROM events_told($1, $2, 100)", [key], after)
            assert len(rows) == told
        await log.admin.execute("RESET ROLE")
    text = "\n".join(found)
    assert "Index Only Scan using event_audience_pkey" in text
    assert "Seq Scan on outbox_event" not in text
    assert "Seq Scan on event_audience" not in text
    await log.admin.fetchval("SELECT set_config('app.organization_id', '', false)")
