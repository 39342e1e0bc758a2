"""Reconciliation: what can differ between our books and a processor's, and what to do about each.

Everything is compared by *subject*: one payment of ours with all that the processor has under its id, one payout with
all its transfers, one booking with its own books. What was found of a subject is all there is of it: what is found no
more is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from uuid import UUID

UNDER_WAY = timedelta(minutes=10)
"""What is younger may still be on its way by itself."""

Fact = str | int | bool | None
Facts = Mapping[str, Fact]


class DifferenceKind(StrEnum):
    PAYMENT_BEHIND = "payment_behind"
    PAYMENT_NOT_OPENED = "payment_not_opened"
    PAYMENT_OVERDUE = "payment_overdue"
    PAYMENT_MISSING_THERE = "payment_missing_there"
    PAYMENT_UNKNOWN_HERE = "payment_unknown_here"
    PAYMENT_TWICE = "payment_twice"
    PAYMENT_AMOUNT = "payment_amount"
    PAYMENT_CURRENCY = "payment_currency"
    PAYMENT_CAPTURED = "payment_captured"
    PAYMENT_OVERPAID = "payment_overpaid"
    REFUND_NOT_MADE = "refund_not_made"
    REFUND_SLOW = "refund_slow"
    REFUND_MISSING_THERE = "refund_missing_there"
    REFUND_AMOUNT = "refund_amount"
    PAYOUT_NOT_SENT = "payout_not_sent"
    PAYOUT_MISSING_THERE = "payout_missing_there"
    PAYOUT_TWICE = "payout_twice"
    PAYOUT_AMOUNT = "payout_amount"
    PAYOUT_CURRENCY = "payout_currency"
    PAYOUT_ACCOUNT = "payout_account"
    PAYOUT_REVERSED = "payout_reversed"
    TRANSFER_UNKNOWN_HERE = "transfer_unknown_here"
    BOOKING_PAID = "booking_paid"
    BOOKING_REFUNDED = "booking_refunded"
    CAPTURE_NOT_BOOKED = "capture_not_booked"
    REFUND_NOT_BOOKED = "refund_not_booked"
    LEDGER_UNBALANCED = "ledger_unbalanced"
    LEDGER_NEGATIVE = "ledger_negative"
    MONEY_LEFT = "money_left"
    CONFIRMED_UNPAID = "confirmed_unpaid"
    OWED_DIFFERS = "owed_differs"


_K = DifferenceKind

HEALS_ITSELF = frozenset(
    {
        _K.PAYMENT_BEHIND,
        _K.PAYMENT_NOT_OPENED,
        _K.PAYMENT_OVERDUE,
        _K.REFUND_NOT_MADE,
        _K.PAYOUT_NOT_SENT,
        _K.PAYOUT_REVERSED,
    }
)
"""The ordinary way, walked again, is all that these need; an open one is one that it could not mend."""

_AGAIN = "Nothing: it is done again with every run. If it stays open, look at the log for why it fails."
SUGGESTIONS: Mapping[DifferenceKind, str] = MappingProxyType(
    {
        **dict.fromkeys(HEALS_ITSELF, _AGAIN),
        _K.PAYMENT_MISSING_THERE: "Is the key of another account, or of the other mode? If the payment was never made "
        "there, nobody paid: end the booking, or ask for the money again.",
        _K.PAYMENT_UNKNOWN_HERE: "Was it made by hand, or is the database older than the payment? Give it back at the "
        "processor unless somebody knows what it is for.",
        _K.PAYMENT_TWICE: "Give the second payment back at the processor, or cancel it there if it is unpaid.",
        _K.PAYMENT_AMOUNT: "Somebody changed the amount at the processor. Take or give back the rest there.",
        _K.PAYMENT_CURRENCY: "Give it back at the processor: nothing here can count it.",
        _K.PAYMENT_CAPTURED: "Compare the payment's charges at the processor with the booking's ledger, and tell us.",
        _K.PAYMENT_OVERPAID: "The guest paid more than was asked for, on two open pages, say. The excess goes back "
        "by itself: look at the booking's refunds, and give it in another way if that failed.",
        _K.REFUND_SLOW: "Ask the processor: the guest's bank does not take it. If it fails, give it in another way.",
        _K.REFUND_MISSING_THERE: "The processor does not know it. Make it there by hand, or tell the guest.",
        _K.REFUND_AMOUNT: "Compare with the processor; give the rest back by refundBooking.",
        _K.PAYOUT_MISSING_THERE: "The provider did not get it: is the key of another account? Pay by hand.",
        _K.PAYOUT_TWICE: "Reverse the second transfer at the processor.",
        _K.PAYOUT_AMOUNT: "Reverse the excess, or transfer the rest, at the processor.",
        _K.PAYOUT_CURRENCY: "Reverse it at the processor, and transfer it in the right currency.",
        _K.PAYOUT_ACCOUNT: "It went to another account than it was meant for: reverse it at the processor.",
        _K.TRANSFER_UNKNOWN_HERE: "Somebody sent money to a provider by hand, or a payout was sent that was given up. "
        "Was it for bookings here, which would be paid twice? Hold the provider's payouts, or reverse it.",
        _K.BOOKING_PAID: "The booking does not say what its payments say. Keep the rows, and tell us.",
        _K.BOOKING_REFUNDED: "The booking, its payments and its refunds disagree. Keep the rows, and tell us.",
        _K.CAPTURE_NOT_BOOKED: "Money came in (or went back in cash) without a journal. Keep the rows, and tell us.",
        _K.REFUND_NOT_BOOKED: "Money went back without a journal. Keep the rows, and tell us.",
        _K.LEDGER_UNBALANCED: "PostgreSQL refuses such a journal: somebody changed the ledger around it. Restore it.",
        _K.LEDGER_NEGATIVE: "More left an account than was in it. Keep the rows, and tell us.",
        _K.MONEY_LEFT: "The booking is over, and its money is neither returned nor anybody's: refundBooking.",
        _K.CONFIRMED_UNPAID: "Confirmed as paid online, and nothing was paid: ask the guest, or cancel it.",
        _K.OWED_DIFFERS: "What the provider is owed is not what the ledger says. Hold the payouts, and tell us.",
    }
)


@dataclass(frozen=True, slots=True)
class Difference:
    """`ours` and `theirs`: what each side says, for a person and to tell whether it is still the same."""

    kind: DifferenceKind
    our_kind: str | None = None
    our_id: UUID | None = None
    their_id: str | None = None
    ours: Facts = field(default_factory=dict)
    theirs: Facts = field(default_factory=dict)

    @property
    def heals_itself(self) -> bool:
        return self.kind in HEALS_ITSELF


def payment_subject(payment_id: UUID) -> str:
    return f"payment:{payment_id}"


def payout_subject(payout_id: UUID) -> str:
    return f"payout:{payout_id}"


def transfer_subject(processor_id: str) -> str:
    return f"transfer:{processor_id}"


def booking_subject(booking_id: UUID) -> str:
    return f"booking:{booking_id}"
