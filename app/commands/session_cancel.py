"""Calling a session off: every booking is answered for, in one transaction, or nothing happens."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, bindparam, text, update

from app.commands.actor import Actor
from app.commands.booking_change import acting, apply_transition
from app.commands.journal import Audit, Event, Transition, write_journal
from app.commands.session import change_session, free_lapsed
from app.commands.session_reschedule import move_to_session
from app.core.database import Tx
from app.core.ids import IdKind, encode_id
from app.domain.booking import BookingStatus
from app.domain.errors import (
    FieldErrors,
    InvalidInput,
    NotAllowed,
    NotFound,
    SlotUnavailable,
    StaleVersion,
    Unavailable,
)
from app.domain.policy import ActorKind, BookingFacts, allowed_transitions, check_reschedule
from app.domain.sessions import SessionStatus
from app.models import ActivitySession, Booking
from app.queries.booking import facts_of
from app.queries.rows import get_row, one_of
from app.queries.session import lock_sessions
from app.queries.session_booking import (
    BookingOfSession,
    list_live_booking_ids,
    list_with_money,
    lock_bookings_of_session,
)
from app.queries.tenancy import Tenancy

UNANSWERED_NAMED = 100


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
    """`others`: what becomes of bookings that no resolution names. None: each has to be named."""

    session_id: UUID
    reason: str
    resolutions: tuple[BookingResolution, ...]
    others: SessionResolution | None
    expected_version: int | None


async def cancel_session(
    tx: Tx, tenancy: Tenancy, request: CancelSessionRequest, *, actor: Actor, now: datetime
) -> ActivitySession:
    """Holds are released; bookings are cancelled or moved as the resolutions say. Cancelling twice is as once.

    All cancellations are a few statements, however many they are.
    Raises NotFound, StaleVersion, NotAllowed, Unavailable, and InvalidInput, which names bookings without an answer.
    """
    if tenancy.role is None:
        raise NotFound
    role = ActorKind(tenancy.role)
    if request.others is SessionResolution.RESCHEDULE:
        raise InvalidInput.at("input.others", "must be CANCEL: name each booking that goes to another session")
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
    # One whose unpaid places ran out needs no answer any more. One that was made while we waited for the session is not
    # locked: whoever has it may be waiting for the session in turn.
    live = await list_live_booking_ids(tx, session.id)
    late = live - bookings.keys()
    if late and request.others is not None:
        bookings |= {one.id: one for one in await lock_bookings_of_session(tx, session.id, only_free=True)}
        if live - bookings.keys():
            raise Unavailable
        late = set()
    answers = _answers(request, live - late, late)
    by = acting(actor, role)
    for booking_id in sorted(one for one, (_, answer) in answers.items() if answer.action is _RESCHEDULE):
        await _move(tx, booking_id, *answers[booking_id], request.reason, by, role, now)
    cancelled = {one: index for one, (index, answer) in sorted(answers.items()) if answer.action is _CANCEL}
    await _cancel(
        tx, session, {bookings[one]: index for one, index in cancelled.items()}, request.reason, by, role, now
    )
    values = {"status": SessionStatus.CANCELLED.value, "cancelled_reason": request.reason}
    await tx.refresh(session)
    await change_session(tx, actor, session, "session.cancelled", values, "CANCELLED")
    await tx.execute(_RELEASE_TIME, {"session": session.id})
    return session


_CANCEL, _RESCHEDULE = SessionResolution.CANCEL, SessionResolution.RESCHEDULE
_RELEASE_HOLDS = text("SELECT release_session_holds(:session)")
_RELEASE_TIME = text("SELECT release_session_time(:session, 'CANCELLED')")
_RELEASE_PLACES = text("SELECT release_session_bookings(:session, :bookings, 'CANCELLED')").bindparams(
    bindparam("bookings", type_=ARRAY(Uuid))
)

_Answers = dict[UUID, tuple[int | None, BookingResolution]]
"""By booking, with the place of the resolution that says it; none: `others` does."""


def _answers(request: CancelSessionRequest, live: Set[UUID], late: Set[UUID]) -> _Answers:
    """One for each live booking. Raises InvalidInput with what is wrong, at most UNANSWERED_NAMED missing answers."""
    errors = FieldErrors()
    answers: _Answers = {}
    others = request.others
    for index, one in enumerate(request.resolutions):
        path = f"input.resolutions.{index}"
        if one.booking_id not in live:
            errors.add(f"{path}.bookingId", "is no booking that still has places of this session")
        elif one.booking_id in answers:
            errors.add(f"{path}.bookingId", "was given already")
        if one.action is _RESCHEDULE and one.session_id is None:
            errors.add(f"{path}.sessionId", "is needed to reschedule: name the session it goes to")
        if one.action is _RESCHEDULE and one.session_id == request.session_id:
            errors.add(f"{path}.sessionId", "is the session that is called off; name another one")
        if one.action is _CANCEL and one.session_id is not None:
            errors.add(f"{path}.sessionId", "must be left out of a cancellation")
        answers.setdefault(one.booking_id, (index, one))
    unanswered = sorted((live - answers.keys()) | late)
    if others is not None:
        answers |= {booking_id: (None, BookingResolution(booking_id, others, None)) for booking_id in unanswered}
        unanswered = []
    for booking_id in unanswered[:UNANSWERED_NAMED]:
        errors.add("input.resolutions", f"must say what becomes of {encode_id(IdKind.BOOKING, booking_id)}")
    if len(unanswered) > UNANSWERED_NAMED:
        more = len(unanswered) - UNANSWERED_NAMED
        errors.add("input.resolutions", f"must say what becomes of {more} more; `others` answers for all not named")
    errors.raise_any()
    return answers


async def _cancel(  # noqa: PLR0917
    tx: Tx,
    session: ActivitySession,
    bookings: Mapping[BookingOfSession, int | None],
    reason: str,
    actor: Actor,
    role: ActorKind,
    now: datetime,
) -> None:
    """All at once: four statements, and some more for each with money. The values are places of resolutions.

    Raises InvalidInput at such a place.
    """
    refused: dict[BookingFacts, bool] = {}
    for booking, index in bookings.items():
        if booking.facts not in refused:
            refused[booking.facts] = BookingStatus.CANCELLED not in allowed_transitions(booking.facts, role, now)
        if refused[booking.facts]:
            path = "input.others" if index is None else f"input.resolutions.{index}.action"
            raise InvalidInput.at(path, f"is not possible: the booking is {booking.facts.status}")
    if not bookings:
        return
    paid = await list_with_money(tx, [booking.id for booking in bookings])
    for one in paid:
        await apply_transition(tx, one, BookingStatus.CANCELLED, reason, actor)
    done = {one.id for one in paid}
    unpaid = [booking for booking in bookings if booking.id not in done]
    ids = [booking.id for booking in unpaid]
    status = BookingStatus.CANCELLED.value
    rows = await tx.execute(
        update(Booking)
        .where(one_of(Booking.id, ids))
        .values(status=status)
        .returning(Booking.id, Booking.version)
        .execution_options(synchronize_session=False)
    )
    versions = {row.id: row.version for row in rows}
    await tx.execute(_RELEASE_PLACES, {"session": session.id, "bookings": ids})
    was = [(booking.id, booking.facts.status.value) for booking in unpaid]
    await write_journal(
        tx,
        session.organization_id,
        actor,
        transitions=[Transition(one, before, status, reason) for one, before in was],
        audit=[
            Audit(
                _CANCELLED,
                one,
                {"status": before, "version": versions[one] - 1},
                {"status": status, "version": versions[one]},
                reason,
            )
            for one, before in was
        ],
        events=[Event(_CANCELLED, one, {"version": versions[one], "status": status}) for one in ids],
    )


_CANCELLED = f"booking.{BookingStatus.CANCELLED.value}"


async def _move(  # noqa: PLR0917
    tx: Tx,
    booking_id: UUID,
    index: int | None,
    answer: BookingResolution,
    reason: str,
    actor: Actor,
    role: ActorKind,
    now: datetime,
) -> None:
    """Of a locked booking. Raises InvalidInput at the resolution's place."""
    path = f"input.resolutions.{index}"
    booking = await get_row(tx, Booking, booking_id)
    assert answer.session_id is not None
    try:
        check_reschedule(facts_of(booking), role, now)
        await move_to_session(tx, booking, answer.session_id, reason=reason, actor=actor, role=role, now=now)
    except (SlotUnavailable, NotAllowed) as refusal:
        raise InvalidInput.at(f"{path}.sessionId", refusal.message) from None
    except NotFound:
        raise InvalidInput.at(f"{path}.sessionId", "is no session of this activity") from None
