"""Staff let a customer off a fee: what was kept or charged goes back, what is not charged yet never will be."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.commands.actor import Actor
from app.commands.booking_change import Requester, acting, lock_for_change
from app.commands.fee import event_of, return_charge
from app.commands.payment_booking import BookingSteps, write_steps
from app.commands.refund import ask_refund, captures_of
from app.core.database import Tx
from app.core.tokens import TokenSigner
from app.domain.errors import InvalidInput, NotAllowed
from app.domain.fees import FeeStatus
from app.domain.policy import STAFF_ROLES
from app.domain.refund import refundable
from app.models import Booking, BookingFee, Payment
from app.queries.booking import SeenBooking
from app.queries.fee import live_fee
from app.queries.payment import list_refunds, lock_payments


@dataclass(frozen=True, slots=True)
class WaiveFeeRequest:
    booking_id: UUID
    reason: str
    expected_version: int | None


async def waive_fee(
    tx: Tx, signer: TokenSigner, request: WaiveFeeRequest, requester: Requester, now: datetime
) -> SeenBooking:
    """Raises NotFound, StaleVersion, NotAllowed, InvalidInput."""
    seen = await lock_for_change(tx, signer, request.booking_id, requester, request.expected_version)
    if seen.viewer not in STAFF_ROLES:
        raise NotAllowed("staff_only", "Only the staff can waive a fee.")
    if not request.reason:
        raise InvalidInput.at("input.reason", "is needed to waive a fee")
    booking = seen.booking
    tx.expunge(booking)
    payments = await lock_payments(tx, booking.id)
    fee = await live_fee(tx, booking.id)
    if fee is None:
        raise NotAllowed("no_fee", "This booking has no fee that could be waived.")
    actor = acting(requester.actor, seen.viewer)
    steps = BookingSteps(booking, actor, action="booking.fee_waived", reason=request.reason)
    await _give_back(tx, booking, fee, payments, reason=request.reason, actor=actor)
    fee.status, fee.reason, fee.settled_at = FeeStatus.WAIVED, request.reason, now
    steps.note({"feeStatus": fee.status})
    steps.events.append(event_of(fee))
    await write_steps(tx, steps)
    return seen


async def _give_back(
    tx: Tx, booking: Booking, fee: BookingFee, payments: list[Payment], *, reason: str, actor: Actor
) -> None:
    refunds = await list_refunds(tx, booking.id)
    await return_charge(tx, booking, fee, payments, refunds, reason=reason, actor=actor)
    of_price = [one for one in payments if one.id != fee.payment_id]
    kept = min(fee.kept_minor, refundable(captures_of(of_price, refunds)))
    if kept:
        await ask_refund(tx, booking, of_price, refunds, kept, cause="fee", reason=reason, actor=actor)
