"""Staff give money back: a part or all of it, with a reason."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from app.commands.booking_change import Requester, acting, lock_for_change, write_change
from app.commands.refund import ask_refund, captures_of
from app.core.database import Tx
from app.core.tokens import TokenSigner
from app.domain.errors import InvalidInput, NotAllowed
from app.domain.policy import ActorKind
from app.domain.refund import refundable
from app.queries.booking import SeenBooking
from app.queries.payment import list_refunds, lock_payments

_MAY_REFUND = frozenset({ActorKind.STAFF, ActorKind.ADMIN, ActorKind.OWNER})


@dataclass(frozen=True, slots=True)
class RefundBookingRequest:
    """`amount_minor` none: all that is left."""

    booking_id: UUID
    amount_minor: int | None
    reason: str
    expected_version: int | None


async def refund_booking(
    tx: Tx, signer: TokenSigner, request: RefundBookingRequest, requester: Requester
) -> SeenBooking:
    """Asked for at once, made by a worker. The booking's state stays, unless it is over and all is returned.

    Raises NotFound, StaleVersion, NotAllowed, InvalidInput.
    """
    seen = await lock_for_change(tx, signer, request.booking_id, requester, request.expected_version)
    if seen.viewer not in _MAY_REFUND:
        raise NotAllowed("staff_only", "Only the staff can give money back.")
    if not request.reason:
        raise InvalidInput.at("input.reason", "is needed to give money back")
    booking = seen.booking
    tx.expunge(booking)
    payments = await lock_payments(tx, booking.id)
    refunds = await list_refunds(tx, booking.id)
    left = refundable(captures_of(payments, refunds))
    if left == 0:
        raise NotAllowed("nothing_to_refund", "Nothing that was paid for this booking is left to give back.")
    amount = left if request.amount_minor is None else request.amount_minor
    before = booking.refunded_minor
    actor = acting(requester.actor, seen.viewer)
    await ask_refund(tx, booking, payments, refunds, amount, cause="staff", reason=request.reason, actor=actor)
    after, booking.refunded_minor = booking.refunded_minor, before
    await write_change(
        tx,
        booking,
        {"refunded_minor": after},
        actor,
        action="booking.refund_asked",
        reason=request.reason,
        step=None,
    )
    return seen
