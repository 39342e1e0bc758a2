"""Sessions are made ahead every day at 2:00 of each venue's clocks.

The ticker looks every minute, also for activities whose hours have changed and whose sessions are too many to follow at
once. Which day an activity was last done for is kept with it: a night in which no worker ran is made good by the next
look, a day without a 2:00 is done when the clocks have gone over it, and one with two of them once.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog
from sqlalchemy import select, text

from app.commands.session_generation import generate_next
from app.commands.session_purge import purge_sessions
from app.core.database import Database
from app.jobs.recurring import Recurring
from app.jobs.registry import Handlers, JobRun
from app.queries.activity import list_due_activity_ids

log = structlog.get_logger(__name__)

GENERATE = "generate_sessions"
PURGE = "purge_sessions"
RECURRING = (Recurring(GENERATE, timedelta(minutes=1)), Recurring(PURGE, timedelta(hours=1)))
PAGE = 200
PURGE_BATCH = 2_000
MOST_BATCHES = 1_000
"""Of one run; what is left is for the next."""


async def _generate(run: JobRun) -> None:
    database = run.services.database
    async with database.transaction() as tx:
        now: datetime = (await tx.execute(select(text("turnero_now()")))).scalar_one()
    await generate_due(database, now)


async def generate_due(database: Database, now: datetime) -> int:
    """Every activity that is due, each in transactions of its own; how many it were. One that fails is tried again at
    the next look, and holds up no other.
    """
    count, after = 0, None
    while True:
        async with database.transaction() as tx:
            due = await list_due_activity_ids(tx, now, after=after, limit=PAGE)
        for activity_id in due:
            try:
                while True:
                    async with database.transaction() as tx:
                        if await generate_next(tx, activity_id, now):
                            break
                count += 1
            except Exception:
                log.exception("sessions.generation_failed", activity=str(activity_id))
        if len(due) < PAGE:
            return count
        after = due[-1]


async def _purge(run: JobRun) -> None:
    for _ in range(MOST_BATCHES):
        async with run.services.database.transaction() as tx:
            if await purge_sessions(tx, PURGE_BATCH) < PURGE_BATCH:
                break


HANDLERS: Handlers = {GENERATE: _generate, PURGE: _purge}
