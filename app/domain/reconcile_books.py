"""Comparing a booking with its own books: its payments, its refunds, its ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from app.domain.reconciliation import Difference, DifferenceKind, Facts

_K = DifferenceKind


@dataclass(frozen=True, slots=True)
class BooksOfBooking:
    """One booking and the sums of everything below it, in its currency.

    `unbalanced_minor`: what its accounts add up to; `negative`: accounts that cannot be, and are. `is_over`: for
    so long that its money has been returned or given to its owners. `is_unpaid`: confirmed as paid online, without
    a payment. `owed_differs_minor`: what providers are owed by the ledger, less what their balances say.
    """

    booking_id: UUID
    status: str
    currency: str
    paid_minor: int
    refunded_minor: int
    captured_minor: int
    refunds_of_payments_minor: int
    refund_rows_minor: int
    settled_rows_minor: int
    ledger_customer_minor: int
    ledger_refunds_minor: int
    ledger_escrow_minor: int
    unbalanced_minor: int
    negative: Mapping[str, int] = field(default_factory=dict)
    is_over: bool = False
    is_unpaid: bool = False
    owed_differs_minor: int = 0


def booking_differences(books: BooksOfBooking) -> list[Difference]:
    """What cannot be in one booking's own books."""
    of = _Checks(books)
    of.same(_K.BOOKING_PAID, "paidMinor", books.paid_minor, books.captured_minor)
    of.same(_K.CAPTURE_NOT_BOOKED, "paidMinor", books.paid_minor, -books.ledger_customer_minor)
    refunded = {books.refunded_minor, books.refunds_of_payments_minor, books.refund_rows_minor}
    if len(refunded) > 1:
        rows: Facts = {"payments": books.refunds_of_payments_minor, "refunds": books.refund_rows_minor}
        of.note(_K.BOOKING_REFUNDED, {"refundedMinor": books.refunded_minor}, rows)
    if not books.settled_rows_minor <= books.ledger_refunds_minor <= max(0, -books.ledger_customer_minor):
        of.same(_K.REFUND_NOT_BOOKED, "returnedMinor", books.settled_rows_minor, books.ledger_refunds_minor)
    if books.unbalanced_minor:
        of.note(_K.LEDGER_UNBALANCED, {}, {"sumMinor": books.unbalanced_minor})
    if books.negative:
        of.note(_K.LEDGER_NEGATIVE, {}, dict(books.negative))
    if books.is_over and books.ledger_escrow_minor > 0:
        of.note(_K.MONEY_LEFT, {}, {"escrowMinor": books.ledger_escrow_minor})
    if books.is_unpaid:
        of.note(_K.CONFIRMED_UNPAID, {"paidMinor": books.paid_minor}, {})
    if books.owed_differs_minor:
        of.note(_K.OWED_DIFFERS, {}, {"differsMinor": books.owed_differs_minor})
    return of.found


@dataclass(slots=True)
class _Checks:
    books: BooksOfBooking
    found: list[Difference] = field(default_factory=list)

    def note(self, kind: DifferenceKind, ours: Facts, theirs: Facts) -> None:
        """`theirs`: of the books, where there is no processor."""
        facts = {"status": self.books.status, "currency": self.books.currency, **ours}
        self.found.append(Difference(kind, "booking", self.books.booking_id, None, facts, theirs))

    def same(self, kind: DifferenceKind, name: str, ours: int, theirs: int) -> None:
        if ours != theirs:
            self.note(kind, {name: ours}, {name: theirs})
