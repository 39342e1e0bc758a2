"""What the clock does to bookings: requests that nobody answered lapse, and, where the organization wants it, who did
not come is a no-show and what is over is completed. Each is a step as a person would take it, with its money.

Locks are taken in the order of all who change bookings, and never waited for: what is in somebody's hands is for the
next sweep.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import structlog
from sqlalchemy import DateTime, and_, exists, func, or_, select, text
from sqlalchemy.sql.elements import ColumnElement

from app.commands.actor import SYSTEM
from app.commands.booking_change import apply_transition
from app.commands.booking_payment import CLAIM_GRACE
from app.core.database import Tx
from app.domain.booking import BookingStatus
from app.domain.participant import ParticipantStatus
from app.domain.policy import ActorKind, BookingFacts, check_transition
from app.models import Booking, BookingParticipant, Organization, Payment, PaymentSettings
from app.queries.booking import facts_of
from app.queries.payment import LIVE
from app.queries.rows import one_of

log = structlog.get_logger(__name__)

_S = BookingStatus
LOOKS_BACK = timedelta(days=8)
"""What started before, nobody closes but a person: a worker that was away for long does not judge last month."""

MOST_BATCHES = 20
"""Of one sweep's transaction, as long as something fails in each."""


def _now() -> ColumnElement[datetime]:
    """Once for a statement, so that indexes can be used; by the clock that tests and the demo shift."""
    return select(text("turnero_now()")).scalar_subquery()


async def expire_unanswered(tx: Tx, limit: int) -> int:
    """End about `limit` bookings that nobody accepted in time; how many it were.

    One whose payment is authorized waits for the job that lets go of it, but not for good; one that was accepted waits
    for its payment to be taken.
    """
    return await _past_failed(partial(_expire_some, tx, limit))


async def _expire_some(tx: Tx, limit: int, failed: Collection[UUID]) -> _Taken:
    now = _now()
    is_live = exists().where(Payment.booking_id == Booking.id, Payment.status.in_(LIVE))
    is_accepted = exists().where(
        Payment.booking_id == Booking.id, Payment.status.in_(LIVE), Payment.accepted_by.is_not(None)
    )
    query = (
        select(Booking)
        .where(Booking.status == _S.AWAITING_PROVIDER, Booking.expires_at <= now, ~is_accepted)
        .where(or_(~is_live, Booking.expires_at + CLAIM_GRACE <= now), Booking.id.not_in(failed))
        .order_by(Booking.expires_at)
        .limit(limit)
        .with_for_update(key_share=True, skip_locked=True)
    )
    found = list((await tx.execute(query)).scalars())
    taken = _Taken()
    for booking in sorted(found, key=_by_session):
        taken.note(booking.id, is_taken=await _alone(tx, booking.id, partial(_expire, tx, booking)))
    return taken


async def _expire(tx: Tx, booking: Booking) -> None:
    await apply_transition(tx, booking, _S.EXPIRED, "Nobody accepted it in time.", SYSTEM)


@dataclass(slots=True)
class _Taken:
    """How many steps of a batch were taken, and the bookings whose step failed."""

    count: int = 0
    failed: set[UUID] = field(default_factory=set)

    def note(self, booking_id: UUID, *, is_taken: bool) -> None:
        if is_taken:
            self.count += 1
        else:
            self.failed.add(booking_id)


async def _past_failed(take: Callable[[Collection[UUID]], Awaitable[_Taken]]) -> int:
    """Those that fail again and again are the oldest, and would be all of a batch some day: the next ones follow."""
    count, failed = 0, set[UUID]()
    for _ in range(MOST_BATCHES):
        taken = await take(failed)
        count += taken.count
        failed |= taken.failed
        if not taken.failed:
            break
    return count


async def _alone(tx: Tx, booking_id: UUID, step: Callable[[], Awaitable[None]]) -> bool:
    """Behind a savepoint: one that fails holds up no other, and is tried again by the next sweep. Was it taken?"""
    try:
        async with tx.begin_nested():
            await step()
    except Exception as error:
        # In a line: the others' locks are held meanwhile.
        log.error("automatic.step_failed", booking=str(booking_id), error=f"{type(error).__name__}: {error}"[:500])
        return False
    return True


async def take_automatic_steps(tx: Tx, limit: int) -> int:
    """NO_SHOW and COMPLETED by themselves, about `limit`; how many it were.

    What still owes something that has to be paid before it is served is left to a person. A group of which somebody was
    marked as there is not missed, though its booking was never checked in.
    """
    now = await tx.scalar(select(func.turnero_now(type_=DateTime(timezone=True))))
    assert now is not None
    return await _past_failed(partial(_take_some, tx, limit, now))


async def _take_some(tx: Tx, limit: int, now: datetime, failed: Collection[UUID]) -> _Taken:
    query = (
        select(Booking, Organization, _SOMEBODY_CAME)
        .join(Organization, Organization.id == Booking.organization_id)
        .outerjoin(PaymentSettings, PaymentSettings.organization_id == Booking.organization_id)
        .where(
            or_(
                Organization.auto_no_show_after_minutes.is_not(None),
                Organization.auto_complete_after_minutes.is_not(None),
            ),
            Booking.starts_at.between(now - LOOKS_BACK, now),
            or_(_is_missed(now), _is_over(now)),
            Booking.id.not_in(failed),
        )
        .order_by(Booking.starts_at, Booking.id)
        .limit(limit)
        .with_for_update(key_share=True, skip_locked=True, of=Booking)
    )
    found = [(booking, organization, came) for booking, organization, came in await tx.execute(query)]
    attended = await _attended(tx, [booking.id for booking, _, _ in found])
    taken = _Taken()
    for booking, organization, came in sorted(found, key=lambda one: _by_session(one[0])):
        if came != (booking.id in attended):
            continue  # somebody was marked while the row was being locked: it is judged anew by the next sweep
        facts = _facts(booking, organization, somebody_came=came)
        taken.note(booking.id, is_taken=await _alone(tx, booking.id, partial(_step, tx, booking, facts, now)))
    return taken


async def _step(tx: Tx, booking: Booking, facts: BookingFacts, now: datetime) -> None:
    to = _S.NO_SHOW if facts.status is _S.CONFIRMED and facts.no_show_at is not None else _S.COMPLETED
    check_transition(facts, ActorKind.SYSTEM, to, now)
    await apply_transition(tx, booking, to, None, SYSTEM)


_SOMEBODY_CAME = exists().where(
    BookingParticipant.booking_id == Booking.id, BookingParticipant.status == ParticipantStatus.CHECKED_IN
)


async def _attended(tx: Tx, booking_ids: Sequence[UUID]) -> set[UUID]:
    """Those of which somebody was marked as there; asked once their rows are locked, under which people are marked."""
    if not booking_ids:
        return set()
    query = select(BookingParticipant.booking_id).where(
        one_of(BookingParticipant.booking_id, booking_ids), BookingParticipant.status == ParticipantStatus.CHECKED_IN
    )
    return set((await tx.execute(query)).scalars())


def _is_missed(now: datetime) -> ColumnElement[bool]:
    after = func.make_interval(0, 0, 0, 0, 0, Organization.auto_no_show_after_minutes)
    return and_(
        Booking.status == _S.CONFIRMED,
        Booking.starts_at >= Organization.auto_no_show_since,
        Booking.starts_at + after <= now,
        ~_SOMEBODY_CAME,
    )


def _is_over(now: datetime) -> ColumnElement[bool]:
    after = func.make_interval(0, 0, 0, 0, 0, Organization.auto_complete_after_minutes)
    owes = and_(
        func.coalesce(PaymentSettings.balance_required_at_check_in, False),
        Booking.price_minor > Booking.paid_minor - Booking.uncounted_minor,
    )
    not_missed = or_(Organization.auto_no_show_after_minutes.is_(None), _SOMEBODY_CAME)
    unseen = and_(Booking.status == _S.CONFIRMED, not_missed, ~owes)
    return and_(
        or_(Booking.status.in_([_S.CHECKED_IN, _S.IN_PROGRESS]), unseen),
        Booking.starts_at >= Organization.auto_complete_since,
        Booking.ends_at + after <= now,
    )


def _facts(booking: Booking, organization: Organization, *, somebody_came: bool) -> BookingFacts:
    """With what the organization leaves to the clock: where somebody came, nothing is missed."""
    no_show = None if somebody_came else organization.auto_no_show_after_minutes
    complete = organization.auto_complete_after_minutes
    return replace(
        facts_of(booking),
        no_show_at=None if no_show is None else booking.starts_at + timedelta(minutes=no_show),
        completes_at=None if complete is None else booking.ends_at + timedelta(minutes=complete),
    )


def _by_session(booking: Booking) -> tuple[str, str]:
    """In the order of their sessions, as whoever locks several of them does."""
    return (str(booking.session_id or ""), str(booking.id))
