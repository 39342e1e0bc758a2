"""How codes are written, and when they count."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import Violation
from app.domain.promo import (
    Promo,
    PromoRefusal,
    PromoRefused,
    PromoUses,
    check_promo,
    normal_code,
    promo_refusal,
)
from tests.domain.prices import NOW, SERVICES

R = PromoRefusal
DAY = timedelta(days=1)


def promo(**facts: Any) -> Promo:
    defaults: dict[str, Any] = {"currency": "ARS"} | ({} if "amount_minor" in facts else {"rate_bps": 2_000})
    return Promo(UUID(int=1), "VERANO20", **(defaults | facts))


def test_codes_in_normal_form() -> None:
    for typed in ("VERANO20", " verano20\n", "Veränö20", "\uff36\uff25\uff32\uff21\uff2e\uff2f\uff12\uff10"):
        assert normal_code(typed) == "VERANO20"
    assert normal_code("año_nuevo-26") == "ANO_NUEVO-26"
    assert normal_code("\u05e7\u05d9\u05e5-20") == "\u05e7\u05d9\u05e5-20"  # summer, in Hebrew
    assert normal_code("straße") == normal_code("STRA\u1e9eE") == "STRASSE"
    assert normal_code("x" * 32) == "X" * 32


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "  ",
        "ab",
        "x" * 33,
        "x" * 10_000,
        "a b c",
        "abc!",
        "-abc",
        "abc_",
        "___",
        "ab\x00c",
        "abc\u202e",
        "🎉🎉🎉",
        "a\u0301b",
    ],
)
def test_what_is_no_code(typed: str) -> None:
    with pytest.raises(ValueError, match="3 to 32 letters and digits"):
        normal_code(typed)


@given(st.text(max_size=40))
def test_the_normal_form_stays_itself(typed: str) -> None:
    try:
        code = normal_code(typed)
    except ValueError:
        return
    assert normal_code(code) == normal_code(code.lower()) == normal_code(f" {code} ") == code


@pytest.mark.parametrize(
    ("facts", "uses", "refusal"),
    [
        ({}, PromoUses(10**6, 10**6, 10**6), None),
        ({"is_active": False}, PromoUses(), R.UNKNOWN),
        ({"valid_from": NOW}, PromoUses(), None),
        ({"valid_from": NOW + DAY}, PromoUses(), R.NOT_YET_VALID),
        ({"valid_until": NOW + DAY}, PromoUses(), None),
        ({"valid_until": NOW}, PromoUses(), R.EXPIRED),
        ({"currency": "USD"}, PromoUses(), R.OTHER_CURRENCY),
        ({"currency": None}, PromoUses(), None),
        ({"minimum_minor": 10_000}, PromoUses(), None),
        ({"minimum_minor": 10_001}, PromoUses(), R.BELOW_MINIMUM),
        ({"at_most_minor": 0}, PromoUses(), R.NO_EFFECT),
        ({"total_limit": 20}, PromoUses(19), None),
        ({"total_limit": 20}, PromoUses(20), R.USED_UP),
        ({"customer_limit": 1}, PromoUses(5, 0), None),
        ({"customer_limit": 1}, PromoUses(5, 1), R.USED_BY_CUSTOMER),
        ({"customer_limit": 1}, PromoUses(5), None),  # a guest's hold: nobody knows yet
        ({"first_booking_only": True}, PromoUses(5, 0, 0), None),
        ({"first_booking_only": True}, PromoUses(5, 0, 1), R.FIRST_BOOKING_ONLY),
        ({"first_booking_only": True}, PromoUses(), None),
        ({"total_limit": 1, "valid_until": NOW}, PromoUses(1), R.EXPIRED),
    ],
)
def test_when_a_code_counts(facts: dict[str, Any], uses: PromoUses, refusal: PromoRefusal | None) -> None:
    assert promo_refusal(promo(**facts), now=NOW, currency="ARS", eligible_minor=10_000, uses=uses) is refusal


def test_refusals_are_said_at_the_place_of_the_code() -> None:
    with pytest.raises(PromoRefused) as unknown:
        check_promo(None, now=NOW, currency="ARS", eligible_minor=10_000, uses=PromoUses())
    with pytest.raises(PromoRefused) as inactive:
        check_promo(promo(is_active=False), now=NOW, currency="ARS", eligible_minor=10_000, uses=PromoUses())
    soon = promo(valid_from=NOW + DAY)
    with pytest.raises(PromoRefused) as early:
        check_promo(soon, now=NOW, currency="ARS", eligible_minor=10_000, uses=PromoUses())
    assert early.value.reason is inactive.value.reason is R.UNKNOWN
    assert (
        unknown.value.violations
        == inactive.value.violations
        == early.value.violations
        == (Violation("input.promoCode", "is no code that can be used here"),)
    )
    with pytest.raises(PromoRefused) as other:
        check_promo(promo(), now=NOW, currency="ARS", eligible_minor=None, uses=PromoUses(), path="promoCode")
    assert other.value.reason is R.OTHER_SERVICES
    assert other.value.violations[0].path == "promoCode"
    with pytest.raises(PromoRefused, match=r"at least 200\.00 ARS"):
        check_promo(promo(minimum_minor=20_000), now=NOW, currency="ARS", eligible_minor=10_000, uses=PromoUses())
    good = promo()
    assert check_promo(good, now=NOW, currency="ARS", eligible_minor=10_000, uses=PromoUses()) is good


def test_what_a_code_takes_off() -> None:
    assert promo().discount(10_001) == 2_000
    assert promo(at_most_minor=500).discount(10_000) == 500
    assert promo(amount_minor=500).discount(300) == 300
    assert promo().discount(0) == 0
    assert promo(services=frozenset({SERVICES[0]})).lowers(SERVICES[0])
    assert not promo(services=frozenset({SERVICES[0]})).lowers(SERVICES[1])


def test_absurd_codes_are_refused() -> None:
    wrong: tuple[dict[str, Any], ...] = (
        {"rate_bps": 0},
        {"rate_bps": 10_001},
        {"rate_bps": -1},
        {"rate_bps": 1, "amount_minor": 1},
        {"amount_minor": -1},
        {"minimum_minor": -1},
        {"at_most_minor": -1},
        {"total_limit": 0},
        {"customer_limit": -1},
        {"amount_minor": 1, "currency": None},
        {"minimum_minor": 1, "currency": None},
    )
    for facts in wrong:
        with pytest.raises(ValueError, match=r"\w"):
            promo(**facts)
