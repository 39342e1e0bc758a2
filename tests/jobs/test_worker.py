"""The whole worker as a process: it starts, sweeps, reports, outlives its servers and ends when asked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from app.core.database import Database
from app.queries.job import workers_alive
from tests.facts_guard import let_pass
from tests.jobs.ground import LONG_AGO, Ground, make_held, rows, write_events
from tests.jobs.loops import until
from tests.jobs.valkey_server import ValkeyServer

DAY = datetime(2031, 3, 3, tzinfo=UTC)
ROOT = Path(__file__).parents[2]


@contextmanager
def worker_process(database_url: str, redis_url: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    env = {
        **os.environ,
        "TURNERO_DATABASE_URL": database_url,
        "TURNERO_REDIS_URL": redis_url,
        "TURNERO_SECRET_KEY": "a-secret-of-the-tests-with-enough-length",
        "TURNERO_LOG_FORMAT": "json",
    }
    with open(log, "ab") as output:
        process = subprocess.Popen((sys.executable, "-m", "app", "worker"), env=env, stderr=output, cwd=ROOT)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def is_published(database: Database) -> bool:
    query = (
        "SELECT last_position = published_position AND NOT EXISTS (SELECT FROM outbox_event WHERE position IS NULL)"
        " FROM relay_state"
    )
    return await rows(database, query) == [(True,)]


async def is_alive(database: Database) -> bool:
    async with database.transaction() as tx:
        return await workers_alive(tx)


async def test_a_worker_does_its_work_and_ends_when_asked(
    database: Database, ground: Ground, fresh_database_url: str, valkey_server: ValkeyServer, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    async with database.transaction() as tx:
        await make_held(tx, ground, DAY, LONG_AGO)
        await make_held(tx, ground, DAY + timedelta(hours=1), LONG_AGO, booking_status="pending")
        await let_pass(tx)
    with worker_process(fresh_database_url, valkey_server.url, log) as process:
        await until(lambda: is_alive(database))

        async def is_swept() -> bool:
            return await rows(database, "SELECT 1 FROM allocation WHERE status <> 'released'") == []

        await until(is_swept)
        await until(lambda: is_published(database))
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert await is_alive(database) is False
    lines = text_of(log)
    assert "worker.started" in lines
    assert "worker.stopped" in lines
    assert "Traceback" not in lines


async def test_a_worker_outlives_valkey_and_postgresql(
    database: Database, ground: Ground, fresh_database_url: str, valkey_server: ValkeyServer, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    admin = Database(fresh_database_url, role=None, pool_size=1)
    kick = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'turnero-worker'"
    with worker_process(fresh_database_url, valkey_server.url, log) as process:
        await until(lambda: is_alive(database))
        for turn in range(3):
            valkey_server.kill()
            await rows(admin, kick)
            await write_events(database, ground, ground.provider, [turn])
            valkey_server.start()
            assert await until(lambda: is_published(database)) < 15
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    await admin.dispose()


async def test_a_worker_without_servers_waits_and_ends_when_asked(tmp_path: Path) -> None:
    log = tmp_path / "log"
    nowhere = "postgresql://nobody@127.0.0.1:1/nothing"
    with worker_process(nowhere, "redis://127.0.0.1:1/0", log) as process:

        async def is_failing() -> bool:
            return "relay.numbering.failing" in text_of(log)

        await until(is_failing)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert text_of(log).count("relay.numbering.failing") == 1


def text_of(log: Path) -> str:
    return log.read_text()
