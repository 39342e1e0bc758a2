"""What follows for a booking from its money: steps of the state machine, the payment's state, and what is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text, update

from app.commands.actor import Actor
from app.commands.journal import Audit, Event, Transition, write_journal
from app.core.database import Tx
from app.domain.booking import FREE, HELD, TRANSITIONS, BookingStatus, PaymentStatus
from app.domain.payment import IntentPhase, SeenIntent, payment_status
from app.domain.payment_codec import intent_from_json
from app.models import Booking, Payment, Refund
from app.queries.payment import AWAITED, LIVE

EXCESS = "late_payment"
"""Why what was paid twice goes back, too: nobody waited for it any more."""

_CONFIRM = text("SELECT confirm_booking_claims(:booking_id)")

_RELEASE_TIME = text("SELECT release_booking_time(:booking_id, 'RELEASED')")

_FIELDS = (
    "status",
    "payment_status",
    "paid_minor",
    "refunded_minor",
    "uncounted_minor",
    "has_saved_method",
    "expires_at",
)


@dataclass(slots=True)
class BookingSteps:
    """Collects what becomes of a booking whose row the caller has; `write_steps` writes it at once.

    `booking` belongs to no session, so that nothing is written before. `action`, `reason`: of its audit entry.
    """

    booking: Booking
    actor: Actor
    action: str = "booking.payment"
    reason: str | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    transitions: list[Transition] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    before: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.before = {name: getattr(self.booking, name) for name in _FIELDS}

    def go(self, to: BookingStatus, reason: str | None = None) -> None:
        """One step of the table."""
        start = BookingStatus(self.booking.status)
        if to not in TRANSITIONS[start]:
            raise ValueError(f"{start} does not become {to}")
        self.transitions.append(Transition(self.booking.id, start.value, to.value, reason))
        self.booking.status = to.value

    def note(self, facts: dict[str, Any]) -> None:
        """Beside the booking's own fields, in the audit entry."""
        self.notes |= facts

    def tell(self, event: str, payment: Payment) -> None:
        """Something about a payment, told under its booking."""
        amount = {"paymentId": str(payment.id), "amountMinor": payment.captured_minor, "currency": payment.currency}
        self.events.append(Event(event, self.booking.id, amount))


async def steps_of_payment(tx: Tx, steps: BookingSteps, payment: Payment, seen: SeenIntent) -> None:
    """PENDING and PAYMENT_FAILED follow the payment; success takes the time that was held."""
    booking = steps.booking
    if payment.kind not in AWAITED or BookingStatus(booking.status) not in HELD:
        return
    if seen.phase in {IntentPhase.SUCCEEDED, IntentPhase.AUTHORIZED}:
        if not (await tx.execute(_CONFIRM, {"booking_id": booking.id})).scalar_one():
            raise RuntimeError(f"booking {booking.id} waits for its payment without any time")
        if booking.status == BookingStatus.PAYMENT_FAILED:
            steps.go(BookingStatus.PENDING)
        is_accepted = not booking.requires_approval or payment.accepted_by is not None
        steps.go(BookingStatus.CONFIRMED if is_accepted else BookingStatus.AWAITING_PROVIDER)
        booking.expires_at = None
    elif seen.phase is IntentPhase.FAILED and booking.status == BookingStatus.PENDING:
        steps.go(BookingStatus.PAYMENT_FAILED, payment.decline_message)
        steps.tell("payment.failed", payment)
    elif (
        seen.phase in {IntentPhase.NEEDS_ACTION, IntentPhase.PROCESSING}
        and booking.status == BookingStatus.PAYMENT_FAILED
    ):
        steps.go(BookingStatus.PENDING)


_RETURNED_FROM = frozenset(start for start, targets in TRANSITIONS.items() if BookingStatus.REFUNDED in targets)
_KEEPS_TIME = _RETURNED_FROM - FREE


def end_of_money(steps: BookingSteps, payments: Sequence[Payment], refunds: Sequence[Refund]) -> None:
    """The payment's state, and REFUNDED once all that was paid is returned."""
    booking = steps.booking
    booking.payment_status = status_of_money(booking, payments, refunds).value
    status = BookingStatus(booking.status)
    if status in _RETURNED_FROM and is_all_returned(status, payments, refunds):
        steps.go(BookingStatus.REFUNDED)


def status_of_money(booking: Booking, payments: Sequence[Payment], refunds: Sequence[Refund]) -> PaymentStatus:
    """Of its price: fees are beside it, and so is cash whose entry was put right."""
    seen = [intent_from_json(one.seen) for one in payments if one.seen is not None and _is_of_the_price(one, payments)]
    cash = sum(one.captured_minor for one in payments if one.kind == "cash")
    of_cash = {one.id for one in payments if one.kind == "cash"}
    back = [one for one in refunds if one.payment_id in of_cash and one.status == "succeeded"]
    corrected = sum(one.amount_minor for one in back if one.cause == "correction")
    returned = sum(one.amount_minor for one in back) - corrected
    # What came in twice and went back once is as if it had come in once.
    twice = _returned_excess(payments, refunds)
    return payment_status(
        seen, booking.price_minor, cash_minor=cash - corrected - twice, cash_returned_minor=returned - twice
    )


def _returned_excess(payments: Sequence[Payment], refunds: Sequence[Refund]) -> int:
    overpaid = {one.id for one in payments if one.captured_minor > one.amount_minor and not one.is_late}
    back = [one for one in refunds if one.payment_id in overpaid and one.cause == EXCESS and one.status == "succeeded"]
    return sum(one.amount_minor for one in back)


def _is_of_the_price(payment: Payment, payments: Sequence[Payment]) -> bool:
    """Is this attempt to be seen in the booking's payment state?"""
    if payment.captured_minor:
        others = any(one.captured_minor and not one.is_late for one in payments if one is not payment)
        return payment.kind in {"booking", "balance"} and not (payment.is_late and others)
    return payment.kind == "booking" or (payment.kind == "balance" and payment.status == "processing")


def is_all_returned(status: BookingStatus, payments: Sequence[Payment], refunds: Sequence[Refund]) -> bool:
    """Did all arrive back that was paid for a booking in this state? Of one that was served: of its price.

    Not while a fee is still to be charged.
    """
    of_price = status is BookingStatus.COMPLETED
    if not of_price and any(one.kind == "fee" and one.status in LIVE for one in payments):
        return False
    counted = {one.id: one for one in payments if not (of_price and (one.kind == "fee" or one.is_late))}
    arrived = [one for one in refunds if one.status == "succeeded" and one.payment_id in counted]
    paid = sum(one.captured_minor for one in counted.values())
    returned = sum(one.amount_minor - one.excess_minor for one in arrived)
    corrected = sum(one.amount_minor for one in arrived if one.cause == "correction")
    return paid > corrected and returned >= paid


async def write_steps(tx: Tx, steps: BookingSteps) -> None:
    """The booking's row, history, audit and events, if anything changed. Two statements."""
    booking = steps.booking
    if BookingStatus(steps.before["status"]) in _KEEPS_TIME and booking.status == BookingStatus.REFUNDED:
        await tx.execute(_RELEASE_TIME, {"booking_id": booking.id})
    values = {name: getattr(booking, name) for name in _FIELDS if getattr(booking, name) != steps.before[name]}
    before = {name: steps.before[name] for name in values}
    after = {**values, **steps.notes}
    if values:
        before["version"] = booking.version
        row = (
            await tx.execute(
                update(Booking)
                .where(Booking.id == booking.id)
                .values(**values)
                .returning(Booking.version, Booking.updated_at)
                .execution_options(synchronize_session=False)
            )
        ).one()
        booking.version, booking.updated_at = row.version, row.updated_at
        after["version"] = booking.version
    if not values and not steps.events:
        return
    facts = {"version": booking.version, "status": booking.status}
    told = [Event(f"booking.{one.to_status}", booking.id, facts) for one in steps.transitions]
    if values and not steps.transitions:
        told = [Event("booking.payment_changed", booking.id, {**facts, "paymentStatus": booking.payment_status})]
    await write_journal(
        tx,
        booking.organization_id,
        steps.actor,
        transitions=steps.transitions,
        audit=[Audit(steps.action, booking.id, before, after, steps.reason)] if after else [],
        events=[*told, *steps.events],
    )
