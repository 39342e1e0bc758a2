"""From a hold of places to a booking."""

from __future__ import annotations

import secrets
from datetime import datetime

from sqlalchemy import text

from app.commands.actor import Actor
from app.commands.booking import (
    Booked,
    BookingRequest,
    account_of,
    plan_awaited,
    tell_booked,
    wish_of,
    works_here,
)
from app.commands.booking_change import acting
from app.commands.booking_insert import CustomerDetails, claim_until, insert_booking
from app.commands.booking_payment import (
    Offers,
    TakesPayment,
    freeze_terms,
    offers_nothing,
    put_terms,
    takes_nothing,
)
from app.commands.booking_price import check_chargeable, set_platform_fee
from app.commands.customer_limit import check_customer_limits
from app.commands.hold import name_answerer
from app.commands.participants import write_participants
from app.commands.promo_use import apply_code, check_customer, count_use
from app.commands.served import set_recipient
from app.commands.session_hold import own_places, require_live_places
from app.core.database import Tx
from app.core.ids import new_id
from app.core.tokens import TokenSigner
from app.domain.booking import BookingStatus, PaymentStatus, confirmation_code
from app.domain.policy import cancellable_until
from app.domain.price_quote import NO_FEES, FeeRates
from app.models import Booking
from app.queries.booking import role_towards
from app.queries.session_hold import LockedPlaces
from app.queries.tenancy import Tenancy


async def create_session_booking(
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
    """Turn a live hold of places into a booking, whatever became of the session meanwhile: a hold is a promise.

    Four statements; one more each for a payment and for customers' limits; two or three for a promo code.
    Raises InvalidInput, NotAllowed, RateLimited, NotFound, HoldExpired; Unauthenticated for an account that is gone.
    """
    account = account_of(customer, tenancy, actor.user_id)
    locked = await own_places(tx, signer, request.hold_id, request.hold_token)
    require_live_places(locked, now)
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
    assert locked.claim_expires_at is not None  # it is live
    set_platform_fee(locked.hold, account, terms, fees)
    frozen = freeze_terms(
        locked.hold,
        wish_of(request, locked.hold, terms, tenancy=tenancy, actor=actor, now=now, requires_approval=False),
        terms,
        held_until=locked.claim_expires_at,
        takes=takes_payment,
        offers=offers,
        now=now,
    )
    check_chargeable(frozen, terms)
    await check_customer(tx, lowered, account=account, email=None if customer is None else customer.email)
    booking = new_places_booking(locked, request, now)
    set_recipient(booking, request.served)
    put_terms(booking, frozen, terms)
    values = {"hold": request.hold_id, "booking": booking.id}
    if frozen.is_awaited:
        await tx.execute(_KEEP, {**values, "until": claim_until(booking)})
    else:
        await tx.execute(_CONFIRM, values)
    await name_answerer(tx, locked.hold, actor)
    owner, change = await insert_booking(tx, booking, (), customer, account)
    payment = await plan_awaited(tx, booking, frozen, terms.processor, now)
    role = role_towards(tenancy, booking, account, user_id=actor.user_id, has_link=True)
    booker = actor if actor.user_id is None else acting(actor, role)
    await tell_booked(tx, booking, change, booker)
    await write_participants(tx, booking, request.participants, booker)
    await count_use(tx, booking, lowered)
    return Booked(booking, (), owner, None, None, role, payment)


_CONFIRM = text("SELECT confirm_held_places(:hold, :booking)")
_KEEP = text("SELECT keep_held_places(:hold, :booking, :until)")


def new_places_booking(locked: LockedPlaces, request: BookingRequest, now: datetime) -> Booking:
    """Confirmed; not written yet, without number, customer and terms."""
    hold, notice = locked.hold, locked.activity.cancellation_notice_minutes
    return Booking(
        id=new_id(),
        organization_id=hold.organization_id,
        confirmation_code=confirmation_code(secrets.token_bytes(8)),
        status=BookingStatus.CONFIRMED,
        version=1,
        starts_at=hold.starts_at,
        ends_at=hold.ends_at,
        time_zone=locked.time_zone,
        party_size=hold.party_size,
        is_private=hold.is_private,
        session_id=hold.session_id,
        hold_id=hold.id,
        price_minor=hold.price_minor,
        currency=hold.currency,
        promo_code_id=hold.promo_code_id,
        payment_status=PaymentStatus.UNPAID,
        payment_method=request.payment_method,
        expires_at=None,
        cancellable_until=cancellable_until(hold.starts_at, notice),
        cancellation_notice_minutes=notice,
        requires_approval=False,
        notes=request.notes,
        access_version=1,
        created_at=now,
        updated_at=now,
    )
