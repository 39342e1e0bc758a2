"""Polling calendars elsewhere. Nothing outside is called inside a transaction; a poll's end is written in one.

A slow or hostile server holds up a poll for 20 seconds at most, and only few polls are under way at a time, so that the
workers always have room for other jobs: each poll that ends asks for the next one that is due.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import structlog

from app.commands.calendar_source import (
    POLL,
    Polled,
    Reading,
    ask_for_due,
    purge_external_busy,
    record_poll,
)
from app.core.chance import between
from app.core.database import Tx
from app.domain.busy_calendar import HORIZON, SourceStatus, fingerprint, poll_delay, window_of
from app.domain.errors import NotFound
from app.jobs.recurring import Recurring
from app.jobs.registry import Handlers, JobRun
from app.ports import CalendarFetcher, CalendarReader, FeedContents, FeedProblem, FeedUnchanged
from app.queries.calendar_source import PollTarget, get_poll_target, lock_source

log = structlog.get_logger(__name__)

LANES = 4
"""Polls under way at once, over all workers; one worker runs ten jobs at a time."""
KEPT = timedelta(days=30)
KEPT_REMOVED = timedelta(days=1)
"""Nobody reads them, and a calendar that says something else at each poll leaves thousands behind each time."""
PURGE_BATCH = 5_000
MOST_BATCHES = 200
BROKEN = FeedProblem("Something about this calendar, or its server, could not be understood.")

RECURRING = (
    Recurring("poll_calendars", timedelta(minutes=1)),
    Recurring("purge_external_busy", timedelta(hours=1)),
)


@dataclass(frozen=True, slots=True)
class CalendarPolling:
    """What polls need besides the database. `interval`: between two polls of a calendar that answers."""

    fetcher: CalendarFetcher
    reader: CalendarReader
    interval: timedelta

    def handlers(self) -> Handlers:
        return {POLL: self._poll, "poll_calendars": _poll_calendars, "purge_external_busy": _purge_external_busy}

    async def _poll(self, run: JobRun) -> None:
        source_id = UUID(run.claim.args["sourceId"])
        async with run.services.database.transaction() as tx:
            target = await get_poll_target(tx, source_id)
        polled = None if target is None else await self._ask_or_tell(target)
        async with run.finishing() as tx:
            if polled is not None:
                await _record(tx, source_id, polled)
            await ask_for_due(tx, LANES + 1, 1)  # this one is under way until it is finished

    async def _ask_or_tell(self, target: PollTarget) -> Polled:
        """What nobody foresaw in a stranger's answer is told like any other failure: a job that breaks tells nobody,
        and would ask again without ever waiting longer."""
        try:
            return await self._ask(target)
        except Exception:
            log.exception("calendar.poll_broke", source=str(target.source.id))
            return self._failed(target, BROKEN)

    async def _ask(self, target: PollTarget) -> Polled:
        source = target.source
        # What was read in another zone, or does not reach far enough by now, is read again though it did not change.
        is_known = (
            source.content_hash is not None
            and source.read_in_zone == target.home.key
            and source.covered_until is not None
            and source.covered_until >= target.now + HORIZON
        )
        found = await self.fetcher.fetch(
            source.url,
            etag=source.etag if is_known else None,
            last_modified=source.last_modified if is_known else None,
        )
        if isinstance(found, FeedProblem):
            return self._failed(target, found)
        if isinstance(found, FeedUnchanged):
            return self._succeeded(target, source.etag, source.last_modified)
        return await self._read(target, found, is_known)

    async def _read(self, target: PollTarget, found: FeedContents, is_known: bool) -> Polled:
        mark, window = fingerprint(found.body), window_of(target.now)
        if is_known and mark == target.source.content_hash:
            return self._succeeded(target, found.etag, found.last_modified)
        read = await self.reader.read(found.body, target.home, window)
        if isinstance(read, FeedProblem):
            return self._failed(target, read)
        reading = Reading(read.spans, window, target.home.key, mark)
        return self._succeeded(target, found.etag, found.last_modified, reading, read.warning)

    def _succeeded(
        self,
        target: PollTarget,
        etag: str | None,
        last_modified: str | None,
        reading: Reading | None = None,
        warning: str | None = None,
    ) -> Polled:
        return Polled(
            began_at=target.now,
            status=SourceStatus.ACTIVE,
            delay=poll_delay(self.interval, 0, None, between(0, 1)),
            message=warning,
            reading=reading,
            etag=etag,
            last_modified=last_modified,
        )

    def _failed(self, target: PollTarget, problem: FeedProblem) -> Polled:
        failures = target.source.failures + 1
        log.info("calendar.poll_failed", source=str(target.source.id), failures=failures, reason=problem.reason)
        return Polled(
            began_at=target.now,
            status=SourceStatus.REFUSED if problem.is_refused else SourceStatus.FAILING,
            delay=poll_delay(self.interval, failures, problem.retry_after, between(0, 1)),
            message=problem.reason,
        )


async def _record(tx: Tx, source_id: UUID, polled: Polled) -> None:
    try:
        source = await lock_source(tx, source_id)
    except NotFound:
        return  # disconnected meanwhile
    if await record_poll(tx, source, polled):
        log.info("calendar.busy_times_changed", source=str(source_id), spans=source.event_count)


async def _poll_calendars(run: JobRun) -> None:
    async with run.finishing() as tx:
        await ask_for_due(tx, LANES, LANES)


async def _purge_external_busy(run: JobRun) -> None:
    for _ in range(MOST_BATCHES):
        async with run.services.database.transaction() as tx:
            if await purge_external_busy(tx, KEPT, KEPT_REMOVED, PURGE_BATCH) < PURGE_BATCH:
                return
