"""Work that comes again and again: one job for each slot of time, however many workers there are.

A slot is a whole multiple of the interval since 1970. Its row in `recurring_run` is inserted with the job; the primary
key lets one worker through. The job itself has the recurring definition's name as its kind.

Missed slots are known from the last row. Each of these jobs is a sweep: one run does the work of all that were missed,
so after downtime only the latest slot is run, once, and the number of the others is logged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from app.commands.job import StartedSlot, start_slot
from app.core.database import Database
from app.core.outages import Outage
from app.ports import Clock, JobQueue, QueueUnavailable

log = structlog.get_logger(__name__)

TICK_S = 0.5
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_ATTEMPTS = 3
"""The next slot does the same work, so there is little use in more."""


@dataclass(frozen=True, slots=True)
class Recurring:
    """`name` is the kind of the jobs. `every` is at least a second."""

    name: str
    every: timedelta

    def slot(self, now: datetime) -> datetime:
        """The latest slot that is due."""
        return EPOCH + (now - EPOCH) // self.every * self.every


class Ticker:
    """Every worker ticks."""

    def __init__(self, database: Database, queue: JobQueue, clock: Clock, definitions: Sequence[Recurring]) -> None:
        self._database = database
        self._queue = queue
        self._clock = clock
        self._definitions = definitions
        self._done: dict[str, datetime] = {}

    async def run(self) -> None:
        """Until cancelled."""
        outage = Outage("ticker.database")
        while True:
            try:
                await self.tick()
            except Exception as error:
                await asyncio.sleep(outage.failed(error))
                continue
            outage.ok()
            await asyncio.sleep(TICK_S)

    async def tick(self) -> int:
        """Start what is due and not started by anyone; how many it were."""
        now = self._clock.now()
        count = 0
        for one in self._definitions:
            slot = one.slot(now)
            if self._done.get(one.name, EPOCH) >= slot:
                continue
            async with self._database.transaction() as tx:
                started = await start_slot(tx, one.name, slot, max_attempts=MAX_ATTEMPTS)
            self._done[one.name] = slot
            if started is not None:
                count += 1
                self._log_missed(one, slot, started)
                await self._call(started)
        return count

    def _log_missed(self, one: Recurring, slot: datetime, started: StartedSlot) -> None:
        missed = 0 if started.previous is None else (slot - started.previous) // one.every - 1
        if missed > 0:
            log.info("recurring.slots_missed", job=one.name, missed=missed, last=started.previous)

    async def _call(self, started: StartedSlot) -> None:
        try:
            await self._queue.wake([(started.job_id, 0)])
        except QueueUnavailable:
            return  # the poll finds it
