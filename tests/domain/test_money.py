from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.money import EXPONENTS, MAXIMUM_MINOR, check_minor, format_amount, is_currency
from app.domain.pricing import PriceType, price

amounts = st.integers(-MAXIMUM_MINOR, MAXIMUM_MINOR)


def test_amounts_of_each_kind_of_currency() -> None:
    assert format_amount(125_000, "ARS") == "1250.00"
    assert format_amount(1_250, "JPY") == "1250"
    assert format_amount(1_250, "KWD") == "1.250"
    assert format_amount(-5, "USD") == "-0.05"
    assert format_amount(0, "ILS") == "0.00"
    assert format_amount(12_345, "CLF") == "1.2345"


@given(amounts, st.sampled_from(sorted(EXPONENTS)))
def test_amounts_are_exact(minor: int, currency: str) -> None:
    text = format_amount(minor, currency)
    assert Decimal(text).scaleb(EXPONENTS[currency]) == minor
    assert len(text.partition(".")[2]) == EXPONENTS[currency]


def test_currencies() -> None:
    assert all(is_currency(code) for code in ("ARS", "ILS", "USD", "EUR", "JPY", "UYU", "CLP", "PYG", "XCG", "ZWG"))
    assert not any(is_currency(code) for code in ("", "usd", "XXX", "XAU", "HRK", "BGN", "ANG", "ZWL", "US", "USDT"))
    assert all(len(code) == 3 and code.isascii() and code.isupper() for code in EXPONENTS)
    with pytest.raises(ValueError, match="ISO 4217"):
        format_amount(1, "XXX")


def test_bounds() -> None:
    assert check_minor(-MAXIMUM_MINOR) == -MAXIMUM_MINOR
    for minor in (MAXIMUM_MINOR + 1, -MAXIMUM_MINOR - 1):
        with pytest.raises(ValueError, match="between"):
            check_minor(minor)


def test_prices() -> None:
    assert price(PriceType.FIXED, 5_000, 90) == 5_000
    assert price(PriceType.HOURLY, 5_000, 90) == 7_500
    assert price(PriceType.HOURLY, 1, 30) == 1  # half a unit rounds up
    assert price(PriceType.HOURLY, 1, 29) == 0
    assert price(PriceType.HOURLY, 100, 20) == 33
    assert price(PriceType.CUSTOM, 0, 60) is None
    for base, minutes in ((-1, 60), (1, 0), (MAXIMUM_MINOR, 61)):
        with pytest.raises(ValueError, match=r"\w"):
            price(PriceType.HOURLY, base, minutes)
