"""Calling a session off: every booking is answered for, in one transaction, or nothing happens."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from uuid import UUID

from sqlalchemy import text

from app.commands.actor import Actor
from app.commands.booking_change import acting, apply_transition
from app.commands.session import change_session, free_lapsed
from app.commands.session_reschedule import move_to_session
from app.core.database import Tx
from app.core.ids import IdKind, encode_id
from app.domain.booking import BookingStatus
from app.domain.errors import FieldErrors, InvalidInput, NotAllowed, NotFound, SlotUnavailable, StaleVersion
from app.domain.policy import ActorKind, allowed_transitions, check_reschedule
from app.domain.sessions import SessionStatus
from app.models import ActivitySession, Booking
from app.queries.booking import facts_of
from app.queries.session import lock_sessions
from app.queries.session_booking import list_live_booking_ids, lock_bookings_of_session
from app.queries.tenancy import Tenancy


class SessionResolution(Enum):
    """What becomes of a booking whose session is cancelled."""

    CANCEL = "cancel"
    RESCHEDULE = "reschedule"


@dataclass(frozen=True, slots=True)
class BookingResolution:
    """`session_id`: where a rescheduled one goes."""

    booking_id: UUID
    action: SessionResolution
    session_id: UUID | None


@dataclass(frozen=True, slots=True)
class CancelSessionRequest:
    session_id: UUID
    reason: str
    resolutions: tuple[BookingResolution, ...]
    expected_version: int | None


async def cancel_session(
    tx: Tx, tenancy: Tenancy, request: CancelSessionRequest, *, actor: Actor, now: datetime
) -> ActivitySession:
    """Holds are released; bookings are cancelled or moved as the resolutions say. Cancelling twice is as once.

    Raises NotFound, StaleVersion, NotAllowed, and InvalidInput, which names each booking without an answer.
    """
    if tenancy.role is None:
        raise NotFound
    role = ActorKind(tenancy.role)
    # In the order of all who change bookings and sessions: bookings, then sessions, each by id, then claims.
    bookings = {booking.id: booking for booking in await lock_bookings_of_session(tx, request.session_id)}
    targets = [one.session_id for one in request.resolutions if one.session_id is not None]
    session = (await lock_sessions(tx, [request.session_id, *targets])).get(request.session_id)
    if session is None:
        raise NotFound
    if session.status == SessionStatus.CANCELLED:
        return session
    if session.ends_at <= now:
        raise NotAllowed("session_over", "This session is over; its bookings are changed one by one.")
    if request.expected_version is not None and request.expected_version != session.version:
        raise StaleVersion(session.version)
    await free_lapsed(tx, session)
    await tx.execute(_RELEASE_HOLDS, {"session": session.id})
    live = await list_live_booking_ids(tx, session.id)
    # A booking that was made while we waited for the session is one that nobody could answer for: it is not locked. One
    # whose unpaid places ran out needs no answer any more.
    answers = _answers(request.resolutions, bookings.keys() & live, live - bookings.keys())
    for booking_id in sorted(answers):
        index, answer = answers[booking_id]
        await _resolve(tx, bookings[booking_id], answer, index, request.reason, acting(actor, role), role, now)
    values = {"status": SessionStatus.CANCELLED.value, "cancelled_reason": request.reason}
    await tx.refresh(session)
    await change_session(tx, actor, session, "session.cancelled", values, "CANCELLED")
    await tx.execute(_RELEASE_TIME, {"session": session.id})
    return session


_RELEASE_HOLDS = text("SELECT release_session_holds(:session)")
_RELEASE_TIME = text("SELECT release_session_time(:session, 'CANCELLED')")

_Answers = dict[UUID, tuple[int, BookingResolution]]


def _answers(resolutions: Sequence[BookingResolution], live: Set[UUID], late: Set[UUID]) -> _Answers:
    """One for each live booking. Raises InvalidInput with everything that is wrong."""
    errors = FieldErrors()
    answers: _Answers = {}
    for index, one in enumerate(resolutions):
        path = f"input.resolutions.{index}"
        if one.booking_id not in live:
            errors.add(f"{path}.bookingId", "is no booking that still has places of this session")
        elif one.booking_id in answers:
            errors.add(f"{path}.bookingId", "was given already")
        if one.action is SessionResolution.RESCHEDULE and one.session_id is None:
            errors.add(f"{path}.sessionId", "is needed to reschedule: name the session it goes to")
        if one.action is SessionResolution.CANCEL and one.session_id is not None:
            errors.add(f"{path}.sessionId", "must be left out of a cancellation")
        answers.setdefault(one.booking_id, (index, one))
    for booking_id in sorted((live - answers.keys()) | late):
        errors.add("input.resolutions", f"must say what becomes of {encode_id(IdKind.BOOKING, booking_id)}")
    errors.raise_any()
    return answers


async def _resolve(  # noqa: PLR0917
    tx: Tx,
    booking: Booking,
    answer: BookingResolution,
    index: int,
    reason: str,
    actor: Actor,
    role: ActorKind,
    now: datetime,
) -> None:
    """Raises InvalidInput at the resolution's place."""
    path = f"input.resolutions.{index}"
    if answer.action is SessionResolution.CANCEL:
        if BookingStatus.CANCELLED not in allowed_transitions(facts_of(booking), role, now):
            raise InvalidInput.at(f"{path}.action", f"is not possible: the booking is {booking.status}")
        await apply_transition(tx, booking, BookingStatus.CANCELLED, reason, actor)
        return
    assert answer.session_id is not None
    try:
        check_reschedule(facts_of(booking), role, now)
        await move_to_session(tx, booking, answer.session_id, reason=reason, actor=actor, role=role, now=now)
    except (SlotUnavailable, NotAllowed) as refusal:
        raise InvalidInput.at(f"{path}.sessionId", refusal.message) from None
    except NotFound:
        raise InvalidInput.at(f"{path}.sessionId", "is no session of this activity") from None
