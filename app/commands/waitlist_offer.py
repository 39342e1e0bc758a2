"""Offers of the waitlist, made by the very transaction that frees a place, so that nobody slips in between.

Triggers say which sessions and whose time opened while somebody waits for them; `Database.transaction` brings it here.
What cannot be offered then is left to the job, and claims of places keep off it meanwhile; time is for whoever comes
first until then. No cancellation fails for an offer.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from uuid import UUID

import structlog
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from app.commands.hold_price import price_of_places
from app.commands.waitlist_time import offer_time
from app.core.database import Tx
from app.core.ids import new_id
from app.domain.price_quote import NO_FEES, FeeRates
from app.domain.price_quote_codec import quote_to_json
from app.domain.waitlist import OpenedPlaces, read_openings
from app.queries.session import get_bookable

log = structlog.get_logger(__name__)

OPENINGS_AT_ONCE = 100
"""Of one transaction; the job offers what is more."""
LONGEST_S = 2.0
"""A day that is called off may free a hundred hours: neither who does that waits long, nor those behind them."""
OFFERS_AT_ONCE = 100
"""Of one session in one transaction."""

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

    for opening in read_openings(said)[:OPENINGS_AT_ONCE]:
        if is_late():
            log.info("waitlist.left_to_the_job", opening=str(opening))
            break
        try:
            async with aside(tx) as inner:
                if isinstance(opening, OpenedPlaces):
                    await offer_places(inner, opening.session_id, fees=fees)
                else:
                    await offer_time(inner, opening, fees=fees, is_late=is_late)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) == _LOCKED:  # as it may be; a traceback takes time, with locks
                log.info("waitlist.left_to_the_job", opening=str(opening))
            else:
                log.exception("waitlist.offer_failed", opening=str(opening))
        except Exception:
            log.exception("waitlist.offer_failed", opening=str(opening))


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
