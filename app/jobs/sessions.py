"""Sessions are made ahead every day at 2:00 of each venue's clocks.

The ticker looks every quarter of an hour, for there are zones that differ by that. Which day an activity was last done
for is kept with it: a night in which no worker ran is made good by the next look, a day without a 2:00 is done when the
clocks have gone over it, and one with two of them once.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog
from sqlalchemy import select, text

from app.commands.session_generation import generate_next
from app.core.database import Database
from app.jobs.recurring import Recurring
from app.jobs.registry import Handlers, JobRun
from app.queries.activity import list_due_activity_ids

log = structlog.get_logger(__name__)

GENERATE = "generate_sessions"
RECURRING = (Recurring(GENERATE, timedelta(minutes=15)),)
PAGE = 200


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


HANDLERS: Handlers = {GENERATE: _generate}
