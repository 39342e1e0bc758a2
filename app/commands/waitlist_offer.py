"""Offers of the waitlist, made by the very transaction that frees a place, so that nobody slips in between.

Triggers say which sessions and whose time opened while somebody waits for them; `Database.transaction` brings it here.
What cannot be offered then is written down for a job, which begins after the commit; claims of places keep off it
meanwhile, time is for whoever comes first until then. No cancellation fails for an offer.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import structlog
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from app.commands.hold_price import price_of_places
from app.commands.job import enqueue
from app.commands.waitlist_time import offer_time
from app.core.database import Tx
from app.core.ids import new_id
from app.domain.price_quote import NO_FEES, FeeRates
from app.domain.price_quote_codec import quote_to_json
from app.domain.waitlist import OpenedHours, OpenedPlaces, OpenedTime, Opening, read_openings
from app.queries.session import get_bookable

log = structlog.get_logger(__name__)

OPENINGS_AT_ONCE = 100
"""Of one transaction; the job offers what is more."""
LONGEST_S = 2.0
"""A day that is called off may free a hundred hours: neither who does that waits long, nor those behind them."""
OFFERS_AT_ONCE = 100
"""Of one session in one transaction."""
MOST_LEFT = 1_000
"""Openings that one transaction leaves to the job; the recurring one finds what is more."""
OFFER_WHAT_OPENED = "offer_what_opened"

_LOCKED = "55P03"
"""PostgreSQL's lock_not_available."""

_NEXT = text("SELECT entry_id, party_size, user_id, at FROM next_waiting(:session)")
_OFFER = text("SELECT offer_places(:entry, :hold, :claim, :session, :price, :currency, :quote)").bindparams(
    bindparam("quote", type_=JSONB)
)


async def offer_what_opened(tx: Tx, said: Sequence[str], *, fees: FeeRates = NO_FEES) -> None:
    """At the end of a transaction that freed something. Never raises: what fails here is left to the job."""
    began = time.monotonic()

    def is_late() -> bool:
        return time.monotonic() - began > LONGEST_S

    openings = read_openings(said)
    left = openings[OPENINGS_AT_ONCE:]
    for opening in openings[:OPENINGS_AT_ONCE]:
        if is_late() or not await _is_offered(tx, opening, fees, is_late):
            left.append(opening)
    if left:
        await _leave(tx, left)


async def _is_offered(tx: Tx, opening: Opening, fees: FeeRates, is_late: Callable[[], bool]) -> bool:
    """False: the job has to look at it once more."""
    try:
        async with aside(tx) as inner:
            match opening:
                case OpenedPlaces():
                    return await offer_places(inner, opening.session_id, fees=fees) < OFFERS_AT_ONCE
                case OpenedTime():
                    return await offer_time(inner, opening, fees=fees, is_late=is_late)
                case OpenedHours():
                    return False  # which times that opens takes long to find
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != _LOCKED:  # as it may be; a traceback takes time, with locks
            log.exception("waitlist.offer_failed", opening=str(opening))
    except Exception:
        log.exception("waitlist.offer_failed", opening=str(opening))
    return False


async def _leave(tx: Tx, openings: Sequence[Opening]) -> None:
    """One job for each organization, which is there with the commit."""
    by_organization: dict[UUID, list[str]] = defaultdict(list)
    for opening in openings[:MOST_LEFT]:
        by_organization[opening.organization_id].append(str(opening))
    try:
        async with aside(tx) as inner:
            for organization_id, lines in by_organization.items():
                await enqueue(inner, OFFER_WHAT_OPENED, {"openings": lines}, organization_id=organization_id)
        log.info("waitlist.left_to_the_job", count=len(openings))
    except Exception:
        log.exception("waitlist.not_left_to_the_job", count=len(openings))


@asynccontextmanager
async def aside(tx: Tx) -> AsyncIterator[Tx]:
    """The same transaction behind a savepoint, with rows of its own: those that the command shows stay as they are."""
    connection = await tx.connection()
    async with (
        AsyncSession(connection, expire_on_commit=False, join_transaction_mode="create_savepoint") as inner,
        inner.begin(),
    ):
        yield inner


async def offer_places(tx: Tx, session_id: UUID, *, fees: FeeRates = NO_FEES) -> int:
    """To those who wait and fit, in their order, as long as places are left; how many offers it were.

    Four statements for each, and those of the price.
    """
    count = 0
    while count < OFFERS_AT_ONCE:
        row = (await tx.execute(_NEXT, {"session": session_id})).first()
        if row is None:
            break
        found = await get_bookable(tx, session_id)
        await tx.refresh(found.session)
        quote = await price_of_places(
            tx, found, row.party_size, now=row.at, fees=fees, is_member=row.user_id is not None
        )
        values = {
            "entry": row.entry_id,
            "hold": new_id(),
            "claim": new_id(),
            "session": session_id,
            "price": quote.total_minor,
            "currency": quote.currency,
            "quote": quote_to_json(quote),
        }
        if not (await tx.execute(_OFFER, values)).scalar_one():
            break
        count += 1
    return count
