"""The rest of the price, paid online by its customer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from app.commands.booking_change import Requester, lock_for_change
from app.commands.booking_payment import Planned, TakesPayment, plan_payment
from app.core.database import Tx
from app.core.tokens import TokenSigner
from app.domain.booking import BookingStatus
from app.domain.errors import NotAllowed
from app.domain.policy import ActorKind
from app.models import Payment
from app.queries.booking import SeenBooking, due_of
from app.queries.payment import LIVE, lock_payments
from app.queries.payment_terms import get_terms

BALANCE_WINDOW = timedelta(days=1)
"""So long one attempt stays open; another one may follow."""

_S = BookingStatus
_TAKES_BALANCE = frozenset({_S.CONFIRMED, _S.CHECKED_IN, _S.IN_PROGRESS, _S.COMPLETED})


@dataclass(frozen=True, slots=True)
class StartedBalance:
    """What the rest is paid with."""

    seen: SeenBooking
    payment: Payment


class OtherAmount(Exception):
    """Another amount is being paid online: that payment is ended first. Nothing was changed."""

    def __init__(self, payment: Payment, seen: SeenBooking) -> None:
        super().__init__(f"{payment.id} is for another amount")
        self.payment = payment
        self.seen = seen


async def start_balance(
    tx: Tx, signer: TokenSigner, booking_id: UUID, requester: Requester, *, takes: TakesPayment, now: datetime
) -> StartedBalance:
    """One at a time: while one is open, it is given again. Whatever becomes of it, the booking's state stays.

    Raises NotFound, NotAllowed, OtherAmount.
    """
    seen = await lock_for_change(tx, signer, booking_id, requester, None)
    booking = seen.booking
    if seen.viewer is not ActorKind.CUSTOMER:
        raise NotAllowed("customer_only", "Only its customer pays a booking online; cash is written down by the staff.")
    if BookingStatus(booking.status) not in _TAKES_BALANCE:
        raise NotAllowed("not_confirmed", "Nothing can be paid for this booking now.")
    due = due_of(booking)
    if due == 0:
        raise NotAllowed("nothing_due", "Nothing is due for this booking any more.")
    payments = [one for one in await lock_payments(tx, booking_id) if one.kind == "balance"]
    live = next((one for one in payments if one.status in LIVE), None)
    if live is not None:
        if live.amount_minor == due:
            return StartedBalance(seen, live)
        tx.expunge_all()  # they outlive the transaction, which is rolled back
        raise OtherAmount(live, seen)
    terms = await get_terms(tx, booking.organization_id)
    if not terms.accepts_pay_now or not takes(terms.processor, booking.currency):
        raise NotAllowed("pay_now_unavailable", "Online payment is not available here: pay at the venue.")
    planned = Planned(due, terms.processor, now + BALANCE_WINDOW, kind="balance")
    return StartedBalance(seen, await plan_payment(tx, booking, planned, now))
