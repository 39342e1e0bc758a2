"""Purging keeps what is needed: young events, the log without holes, rows that have no number yet, work to be done."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import Interval, bindparam, text

from app.commands.job import enqueue
from app.commands.purge import (
    purge_events,
    purge_heartbeats,
    purge_idempotency_keys,
    purge_jobs,
    purge_recurring_runs,
)
from app.commands.relay import number_events
from app.core.database import Database
from app.jobs.registry import JobServices
from app.jobs.runner import Runner
from app.jobs.sweeps import HANDLERS
from app.queries.event import log_state
from app.queries.job import workers_alive
from tests.jobs.ground import Ground, rows, write_events
from tests.jobs.loops import until

KEPT = timedelta(hours=72)


async def age(database: Database, where: str, hours: float) -> None:
    query = "UPDATE outbox_event SET occurred_at = occurred_at - :by WHERE " + where
    async with database.transaction() as tx:
        await tx.execute(text(query).bindparams(bindparam("by", timedelta(hours=hours), Interval)))


async def events(database: Database) -> list[int]:
    return [row[0] for row in await rows(database, "SELECT (payload ->> 'number')::int FROM outbox_event ORDER BY id")]


async def make_events(database: Database, ground: Ground, count: int) -> None:
    await write_events(database, ground, ground.provider, range(count))
    assert (await number_events(database)).count == count


async def test_old_events_go_from_the_oldest_on(database: Database, ground: Ground) -> None:
    await make_events(database, ground, 10)
    await age(database, "position <= 6", 73)
    async with database.transaction() as tx:
        assert await purge_events(tx, KEPT, batch=4) == 4
    async with database.transaction() as tx:
        assert await purge_events(tx, KEPT, batch=4) == 2
        assert await purge_events(tx, KEPT, batch=4) == 0
        state = await log_state(tx)
    assert await events(database) == [6, 7, 8, 9]
    assert (state.purged_position, state.last_position) == (6, 10)


async def test_no_hole_is_made_in_the_log(database: Database, ground: Ground) -> None:
    await make_events(database, ground, 10)
    await age(database, "position <= 3 OR position = 7", 73)
    async with database.transaction() as tx:
        assert await purge_events(tx, KEPT) == 3
    assert await events(database) == [3, 4, 5, 6, 7, 8, 9]


async def test_events_without_a_number_stay_however_old(database: Database, ground: Ground) -> None:
    await write_events(database, ground, ground.provider, range(3))
    await age(database, "true", 1000)
    async with database.transaction() as tx:
        assert await purge_events(tx, KEPT) == 0
    assert await events(database) == [0, 1, 2]


async def test_a_log_that_is_all_old_goes_and_its_positions_go_on(database: Database, ground: Ground) -> None:
    await make_events(database, ground, 4)
    await age(database, "true", 73)
    async with database.transaction() as tx:
        assert await purge_events(tx, KEPT) == 4
    await write_events(database, ground, ground.provider, [9])
    assert (await number_events(database)).count == 1
    assert await rows(database, "SELECT position FROM outbox_event") == [(5,)]


async def test_jobs_are_kept_until_they_are_long_done(database: Database) -> None:
    states = {
        "waiting": "created_at = turnero_now() - interval '90 d'",
        "just done": "done_at = turnero_now() - interval '23 h'",
        "long done": "done_at = turnero_now() - interval '25 h'",
        "failed": "failed_at = turnero_now() - interval '29 d'",
        "failed long ago": "failed_at = turnero_now() - interval '31 d'",
    }
    for kind, state in states.items():
        async with database.transaction() as tx:
            await enqueue(tx, kind, {}, organization_id=None)
            await tx.execute(text(f"UPDATE job SET {state} WHERE kind = :kind"), {"kind": kind})
    async with database.transaction() as tx:
        assert await purge_jobs(tx) == 2
    assert sorted(await rows(database, "SELECT kind FROM job")) == [("failed",), ("just done",), ("waiting",)]


async def test_keys_slots_and_heartbeats(database: Database) -> None:
    await rows(
        database,
        "INSERT INTO idempotency_key (organization_id, operation, principal, key, request_hash, created_at)"
        " SELECT uuidv7(), 'a', 'b', h::text, '', turnero_now() - make_interval(hours => h)"
        " FROM unnest(ARRAY[1, 47, 49, 100]) AS h RETURNING 1",
    )
    await rows(
        database,
        "INSERT INTO recurring_run (job, scheduled_for)"
        " SELECT 'a', turnero_now() - make_interval(hours => h) FROM unnest(ARRAY[1, 47, 49]) AS h RETURNING 1",
    )
    await rows(
        database,
        "INSERT INTO worker_heartbeat (worker, seen_at)"
        " SELECT m::text, clock_timestamp() - make_interval(mins => m) FROM unnest(ARRAY[1, 59, 61]) AS m RETURNING 1",
    )
    async with database.transaction() as tx:
        assert await purge_idempotency_keys(tx, timedelta(hours=48)) == 2
        assert await purge_recurring_runs(tx) == 1
        assert await purge_heartbeats(tx) == 1
        assert await workers_alive(tx) is False, "the youngest was seen a minute ago"
    assert await rows(database, "SELECT key FROM idempotency_key ORDER BY 1") == [("1",), ("47",)]


async def test_every_sweep_runs_as_a_job(database: Database, ground: Ground) -> None:
    await make_events(database, ground, 3)
    await age(database, "true", 73)
    services = JobServices(database, KEPT, timedelta(hours=48))
    runner = Runner(database, services, HANDLERS)
    for kind in HANDLERS:
        async with database.transaction() as tx:
            job_id = await enqueue(tx, kind, {}, organization_id=None)
        await runner.start(job_id)

    async def are_done() -> bool:
        left: list[tuple[Any, ...]] = await rows(database, "SELECT 1 FROM job WHERE done_at IS NULL")
        return not left

    await until(are_done)
    await runner.stop(1)
    assert await events(database) == []
    assert await rows(database, "SELECT 1 FROM job WHERE last_error IS NOT NULL") == []
