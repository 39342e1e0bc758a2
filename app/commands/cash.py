"""Cash: taken by the staff for what is due, and handed back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app.commands.actor import Actor
from app.commands.booking_change import Requester, acting, lock_for_change
from app.commands.booking_payment import end_live_payments
from app.commands.ledger import post_journal
from app.commands.payment_booking import BookingSteps, end_of_money, write_steps
from app.commands.payment_landed import part_of_price
from app.commands.refund import captures_of, put_refund
from app.core.database import Tx
from app.core.ids import new_id
from app.core.tokens import TokenSigner
from app.domain.booking import FREE, BookingStatus
from app.domain.errors import InvalidInput, NotAllowed
from app.domain.ledger_journals import BookingBooks
from app.domain.money import format_amount
from app.domain.policy import STAFF_ROLES
from app.domain.refund import allocate_refund, refundable
from app.domain.shares import shares_from_json, shares_to_json
from app.models import Booking, Payment, Provider, Refund
from app.queries.booking import SeenBooking, due_of
from app.queries.payment import LIVE, list_refunds, lock_payments

_S = BookingStatus
_TAKES_CASH = frozenset({_S.CONFIRMED, _S.CHECKED_IN, _S.IN_PROGRESS, _S.COMPLETED})


@dataclass(frozen=True, slots=True)
class RecordCashRequest:
    """`amount_minor` none: all that is due. `keeper_id`: the provider who keeps it; none: the venue's till."""

    booking_id: UUID
    amount_minor: int | None
    keeper_id: UUID | None
    expected_version: int | None


@dataclass(frozen=True, slots=True)
class ReturnCashRequest:
    """`amount_minor` none: what waits to be handed back, or else all that is left of the cash."""

    booking_id: UUID
    amount_minor: int | None
    reason: str
    expected_version: int | None


async def record_cash(
    tx: Tx, signer: TokenSigner, request: RecordCashRequest, requester: Requester, now: datetime
) -> SeenBooking:
    """Never more than is due. Raises NotFound, StaleVersion, NotAllowed, InvalidInput."""
    seen = await _staff(tx, signer, request.booking_id, requester, request.expected_version)
    booking = seen.booking
    _refuse_state(BookingStatus(booking.status))
    amount = _amount_due(booking, request.amount_minor)
    if request.keeper_id is not None and await tx.get(Provider, request.keeper_id) is None:
        raise InvalidInput.at("input.providerId", "is no provider here")
    tx.expunge(booking)
    payments = await lock_payments(tx, booking.id)
    refunds = await list_refunds(tx, booking.id)
    steps = BookingSteps(booking, acting(requester.actor, seen.viewer), action="booking.cash_paid")
    shares = part_of_price(booking, payments, refunds, amount)
    cash = _cash(booking, amount, request.keeper_id, now)
    cash.shares = shares_to_json(shares)
    tx.add(cash)
    booking.paid_minor += amount
    journal = BookingBooks(booking.id, booking.currency).cash_paid(shares, request.keeper_id)
    await post_journal(tx, booking.organization_id, journal, str(cash.id))
    if any(one.kind == "balance" and one.status in LIVE and one.amount_minor > due_of(booking) for one in payments):
        await end_live_payments(tx, [booking.id])
    end_of_money(steps, [*payments, cash], refunds)
    keeper = None if request.keeper_id is None else str(request.keeper_id)
    steps.note({"cashMinor": amount, "keeperId": keeper})
    steps.tell("payment.cash_received", cash)
    await write_steps(tx, steps)
    return seen


async def _staff(
    tx: Tx, signer: TokenSigner, booking_id: UUID, requester: Requester, expected_version: int | None
) -> SeenBooking:
    seen = await lock_for_change(tx, signer, booking_id, requester, expected_version)
    if seen.viewer not in STAFF_ROLES:
        raise NotAllowed("staff_only", "Only the staff can write cash down.")
    return seen


def _refuse_state(status: BookingStatus) -> None:
    if status in FREE:
        raise NotAllowed("booking_over", "Nothing is due for a booking that is over.")
    if status not in _TAKES_CASH:
        raise NotAllowed("not_confirmed", "This booking is not confirmed yet: cash can be taken once it is.")


def _amount_due(booking: Booking, wanted: int | None) -> int:
    due = due_of(booking)
    if due == 0:
        raise NotAllowed("nothing_due", "Nothing is due for this booking any more.")
    amount = due if wanted is None else wanted
    if amount < 1:
        raise InvalidInput.at("input.amountMinor", "must be at least one minor unit")
    if amount > due:
        left = f"{format_amount(due, booking.currency)} {booking.currency}"
        raise InvalidInput.at("input.amountMinor", f"is more than is due: {left}")
    return amount


def _cash(booking: Booking, amount_minor: int, keeper_id: UUID | None, now: datetime) -> Payment:
    """It is nobody's escrow: in the till it is the organization's, with a provider it is paid out already."""
    payment_id = new_id()
    return Payment(
        id=payment_id,
        organization_id=booking.organization_id,
        booking_id=booking.id,
        kind="cash",
        processor="cash",
        status="succeeded",
        amount_minor=amount_minor,
        currency=booking.currency,
        captured_minor=amount_minor,
        refunded_minor=0,
        idempotency_key=f"cash-{payment_id}",
        disputes={},
        is_late=False,
        is_released=True,
        keeper_id=keeper_id,
        captured_at=now,
    )


# ── handed back ───────────────────────────────────────────────────────────────────────────────────────


async def return_cash(
    tx: Tx, signer: TokenSigner, request: ReturnCashRequest, requester: Requester, now: datetime
) -> SeenBooking:
    """What a refund asked for is handed back first. Beyond that, cash of a booking that goes on is due again.

    Raises NotFound, StaleVersion, NotAllowed, InvalidInput.
    """
    seen = await _staff(tx, signer, request.booking_id, requester, request.expected_version)
    if not request.reason:
        raise InvalidInput.at("input.reason", "is needed to hand cash back")
    booking = seen.booking
    tx.expunge(booking)
    payments = await lock_payments(tx, booking.id)
    refunds = await list_refunds(tx, booking.id)
    actor = acting(requester.actor, seen.viewer)
    steps = BookingSteps(booking, actor, action="booking.cash_returned", reason=request.reason)
    handed = await _hand_back(tx, booking, payments, refunds, request=request, actor=actor)
    by_id = {one.id: one for one in payments}
    books = BookingBooks(booking.id, booking.currency)
    for refund in handed:
        refund.status, refund.settled_at = "succeeded", now
        journal = books.cash_returned(shares_from_json(refund.shares), by_id[refund.payment_id].keeper_id)
        await post_journal(tx, booking.organization_id, journal, str(refund.id))
        steps.tell("payment.cash_returned", by_id[refund.payment_id])
    steps.note({"cashMinor": -sum(one.amount_minor for one in handed)})
    end_of_money(steps, payments, [*(one for one in refunds if one not in handed), *handed])
    await write_steps(tx, steps)
    return seen


async def _hand_back(
    tx: Tx,
    booking: Booking,
    payments: Sequence[Payment],
    refunds: Sequence[Refund],
    *,
    request: ReturnCashRequest,
    actor: Actor,
) -> list[Refund]:
    cash = [one for one in payments if one.kind == "cash"]
    waiting = [one for one in refunds if one.status == "created" and any(one.payment_id == c.id for c in cash)]
    asked = sum(one.amount_minor for one in waiting)
    captures = captures_of(cash, refunds)
    left = refundable(captures)
    if asked + left == 0:
        raise NotAllowed("no_cash", "No cash that was taken for this booking is left to hand back.")
    amount = (asked or left) if request.amount_minor is None else request.amount_minor
    if not max(1, asked) <= amount <= asked + left:
        raise InvalidInput.at("input.amountMinor", _bounds(booking, max(1, asked), asked + left))
    if amount == asked:
        return waiting
    is_over = BookingStatus(booking.status) in FREE
    fresh = []
    for part in allocate_refund(captures, amount - asked):
        payment = next(one for one in cash if one.id == part.capture.id)
        cause = "staff" if is_over else "correction"
        refund = await put_refund(tx, booking, payment, part.shares, cause=cause, reason=request.reason, actor=actor)
        fresh.append(refund)
    if not is_over:
        booking.uncounted_minor += amount - asked
    return [*waiting, *fresh]


def _bounds(booking: Booking, least: int, most: int) -> str:
    lower, upper = (format_amount(one, booking.currency) for one in (least, most))
    return f"must be {lower} to {upper} {booking.currency}: what waits to be handed back is handed back whole"
