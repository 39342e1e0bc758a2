"""What differs between two sides, from plain values: nothing where they agree, and each kind for its own reason."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.payment import DisputePhase, IntentPhase, RefundPhase, SeenDispute, SeenIntent, SeenRefund, merge
from app.domain.reconcile_books import BooksOfBooking, booking_differences
from app.domain.reconcile_payment import OurPayment, OurRefund, TheirPayment, payment_differences
from app.domain.reconcile_payout import OurPayout, TheirTransfer, payout_differences
from app.domain.reconciliation import HEALS_ITSELF, SUGGESTIONS, Difference, DifferenceKind

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
REFUND = OurRefund(uuid4(), "succeeded", 300, "re_1", NOW - DAY)


def seen(**more: Any) -> SeenIntent:
    facts: dict[str, Any] = {
        "id": "pi_1",
        "seen_at": NOW - DAY,
        "phase": IntentPhase.SUCCEEDED,
        "amount_minor": 1_000,
        "captured_minor": 1_000,
    }
    return SeenIntent(**{**facts, **more})


def ours(**more: Any) -> OurPayment:
    facts: dict[str, Any] = {
        "id": uuid4(),
        "status": "succeeded",
        "amount_minor": 1_000,
        "currency": "USD",
        "captured_minor": 1_000,
        "processor_id": "pi_1",
        "seen": seen(),
        "created_at": NOW - DAY,
    }
    return OurPayment(**{**facts, **more})


def theirs(**more: Any) -> list[TheirPayment]:
    return [TheirPayment(seen(**more), "USD")]


def kinds(found: list[Difference]) -> list[str]:
    return [one.kind.value for one in found]


def test_every_kind_says_what_to_do() -> None:
    assert set(SUGGESTIONS) == set(DifferenceKind)
    assert set(DifferenceKind) > HEALS_ITSELF
    assert all(text.endswith(".") for text in SUGGESTIONS.values())


_REFUNDS = st.lists(st.builds(SeenRefund, st.sampled_from(["re_1", "re_2"]), st.just(10), st.sampled_from(RefundPhase)))
_SEEN = st.builds(
    SeenIntent,
    id=st.just("pi_1"),
    seen_at=st.sampled_from([NOW - DAY, NOW - MINUTE, NOW]),
    phase=st.sampled_from(IntentPhase),
    amount_minor=st.just(1_000),
    captured_minor=st.sampled_from([0, 400, 1_000]),
    decline_code=st.sampled_from([None, "card_declined"]),
    refunds=_REFUNDS.map(tuple),
    disputes=st.lists(
        st.builds(SeenDispute, st.just("dp_1"), st.just(10), st.sampled_from(DisputePhase)), max_size=1
    ).map(tuple),
)


@given(_SEEN, _SEEN)
def test_what_was_applied_is_behind_no_more(first: SeenIntent, second: SeenIntent) -> None:
    """Whatever came before: once an answer is joined, the same answer says nothing new."""
    known = merge(merge(None, first), second)
    payment = ours(seen=known, captured_minor=known.captured_minor)
    assert DifferenceKind.PAYMENT_BEHIND not in {
        one.kind for one in payment_differences(payment, [TheirPayment(second, "USD")], NOW)
    }


@pytest.mark.parametrize(
    ("payment", "shown", "found"),
    [
        (ours(), theirs(), []),
        (ours(), theirs(refunds=(SeenRefund("re_9", 1, RefundPhase.PENDING),)), ["payment_behind"]),
        (ours(amount_minor=900), theirs(), ["payment_amount", "payment_overpaid"]),
        (ours(currency="EUR"), theirs(), ["payment_currency"]),
        (ours(captured_minor=999), theirs(), ["payment_captured"]),
        (ours(), [], ["payment_missing_there"]),
        (ours(), [*theirs(), *theirs(id="pi_2")], ["payment_twice"]),
        (ours(), [*theirs(), *theirs(id="pi_2", phase=IntentPhase.CANCELLED, captured_minor=0)], []),
        (None, theirs(), ["payment_unknown_here"]),
        (None, theirs(phase=IntentPhase.CANCELLED, captured_minor=0), []),
        (None, [], []),
        (ours(status="created", processor_id=None, seen=None, captured_minor=0), [], ["payment_not_opened"]),
        (ours(status="created", processor_id=None, seen=None, captured_minor=0, created_at=NOW), [], []),
        (ours(status="created", processor_id=None, seen=None, captured_minor=0, is_fee=True), [], []),
        (ours(status="created", processor_id=None, seen=None, captured_minor=0), theirs(), ["payment_behind"]),
        (ours(waits_until=NOW - DAY), theirs(), []),
    ],
)
def test_payments(payment: OurPayment | None, shown: list[TheirPayment], found: list[str]) -> None:
    assert kinds(payment_differences(payment, shown, NOW)) == found


@pytest.mark.parametrize(("status", "is_overdue"), [("open", True), ("failed", True), ("processing", False)])
def test_past_the_time_to_pay(status: str, is_overdue: bool) -> None:
    waiting = seen(phase=IntentPhase.CREATED, captured_minor=0)
    payment = ours(status=status, seen=waiting, captured_minor=0, waits_until=NOW - timedelta(minutes=31))
    found = kinds(payment_differences(payment, [TheirPayment(waiting, "USD")], NOW))
    assert found == (["payment_overdue"] if is_overdue else [])
    later = replace(payment, waits_until=NOW - timedelta(minutes=29))
    assert payment_differences(later, [TheirPayment(waiting, "USD")], NOW) == []


@pytest.mark.parametrize(
    ("refund", "shown", "found"),
    [
        (REFUND, SeenRefund("re_1", 300, RefundPhase.SUCCEEDED), []),
        (REFUND, SeenRefund("re_1", 301, RefundPhase.SUCCEEDED), ["refund_amount"]),
        (REFUND, None, ["refund_missing_there"]),
        (replace(REFUND, status="failed"), None, []),
        (replace(REFUND, status="created", processor_id=None), None, ["refund_not_made"]),
        (replace(REFUND, status="created", processor_id=None, created_at=NOW), None, []),
        (replace(REFUND, status="pending"), SeenRefund("re_1", 300, RefundPhase.PENDING), []),
        (
            replace(REFUND, status="pending", created_at=NOW - timedelta(days=11)),
            SeenRefund("re_1", 300, RefundPhase.PENDING),
            ["refund_slow"],
        ),
        # It may be the one that has no answer yet.
        (
            replace(REFUND, status="created", processor_id=None, created_at=NOW),
            SeenRefund("re_7", 300, RefundPhase.SUCCEEDED),
            [],
        ),
    ],
)
def test_refunds(refund: OurRefund, shown: SeenRefund | None, found: list[str]) -> None:
    refunds = () if shown is None else (shown,)
    known = seen(refunds=() if refund.processor_id is None else refunds)
    payment = ours(seen=known, refunds=(refund,))
    assert kinds(payment_differences(payment, [TheirPayment(seen(refunds=refunds), "USD")], NOW)) == found


PAYOUT = OurPayout(uuid4(), "sent", "acct_1", 900, "USD", "tr_1", 0, None)
TRANSFER = TheirTransfer("tr_1", "acct_1", 900, 0, "USD")
SENDING = replace(PAYOUT, status="sending", processor_id=None, due_at=NOW - DAY)


@pytest.mark.parametrize(
    ("payout", "transfers", "found"),
    [
        (PAYOUT, [TRANSFER], []),
        (PAYOUT, [], ["payout_missing_there"]),
        (PAYOUT, [TRANSFER, replace(TRANSFER, id="tr_2")], ["payout_twice"]),
        (PAYOUT, [TRANSFER, replace(TRANSFER, id="tr_2", reversed_minor=900)], []),
        (PAYOUT, [replace(TRANSFER, amount_minor=901)], ["payout_amount"]),
        (PAYOUT, [replace(TRANSFER, currency="EUR")], ["payout_currency"]),
        (PAYOUT, [replace(TRANSFER, account_id="acct_2")], ["payout_account"]),
        (PAYOUT, [replace(TRANSFER, reversed_minor=1)], ["payout_reversed"]),
        (replace(PAYOUT, is_reversing=True), [replace(TRANSFER, reversed_minor=1)], []),
        (replace(PAYOUT, reversed_minor=1), [replace(TRANSFER, reversed_minor=1)], []),
        (SENDING, [], ["payout_not_sent"]),
        (replace(SENDING, due_at=NOW), [], []),
        (SENDING, [TRANSFER], ["payout_not_sent"]),
        (replace(SENDING, status="cancelled"), [TRANSFER], ["transfer_unknown_here"]),
        (replace(SENDING, status="needs_attention"), [], []),
        (None, [TRANSFER], ["transfer_unknown_here"]),
        (None, [replace(TRANSFER, reversed_minor=900)], []),
    ],
)
def test_payouts(payout: OurPayout | None, transfers: list[TheirTransfer], found: list[str]) -> None:
    assert kinds(payout_differences(payout, transfers, NOW)) == found


BOOKS = BooksOfBooking(
    booking_id=uuid4(),
    status="confirmed",
    currency="USD",
    paid_minor=1_000,
    refunded_minor=300,
    captured_minor=1_000,
    refunds_of_payments_minor=300,
    refund_rows_minor=300,
    settled_rows_minor=300,
    ledger_customer_minor=-1_000,
    ledger_refunds_minor=300,
    ledger_escrow_minor=700,
    unbalanced_minor=0,
)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, []),
        ({"paid_minor": 999}, ["booking_paid", "capture_not_booked"]),
        ({"ledger_customer_minor": -999}, ["capture_not_booked"]),
        ({"refund_rows_minor": 299}, ["booking_refunded"]),
        ({"ledger_refunds_minor": 299}, ["refund_not_booked"]),
        ({"ledger_refunds_minor": 1_001}, ["refund_not_booked"]),
        ({"ledger_refunds_minor": 1_000}, []),  # a lost dispute is no refund row
        ({"unbalanced_minor": -1}, ["ledger_unbalanced"]),
        ({"negative": {"escrow": -1}}, ["ledger_negative"]),
        ({"is_over": True}, ["money_left"]),
        ({"is_over": True, "ledger_escrow_minor": 0}, []),
        ({"is_unpaid": True}, ["confirmed_unpaid"]),
        ({"owed_differs_minor": 1}, ["owed_differs"]),
    ],
)
def test_books(change: dict[str, Any], found: list[str]) -> None:
    assert kinds(booking_differences(replace(BOOKS, **change))) == found
