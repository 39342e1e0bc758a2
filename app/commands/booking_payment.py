"""What a booking freezes of money when it is made, and the payment that it waits for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import BigInteger, Text, bindparam, text
from sqlalchemy.dialects.postgresql import TIMESTAMP

from app.core.database import Tx
from app.core.ids import new_id
from app.domain.booking import BookingStatus, PaymentMethod, PaymentStatus
from app.domain.errors import NotAllowed
from app.domain.price_quote import Quote, on_arrival
from app.domain.price_quote_codec import quote_from_json, quote_to_json
from app.domain.refund import policy_to_json
from app.domain.shares import Shares, shares_of
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


def takes_nothing(_processor: str, _currency: str) -> bool:
    """Where there is no processor."""
    return False


@dataclass(frozen=True, slots=True)
class FrozenTerms:
    """`due_minor`: to be paid before the booking is confirmed; 0: nothing. `waits_until`: for the payment."""

    quote: Quote | None
    due_minor: int
    waits_until: datetime | None

    @property
    def is_awaited(self) -> bool:
        return self.waits_until is not None


def freeze_terms(
    hold: Hold,
    method: PaymentMethod,
    terms: PaymentTerms,
    *,
    held_until: datetime,
    takes: TakesPayment,
    now: datetime,
) -> FrozenTerms:
    """What costs nothing is not paid: no method is refused, and no processor is needed.

    Raises NotAllowed for a method of payment that is not taken here.
    """
    quote = None if hold.quote is None else quote_from_json(hold.quote)
    is_on_arrival = method is PaymentMethod.PAY_ON_ARRIVAL
    if quote is not None and is_on_arrival:
        quote = on_arrival(quote)
    if hold.price_minor == 0:
        return FrozenTerms(quote, 0, None)
    if is_on_arrival:
        if not terms.accepts_pay_on_arrival:
            raise NotAllowed("pay_on_arrival_unavailable", "This has to be paid when it is booked: choose PAY_NOW.")
        return FrozenTerms(quote, 0, None)
    if not terms.accepts_pay_now or not takes(terms.processor, hold.currency):
        raise NotAllowed("pay_now_unavailable", "Online payment is not available here: choose PAY_ON_ARRIVAL.")
    due = hold.price_minor if quote is None else quote.due_now_minor
    if due == 0:
        return FrozenTerms(quote, 0, None)
    # Not past the start; never less than the hold had.
    waits_until = max(held_until, min(now + terms.window, hold.starts_at))
    return FrozenTerms(quote, due, waits_until)


def put_terms(booking: Booking, frozen: FrozenTerms, terms: PaymentTerms) -> None:
    """Into a booking that is being made."""
    booking.policy = policy_to_json(terms.policy)
    booking.quote = None if frozen.quote is None else quote_to_json(frozen.quote)
    booking.paid_minor = booking.refunded_minor = 0
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
                             idempotency_key, expires_at)
        VALUES (:id, :organization_id, :booking_id, 'booking', :processor, 'created', :amount_minor, :currency,
                :idempotency_key, :expires_at)
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
)


async def plan_payment(tx: Tx, booking: Booking, amount_minor: int, processor: str, now: datetime) -> Payment:
    """The payment with its idempotency key, committed before anybody is asked; and who resumes and who ends it.

    One statement.
    """
    assert booking.expires_at is not None
    payment_id = new_id()
    key = f"turnero-{payment_id}"
    values = {
        "id": payment_id,
        "organization_id": booking.organization_id,
        "booking_id": booking.id,
        "processor": processor,
        "amount_minor": amount_minor,
        "currency": booking.currency,
        "idempotency_key": key,
        "expires_at": booking.expires_at,
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
        kind="booking",
        processor=processor,
        status="created",
        amount_minor=amount_minor,
        currency=booking.currency,
        captured_minor=0,
        refunded_minor=0,
        idempotency_key=key,
        attempts=0,
        disputes={},
        is_late=False,
        is_released=False,
        expires_at=booking.expires_at,
        created_at=created_at,
        updated_at=created_at,
    )


_END = text(
    """
    INSERT INTO job (id, organization_id, kind, args, max_attempts)
    SELECT uuidv7(), p.organization_id, :kind, jsonb_build_object('paymentId', p.id), :attempts FROM payment p
    WHERE p.booking_id = ANY (:bookings) AND p.kind = 'booking'
      AND p.status IN ('created', 'open', 'failed', 'authorized', 'processing')
    """
)


async def end_live_payments(tx: Tx, booking_ids: list[UUID]) -> None:
    """Nobody shall pay for these bookings any more: a worker sees to it at the processor. One statement."""
    await tx.execute(_END, {"kind": END_PAYMENT, "attempts": JOB_ATTEMPTS, "bookings": booking_ids})
