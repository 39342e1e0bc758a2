"""What a booking can be, and the only steps between its states."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from app.domain.state_table import state_table_faults


class BookingStatus(StrEnum):
    """Values are those of the database's enum; names those of the contract."""

    PENDING = "pending"
    PAYMENT_FAILED = "payment_failed"
    AWAITING_PROVIDER = "awaiting_provider"
    CONFIRMED = "confirmed"
    CHECKED_IN = "checked_in"
    IN_PROGRESS = "in_progress"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    NO_SHOW = "no_show"
    REFUNDED = "refunded"
    EXPIRED = "expired"


class PaymentStatus(StrEnum):
    UNPAID = "unpaid"
    AUTHORIZED = "authorized"
    PROCESSING = "processing"
    PARTIALLY_PAID = "partially_paid"
    PAID = "paid"
    PARTIALLY_REFUNDED = "partially_refunded"
    REFUNDED = "refunded"
    FAILED = "failed"
    DISPUTED = "disputed"


class PaymentMethod(StrEnum):
    PAY_NOW = "pay_now"
    PAY_ON_ARRIVAL = "pay_on_arrival"


class HoldStatus(StrEnum):
    ACTIVE = "active"
    CONSUMED = "consumed"
    RELEASED = "released"
    EXPIRED = "expired"


_S = BookingStatus

TRANSITIONS: Mapping[BookingStatus, frozenset[BookingStatus]] = MappingProxyType(
    {
        _S.PENDING: frozenset({_S.CONFIRMED, _S.AWAITING_PROVIDER, _S.PAYMENT_FAILED, _S.CANCELLED, _S.EXPIRED}),
        _S.PAYMENT_FAILED: frozenset({_S.PENDING, _S.CANCELLED, _S.EXPIRED}),
        _S.AWAITING_PROVIDER: frozenset({_S.CONFIRMED, _S.CANCELLED, _S.EXPIRED, _S.PAYMENT_FAILED}),
        _S.CONFIRMED: frozenset(
            {_S.CHECKED_IN, _S.IN_PROGRESS, _S.COMPLETED, _S.CANCELLED, _S.NO_SHOW, _S.AWAITING_PROVIDER}
        ),
        _S.CHECKED_IN: frozenset({_S.IN_PROGRESS, _S.COMPLETED, _S.CANCELLED}),
        _S.IN_PROGRESS: frozenset({_S.COMPLETED, _S.CANCELLED}),
        _S.COMPLETED: frozenset({_S.REFUNDED, _S.NO_SHOW}),  # no-show: a correction
        _S.CANCELLED: frozenset({_S.REFUNDED}),
        _S.NO_SHOW: frozenset({_S.REFUNDED, _S.CHECKED_IN}),  # checked in: a correction
        _S.EXPIRED: frozenset({_S.CONFIRMED, _S.REFUNDED}),  # both after a late payment
        _S.REFUNDED: frozenset(),
    }
)

CORRECTIONS: frozenset[tuple[BookingStatus, BookingStatus]] = frozenset(
    {(_S.NO_SHOW, _S.CHECKED_IN), (_S.COMPLETED, _S.NO_SHOW)}
)
"""Steps back, for an admin who puts a mistake right."""

FREE = frozenset({_S.CANCELLED, _S.EXPIRED, _S.NO_SHOW, _S.REFUNDED})
"""A booking in one of these takes nobody's time."""

OCCUPYING = frozenset(BookingStatus) - FREE

HELD = frozenset({_S.PENDING, _S.PAYMENT_FAILED})
"""The allocation is still a hold, which lapses at the booking's payment deadline."""


def occupies(status: BookingStatus) -> bool:
    """Does a booking in this state take its provider's time?"""
    return status in OCCUPYING


def table_faults(
    table: Mapping[BookingStatus, frozenset[BookingStatus]],
    initial: BookingStatus = BookingStatus.PENDING,
    terminal: frozenset[BookingStatus] = frozenset({BookingStatus.REFUNDED}),
) -> list[str]:
    """What is wrong with a table of steps: states without a row or never reached, dead ends that are not `terminal`."""
    return state_table_faults(table, BookingStatus, initial, terminal)


def amount_due(status: BookingStatus, price_minor: int, paid_minor: int, uncounted_minor: int) -> int:
    """What is still to be paid of the price, in minor units; nothing of a booking that is over.

    `paid_minor`: what ever arrived; `uncounted_minor`: what of it does not count towards the price. A refund is a
    gesture: it is not due again.
    """
    return 0 if status in FREE else max(0, price_minor - (paid_minor - uncounted_minor))


def _check_table() -> None:
    faults = table_faults(TRANSITIONS)
    if faults:
        raise RuntimeError("The booking state machine is broken: " + "; ".join(sorted(faults)))
    if any(to not in TRANSITIONS[start] for start, to in CORRECTIONS):
        raise RuntimeError("A correction is no step of the booking state machine.")


_check_table()

CODE_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
"""32 signs that a person reads out without doubt: no 0/O, no 1/I."""

CODE_LENGTH = 8


def confirmation_code(randomness: bytes) -> str:
    """Eight signs (40 bits) from at least 8 random bytes: one sign a byte, so each is equally likely."""
    if len(randomness) < CODE_LENGTH:
        raise ValueError(f"needs {CODE_LENGTH} random bytes")
    return "".join(CODE_ALPHABET[byte & 31] for byte in randomness[:CODE_LENGTH])
