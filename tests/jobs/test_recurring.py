"""Recurring work: each slot once, however many workers tick; what was missed is made good by one run."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from app.adapters.valkey import Valkey
from app.core.database import Database
from app.jobs.recurring import Recurring, Ticker
from app.jobs.sweeps import HANDLERS, RECURRING
from tests.jobs.ground import rows

TEN = Recurring("ten", timedelta(seconds=10))
HOURLY = Recurring("hourly", timedelta(hours=1))


@dataclass(slots=True)
class HandClock:
    at: datetime = datetime(2026, 5, 4, 10, 0, 3, tzinfo=UTC)

    @property
    def offset(self) -> timedelta:
        return timedelta(0)

    def now(self) -> datetime:
        return self.at


def make_ticker(database: Database, valkey: Valkey, clock: HandClock) -> Ticker:
    return Ticker(database, valkey.job_queue(), clock, [TEN, HOURLY])


async def started(database: Database) -> list[tuple[str, str]]:
    query = "SELECT kind, args ->> 'scheduledFor' FROM job ORDER BY id"
    return [(row[0], row[1][11:19]) for row in await rows(database, query)]


async def test_five_tickers_start_each_slot_once(database: Database, valkey: Valkey) -> None:
    clock = HandClock()
    tickers = [make_ticker(database, valkey, clock) for _ in range(5)]
    for _ in range(4):
        counts = await asyncio.gather(*(ticker.tick() for ticker in tickers for _ in range(2)))
        assert sum(counts) in {1, 2}
        clock.at += timedelta(seconds=10)
    assert sorted(await started(database)) == [
        ("hourly", "10:00:00"),
        ("ten", "10:00:00"),
        ("ten", "10:00:10"),
        ("ten", "10:00:20"),
        ("ten", "10:00:30"),
    ]
    recorded = await rows(database, "SELECT job, scheduled_for FROM recurring_run")
    assert len(recorded) == 5


async def test_after_a_pause_only_the_latest_slot_is_run(database: Database, valkey: Valkey) -> None:
    clock = HandClock()
    await make_ticker(database, valkey, clock).tick()
    clock.at += timedelta(hours=3, seconds=17)
    await make_ticker(database, valkey, clock).tick()
    assert sorted(await started(database)) == [
        ("hourly", "10:00:00"),
        ("hourly", "13:00:00"),
        ("ten", "10:00:00"),
        ("ten", "13:00:20"),
    ]


async def test_a_worker_whose_clock_is_behind_starts_nothing_twice(database: Database, valkey: Valkey) -> None:
    ahead, behind = HandClock(), HandClock()
    ahead.at += timedelta(seconds=8)
    await make_ticker(database, valkey, behind).tick()
    await make_ticker(database, valkey, ahead).tick()
    late = make_ticker(database, valkey, behind)
    behind.at += timedelta(seconds=9)
    assert await late.tick() == 0


async def test_without_valkey_the_job_is_there_all_the_same(database: Database) -> None:
    nowhere = Valkey("unix:///nonexistent/valkey.sock")
    assert await make_ticker(database, nowhere, HandClock()).tick() == 2
    assert len(await started(database)) == 2
    await nowhere.close()


def test_every_recurring_job_has_a_handler() -> None:
    assert {one.name for one in RECURRING} == set(HANDLERS)


def test_a_slot_is_a_whole_multiple_of_the_interval() -> None:
    now = datetime(2026, 5, 4, 10, 0, 39, 999_999, tzinfo=UTC)
    assert TEN.slot(now) == datetime(2026, 5, 4, 10, 0, 30, tzinfo=UTC)
    assert TEN.slot(TEN.slot(now)) == TEN.slot(now)
    assert HOURLY.slot(now) == datetime(2026, 5, 4, 10, 0, tzinfo=UTC)
