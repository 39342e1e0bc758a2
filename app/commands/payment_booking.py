"""What follows for a booking from its money: steps of the state machine, the payment's state, and what is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text, update

from app.commands.actor import Actor
from app.commands.journal import Audit, Event, Transition, write_journal
from app.core.database import Tx
from app.domain.booking import HELD, TRANSITIONS, BookingStatus
from app.domain.payment import IntentPhase, SeenIntent, payment_status
from app.domain.payment_codec import intent_from_json
from app.models import Booking, Payment, Refund

_CONFIRM = text("SELECT confirm_booking_claims(:booking_id)")

_FIELDS = ("status", "payment_status", "paid_minor", "refunded_minor", "expires_at")


@dataclass(slots=True)
class BookingSteps:
    """Collects what becomes of a booking whose row the caller has; `write_steps` writes it at once.

    `booking` belongs to no session, so that nothing is written before.
    """

    booking: Booking
    actor: Actor
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

    def tell(self, event: str, payment: Payment) -> None:
        """Something about a payment, told under its booking."""
        amount = {"paymentId": str(payment.id), "amountMinor": payment.captured_minor, "currency": payment.currency}
        self.events.append(Event(event, self.booking.id, amount))


async def steps_of_payment(tx: Tx, steps: BookingSteps, payment: Payment, seen: SeenIntent) -> None:
    """PENDING and PAYMENT_FAILED follow the payment; success takes the time that was held."""
    booking = steps.booking
    if payment.kind != "booking" or BookingStatus(booking.status) not in HELD:
        return
    if seen.phase in {IntentPhase.SUCCEEDED, IntentPhase.AUTHORIZED}:
        if not (await tx.execute(_CONFIRM, {"booking_id": booking.id})).scalar_one():
            raise RuntimeError(f"booking {booking.id} waits for its payment without any time")
        if booking.status == BookingStatus.PAYMENT_FAILED:
            steps.go(BookingStatus.PENDING)
        steps.go(BookingStatus.AWAITING_PROVIDER if booking.requires_approval else BookingStatus.CONFIRMED)
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


def end_of_money(steps: BookingSteps, payments: Sequence[Payment], refunds: Sequence[Refund]) -> None:
    """The payment's state, and REFUNDED once all that was paid is returned."""
    booking = steps.booking
    seen = [intent_from_json(one.seen) for one in payments if one.seen is not None]
    booking.payment_status = payment_status(seen, booking.price_minor).value
    returned = sum(one.amount_minor for one in refunds if one.status == "succeeded")
    status = BookingStatus(booking.status)
    if booking.paid_minor and returned >= booking.paid_minor and status in _RETURNED_FROM:
        steps.go(BookingStatus.REFUNDED)


async def write_steps(tx: Tx, steps: BookingSteps) -> None:
    """The booking's row, history, audit and events, if anything changed. Two statements."""
    booking = steps.booking
    values = {name: getattr(booking, name) for name in _FIELDS if getattr(booking, name) != steps.before[name]}
    if values:
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
    if not values and not steps.events:
        return
    before = {name: steps.before[name] for name in values}
    facts = {"version": booking.version, "status": booking.status}
    told = [Event(f"booking.{one.to_status}", booking.id, facts) for one in steps.transitions]
    if values and not steps.transitions:
        told = [Event("booking.payment_changed", booking.id, {**facts, "paymentStatus": booking.payment_status})]
    await write_journal(
        tx,
        booking.organization_id,
        steps.actor,
        transitions=steps.transitions,
        audit=[Audit("booking.payment", booking.id, before, values)] if values else [],
        events=[*told, *steps.events],
    )
