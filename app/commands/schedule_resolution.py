"""What becomes of bookings that new hours leave outside: as the one who publishes chose, all in one transaction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import Any
from uuid import UUID

from sqlalchemy import select

from app.commands.actor import Actor
from app.commands.booking_change import Requester, TransitionRequest, transition_booking
from app.commands.booking_reschedule import RescheduleRequest, reschedule_booking
from app.commands.claim import lock_moves
from app.commands.journal import Audit, Event, write_journal
from app.commands.schedule import (
    PublishedSchedule,
    ScheduleRequest,
    follow_schedule,
    plan_schedule,
    put_in_force,
    require_manager,
)
from app.commands.schedule_preview import PreviewOutdated, check_preview
from app.commands.session_reschedule import SessionMove, reschedule_to_session
from app.core.database import Tx
from app.core.tokens import TokenSigner
from app.domain.booking import BookingStatus
from app.domain.errors import (
    FieldErrors,
    IllegalTransition,
    InvalidInput,
    NotAllowed,
    NotFound,
    SlotUnavailable,
)
from app.domain.plan import Slot
from app.models import Booking
from app.queries.commitment import Affected, AffectedBookings
from app.queries.relocation import find_relocations, find_session_at
from app.queries.rows import one_of
from app.queries.schedule import Owner, OwnerKind
from app.queries.tenancy import Tenancy

RESOLUTIONS_MAXIMUM = 200
REASON_MAXIMUM = 500
DEFAULT_REASON = "The opening hours changed."


class AffectedBookingAction(Enum):
    """What becomes of a booking that falls outside new hours."""

    KEEP = "keep"
    OFFER_ALTERNATIVES = "offer_alternatives"
    RESCHEDULE = "reschedule"
    CANCEL = "cancel"


_A = AffectedBookingAction


@dataclass(frozen=True, slots=True)
class Resolution:
    """`starts_at`: where a rescheduled one goes."""

    booking_id: UUID
    action: AffectedBookingAction
    starts_at: datetime | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class ResolvedRequest:
    """Hours, what was looked at before (none: nothing), and what becomes of whom; whoever is not named is kept."""

    schedule: ScheduleRequest
    resolutions: tuple[Resolution, ...] = ()
    preview_token: str | None = None


def check_resolutions(resolutions: Sequence[Resolution]) -> FieldErrors:
    """What is wrong with them whatever the bookings are."""
    errors = FieldErrors()
    if len(resolutions) > RESOLUTIONS_MAXIMUM:
        errors.add("input.resolutions", f"may have at most {RESOLUTIONS_MAXIMUM} entries")
        return errors
    seen: dict[UUID, int] = {}
    for index, one in enumerate(resolutions):
        path = f"input.resolutions.{index}"
        if one.booking_id in seen:
            first = seen[one.booking_id]
            errors.add(f"{path}.bookingId", f"was given already, in input.resolutions.{first}")
        seen.setdefault(one.booking_id, index)
        if one.action is _A.RESCHEDULE and one.starts_at is None:
            errors.add(f"{path}.startsAt", "is needed to reschedule a booking")
        elif one.action is not _A.RESCHEDULE and one.starts_at is not None:
            errors.add(f"{path}.startsAt", f"goes with RESCHEDULE alone, not with {one.action.name}")
    return errors


async def publish_with_resolutions(
    tx: Tx, signer: TokenSigner, tenancy: Tenancy, request: ResolvedRequest, *, actor: Actor, now: datetime
) -> PublishedSchedule:
    """Publish, cancel, then move in the order given; where one cannot be, nothing is done.

    The answer has the bookings that stand outside afterwards. Raises NotFound, NotAllowed, InvalidInput (at the
    resolution that cannot be), PreviewOutdated.
    """
    require_manager(tenancy, request.schedule.owner_kind, request.schedule.owner_id)  # before anything is locked
    check_resolutions(request.resolutions).raise_any()
    chosen = request.resolutions
    await _lock_bookings(tx, [one.booking_id for one in chosen if one.action in _CHANGING])
    moved = [one.booking_id for one in chosen if one.action is _A.RESCHEDULE]
    if moved and request.schedule.owner_kind is OwnerKind.PROVIDER:
        await lock_moves(tx, request.schedule.owner_id, moved)
    planned = await plan_schedule(tx, tenancy, request.schedule, now=now, lock=True)
    if request.preview_token is not None:
        try:
            check_preview(signer, request.preview_token, request.schedule, planned, now)
        except PreviewOutdated:
            tx.expunge_all()  # the answer shows these bookings after the rollback
            raise
    affected = {one.booking.id: one for one in planned.affected.found}
    _check_affected(chosen, affected)
    version = await put_in_force(tx, planned, actor, now)
    changes = _Changes(tx, signer, Requester(tenancy, actor.user_id, None, actor), planned.owner, now)
    await changes.cancel(chosen)
    await follow_schedule(tx, planned.owner, actor, now)
    if await changes.move(chosen):
        await follow_schedule(tx, planned.owner, actor, now)  # a session that was left by all of them ends
    gone = {one.booking_id for one in chosen if one.action in _CHANGING}
    standing = replace(
        planned.affected, found=tuple(one for one in planned.affected.found if one.booking.id not in gone)
    )
    await _offer(
        tx, [affected[one.booking_id] for one in chosen if one.action is _A.OFFER_ALTERNATIVES], standing, actor, now
    )
    return PublishedSchedule(version, standing)


_CHANGING = frozenset({_A.RESCHEDULE, _A.CANCEL})


async def _lock_bookings(tx: Tx, booking_ids: Sequence[UUID]) -> None:
    """Before the owner and in id order, as every change of a booking locks. At most one statement."""
    if booking_ids:
        query = select(Booking.id).where(one_of(Booking.id, booking_ids)).order_by(Booking.id)
        await tx.execute(query.with_for_update(key_share=True))


def _check_affected(resolutions: Sequence[Resolution], affected: Mapping[UUID, Affected]) -> None:
    errors = FieldErrors()
    for index, one in enumerate(resolutions):
        if one.booking_id not in affected:
            errors.add(f"input.resolutions.{index}.bookingId", "is no booking that these hours leave outside")
    errors.raise_any()


@dataclass(frozen=True, slots=True)
class _Changes:
    """Cancels and moves bookings for the one who publishes, as if they did it one by one."""

    tx: Tx
    signer: TokenSigner
    requester: Requester
    owner: Owner
    now: datetime

    async def cancel(self, resolutions: Sequence[Resolution]) -> None:
        for index, one in enumerate(resolutions):
            if one.action is _A.CANCEL:
                request = TransitionRequest(one.booking_id, BookingStatus.CANCELLED, one.reason or DEFAULT_REASON, None)
                with _refused_at(index):
                    await transition_booking(self.tx, self.signer, request, self.requester, self.now)

    async def move(self, resolutions: Sequence[Resolution]) -> bool:
        """Was there any?"""
        moved = False
        for index, one in enumerate(resolutions):
            if one.action is _A.RESCHEDULE and one.starts_at is not None:
                with _refused_at(index):
                    await self._move(one, one.starts_at)
                moved = True
        return moved

    async def _move(self, one: Resolution, starts_at: datetime) -> None:
        reason = one.reason or DEFAULT_REASON
        if self.owner.kind is OwnerKind.ACTIVITY:
            session_id = await find_session_at(self.tx, self.owner.id, starts_at)
            if session_id is None:
                raise InvalidInput.at("startsAt", "no session of the activity starts then")
            move = SessionMove(one.booking_id, session_id, reason, None)
            await reschedule_to_session(self.tx, self.signer, move, self.requester, self.now)
        else:
            request = RescheduleRequest(
                booking_id=one.booking_id,
                starts_at=starts_at,
                provider_id=None,
                reason=reason,
                expected_version=None,
            )
            await reschedule_booking(self.tx, self.signer, request, self.requester, self.now)


@contextmanager
def _refused_at(index: int) -> Iterator[None]:
    """A refusal becomes InvalidInput at the resolution that asked for it."""
    path = f"input.resolutions.{index}"
    try:
        yield
    except SlotUnavailable as refusal:
        raise InvalidInput.at(f"{path}.startsAt", refusal.message) from refusal
    except InvalidInput as refusal:
        why = "; ".join(violation.message for violation in refusal.violations)
        raise InvalidInput.at(f"{path}.startsAt", why) from refusal
    except (IllegalTransition, NotAllowed) as refusal:
        raise InvalidInput.at(f"{path}.action", refusal.message) from refusal
    except NotFound as refusal:
        raise InvalidInput.at(f"{path}.bookingId", "is no booking that you can change") from refusal


async def _offer(tx: Tx, offered: Sequence[Affected], standing: AffectedBookings, actor: Actor, now: datetime) -> None:
    """The bookings stand; that alternatives were offered, and which, is told, so that customers can be written to."""
    if not offered:
        return
    found = await find_relocations(tx, offered, standing.hours, now)
    audit: list[Audit] = []
    events: list[Event] = []
    for one in offered:
        booking = one.booking
        slots = [_slot_json(slot) for slot in found.of(booking.id)]
        audit.append(Audit(_OFFERED, booking.id, None, {"alternatives": slots}))
        payload = {"version": booking.version, "status": booking.status, "alternatives": slots}
        events.append(Event(_OFFERED, booking.id, payload))
    await write_journal(tx, offered[0].booking.organization_id, actor, audit=audit, events=events)


_OFFERED = "booking.alternatives_offered"


def _slot_json(slot: Slot) -> dict[str, Any]:
    return {
        "startsAt": slot.starts_at,
        "endsAt": slot.ends_at,
        "providerIds": slot.provider_ids,
        "sessionId": slot.session_id,
    }
