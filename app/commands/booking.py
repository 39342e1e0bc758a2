"""From a hold to a booking."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.commands.actor import Actor
from app.commands.booking_change import acting
from app.commands.booking_insert import CustomerDetails, insert_booking
from app.commands.booking_payment import (
    FrozenTerms,
    Offers,
    Planned,
    TakesPayment,
    Wish,
    freeze_terms,
    offers_nothing,
    plan_payment,
    put_terms,
    takes_nothing,
)
from app.commands.booking_price import check_chargeable, set_platform_fee
from app.commands.customer_limit import check_customer_limits
from app.commands.fee_consent import fee_consent
from app.commands.hold import name_answerer, require_live
from app.commands.journal import Audit, Event, Transition, write_journal
from app.commands.participants import write_participants
from app.commands.price_offer import book_offer
from app.commands.promo_use import apply_code, check_customer, count_use
from app.commands.served import NOBODY_ELSE, Served, noted_reason, set_served
from app.core.database import Tx
from app.core.ids import new_id
from app.core.tokens import TokenSigner
from app.domain.booking import HELD, BookingStatus, PaymentMethod, PaymentStatus, confirmation_code
from app.domain.booking_terms import answer_deadline
from app.domain.errors import InvalidInput, NotFound
from app.domain.participant import ParticipantDetails
from app.domain.policy import ActorKind, cancellable_until
from app.domain.price_quote import NO_FEES, FeeRates
from app.models import Booking, BookingItem, Customer, Hold, Payment, Provider, Service
from app.queries.booking import role_towards
from app.queries.hold import LockedHold, lock_hold
from app.queries.payment_terms import PaymentTerms
from app.queries.tenancy import Tenancy


@dataclass(frozen=True, slots=True)
class BookingRequest:
    hold_id: UUID
    hold_token: str
    payment_method: PaymentMethod
    notes: str | None
    promo_code: str | None = None
    accepts_fees: bool = False
    participants: tuple[ParticipantDetails, ...] = ()
    served: Served = NOBODY_ELSE


@dataclass(frozen=True, slots=True)
class Booked:
    """The booking and what it hangs on, so that nothing is read twice. Of a session: no items, provider and service.

    `payment`: what it waits for.
    """

    booking: Booking
    items: tuple[BookingItem, ...]
    customer: Customer
    provider: Provider | None
    service: Service | None
    viewer: ActorKind
    payment: Payment | None = None


async def create_booking(
    tx: Tx,
    signer: TokenSigner,
    request: BookingRequest,
    customer: CustomerDetails | None,
    *,
    tenancy: Tenancy,
    actor: Actor,
    now: datetime,
    takes_payment: TakesPayment = takes_nothing,
    fees: FeeRates = NO_FEES,
    offers: Offers = offers_nothing,
) -> Booked:
    """Turn a live hold of time into a booking. Three statements; one more each for a payment, for customers' limits and
    for a price by quote; two or three for a promo code.

    Raises InvalidInput, NotAllowed, RateLimited, NotFound, HoldExpired; Unauthenticated for an account that is gone.
    """
    account = account_of(customer, tenancy, actor.user_id)
    locked = await lock_hold(tx, request.hold_id)
    if not signer.is_hold_token(request.hold_token, request.hold_id, locked.hold.token_version):
        raise NotFound
    require_live(locked, now)
    if not works_here(tenancy):
        await check_customer_limits(
            tx,
            locked.hold.organization_id,
            locked.customer_limits,
            account=account,
            email=None if customer is None else customer.email,
            starts_at=locked.hold.starts_at,
            time_zone=locked.time_zone,
        )
    lowered = await apply_code(tx, locked.hold, request.promo_code, now=now)
    terms = locked.payment_terms
    set_platform_fee(locked.hold, account, terms, fees)
    frozen = freeze_terms(
        locked.hold,
        wish_of(
            request,
            locked.hold,
            terms,
            tenancy=tenancy,
            actor=actor,
            now=now,
            requires_approval=_terms(locked)[1],
        ),
        terms,
        held_until=locked.held_until,
        takes=takes_payment,
        offers=offers,
        now=now,
    )
    check_chargeable(frozen, terms)
    await check_customer(tx, lowered, account=account, email=None if customer is None else customer.email)
    booking = new_booking(locked, request, now)
    set_served(booking, request.served, locked.areas, tenancy)
    put_terms(booking, frozen, terms)
    if booking.status == BookingStatus.AWAITING_PROVIDER:
        booking.expires_at = answer_deadline(now, locked.approval_hours, booking.starts_at)
    items = tuple(new_items(locked.hold, booking.id))
    await name_answerer(tx, locked.hold, actor)
    owner, change = await insert_booking(tx, booking, items, customer, account)
    payment = await plan_awaited(tx, booking, frozen, terms.processor, now)
    role = role_towards(tenancy, booking, account, user_id=actor.user_id, has_link=True)
    booker = actor if actor.user_id is None else acting(actor, role)
    audience = audience_of_new(account, [item.provider_id for item in items])
    await tell_booked(tx, booking, change, booker, audience)
    await book_offer(tx, booking, locked.hold)
    await write_participants(tx, booking, request.participants, booker)
    await count_use(tx, booking, lowered)
    return Booked(booking, items, owner, locked.provider, locked.service, role, payment)


def wish_of(
    request: BookingRequest,
    hold: Hold,
    terms: PaymentTerms,
    *,
    tenancy: Tenancy,
    actor: Actor,
    now: datetime,
    requires_approval: bool,
) -> Wish:
    """What is asked for, with the consent as it is kept."""
    consent = None
    if request.accepts_fees:
        consent = fee_consent(terms.policy, hold.price_minor, hold.currency, actor, now)
    return Wish(request.payment_method, requires_approval, consent, is_walk_in=works_here(tenancy))


async def plan_awaited(tx: Tx, booking: Booking, frozen: FrozenTerms, processor: str, now: datetime) -> Payment | None:
    """What the booking waits for, if for anything."""
    if frozen.waits_until is None:
        return None
    planned = Planned(
        frozen.due_minor,
        processor,
        frozen.waits_until,
        kind=frozen.kind,
        capture=frozen.capture,
        consent=frozen.consent,
    )
    return await plan_payment(tx, booking, planned, now)


def works_here(tenancy: Tenancy) -> bool:
    """Staff and providers book for others; no limit of customers binds them."""
    return tenancy.is_staff or tenancy.provider_id is not None


def account_of(customer: CustomerDetails | None, tenancy: Tenancy, user_id: UUID | None) -> UUID | None:
    """The account whose own customer record is used: made when there is none, else brought up to what was given.

    None: a new record, so that a guest neither reads nor changes anybody's. So for whom staff or a provider books,
    too: a walk-in is not the one at the desk. Raises InvalidInput.
    """
    if customer is None and user_id is None:
        raise InvalidInput.at("input.customer", "is needed unless you are signed in")
    return None if customer is not None and works_here(tenancy) else user_id


def new_booking(locked: LockedHold, request: BookingRequest, now: datetime) -> Booking:
    """Of a hold of time: confirmed, or waiting for approval; not written yet, without number, customer and terms."""
    hold = locked.hold
    notice, requires_approval = _terms(locked)
    status = BookingStatus.AWAITING_PROVIDER if requires_approval else BookingStatus.CONFIRMED
    return Booking(
        id=new_id(),
        organization_id=hold.organization_id,
        confirmation_code=confirmation_code(secrets.token_bytes(8)),
        status=status,
        version=1,
        starts_at=hold.starts_at,
        ends_at=hold.ends_at,
        time_zone=locked.time_zone,
        party_size=hold.party_size,
        is_private=False,
        provider_id=hold.provider_id,
        service_id=hold.service_id,
        hold_id=hold.id,
        price_minor=hold.price_minor,
        currency=hold.currency,
        promo_code_id=hold.promo_code_id,
        payment_status=PaymentStatus.UNPAID,
        payment_method=request.payment_method,
        expires_at=None,
        cancellable_until=cancellable_until(hold.starts_at, notice),
        cancellation_notice_minutes=notice,
        requires_approval=requires_approval,
        approval_hours=locked.approval_hours if requires_approval else None,
        notes=request.notes,
        access_version=1,
        created_at=now,
        updated_at=now,
    )


def _terms(locked: LockedHold) -> tuple[int, bool]:
    """Minutes of notice to cancel, and whether somebody has to approve: of a visit the strictest of its services."""
    service, items = locked.service, locked.hold.items
    if not items:
        return service.cancellation_notice_minutes, service.requires_approval
    notice = max(item["cancellationNoticeMinutes"] for item in items)
    return notice, any(item["requiresApproval"] for item in items)


def new_items(hold: Hold, booking_id: UUID) -> Iterator[BookingItem]:
    """One for each service of the hold."""
    of_one: dict[str, Any] = {
        "serviceId": str(hold.service_id),
        "providerId": str(hold.provider_id),
        "startsAt": hold.starts_at.isoformat(),
        "endsAt": hold.ends_at.isoformat(),
        "bufferBefore": hold.buffer_before_minutes,
        "bufferAfter": hold.buffer_after_minutes,
        "priceMinor": hold.price_minor,
    }
    for position, item in enumerate(hold.items or (of_one,), 1):
        yield BookingItem(
            id=new_id(),
            organization_id=hold.organization_id,
            booking_id=booking_id,
            position=position,
            service_id=UUID(item["serviceId"]),
            provider_id=UUID(item["providerId"]),
            starts_at=datetime.fromisoformat(item["startsAt"]),
            ends_at=datetime.fromisoformat(item["endsAt"]),
            buffer_before_minutes=item["bufferBefore"],
            buffer_after_minutes=item["bufferAfter"],
            price_minor=item["priceMinor"],
        )


WRITTEN_DOWN = (
    "status",
    "version",
    "number",
    "starts_at",
    "ends_at",
    "time_zone",
    "party_size",
    "provider_id",
    "service_id",
    "session_id",
    "customer_id",
    "price_minor",
    "currency",
    "payment_status",
    "payment_method",
    "expires_at",
    "cancellable_until",
    "requires_approval",
    "promo_code_id",
    "notes",
)
"""Of a new booking, in its audit entry."""


def audience_of_new(account: UUID | None, provider_ids: Sequence[UUID]) -> list[UUID]:
    """Who is told of a new booking of time: known here, so that nothing is looked up."""
    return list(dict.fromkeys([*([] if account is None else [account]), *provider_ids]))


async def tell_booked(
    tx: Tx, booking: Booking, change: Audit | None, actor: Actor, audience: Sequence[UUID] | None = None
) -> None:
    """Where PENDING waits for nothing, it passes straight on; both steps are recorded."""
    transitions, audit, events = records_of_new(booking, audience)
    audit = audit if change is None else [change, *audit]
    await write_journal(tx, booking.organization_id, actor, transitions=transitions, audit=audit, events=events)


def records_of_new(
    booking: Booking, audience: Sequence[UUID] | None = None
) -> tuple[list[Transition], list[Audit], list[Event]]:
    """What a new booking leaves behind. `audience`: none: as the database finds out."""
    after = {name: getattr(booking, name) for name in WRITTEN_DOWN} | noted_reason(booking)
    is_pending = booking.status in HELD
    payload = {"version": 1, "status": booking.status}
    return (
        [
            Transition(booking.id, None, BookingStatus.PENDING),
            *([] if is_pending else [Transition(booking.id, BookingStatus.PENDING, booking.status)]),
        ],
        [Audit("booking.created", booking.id, None, after)],
        [
            Event("booking.created", booking.id, {"version": 1, "status": BookingStatus.PENDING}, audience),
            *([] if is_pending else [Event(f"booking.{booking.status}", booking.id, payload, audience)]),
        ],
    )
