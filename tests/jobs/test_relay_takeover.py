"""The relay is one at a time: real processes that die or sleep with the lock in their hands, and wake up again."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import pytest
from redis.asyncio import Redis

from app.adapters.valkey import Valkey
from app.core.database import Database
from app.core.settings import Settings
from app.jobs.relay import Relay
from tests.jobs.ground import Ground, rows, write_events
from tests.jobs.loops import beside, until
from tests.jobs.valkey_server import ValkeyServer

TAKEN_OVER_S = 5.0
"""The promise."""
SHORT_MS = 700
"""In place of the setting, so that the test need not wait for it."""


@dataclass(frozen=True, slots=True)
class OwnServers:
    database_url: str
    redis_url: str
    installation: UUID


@pytest.fixture
def own(fresh_database_url: str, valkey_server: ValkeyServer, installation: UUID) -> OwnServers:
    return OwnServers(fresh_database_url, valkey_server.url, installation)


@asynccontextmanager
async def holder(own: OwnServers, idle_ms: int, when: str = "numbering") -> AsyncIterator[Process]:
    """A relay's process. It holds the lock (or, `publishing`, has numbered) once the block has let `holding` return."""
    command = (sys.executable, "-m", "tests.jobs.sleepy_relay", own.database_url, own.redis_url, str(idle_ms), when)
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=DEVNULL)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def holding(process: Process) -> float:
    """Since when it does, by the monotonic clock of all processes."""
    assert process.stdout is not None
    async with asyncio.timeout(60):
        said, since = (await process.stdout.readline()).split()
    assert said == b"holding"
    return float(since)


def test_what_sleeps_is_thrown_out_before_the_promise_ends() -> None:
    """The next look of another relay and the numbers take the rest."""
    assert Settings.model_fields["database_idle_timeout_ms"].default <= 1000 * TAKEN_OVER_S - 500


@pytest.mark.parametrize("idle_ms", [SHORT_MS, pytest.param(4_000, marks=pytest.mark.faults)])
async def test_a_sleeping_holder_is_passed_by_and_does_no_harm_when_it_wakes(
    database: Database, ground: Ground, valkey: Valkey, own: OwnServers, idle_ms: int
) -> None:
    async with holder(own, idle_ms) as sleeper:
        await write_events(database, ground, ground.provider, range(20))
        since = await holding(sleeper)
        sleeper.send_signal(signal.SIGSTOP)
        async with beside(Relay(database, valkey.event_stream()).run()):
            await write_events(database, ground, ground.provider, range(20, 30))
            await until(lambda: all_published(database))
            assert idle_ms / 2_000 < time.monotonic() - since < TAKEN_OVER_S, "the lock was held, and then it was not"
            sleeper.send_signal(signal.SIGCONT)
            await write_events(database, ground, ground.provider, range(30, 40))
            await until(lambda: all_published(database))
        # Now the one that slept is alone, on connections of its own that were thrown out.
        await write_events(database, ground, ground.provider, range(40, 50))
        assert await until(lambda: all_published(database)) < TAKEN_OVER_S
        assert sleeper.returncode is None
    await all_once_and_in_order(database, own, 50)


async def test_a_dead_holder_is_followed_at_once(
    database: Database, ground: Ground, valkey: Valkey, own: OwnServers
) -> None:
    async with holder(own, 60_000) as doomed:
        await write_events(database, ground, ground.provider, range(20))
        await holding(doomed)
        async with beside(Relay(database, valkey.event_stream()).run()):
            doomed.kill()
            assert await until(lambda: all_published(database)) < TAKEN_OVER_S
    await all_once_and_in_order(database, own, 20)


async def test_what_a_sleeper_has_numbered_is_published_by_another(
    database: Database, ground: Ground, valkey: Valkey, own: OwnServers
) -> None:
    """Numbering is one statement: who sleeps has no lock, and others go on at once. It wakes with old ones in hand."""
    async with holder(own, 60_000, "publishing") as sleeper:
        await write_events(database, ground, ground.provider, range(20))
        await holding(sleeper)
        sleeper.send_signal(signal.SIGSTOP)
        async with beside(Relay(database, valkey.event_stream()).run()):
            await write_events(database, ground, ground.provider, range(20, 30))
            assert await until(lambda: all_published(database)) < TAKEN_OVER_S
            sleeper.send_signal(signal.SIGCONT)
            await write_events(database, ground, ground.provider, range(30, 40))
            await until(lambda: all_published(database))
        await write_events(database, ground, ground.provider, range(40, 50))
        assert await until(lambda: all_published(database)) < TAKEN_OVER_S
        assert sleeper.returncode is None
    await all_once_and_in_order(database, own, 50)


async def all_once_and_in_order(database: Database, own: OwnServers, count: int) -> None:
    """In the log and on the stream."""
    query = "SELECT position, payload ->> 'number' FROM outbox_event ORDER BY position"
    assert await rows(database, query) == [(number + 1, str(number)) for number in range(count)]
    client = Redis.from_url(own.redis_url)
    entries = await client.xrange(f"turnero:{own.installation}:events")
    await client.aclose()
    assert [entry_id for entry_id, _ in entries] == [f"{number + 1}-0".encode() for number in range(count)]


async def all_published(database: Database) -> bool:
    query = (
        "SELECT last_position = published_position AND NOT EXISTS (SELECT FROM outbox_event WHERE position IS NULL)"
        " FROM relay_state"
    )
    return await rows(database, query) == [(True,)]
