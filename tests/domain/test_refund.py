"""What goes back, by which rule, and out of which capture."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.booking import BookingStatus
from app.domain.policy import ActorKind, CancellationTerms, cancellation_terms
from app.domain.refund import (
    NOTHING_AFTER_NOTICE,
    Capture,
    Ending,
    Fee,
    RefundPolicy,
    RefundTooLarge,
    Settlement,
    allocate_refund,
    policy_from_json,
    policy_to_json,
    refundable,
    settle,
)
from app.domain.shares import NOTHING, Shares, shares_of, total_shares
from tests.domain.permission_matrix import STARTS_AT, facts
from tests.domain.prices import NOW, PROVIDERS, random_amount, random_rate, random_shares

S = BookingStatus
ANA = PROVIDERS[0]
HALF = RefundPolicy(
    late_refund_bps=5_000, late_fee=Fee(2_000), no_show_refund_bps=1_000, no_show_fee=Fee(amount_minor=4_000)
)
LATE = STARTS_AT - timedelta(hours=1)
IN_TIME = STARTS_AT - timedelta(days=3)


def capture(number: int, total: int, **changes: Any) -> Capture:
    fee = total // 10
    made = Capture(UUID(int=number), NOW + timedelta(minutes=number), shares_of(fee, 0, {ANA: total - fee}))
    return replace(made, **changes)


@pytest.mark.parametrize(
    ("ending", "paid", "can_charge", "settled"),
    [
        (Ending.IN_TIME, 10_000, True, Settlement(10_000, 0, 0)),
        (Ending.OURS, 10_000, True, Settlement(10_000, 0, 0)),
        (Ending.LATE, 10_000, True, Settlement(5_000, 0, 5_000)),
        (Ending.LATE, 3_000, True, Settlement(1_000, 0, 2_000)),  # of a deposit at least the fee stays
        (Ending.LATE, 0, True, Settlement(0, 2_000, 2_000)),
        (Ending.LATE, 0, False, Settlement(0, 0, 0)),
        (Ending.LATE, 500, True, Settlement(0, 1_500, 2_000)),
        (Ending.LATE, 500, False, Settlement(0, 0, 500)),
        (Ending.LATE, 1_990, True, Settlement(0, 0, 1_990)),  # too little to be charged
        (Ending.NO_SHOW, 10_000, True, Settlement(1_000, 0, 9_000)),
        (Ending.NO_SHOW, 0, True, Settlement(0, 4_000, 4_000)),
    ],
)
def test_how_a_booking_is_settled(ending: Ending, paid: int, can_charge: bool, settled: Settlement) -> None:
    money: dict[str, Any] = {"price_minor": 10_000, "paid_minor": paid, "minimum_charge_minor": 50}
    assert settle(HALF, ending, can_charge=can_charge, **money) == settled


@given(st.integers(0, 2**48))
def test_a_settlement_adds_up(seed: int) -> None:
    rng = Random(seed)
    policy = RefundPolicy(
        random_rate(rng), Fee(random_rate(rng), random_amount(rng)), random_rate(rng), Fee(random_rate(rng))
    )
    step = rng.choice((1, 10))
    price = random_amount(rng) * step
    paid = rng.randint(0, price // step) * step
    for ending in Ending:
        found = settle(policy, ending, price_minor=price, paid_minor=paid, can_charge=rng.random() < 0.5, step=step)
        assert 0 <= found.refund_minor <= paid
        assert found.refund_minor == 0 or found.charge_minor == 0
        assert found.kept_minor == paid - found.refund_minor + found.charge_minor <= price
        assert found.refund_minor % step == found.charge_minor % step == 0
        if ending in {Ending.IN_TIME, Ending.OURS}:
            assert found.refund_minor == paid
    assert policy_from_json(json.loads(json.dumps(policy_to_json(policy)))) == policy


def test_terms_by_the_frozen_policy() -> None:
    booked = facts(S.CONFIRMED)
    price: dict[str, Any] = {"price_minor": 10_000}
    assert cancellation_terms(booked, 10_000, IN_TIME, HALF, **price) == CancellationTerms(
        10_000, 0, booked.cancellable_until
    )
    assert cancellation_terms(booked, 10_000, LATE, HALF, **price) == CancellationTerms(5_000, 5_000, None)
    assert cancellation_terms(booked, 0, LATE, HALF, **price) == CancellationTerms(0, 0, None)
    assert cancellation_terms(booked, 0, LATE, HALF, price_minor=10_000, can_charge=True).fee_minor == 2_000
    assert cancellation_terms(booked, 10_000, LATE, HALF, actor=ActorKind.STAFF) == CancellationTerms(10_000, 0, None)
    asked = replace(booked, status=S.AWAITING_PROVIDER)
    assert cancellation_terms(asked, 10_000, LATE, HALF, **price) == CancellationTerms(10_000, 0, None)
    done = replace(booked, status=S.COMPLETED)
    assert cancellation_terms(done, 10_000, IN_TIME, HALF, **price) == CancellationTerms(0, 0, None)


def test_absurd_policies_are_refused() -> None:
    for rate in (-1, 10_001):
        with pytest.raises(ValueError, match=r"\w"):
            RefundPolicy(late_refund_bps=rate)
        with pytest.raises(ValueError, match=r"\w"):
            Fee(rate)
    with pytest.raises(ValueError, match="not negative"):
        Fee(amount_minor=-1)
    assert Fee(10_000, 5).of(100) == 100
    with pytest.raises(ValueError, match="version 2"):
        policy_from_json(policy_to_json(NOTHING_AFTER_NOTICE) | {"version": 2})


def test_the_largest_capture_first_and_cash_last() -> None:
    deposit, balance, cash = capture(1, 3_000), capture(2, 7_000), capture(3, 90_000, is_cash=True)
    parts = allocate_refund([cash, deposit, balance], 9_500)
    assert [(part.capture.id, part.amount_minor) for part in parts] == [(balance.id, 7_000), (deposit.id, 2_500)]
    assert parts[1].shares == shares_of(250, 0, {ANA: 2_250})
    assert [part.capture.id.int for part in allocate_refund([cash, deposit, balance], 10_001)] == [2, 1, 3]
    assert [part.capture.id.int for part in allocate_refund([capture(5, 100), capture(4, 100)], 200)] == [4, 5]


def test_no_more_goes_back_than_is_left() -> None:
    shares = shares_of(100, 0, {ANA: 900})
    left = Capture(UUID(int=1), NOW, shares, refunded=shares.take(300), disputed=(shares - shares.take(300)).take(200))
    assert refundable([left]) == 500
    assert allocate_refund([left], 500)[0].shares == left.left
    with pytest.raises(RefundTooLarge, match="at most 500") as refusal:
        allocate_refund([left], 501)
    assert (refusal.value.wanted_minor, refusal.value.refundable_minor) == (501, 500)
    for amount, step in ((0, 1), (-1, 1), (15, 10)):
        with pytest.raises(ValueError, match=r"\w"):
            allocate_refund([left], amount, step)
    with pytest.raises(RefundTooLarge):
        allocate_refund([], 1)


@given(st.integers(0, 2**48))
def test_refunds_in_any_pieces_give_back_exactly_what_was_paid(seed: int) -> None:
    rng = Random(seed)
    captures = [
        Capture(UUID(int=n), NOW, random_shares(rng), is_cash=rng.random() < 0.3) for n in range(rng.randint(1, 4))
    ]
    paid = refundable(captures)
    returned: dict[UUID, Shares] = {one.id: NOTHING for one in captures}
    given_back = 0
    while most := refundable(captures):
        amount = rng.choice((most, rng.randint(1, most)))
        parts = allocate_refund(captures, amount)
        assert sum(part.amount_minor for part in parts) == amount
        assert all(part.amount_minor > 0 for part in parts)
        for part in parts:
            returned[part.capture.id] += part.shares
        captures = [replace(one, refunded=returned[one.id]) for one in captures]
        given_back += amount
    assert given_back == paid
    assert total_shares(returned.values()) == total_shares(one.shares for one in captures)
