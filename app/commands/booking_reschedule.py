"""Moving a booking to another time or provider: atomically, keeping price, number and history."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import TIMESTAMP

from app.commands.booking_change import Requester, acting, lock_for_change, write_change
from app.commands.expiry import expire_bookings
from app.commands.hold import bookable_plans, slot_taken
from app.core.database import Tx
from app.core.ids import new_id
from app.core.tokens import TokenSigner
from app.domain.booking import BookingStatus
from app.domain.errors import InvalidInput, SlotSearch, SlotUnavailable
from app.domain.policy import ActorKind, cancellable_until_after_move, check_reschedule, needs_new_approval
from app.domain.slots import ProviderPlan, UnavailableReason
from app.models import Booking, BookingItem
from app.queries.availability import ServicePlan, get_service_plan
from app.queries.booking import SeenBooking, facts_of, first_item


@dataclass(frozen=True, slots=True)
class RescheduleRequest:
    """`starts_at` none: the same time; `provider_id` none: the same provider."""

    booking_id: UUID
    starts_at: datetime | None
    provider_id: UUID | None
    reason: str | None
    expected_version: int | None


async def reschedule_booking(
    tx: Tx, signer: TokenSigner, request: RescheduleRequest, requester: Requester, now: datetime
) -> SeenBooking:
    """The new slot is claimed and the old one given back in one call; refused, nothing changed.

    Length, price and buffers stay as booked. A customer's move of a service that needs approval asks for it again.
    Raises NotFound, StaleVersion, NotAllowed, InvalidInput, SlotUnavailable.
    """
    seen = await lock_for_change(tx, signer, request.booking_id, requester, request.expected_version)
    booking = seen.booking
    check_reschedule(facts_of(booking), seen.viewer, now)
    starts_at = request.starts_at or booking.starts_at
    provider_id = request.provider_id or booking.provider_id
    if (starts_at, provider_id) == (booking.starts_at, booking.provider_id):
        raise InvalidInput.at("input.startsAt", "is where the booking already is; name another time or provider")
    item = await first_item(tx, booking.id)
    by_staff = seen.viewer is not ActorKind.CUSTOMER
    ends_at = starts_at + (booking.ends_at - booking.starts_at)
    search = SlotSearch(
        organization_id=booking.organization_id,
        service_id=booking.service_id,
        provider_ids=(provider_id,),
        around=starts_at,
        duration_minutes=_minutes(booking.ends_at - booking.starts_at),
        party_size=booking.party_size,
        for_staff=by_staff,
    )
    plan = await get_service_plan(
        tx,
        booking.service_id,
        (provider_id,),
        starts_at.date(),
        starts_at.date(),
        # Who stays with their provider knows them anyway.
        hidden_is_missing=request.provider_id is not None and not requester.tenancy.is_staff,
    )
    if not plan.offers:
        if request.provider_id is not None:
            raise InvalidInput.at("input.providerId", "does not offer this service now")
        raise SlotUnavailable(UnavailableReason.INACTIVE, "The provider does not offer this service now.", search)
    target = _target(plan, booking, item)
    rules = plan.rules(now, for_staff=by_staff)
    bookable_plans([target], starts_at, rules, search)
    if not await _move_time(tx, booking, item=item, target=target, starts_at=starts_at, ends_at=ends_at):
        raise await slot_taken(tx, [target], starts_at, rules, search)
    await _write(
        tx,
        seen,
        target=target,
        starts_at=starts_at,
        ends_at=ends_at,
        reason=request.reason,
        requester=requester,
        now=now,
    )
    return seen


def _minutes(length: timedelta) -> int:
    return round(length.total_seconds() / 60)


def _target(plan: ServicePlan, booking: Booking, item: BookingItem) -> ProviderPlan:
    """The wanted provider's hours with what this booking was made with."""
    current = plan.plan_of(plan.offers[0], _minutes(booking.ends_at - booking.starts_at))
    return replace(current, buffer_before=item.buffer_before_minutes, buffer_after=item.buffer_after_minutes)


_MOVE = text(
    "SELECT * FROM move_booking_time(:allocation, :organization, :booking, :subject,"
    " tstzrange(:busy_from, :busy_to, '[)'), :starts_at, :ends_at)"
).bindparams(*(bindparam(n, type_=TIMESTAMP(timezone=True)) for n in ("busy_from", "busy_to", "starts_at", "ends_at")))

_MOVE_ITEM = text(
    "UPDATE booking_item SET provider_id = :provider_id, starts_at = :starts_at, ends_at = :ends_at WHERE id = :item_id"
).bindparams(*(bindparam(n, type_=TIMESTAMP(timezone=True)) for n in ("starts_at", "ends_at")))


async def _move_time(
    tx: Tx,
    booking: Booking,
    *,
    item: BookingItem,
    target: ProviderPlan,
    starts_at: datetime,
    ends_at: datetime,
) -> bool:
    """False when somebody else has the time: the caller must raise, so that the old rows stand."""
    row = (
        await tx.execute(
            _MOVE,
            {
                "allocation": new_id(),
                "organization": booking.organization_id,
                "booking": booking.id,
                "subject": target.provider_id,
                "busy_from": starts_at - timedelta(minutes=target.buffer_before),
                "busy_to": ends_at + timedelta(minutes=target.buffer_after),
                "starts_at": starts_at,
                "ends_at": ends_at,
            },
        )
    ).one()
    if not row.claimed or (row.lapsed_bookings and await expire_bookings(tx, list(row.lapsed_bookings))):
        return False
    await tx.execute(
        _MOVE_ITEM,
        {"item_id": item.id, "provider_id": target.provider_id, "starts_at": starts_at, "ends_at": ends_at},
    )
    return True


async def _write(
    tx: Tx,
    seen: SeenBooking,
    *,
    target: ProviderPlan,
    starts_at: datetime,
    ends_at: datetime,
    reason: str | None,
    requester: Requester,
    now: datetime,
) -> None:
    booking = seen.booking
    before = BookingStatus(booking.status)
    asks_again = needs_new_approval(facts_of(booking), seen.viewer)
    after = BookingStatus.AWAITING_PROVIDER if asks_again else before
    values = {
        "provider_id": target.provider_id,
        "starts_at": starts_at,
        "ends_at": ends_at,
        "time_zone": target.time_zone.key,
        "cancellable_until": cancellable_until_after_move(
            booking.cancellable_until, starts_at, booking.cancellation_notice_minutes, now
        ),
        "status": after.value,
    }
    await write_change(
        tx,
        booking,
        values,
        acting(requester.actor, seen.viewer),
        action="booking.rescheduled",
        reason=reason,
        step=None if after is before else (before, after),
    )
