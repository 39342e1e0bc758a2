"""Moving a booking to another time or provider: atomically, keeping price, number and history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Interval, Uuid, bindparam, text

from app.commands.booking_change import (
    Moved,
    Requester,
    acting,
    lock_for_change,
    minutes_of,
    moves_counted,
    search_of_booking,
    write_change,
)
from app.commands.booking_payee import hand_over_price
from app.commands.booking_texts import terms_with_provider
from app.commands.claim import CLAIMED, move_claims, visit_taken
from app.commands.customer_limit import check_customer_move
from app.commands.hold_visit import refuse_visit
from app.commands.payment_approval import answer_after_move
from app.commands.served import check_area_of_move
from app.core.database import Tx
from app.core.tokens import TokenSigner
from app.domain.booking import BookingStatus
from app.domain.claims import Part
from app.domain.errors import InvalidInput, SlotUnavailable
from app.domain.plan import ProviderPlan, UnavailableReason
from app.domain.policy import ActorKind, cancellable_until_after_move, check_reschedule, needs_new_approval
from app.models import Booking, BookingItem
from app.queries.availability import ServicePlan, get_service_plans
from app.queries.booking import SeenBooking, facts_of, items_of_bookings
from app.queries.visit import VisitPlan


@dataclass(frozen=True, slots=True)
class RescheduleRequest:
    """`starts_at` none: the same time; `provider_id` none: the same provider. `is_bulk`: its reason is that of many
    moves, and none to go beyond the provider's area with this one."""

    booking_id: UUID
    starts_at: datetime | None
    provider_id: UUID | None
    reason: str | None
    expected_version: int | None
    is_bulk: bool = False


async def reschedule_booking(
    tx: Tx, signer: TokenSigner, request: RescheduleRequest, requester: Requester, now: datetime
) -> SeenBooking:
    """The new slot is claimed and the old one given back in one call; refused, nothing changed.

    Length, price and buffers stay as booked; whoever gives it is paid for it; a visit moves as a whole, with everybody.
    Resources are chosen anew. A customer's move of a service that needs approval asks for it again.
    Raises NotFound, StaleVersion, NotAllowed, InvalidInput, SlotUnavailable.
    """
    seen = await lock_for_change(tx, signer, request.booking_id, requester, request.expected_version)
    booking = seen.booking
    if booking.session_id is not None:
        raise InvalidInput.at("input.sessionId", "is needed: name another session of the activity")
    check_reschedule(facts_of(booking), seen.viewer, now)
    items = await items_of_bookings(tx, [booking.id])
    starts_at = request.starts_at or booking.starts_at
    _check_place(request, booking, items, starts_at)
    by_staff = seen.viewer is not ActorKind.CUSTOMER
    reason = None if request.is_bulk else request.reason
    is_staff = requester.tenancy.is_staff
    await check_area_of_move(tx, [booking], request.provider_id, reason=reason, is_staff=is_staff)
    search = search_of_booking(booking, items, around=starts_at, provider_id=request.provider_id, for_staff=by_staff)
    # Who stays with their provider knows them anyway.
    hidden_is_missing = request.provider_id is not None and not requester.tenancy.is_staff
    people = [(item.service_id, (request.provider_id or item.provider_id,)) for item in items]
    day = starts_at.date()
    services = await get_service_plans(tx, people, day, day, hidden_is_missing=hidden_is_missing)
    if not all(service.offers for service in services):
        if request.provider_id is not None:
            raise InvalidInput.at("input.providerId", "does not offer this service now")
        raise SlotUnavailable(UnavailableReason.INACTIVE, "The provider does not offer this service now.", search)
    targets = [target_of(service, item) for service, item in zip(services, items, strict=True)]
    rules = VisitPlan(search.items, tuple(services)).rules(now, for_staff=by_staff)
    refuse_visit([[target] for target in targets], starts_at, rules, search)
    if not by_staff:
        await check_customer_move(tx, booking, starts_at, targets[0].time_zone.key)
    shift = starts_at - booking.starts_at
    parts = [Part(target, item.starts_at + shift) for target, item in zip(targets, items, strict=True)]
    outcome = await move_claims(tx, booking.organization_id, booking.id, parts)
    if outcome != CLAIMED:
        raise await visit_taken(tx, [[target] for target in targets], starts_at, rules, search, outcome=outcome)
    items_moved = await _move_items(tx, items, request.provider_id, shift)
    changes: dict[str, Any] = {}
    if targets[0].provider_id != booking.provider_id:
        is_payee = targets[0].provider_id in services[0].payees
        price = await hand_over_price(tx, booking, targets[0].provider_id, is_payee=is_payee)
        changes = {} if price is None else {"quote": price}
        changes["terms"] = await terms_with_provider(tx, booking, targets[0].provider_id)
    await write_move(
        tx,
        seen,
        items=items_moved,
        target=targets[0],
        starts_at=starts_at,
        changes=changes,
        reason=request.reason,
        requester=requester,
        now=now,
    )
    return seen


def _check_place(
    request: RescheduleRequest, booking: Booking, items: Sequence[BookingItem], starts_at: datetime
) -> None:
    """Raises InvalidInput."""
    if request.provider_id is not None and len(items) > 1:
        raise InvalidInput.at(
            "input.providerId", "is for bookings of one service; a visit moves with all its providers"
        )
    if (starts_at, request.provider_id or booking.provider_id) == (booking.starts_at, booking.provider_id):
        raise InvalidInput.at("input.startsAt", "is where the booking already is; name another time or provider")


def target_of(service: ServicePlan, item: BookingItem) -> ProviderPlan:
    """The wanted provider's hours with what this item was booked with."""
    current = service.plan_of(service.offers[0], minutes_of(item))
    return replace(current, buffer_before=item.buffer_before_minutes, buffer_after=item.buffer_after_minutes)


async def _move_items(tx: Tx, items: Sequence[BookingItem], provider_id: UUID | None, shift: timedelta) -> Moved:
    """All of them. What they were and are, for the audit."""
    before = [_placed(item) for item in items]
    await tx.execute(_MOVE_ITEMS, {"booking_id": items[0].booking_id, "provider_id": provider_id, "shift": shift})
    for item in items:
        tx.expunge(item)
        item.provider_id = provider_id or item.provider_id
        item.starts_at, item.ends_at = item.starts_at + shift, item.ends_at + shift
    return Moved(before, [_placed(item) for item in items])


def _placed(item: BookingItem) -> dict[str, Any]:
    """As `booking_item` has it."""
    return {name: getattr(item, name) for name in ("position", "provider_id", "starts_at", "ends_at")}


_MOVE_ITEMS = text(
    "UPDATE booking_item SET provider_id = COALESCE(:provider_id, provider_id), starts_at = starts_at + :shift,"
    " ends_at = ends_at + :shift WHERE booking_id = :booking_id"
).bindparams(bindparam("provider_id", type_=Uuid), bindparam("shift", type_=Interval))


async def write_move(
    tx: Tx,
    seen: SeenBooking,
    *,
    items: Moved,
    target: ProviderPlan,
    starts_at: datetime,
    changes: dict[str, Any],
    reason: str | None,
    requester: Requester,
    now: datetime,
) -> None:
    """Into the booking's row, with its record. `changes`: what another provider changes of price and terms."""
    booking = seen.booking
    before = BookingStatus(booking.status)
    asks_again = needs_new_approval(facts_of(booking), seen.viewer)
    after = BookingStatus.AWAITING_PROVIDER if asks_again else before
    values: dict[str, Any] = {
        "provider_id": target.provider_id,
        "starts_at": starts_at,
        "ends_at": starts_at + (booking.ends_at - booking.starts_at),
        "time_zone": target.time_zone.key,
        "cancellable_until": cancellable_until_after_move(
            booking.cancellable_until, starts_at, booking.cancellation_notice_minutes, now
        ),
        "status": after.value,
        "reschedules": moves_counted(booking, seen.viewer),
        **changes,
    }
    if after is BookingStatus.AWAITING_PROVIDER:
        by_customer = seen.viewer is ActorKind.CUSTOMER
        values["expires_at"] = await answer_after_move(tx, booking, starts_at, now, by_customer=by_customer)
    await write_change(
        tx,
        booking,
        values,
        acting(requester.actor, seen.viewer),
        action="booking.rescheduled",
        reason=reason,
        step=None if after is before else (before, after),
        items=items,
    )
