"""Real worker processes that are killed or paused in the middle of a job."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from app.adapters.valkey import Valkey
from app.core.database import Database
from tests.jobs.ground import Ground, rows
from tests.jobs.loops import until
from tests.jobs.patient_worker import KIND, handlers
from tests.jobs.valkey_server import ValkeyServer
from tests.jobs.work import ask, claimed, is_done, job, make_runner, working


@contextmanager
def patient_process(
    database_url: str, redis_url: str, lease_s: int, sleep_s: float
) -> Iterator[subprocess.Popen[bytes]]:
    command = (sys.executable, "-m", "tests.jobs.patient_worker", database_url, redis_url, str(lease_s), str(sleep_s))
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def test_a_killed_workers_job_is_taken_over_and_done_once(
    database: Database, ground: Ground, fresh_database_url: str, valkey: Valkey, valkey_server: ValkeyServer
) -> None:
    args = {"organization": str(ground.organization), "subject": str(ground.provider)}
    with patient_process(fresh_database_url, valkey_server.url, 2, 60) as process:
        job_id = await ask(database, KIND, args=args)
        await until(lambda: claimed(database, job_id))
        process.send_signal(signal.SIGKILL)
        process.wait()
    runner = make_runner(database, handlers(60)[KIND], kind=KIND)
    async with working(database, valkey, runner):
        await until(lambda: is_done(database, job_id))
        await asyncio.sleep(0.5)
    assert await rows(database, "SELECT payload ->> 'number' FROM outbox_event") == [("2",)]
    found = await job(database, job_id)
    assert (found["attempts"], found["fence"]) == (2, 2)


async def test_a_paused_worker_cannot_finish_what_was_taken_over(
    database: Database, ground: Ground, fresh_database_url: str, valkey: Valkey, valkey_server: ValkeyServer
) -> None:
    args = {"organization": str(ground.organization), "subject": str(ground.provider)}
    with patient_process(fresh_database_url, valkey_server.url, 2, 2) as process:
        job_id = await ask(database, KIND, args=args)
        await until(lambda: claimed(database, job_id))
        os.kill(process.pid, signal.SIGSTOP)
        runner = make_runner(database, handlers(60)[KIND], kind=KIND)
        async with working(database, valkey, runner):
            await until(lambda: is_done(database, job_id))
        os.kill(process.pid, signal.SIGCONT)
        await asyncio.sleep(1)
        assert process.poll() is None, "it goes on with other work"
    assert await rows(database, "SELECT payload ->> 'number' FROM outbox_event") == [("2",)]
    found = await job(database, job_id)
    assert (found["attempts"], found["fence"], found["last_error"]) == (2, 2, None)
