"""A guest's way through a checkout: it begins, is used, and ends."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import CursorResult, Interval, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from app.commands.booking_insert import CustomerDetails
from app.commands.served import Served
from app.core.database import Tx
from app.core.ids import new_id
from app.domain.errors import NotFound
from app.domain.service_area import address_to_json
from app.models import GuestSession, Hold
from app.queries.rows import lock_row


@dataclass(frozen=True, slots=True)
class SessionTerms:
    """How long a session lives after its last use, and in all."""

    ttl: timedelta
    longest: timedelta


@dataclass(frozen=True, slots=True)
class GuestCheckout:
    """The session that a request was made in."""

    session_id: UUID
    terms: SessionTerms


async def start_guest_session(tx: Tx, organization_id: UUID, terms: SessionTerms, now: datetime) -> GuestSession:
    """One statement."""
    session = GuestSession(
        id=new_id(),
        organization_id=organization_id,
        expires_at=now + min(terms.ttl, terms.longest),
        details={},
        created_at=now,
    )
    tx.add(session)
    await tx.flush()
    return session


# In the order of their sessions, as whoever locks several of them does.
_LIVE_HOLDS = text(
    """
    SELECT h.id, h.session_id FROM guest_hold g JOIN hold h ON h.id = g.hold_id
    WHERE g.guest_session_id = :session AND h.status = 'active' AND h.expires_at > turnero_now()
    ORDER BY h.session_id NULLS FIRST, h.id
    """
)
_FREE_PLACES = text("SELECT release_held_places(:hold)")
# The rows of its claims are the lock of a hold of time.
_FREE_TIME = text(
    """
    SELECT release_held_time(:hold) FROM (
        SELECT count(*) FROM (SELECT 1 FROM allocation WHERE hold_id = :hold ORDER BY id FOR NO KEY UPDATE) AS row
    ) AS locked
    """
)


async def end_guest_session(tx: Tx, session_id: UUID, now: datetime) -> GuestSession:
    """What is held in it is given back, what was booked stands; nothing of what the guest gave is kept.

    Two statements, and one more for each hold. Raises NotFound for one that is over.
    """
    session = await lock_row(tx, GuestSession, session_id)
    if not is_live(session, now):
        raise NotFound
    for hold_id, of_session in (await tx.execute(_LIVE_HOLDS, {"session": session_id})).all():
        await tx.execute(_FREE_TIME if of_session is None else _FREE_PLACES, {"hold": hold_id})
    session.ended_at, session.details = now, {}
    await tx.flush()
    return session


def is_live(session: GuestSession, now: datetime) -> bool:
    return session.ended_at is None and now < session.expires_at


def details_given(customer: CustomerDetails | None, served: Served) -> dict[str, Any]:
    """What a booking says of its guest, as a session keeps it; what is not said there stays as it was said before."""
    given: dict[str, Any] = {}
    if customer is not None:
        given |= {"name": customer.name, "email": customer.email, "phone": customer.phone, "locale": customer.locale}
    if served.recipient is not None:
        given["recipient"] = dict(served.recipient)
    if served.address is not None:
        given["address"] = address_to_json(served.address)
    return {name: value for name, value in given.items() if value is not None}


_BOOK = text("SELECT book_in_guest_session(:session, :ttl, :most, :hold, :details)").bindparams(
    bindparam("ttl", type_=Interval),
    bindparam("most", type_=Interval),
    bindparam("hold", type_=Uuid),
    bindparam("details", type_=JSONB),
)


async def book_in_session(tx: Tx, guest: GuestCheckout, hold_id: UUID, details: dict[str, Any]) -> None:
    """To be called before the hold is locked: the session keeps these details, and knows the hold that is booked.

    One statement. Raises NotFound for a session that is over.
    """
    await _book(tx, guest, hold_id, details)


async def book_series_in_session(tx: Tx, guest: GuestCheckout, details: dict[str, Any]) -> None:
    """The same for a series, which comes of no hold and names its session itself."""
    await _book(tx, guest, None, details)


async def _book(tx: Tx, guest: GuestCheckout, hold_id: UUID | None, details: dict[str, Any]) -> None:
    values = {"session": guest.session_id, "ttl": guest.terms.ttl, "most": guest.terms.longest}
    if not (await tx.execute(_BOOK, {**values, "hold": hold_id, "details": details})).scalar_one():
        raise NotFound


_LINK = text(
    "INSERT INTO guest_hold (guest_session_id, hold_id, organization_id) VALUES (:session, :hold, :organization)"
)


async def link_hold(tx: Tx, guest: GuestCheckout, hold: Hold) -> None:
    """The session knows the new hold from now on. One statement."""
    await tx.execute(_LINK, {"session": guest.session_id, "hold": hold.id, "organization": hold.organization_id})


_PURGE = text(
    """
    DELETE FROM guest_session WHERE id = ANY (ARRAY(
        SELECT id FROM guest_session WHERE expires_at <= (SELECT turnero_now())
        ORDER BY expires_at LIMIT :batch FOR UPDATE SKIP LOCKED))
    """
)


async def purge_guest_sessions(tx: Tx, batch: int) -> int:
    """Those that ran out, with what their guests gave, at most `batch`; how many it were. One statement."""
    result = await tx.execute(_PURGE, {"batch": batch})
    assert isinstance(result, CursorResult)
    return result.rowcount
