"""The waitlist's own work: passing on offers that nobody accepted, and ending entries whose times are over.

And making offers of what opened without a transaction that could: by the clock, by a change of hours or of what is
offered, or more at a time than a transaction should offer. All of it can be done twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from uuid import UUID

import structlog
from sqlalchemy import Interval, TextClause, bindparam, text

from app.commands.waitlist_offer import OFFER_WHAT_OPENED, OFFERS_AT_ONCE, offer_places
from app.commands.waitlist_time import offer_time, offer_to_entry
from app.core.database import Database
from app.domain.price_quote import NO_FEES, FeeRates
from app.domain.waitlist import OpenedHours, OpenedPlaces, OpenedTime, Opening, read_openings
from app.jobs.recurring import Recurring
from app.jobs.registry import Handlers, JobRun
from app.queries.waitlist import all_waiting_for_time

log = structlog.get_logger(__name__)

LAPSE = "lapse_waitlist_offers"
FILL = "fill_waitlist"
RECURRING = (Recurring(LAPSE, timedelta(seconds=10)), Recurring(FILL, timedelta(seconds=30)))
BATCH = 50
"""Of one transaction: each has its offers made in it."""
MOST_BATCHES = 200
"""Of one run; what is left is for the next."""

_LAPSE = text("SELECT lapse_offers(:limit)")
_END = text("SELECT end_past_entries(:limit)")
ENTRIES_AT_ONCE = 200
MOST_ORGANIZATIONS = 50
MOST_ENTRIES = 1_000
"""Of an organization, that one opening is offered to; the recurring job looks at the others, a minute later at most."""
LOOK_EVERY = timedelta(minutes=1)
_ENTRIES = text("SELECT entry_id FROM entries_to_look_at(:limit, :every)").bindparams(
    bindparam("every", type_=Interval)
)
_SESSIONS = text("SELECT sessions_to_offer(:after, :limit)")


async def lapse_offers(database: Database) -> int:
    """Offers whose time is over go to the next in line; how many it were."""
    return await _repeat(database, _LAPSE)


async def end_past_entries(database: Database) -> int:
    """Entries whose times are all over end; how many it were."""
    return await _repeat(database, _END)


async def _repeat(database: Database, statement: TextClause) -> int:
    total = 0
    for _ in range(MOST_BATCHES):
        async with database.transaction() as tx:
            count: int = (await tx.execute(statement, {"limit": BATCH})).scalar_one()
        total += count
        if count < BATCH:
            break
    return total


async def fill_sessions(database: Database, fees: FeeRates = NO_FEES) -> int:
    """Places that somebody waits for are offered, each session in a transaction of its own; how many offers it were."""
    count, after = 0, UUID(int=0)
    for _ in range(MOST_BATCHES):
        async with database.transaction() as tx:
            sessions = list((await tx.execute(_SESSIONS, {"after": after, "limit": BATCH})).scalars())
        for session_id in sessions:
            try:
                async with database.transaction() as tx:
                    count += await offer_places(tx, session_id, fees=fees)
            except Exception:  # one that fails holds up no other
                log.exception("waitlist.offer_failed", session=str(session_id))
        if len(sessions) < BATCH:
            break
        after = sessions[-1]
    return count


async def fill_time(database: Database, fees: FeeRates = NO_FEES) -> int:
    """The same for time: whoever waits is looked at once a minute, organization by organization, in line."""
    count = 0
    for _ in range(MOST_ORGANIZATIONS):
        async with database.transaction() as tx:
            entries = list((await tx.execute(_ENTRIES, {"limit": ENTRIES_AT_ONCE, "every": LOOK_EVERY})).scalars())
        for entry_id in entries:
            try:
                async with database.transaction() as tx:
                    count += await offer_to_entry(tx, entry_id, fees=fees)
            except Exception:  # one that fails holds up no other
                log.exception("waitlist.offer_failed", entry=str(entry_id))
        if not entries:
            break
    return count


async def offer_left(database: Database, openings: Sequence[Opening], fees: FeeRates = NO_FEES) -> None:
    """What a transaction left, each in one of its own. Raises the first error, after all others were tried."""
    failed: Exception | None = None
    for opening in openings:
        try:
            await _offer_left(database, opening, fees)
        except Exception as error:  # one that fails holds up no other
            failed = failed or error
    if failed is not None:
        raise failed


async def _offer_left(database: Database, opening: Opening, fees: FeeRates) -> None:
    match opening:
        case OpenedPlaces():
            count = OFFERS_AT_ONCE
            while count >= OFFERS_AT_ONCE:
                async with database.transaction() as tx:
                    count = await offer_places(tx, opening.session_id, fees=fees)
        case OpenedTime():
            async with database.transaction() as tx:
                await offer_time(tx, opening, most=MOST_ENTRIES, fees=fees)
        case OpenedHours():
            async with database.transaction() as tx:
                entries = await all_waiting_for_time(tx, opening.organization_id, MOST_ENTRIES)
            for entry_id in entries:
                async with database.transaction() as tx:
                    await offer_to_entry(tx, entry_id, fees=fees)


async def _offer(run: JobRun, *, fees: FeeRates) -> None:
    await offer_left(run.services.database, read_openings(run.claim.args["openings"]), fees)


async def _lapse(run: JobRun) -> None:
    count = await lapse_offers(run.services.database)
    if count:
        log.info("waitlist.lapsed", count=count)


async def _fill(run: JobRun, *, fees: FeeRates) -> None:
    database = run.services.database
    await end_past_entries(database)
    count = await fill_sessions(database, fees) + await fill_time(database, fees)
    if count:
        log.info("waitlist.offered", count=count)


def handlers(fees: FeeRates) -> Handlers:
    return {LAPSE: _lapse, FILL: partial(_fill, fees=fees), OFFER_WHAT_OPENED: partial(_offer, fees=fees)}
