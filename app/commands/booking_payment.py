"""What a booking freezes of money when it is made, and the payment that it waits for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import BigInteger, Text, bindparam, text
from sqlalchemy.dialects.postgresql import TIMESTAMP

from app.core.database import Tx
from app.core.ids import new_id
from app.domain.booking import BookingStatus, PaymentMethod, PaymentStatus
from app.domain.errors import NotAllowed
from app.domain.fees import largest_fee
from app.domain.price_quote import Quote, on_arrival
from app.domain.price_quote_codec import quote_from_json, quote_to_json
from app.domain.refund import policy_to_json
from app.domain.shares import Shares, shares_of
from app.gateway import Capability, Capture
from app.models import Booking, Hold, Payment
from app.queries.payment_terms import PaymentTerms

OPEN_PAYMENT = "open_payment"
END_PAYMENT = "end_payment"

CLAIM_GRACE = timedelta(minutes=5)
"""So much longer than a booking waits for its payment, its time is kept: the payment is cancelled first."""
RESUME_AFTER = timedelta(seconds=20)
"""When a worker looks whether the payment was opened; by then the request has its answer, or is gone."""
JOB_ATTEMPTS = 20

TakesPayment = Callable[[str, str], bool]
"""(processor, currency): can it be charged here?"""
Offers = Callable[[str], frozenset[Capability]]
"""What a processor offers, as far as it is set up here."""


def takes_nothing(_processor: str, _currency: str) -> bool:
    """Where there is no processor."""
    return False


def offers_nothing(_processor: str) -> frozenset[Capability]:
    """Where there is no processor."""
    return frozenset()


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for beside the price. `consent`: to the fees, as it is kept; None: it was not given.
    `is_walk_in`: staff or a provider book for somebody else, whose card they do not have."""

    method: PaymentMethod
    requires_approval: bool = False
    consent: dict[str, Any] | None = None
    is_walk_in: bool = False


@dataclass(frozen=True, slots=True)
class FrozenTerms:
    """`due_minor`: to be paid before the booking is confirmed; 0: nothing. `waits_until`: for the payment, or for the
    method that is saved (`kind` setup). `capture`, `consent`: as in Payment."""

    quote: Quote | None
    due_minor: int
    waits_until: datetime | None
    kind: str = "booking"
    capture: Capture = Capture.AUTOMATIC
    consent: dict[str, Any] | None = None

    @property
    def is_awaited(self) -> bool:
        return self.waits_until is not None


def freeze_terms(
    hold: Hold,
    wish: Wish,
    terms: PaymentTerms,
    *,
    held_until: datetime,
    takes: TakesPayment,
    offers: Offers,
    now: datetime,
) -> FrozenTerms:
    """What costs nothing is not paid: no method is refused, and no processor is needed.

    Raises NotAllowed for a method of payment that is not taken here.
    """
    quote = None if hold.quote is None else quote_from_json(hold.quote)
    is_on_arrival = wish.method is PaymentMethod.PAY_ON_ARRIVAL
    if quote is not None and is_on_arrival:
        quote = on_arrival(quote)
    if hold.price_minor == 0:
        return FrozenTerms(quote, 0, None)
    # Not past the start; never less than the hold had.
    waits_until = max(held_until, min(now + terms.window, hold.starts_at))
    can_save = takes(terms.processor, hold.currency) and Capability.SAVED_METHODS in offers(terms.processor)
    if is_on_arrival:
        if not terms.accepts_pay_on_arrival:
            raise NotAllowed("pay_on_arrival_unavailable", "This has to be paid when it is booked: choose PAY_NOW.")
        needs_card = terms.card_required_for_arrival and can_save and not wish.is_walk_in
        if not needs_card or largest_fee(terms.policy, hold.price_minor) == 0:
            return FrozenTerms(quote, 0, None)
        if wish.consent is None:
            message = "A card is kept for the fees of cancelling late or not coming: agree to them with acceptsFees."
            raise NotAllowed("fee_consent_needed", message)
        return FrozenTerms(quote, 0, waits_until, kind="setup", consent=wish.consent)
    if not terms.accepts_pay_now or not takes(terms.processor, hold.currency):
        raise NotAllowed("pay_now_unavailable", "Online payment is not available here: choose PAY_ON_ARRIVAL.")
    due = hold.price_minor if quote is None else quote.due_now_minor
    if due == 0:
        return FrozenTerms(quote, 0, None)
    # Kept only where a fee may be more than what is paid already.
    is_kept = can_save and largest_fee(terms.policy, hold.price_minor) > due
    authorizes = wish.requires_approval and bool(_AUTHORIZING & offers(terms.processor))
    return FrozenTerms(
        quote,
        due,
        waits_until,
        capture=Capture.MANUAL if authorizes else Capture.AUTOMATIC,
        consent=wish.consent if is_kept else None,
    )


_AUTHORIZING = frozenset({Capability.GUESTS_PAGE, Capability.HOSTED_MANUAL_CAPTURE})


def put_terms(booking: Booking, frozen: FrozenTerms, terms: PaymentTerms) -> None:
    """Into a booking that is being made."""
    booking.policy = policy_to_json(terms.policy)
    booking.quote = None if frozen.quote is None else quote_to_json(frozen.quote)
    booking.paid_minor = booking.refunded_minor = booking.uncounted_minor = 0
    booking.has_saved_method = False
    if frozen.is_awaited:
        booking.status = BookingStatus.PENDING
        booking.expires_at = frozen.waits_until
    elif booking.price_minor == 0:
        booking.payment_status = PaymentStatus.PAID


def shares_of_booking(booking: Booking) -> Shares:
    """Whose the whole price is. Without a locked quote the organization keeps all of it."""
    if booking.quote is None:
        return shares_of(0, 0, {None: booking.price_minor})
    return quote_from_json(booking.quote).shares()


_INSERT = text(
    """
    WITH made AS (
        INSERT INTO payment (id, organization_id, booking_id, kind, processor, status, amount_minor, currency,
                             idempotency_key, expires_at, capture, consent, accepted_by, customer_ref, method_ref)
        VALUES (:id, :organization_id, :booking_id, :kind, :processor, 'created', :amount_minor, :currency,
                :idempotency_key, :expires_at, :capture, CAST(:consent AS jsonb), CAST(:accepted_by AS jsonb),
                :customer_ref, :method_ref)
        RETURNING created_at
    ), wanted AS (
        INSERT INTO job (id, organization_id, kind, args, run_after, max_attempts)
        VALUES (uuidv7(), :organization_id, :open_kind, CAST(:args AS jsonb), :open_after, :attempts),
               (uuidv7(), :organization_id, :end_kind, CAST(:args AS jsonb), :expires_at, :attempts)
    )
    SELECT created_at FROM made
    """
).bindparams(
    bindparam("expires_at", type_=TIMESTAMP(timezone=True)),
    bindparam("open_after", type_=TIMESTAMP(timezone=True)),
    bindparam("amount_minor", type_=BigInteger),
    bindparam("args", type_=Text),
    bindparam("consent", type_=Text),
    bindparam("accepted_by", type_=Text),
    bindparam("customer_ref", type_=Text),
    bindparam("method_ref", type_=Text),
)


@dataclass(frozen=True, slots=True)
class Planned:
    """A payment that is to be opened: as in Payment. `expires_at`: when it is ended. `customer_ref`, `method_ref`: of
    what it is to be charged to, where that was saved before."""

    amount_minor: int
    processor: str
    expires_at: datetime
    kind: str = "booking"
    capture: Capture = Capture.AUTOMATIC
    consent: dict[str, Any] | None = None
    accepted_by: dict[str, Any] | None = None
    customer_ref: str | None = None
    method_ref: str | None = None


async def plan_payment(tx: Tx, booking: Booking, planned: Planned, now: datetime) -> Payment:
    """The payment with its idempotency key, committed before anybody is asked; and who resumes and who ends it.

    One statement.
    """
    payment_id = new_id()
    key = f"turnero-{payment_id}"
    values = {
        "id": payment_id,
        "organization_id": booking.organization_id,
        "booking_id": booking.id,
        "kind": planned.kind,
        "processor": planned.processor,
        "amount_minor": planned.amount_minor,
        "currency": booking.currency,
        "idempotency_key": key,
        "expires_at": planned.expires_at,
        "capture": planned.capture.value,
        "consent": _json(planned.consent),
        "accepted_by": _json(planned.accepted_by),
        "customer_ref": planned.customer_ref,
        "method_ref": planned.method_ref,
        "open_kind": OPEN_PAYMENT,
        "end_kind": END_PAYMENT,
        "open_after": now + RESUME_AFTER,
        "attempts": JOB_ATTEMPTS,
        "args": f'{{"paymentId": "{payment_id}"}}',
    }
    created_at = (await tx.execute(_INSERT, values)).scalar_one()
    return Payment(
        id=payment_id,
        organization_id=booking.organization_id,
        booking_id=booking.id,
        kind=planned.kind,
        processor=planned.processor,
        status="created",
        amount_minor=planned.amount_minor,
        currency=booking.currency,
        captured_minor=0,
        refunded_minor=0,
        idempotency_key=key,
        attempts=0,
        disputes={},
        is_late=False,
        is_released=False,
        expires_at=planned.expires_at,
        capture=planned.capture.value,
        consent=planned.consent,
        accepted_by=planned.accepted_by,
        customer_ref=planned.customer_ref,
        method_ref=planned.method_ref,
        created_at=created_at,
        updated_at=created_at,
    )


def _json(value: dict[str, Any] | None) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


_END = text(
    """
    INSERT INTO job (id, organization_id, kind, args, max_attempts)
    SELECT uuidv7(), p.organization_id, :kind, jsonb_build_object('paymentId', p.id), :attempts FROM payment p
    WHERE p.booking_id = ANY (:bookings) AND p.kind <> 'fee'
      AND p.status IN ('created', 'open', 'failed', 'authorized', 'processing')
    """
)


async def end_live_payments(tx: Tx, booking_ids: list[UUID]) -> None:
    """Nobody shall pay for these bookings any more: a worker sees to it at the processor. One statement."""
    await tx.execute(_END, {"kind": END_PAYMENT, "attempts": JOB_ATTEMPTS, "bookings": booking_ids})
