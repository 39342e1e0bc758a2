"""Moving a booking to another session of its activity: atomically, keeping price, number and history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from app.commands.actor import Actor
from app.commands.booking_change import Requester, acting, lock_for_change, moves_counted, write_change
from app.commands.customer_limit import check_customer_move
from app.commands.expiry import expire_bookings
from app.commands.session_hold import Refusing, check_bookable, check_hours, refused_full, refused_whole
from app.core.database import Tx
from app.core.ids import new_id
from app.core.tokens import TokenSigner
from app.domain.errors import InvalidInput
from app.domain.policy import ActorKind, cancellable_until_after_move, check_reschedule
from app.domain.slots import UnavailableReason
from app.models import ActivitySession, Booking
from app.queries.booking import SeenBooking, facts_of
from app.queries.rows import get_row
from app.queries.session import get_bookable


@dataclass(frozen=True, slots=True)
class SessionMove:
    """To which session of the same activity."""

    booking_id: UUID
    session_id: UUID
    reason: str | None
    expected_version: int | None


async def reschedule_to_session(
    tx: Tx, signer: TokenSigner, request: SessionMove, requester: Requester, now: datetime
) -> SeenBooking:
    """The new places are claimed and the old ones given back in one call; refused, nothing changed.

    Raises NotFound, StaleVersion, NotAllowed, InvalidInput, SlotUnavailable.
    """
    seen = await lock_for_change(tx, signer, request.booking_id, requester, request.expected_version)
    booking = seen.booking
    if booking.session_id is None:
        raise InvalidInput.at("input.sessionId", "is for bookings of a session; this one is an appointment")
    if booking.session_id == request.session_id:
        raise InvalidInput.at("input.sessionId", "is where the booking already is; name another session")
    check_reschedule(facts_of(booking), seen.viewer, now)
    actor = acting(requester.actor, seen.viewer)
    await move_to_session(
        tx, booking, request.session_id, reason=request.reason, actor=actor, role=seen.viewer, now=now
    )
    return seen


async def move_to_session(
    tx: Tx,
    booking: Booking,
    session_id: UUID,
    *,
    reason: str | None,
    actor: Actor,
    role: ActorKind,
    now: datetime,
) -> None:
    """A locked booking of a session gets its places in another one. Five statements, up to two more for a customer,
    and those of `check_hours`.

    Raises NotFound, NotAllowed, InvalidInput for a session of another activity, SlotUnavailable.
    """
    assert booking.session_id is not None
    found = await get_bookable(tx, session_id)
    old = await get_row(tx, ActivitySession, booking.session_id)
    if old.activity_id != found.activity.id:
        raise InvalidInput.at("input.sessionId", "is of another activity; cancel and book anew")
    refusing = Refusing.of(found, booking.party_size, for_staff=role is not ActorKind.CUSTOMER)
    check_bookable(found, refusing, now)
    await check_hours(tx, found, refusing)
    if role is ActorKind.CUSTOMER:
        await check_customer_move(tx, booking, found.session.starts_at, found.place.venue.time_zone)
    row = (
        await tx.execute(
            _MOVE_WHOLE if booking.is_private else _MOVE,
            {
                "claim": new_id(),
                "organization": booking.organization_id,
                "booking": booking.id,
                "session": session_id,
                "places": booking.party_size,
            },
        )
    ).one()
    if row.lapsed_bookings and await expire_bookings(tx, list(row.lapsed_bookings)):
        raise refusing.because(UnavailableReason.HELD, "Somebody else is just paying for these places.")
    if not row.claimed:
        raise await (refused_whole if booking.is_private else refused_full)(tx, found, refusing)
    session = found.session
    values = {
        "session_id": session.id,
        "starts_at": session.starts_at,
        "ends_at": session.ends_at,
        "time_zone": found.place.venue.time_zone,
        "cancellable_until": cancellable_until_after_move(
            booking.cancellable_until, session.starts_at, booking.cancellation_notice_minutes, now
        ),
        "reschedules": moves_counted(booking, role),
    }
    await write_change(tx, booking, values, actor, action="booking.rescheduled", reason=reason, step=None)


_MOVE_WHOLE = text("SELECT * FROM move_whole_session(:claim, :organization, :booking, :session, :places)")
_MOVE = text("SELECT * FROM move_booking_places(:claim, :organization, :booking, :session, :places)")
