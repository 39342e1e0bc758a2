"""What is due, and what becomes of a fee that the bank refuses."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.booking import FREE, BookingStatus, amount_due
from app.domain.fees import AUTHORIZATION_MARGIN, RETRIES, FeeCause, answer_by, cause_of, largest_fee, next_attempt
from app.domain.refund import NO_FEE, Ending, Fee, RefundPolicy, settle

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
AMOUNTS = st.integers(0, 2**53 - 1)


@given(st.sampled_from(BookingStatus), AMOUNTS, AMOUNTS, AMOUNTS)
def test_what_is_due_is_never_more_than_the_price_nor_negative(
    status: BookingStatus, price: int, paid: int, uncounted: int
) -> None:
    due = amount_due(status, price, paid, min(paid, uncounted))
    assert 0 <= due <= price
    if status in FREE or paid - min(paid, uncounted) >= price:
        assert due == 0


@pytest.mark.parametrize(
    ("paid", "uncounted", "due"), [(0, 0, 1_000), (300, 0, 700), (1_300, 300, 0), (500, 500, 1_000)]
)
def test_what_is_due(paid: int, uncounted: int, due: int) -> None:
    assert amount_due(BookingStatus.CONFIRMED, 1_000, paid, uncounted) == due


def test_a_bank_is_asked_again_later_and_later_and_then_never() -> None:
    waits = [next_attempt(refusals, NOW) for refusals in range(1, len(RETRIES) + 2)]
    assert waits == [NOW + wait for wait in RETRIES] + [None]
    assert list(RETRIES) == sorted(RETRIES)
    assert next_attempt(1, NOW, is_retryable=False) is None


def test_which_endings_cost_something() -> None:
    assert {ending: cause_of(ending) for ending in Ending} == {
        Ending.LATE: FeeCause.LATE_CANCELLATION,
        Ending.NO_SHOW: FeeCause.NO_SHOW,
        Ending.IN_TIME: None,
        Ending.OURS: None,
    }


def test_it_is_let_go_of_before_it_ends_and_never_after_the_start() -> None:
    until = NOW + timedelta(days=7)
    assert answer_by(until, NOW + timedelta(days=30)) == until - AUTHORIZATION_MARGIN
    assert answer_by(until, NOW + timedelta(days=2)) == NOW + timedelta(days=2)


@given(
    st.builds(
        RefundPolicy,
        late_refund_bps=st.integers(0, 10_000),
        late_fee=st.builds(Fee, st.integers(0, 10_000), st.integers(0, 5_000)) | st.just(NO_FEE),
        no_show_refund_bps=st.integers(0, 10_000),
        no_show_fee=st.builds(Fee, st.integers(0, 10_000), st.integers(0, 5_000)) | st.just(NO_FEE),
    ),
    st.sampled_from(Ending),
    st.integers(0, 100_000),
)
def test_no_ending_costs_who_paid_nothing_more_than_the_largest_fee(
    policy: RefundPolicy, ending: Ending, price: int
) -> None:
    settled = settle(policy, ending, price_minor=price, paid_minor=0, can_charge=True)
    assert settled.charge_minor <= largest_fee(policy, price) <= price
