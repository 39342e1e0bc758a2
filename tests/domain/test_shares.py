"""Rounding, splits, and the parts of an amount that add up in whatever pieces it goes."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.money import EXPONENTS
from app.domain.rounding import (
    charge_step,
    divide,
    down_to_step,
    included_share,
    share,
    split,
    to_step,
    up_to_step,
)
from app.domain.shares import (
    NOTHING,
    Payable,
    Shares,
    shares_from_json,
    shares_of,
    shares_to_json,
    total_shares,
)
from tests.domain.prices import PROVIDERS, share_sets

ANA, BRUNO, _ = PROVIDERS


@given(st.integers(-(10**18), 10**18), st.integers(1, 10**9))
def test_half_goes_away_from_zero(numerator: int, denominator: int) -> None:
    exact = Fraction(numerator, denominator)
    rounded = divide(numerator, denominator)
    assert abs(rounded - exact) <= Fraction(1, 2)
    assert divide(-numerator, denominator) == -rounded
    if abs(rounded - exact) == Fraction(1, 2):
        assert abs(rounded) > abs(exact)


def test_rounding_by_example() -> None:
    assert [divide(n, 2) for n in (-3, -1, 1, 3)] == [-2, -1, 1, 2]
    assert share(12_345, 2_100) == 2_592
    assert share(1, 5_000) == 1
    assert included_share(12_100, 2_100) == 2_100
    assert included_share(100, 0) == 0
    with pytest.raises(ValueError, match="less than one"):
        divide(1, 0)


def test_what_can_be_charged() -> None:
    assert {code: charge_step(code) for code in ("JPY", "ARS", "KWD", "CLF")} == {
        "JPY": 1,
        "ARS": 1,
        "KWD": 10,
        "CLF": 100,
    }
    assert all(charge_step(code) >= 1 for code in EXPONENTS)
    with pytest.raises(ValueError, match="ISO 4217"):
        charge_step("XXX")
    assert [to_step(n, 10) for n in (4, 5, 14, 15, -5)] == [0, 10, 10, 20, -10]
    assert (down_to_step(19, 10), up_to_step(11, 10), up_to_step(10, 10)) == (10, 20, 10)


@given(st.integers(0, 10**15), st.lists(st.integers(0, 10**12), min_size=1, max_size=6).filter(any))
def test_a_split_adds_up_and_is_fair(amount: int, weights: list[int]) -> None:
    parts = split(amount, weights)
    assert sum(parts) == amount
    for part, weight in zip(parts, weights, strict=True):
        exact = Fraction(amount * weight, sum(weights))
        assert floor(exact) <= part <= ceil(exact)


def test_a_split_by_example() -> None:
    assert split(100, [1, 1, 1]) == (34, 33, 33)
    assert split(10, [1, 2]) == (3, 7)
    assert split(1, [1, 9]) == (0, 1)
    assert split(0, [0, 0]) == (0, 0)
    assert split(0, []) == ()
    for amount, weights in ((1, [0]), (1, []), (-1, [1]), (1, [-1, 2])):
        with pytest.raises(ValueError, match=r"\w"):
            split(amount, weights)


@given(share_sets, st.lists(st.integers(0, 10_000), max_size=6))
def test_an_amount_that_goes_in_pieces_goes_whole(whole: Shares, cuts: list[int]) -> None:
    left, taken = whole, []
    for cut in cuts:
        part = left.take(left.total_minor * cut // 10_000)
        assert part.total_minor == left.total_minor * cut // 10_000
        left -= part  # raises if any share fell below zero
        taken.append(part)
    taken.append(left.take(left.total_minor))
    assert total_shares(taken) == whole


@given(share_sets, share_sets)
def test_sums_and_differences(one: Shares, other: Shares) -> None:
    both = one + other
    assert both == other + one
    assert both.total_minor == one.total_minor + other.total_minor
    assert both - other == one
    assert both - both == NOTHING
    assert shares_from_json(shares_to_json(both)) == both


def test_shares_by_example() -> None:
    whole = shares_of(100, 174, {BRUNO: 326, None: 0, ANA: 400})
    assert whole.payables == (Payable(ANA, 400), Payable(BRUNO, 326))
    assert (whole.payable_minor, whole.total_minor) == (726, 1_000)
    assert whole.take(333) == shares_of(33, 58, {ANA: 133, BRUNO: 109})
    assert whole.take(0) == NOTHING
    for amount in (-1, 1_001):
        with pytest.raises(ValueError, match="between 0 and 1000"):
            whole.take(amount)
    with pytest.raises(ValueError, match="never negative"):
        whole - shares_of(101, 0, {})
    with pytest.raises(ValueError, match="never negative"):
        whole - shares_of(0, 0, {None: 1})
    with pytest.raises(ValueError, match="sorted"):
        Shares(0, 0, (Payable(BRUNO, 1), Payable(ANA, 1)))
