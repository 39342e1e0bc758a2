"""Jobs: done once, whatever becomes of the workers and of Valkey."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy.exc import DBAPIError

from app.adapters.valkey import Valkey
from app.commands.job import LeaseLost, claim_job, enqueue, finish_job
from app.core.database import APP_ROLE, Database
from app.core.ids import new_id
from app.jobs.poll import Poll
from app.jobs.registry import JobRun
from app.queries.job import due_jobs
from app.queries.tenancy import bind
from tests.jobs.ground import Ground, rows, write_event
from tests.jobs.loops import beside, until
from tests.jobs.valkey_server import ValkeyServer
from tests.jobs.work import LEASE, all_done, ask, claimed, is_done, job, make_runner, working

LONG = timedelta(minutes=5)
"""A lease that does not lapse, however slow the machine is."""


async def test_a_job_is_run_with_its_args_once_among_several_workers(database: Database, valkey: Valkey) -> None:
    seen: list[int] = []

    async def work(run: JobRun) -> None:
        await asyncio.sleep(0.01)
        seen.append(run.claim.args["number"])

    ids = [await ask(database, args={"number": number}) for number in range(60)]
    runners = [make_runner(database, work, lease=LONG) for _ in range(3)]
    async with (
        working(database, valkey, runners[0]),
        working(database, valkey, runners[1]),
        working(database, valkey, runners[2]),
    ):
        await until(lambda: all_done(database))
    assert sorted(seen) == list(range(60))
    assert {(await job(database, one))["attempts"] for one in ids} == {1}


async def test_without_valkey_jobs_are_run_all_the_same(
    database: Database, valkey: Valkey, valkey_server: ValkeyServer
) -> None:
    async def work(_run: JobRun) -> None:
        pass

    async with working(database, valkey, make_runner(database, work)):
        first = await ask(database)
        await until(lambda: is_done(database, first))
        valkey_server.kill()
        second = await ask(database)
        await until(lambda: is_done(database, second))
        valkey_server.start()
        third = await ask(database)
        await until(lambda: is_done(database, third))


async def test_a_call_that_nobody_answers_is_run_here(database: Database, valkey: Valkey) -> None:
    async def work(_run: JobRun) -> None:
        pass

    queue = valkey.job_queue()
    runner = make_runner(database, work)
    job_id = await ask(database)
    async with beside(Poll(database, queue, runner, poll_s=0.2).run()):
        assert await until(lambda: is_done(database, job_id)) > 2
    await queue.close()


async def test_valkeys_restart_does_not_touch_what_runs(
    database: Database, valkey: Valkey, valkey_server: ValkeyServer
) -> None:
    attempts = 0

    async def work(_run: JobRun) -> None:
        nonlocal attempts
        attempts += 1
        await asyncio.sleep(1.5)

    job_id = await ask(database)
    async with working(database, valkey, make_runner(database, work, lease=LONG)):
        await until(lambda: claimed(database, job_id))
        valkey_server.kill()
        await asyncio.sleep(0.5)
        valkey_server.start()
        await until(lambda: is_done(database, job_id))
    assert attempts == 1


async def test_a_failure_is_tried_again_and_given_up_in_the_end(database: Database, valkey: Valkey) -> None:
    async def work(_run: JobRun) -> None:
        raise LookupError("no such thing")

    job_id = await ask(database, max_attempts=3)
    async with working(database, valkey, make_runner(database, work)):

        async def is_failed() -> bool:
            return (await job(database, job_id))["failed_at"] is not None

        await until(is_failed)
    found = await job(database, job_id)
    assert (found["attempts"], found["last_error"], found["done_at"]) == (3, "LookupError: no such thing", None)


async def test_a_failed_statement_leaves_no_data_in_the_error(database: Database, valkey: Valkey) -> None:
    async def work(run: JobRun) -> None:
        await rows(run.services.database, "SELECT :secret / 0", secret=4111)

    job_id = await ask(database, max_attempts=1)
    async with working(database, valkey, make_runner(database, work)):

        async def is_failed() -> bool:
            return (await job(database, job_id))["failed_at"] is not None

        await until(is_failed)
    error = (await job(database, job_id))["last_error"]
    assert "22012" in error
    assert "4111" not in error


async def test_a_handler_that_takes_too_long_has_failed(database: Database, valkey: Valkey) -> None:
    async def work(run: JobRun) -> None:
        if run.claim.attempt == 1:
            await asyncio.sleep(60)

    job_id = await ask(database)
    async with working(database, valkey, make_runner(database, work, longest_run_s=0.3)):
        await until(lambda: is_done(database, job_id))
    assert (await job(database, job_id))["attempts"] == 2


async def test_a_job_waits_for_its_time(database: Database, valkey: Valkey) -> None:
    async def work(_run: JobRun) -> None:
        pass

    job_id = await ask(database, run_after=datetime.now(UTC) + timedelta(seconds=1.5))
    async with working(database, valkey, make_runner(database, work)):
        await until(lambda: is_done(database, job_id))
    found = await job(database, job_id)
    assert found["done_at"] >= found["run_after"]


async def test_a_lease_is_kept_while_the_handler_runs(database: Database, valkey: Valkey) -> None:
    attempts = 0

    async def work(_run: JobRun) -> None:
        nonlocal attempts
        attempts += 1
        await asyncio.sleep(3)

    job_id = await ask(database)
    runners = [make_runner(database, work, lease=timedelta(seconds=2.5)) for _ in range(2)]
    async with working(database, valkey, runners[0]), working(database, valkey, runners[1]):
        await until(lambda: is_done(database, job_id))
    assert attempts == 1
    assert (await job(database, job_id))["fence"] == 1


@pytest.mark.parametrize("is_other_done", [True, False])
async def test_an_old_fence_finishes_nothing(database: Database, ground: Ground, is_other_done: bool) -> None:
    """A worker that slept past its lease wakes up and goes on as if nothing had been."""
    reached, go_on, other_may_end = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work(run: JobRun) -> None:
        if run.claim.attempt == 1:
            reached.set()
            await go_on.wait()
        else:
            await other_may_end.wait()
        async with run.finishing() as tx:
            await write_event(tx, ground, ground.provider, run.claim.attempt)

    job_id = await ask(database)
    # Long enough that the sleeper does not renew it in between.
    sleeper, other = make_runner(database, work, lease=LONG), make_runner(database, work, lease=LONG)
    await sleeper.start(job_id)
    async with asyncio.timeout(30):
        await reached.wait()
    await rows(database, "UPDATE job SET lease_until = turnero_now() - interval '1 s' RETURNING 1")
    await other.start(job_id)

    async def is_taken_over() -> bool:
        return bool((await job(database, job_id))["fence"] == 2)

    await until(is_taken_over)
    if is_other_done:
        other_may_end.set()
        await until(lambda: is_done(database, job_id))
    go_on.set()
    await sleeper.stop(5)
    assert await is_done(database, job_id) is is_other_done
    other_may_end.set()
    await until(lambda: is_done(database, job_id))
    assert await rows(database, "SELECT payload ->> 'number' FROM outbox_event") == [("2",)]
    found = await job(database, job_id)
    assert (found["attempts"], found["fence"], found["failed_at"]) == (2, 2, None)
    await other.stop(1)


async def test_who_lost_the_lease_stops_working(database: Database) -> None:
    ended = asyncio.Event()

    async def work(_run: JobRun) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    job_id = await ask(database)
    runner = make_runner(database, work, lease=timedelta(seconds=0.6))
    await runner.start(job_id)
    await until(lambda: claimed(database, job_id))
    await rows(database, "UPDATE job SET fence = fence + 1 RETURNING 1")
    async with asyncio.timeout(30):
        await ended.wait()
    await runner.stop(1)
    assert (await job(database, job_id))["last_error"] is None


async def test_what_runs_at_the_end_is_given_back(database: Database) -> None:
    async def work(_run: JobRun) -> None:
        await asyncio.sleep(60)

    job_id = await ask(database)
    runner = make_runner(database, work)
    await runner.start(job_id)
    await until(lambda: claimed(database, job_id))
    await runner.stop(0.1)
    found = await job(database, job_id)
    assert (found["attempts"], found["lease_until"], found["fence"]) == (0, None, 1)
    async with database.transaction() as tx:
        assert [one.id for one in await due_jobs(tx, ["work"])] == [job_id]


async def test_a_job_that_kills_its_workers_is_given_up(database: Database, valkey: Valkey) -> None:
    async def work(_run: JobRun) -> None:
        raise AssertionError("is not to be run again")

    job_id = await ask(database, max_attempts=2)
    async with database.transaction() as tx:
        await claim_job(tx, job_id, LEASE, ["work"])
    await rows(database, "UPDATE job SET attempts = 2, lease_until = turnero_now() - interval '1 s' RETURNING 1")
    async with working(database, valkey, make_runner(database, work)):

        async def is_failed() -> bool:
            return (await job(database, job_id))["failed_at"] is not None

        await until(is_failed)
    assert "died" in (await job(database, job_id))["last_error"]


async def test_a_kind_that_this_version_does_not_know_is_left_to_others(database: Database, valkey: Valkey) -> None:
    async def work(_run: JobRun) -> None:
        pass

    job_id = await ask(database, kind="of the next version")
    async with working(database, valkey, make_runner(database, work)):
        await asyncio.sleep(0.5)
    assert (await job(database, job_id))["attempts"] == 0


async def test_only_one_of_many_claims_wins(database: Database) -> None:
    job_id = await ask(database)

    async def claim() -> bool:
        async with database.transaction() as tx:
            return await claim_job(tx, job_id, LEASE, ["work"]) is not None

    assert sorted(await asyncio.gather(*(claim() for _ in range(20)))) == [False] * 19 + [True]


async def test_finishing_twice_is_refused(database: Database) -> None:
    job_id = await ask(database)
    async with database.transaction() as tx:
        claim = await claim_job(tx, job_id, LEASE, ["work"])
        assert claim is not None
        await finish_job(tx, claim)
    async with database.transaction() as tx:
        with pytest.raises(LeaseLost):
            await finish_job(tx, claim)


async def test_a_request_enqueues_for_its_own_organization_alone(fresh_database_url: str, ground: Ground) -> None:
    requests = Database(fresh_database_url, role=APP_ROLE, pool_size=1)
    await enqueue_bound(requests, ground.organization, ground.organization)
    with pytest.raises(DBAPIError, match="row-level security"):
        await enqueue_bound(requests, ground.organization, new_id())
    await requests.dispose()


async def enqueue_bound(database: Database, bound_to: UUID, organization_id: UUID) -> None:
    async with database.transaction() as tx:
        await bind(tx, organization_id=bound_to)
        await enqueue(tx, "work", {"a": 1}, organization_id=organization_id)
