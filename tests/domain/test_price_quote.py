"""Prices to the cent: what adds up, what is never negative, and what a code may do."""

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

from app.domain.money import MAXIMUM_MINOR
from app.domain.price_quote import (
    FeeRates,
    LineKind,
    Quote,
    QuoteTerms,
    apply_promo,
    on_arrival,
    quote,
    with_platform_fee,
    without_promo,
)
from app.domain.price_quote_codec import quote_from_json, quote_to_json
from app.domain.price_rule import PricedItem, PriceRule
from app.domain.pricing import MAXIMUM_PRICE, PriceType, base_price
from app.domain.promo import Promo
from app.domain.rounding import charge_step
from app.domain.shares import total_shares
from tests.domain.prices import (
    BUENOS_AIRES,
    NOW,
    PROVIDERS,
    SERVICES,
    quotes,
    random_promo,
    random_rules,
    random_terms,
    random_visit,
)

ANA, BRUNO, _ = PROVIDERS
seeds = st.integers(0, 2**48)


def service(number: int = 0, base: int = 10_000, **facts: Any) -> PricedItem:
    return PricedItem(SERVICES[number], f"Servicio {number}", base, NOW + timedelta(days=2), BUENOS_AIRES, **facts)


def promo(**facts: Any) -> Promo:
    return Promo(UUID(int=77), "VERANO20", **({"currency": "ARS"} | facts))


def test_every_line_of_a_price() -> None:
    late = PriceRule(UUID(int=5), "A último momento", rate_bps=-1_000)
    found = quote(
        [service(0, 10_000, payee_id=ANA), service(1, 5_000, quantity=2, payee_id=BRUNO)],
        [late],
        QuoteTerms("ARS", 2_100, tax_is_included=False, tax_label="IVA", platform_fee_bps=1_000, deposit_bps=3_000),
        NOW,
        promo(rate_bps=2_000, services=frozenset({SERVICES[1]})),
    )
    assert [(line.kind, line.label, line.amount_minor, line.item) for line in found.lines] == [
        (LineKind.BASE, "Servicio 0", 10_000, 0),
        (LineKind.RULE, "A último momento", -1_000, 0),
        (LineKind.BASE, "Servicio 1", 10_000, 1),
        (LineKind.RULE, "A último momento", -1_000, 1),
        (LineKind.PROMO, "VERANO20", -1_800, 1),
        (LineKind.TAX, "IVA", 3_402, None),
    ]
    assert (found.total_minor, found.tax_minor, found.net_minor) == (19_602, 3_402, 16_200)
    assert (found.platform_fee_minor, found.payable_minor) == (1_620, 14_580)
    assert (found.due_now_minor, found.due_later_minor) == (5_881, 13_721)
    assert (found.discount_minor, found.promo_id) == (1_800, UUID(int=77))
    assert found.item_totals() == (10_890, 8_712)
    assert [one.amount_minor for one in found.shares().payables] == [8_100, 6_480]
    assert {line.source_id for line in found.lines} == {None, late.id, UUID(int=77)}


def test_tax_that_is_included_is_part_of_the_price() -> None:
    found = quote([service(base=12_100)], [], QuoteTerms("ARS", 2_100), NOW)
    assert (found.total_minor, found.tax_minor, found.net_minor) == (12_100, 2_100, 10_000)
    assert [line.kind for line in found.lines] == [LineKind.BASE]


def test_currencies_without_and_with_three_decimals() -> None:
    third = [PriceRule(UUID(int=5), "Suba", rate_bps=3_333)]
    assert (
        quote([service(base=1_250)], third, QuoteTerms("JPY", 1_000, tax_is_included=False), NOW).total_minor == 1_834
    )
    dinars = quote([service(base=1_250)], third, QuoteTerms("KWD", deposit_bps=3_333), NOW)
    assert [(line.kind, line.amount_minor) for line in dinars.lines[1:]] == [
        (LineKind.RULE, 417),
        (LineKind.ROUNDING, 3),
    ]
    assert (dinars.total_minor, dinars.due_now_minor) == (1_670, 560)
    tiny = quote([service(base=3)], [], QuoteTerms("KWD", 5_000, tax_is_included=False), NOW)
    assert (tiny.total_minor, tiny.tax_minor, tiny.payable_minor) == (10, 2, 8)
    assert quote([service(base=2)], [], QuoteTerms("KWD", 5_000, tax_is_included=False), NOW).total_minor == 0


def test_deposits_and_the_least_that_can_be_charged() -> None:
    def due(total: int, share: int, least: int) -> int:
        return quote(
            [service(base=total)], [], QuoteTerms("ARS", deposit_bps=share, minimum_charge_minor=least), NOW
        ).due_now_minor

    assert due(10_000, 10_000, 50) == 10_000
    assert due(10_000, 3_000, 50) == 3_000
    assert due(10_000, 10, 50) == 50  # too small a deposit
    assert due(10_000, 9_990, 50) == 10_000  # too small a rest
    assert due(10_000, 0, 50) == 0
    assert due(30, 5_000, 50) == 30
    assert due(0, 5_000, 50) == 0


@given(quotes)
def test_everything_adds_up(found: Quote) -> None:
    assert sum(line.amount_minor for line in found.lines) == found.total_minor
    assert found.tax_minor + found.platform_fee_minor + found.payable_minor == found.total_minor
    assert found.due_now_minor + found.due_later_minor == found.total_minor
    assert sum(found.item_totals()) == found.total_minor
    assert found.shares().total_minor == found.total_minor
    assert found.shares().payable_minor == found.payable_minor
    assert min(found.tax_minor, found.platform_fee_minor, found.payable_minor, found.due_now_minor) >= 0
    step = charge_step(found.currency)
    assert found.total_minor % step == found.due_now_minor % step == 0


@given(quotes, st.lists(st.integers(0, 100), max_size=4))
def test_captures_of_parts_add_up_to_the_whole(found: Quote, cuts: list[int]) -> None:
    left, captures = found.shares(), []
    for cut in cuts:
        part = left.take(left.total_minor * cut // 100)
        captures.append(part)
        left -= part
    captures.append(left)
    assert total_shares(captures) == found.shares()


@given(seeds)
def test_a_quote_is_always_the_same_one(seed: int) -> None:
    rng = Random(seed)
    items, rules, of, code = random_visit(rng), random_rules(rng), random_terms(rng), random_promo(rng)
    found = quote(items, rules, of, NOW, code)
    rng.shuffle(rules)
    assert quote(items, iter(rules), of, NOW, code) == found


@given(seeds)
def test_a_code_only_ever_lowers(seed: int) -> None:
    rng = Random(seed)
    items, rules, of = random_visit(rng), random_rules(rng), random_terms(rng)
    code, other = random_promo(rng), random_promo(rng)
    plain = quote(items, rules, of, NOW)
    with_code = apply_promo(plain, code)
    assert with_code == quote(items, rules, of, NOW, code)
    assert 0 <= with_code.total_minor <= plain.total_minor
    assert without_promo(with_code) == plain
    better = apply_promo(with_code, other)
    assert better.total_minor == min(with_code.total_minor, apply_promo(plain, other).total_minor)
    assert better.promo_id in {with_code.promo_id, other.id}


@given(quotes, st.integers(0, 10_000))
def test_a_locked_price_stays_the_same_to_the_customer(found: Quote, rate: int) -> None:
    member = with_platform_fee(found, rate)
    assert (member.total_minor, member.lines, member.due_now_minor) == (
        found.total_minor,
        found.lines,
        found.due_now_minor,
    )
    assert member.shares().total_minor == found.total_minor
    assert with_platform_fee(member, found.terms.platform_fee_bps) == found
    assert on_arrival(found).due_later_minor == found.total_minor


@given(quotes)
def test_a_locked_price_is_kept_as_json(found: Quote) -> None:
    assert quote_from_json(json.loads(json.dumps(quote_to_json(found)))) == found


def test_json_of_another_version_or_with_wrong_sums_is_refused() -> None:
    kept = quote_to_json(quote([service()], [], QuoteTerms("ARS"), NOW))
    assert kept["version"] == 1
    changes: tuple[dict[str, Any], ...] = (
        {"version": 2},
        {"version": None},
        {"totalMinor": 9_999},
        {"taxMinor": 10_001},
        {"taxMinor": -1},
        {"platformFeeMinor": 10_001},
        {"dueNowMinor": -1},
        {"items": []},
        {"terms": {**kept["terms"], "currency": "XXX"}},
    )
    for change in changes:
        with pytest.raises(ValueError, match=r"\w"):
            quote_from_json(kept | change)


def test_which_items_a_code_lowers() -> None:
    found = quote([service(0), service(1, 5_000)], [], QuoteTerms("ARS"), NOW)
    assert found.eligible_minor(promo(rate_bps=1)) == 15_000
    assert found.eligible_minor(promo(rate_bps=1, services=frozenset({SERVICES[1]}))) == 5_000
    assert found.eligible_minor(promo(rate_bps=1, services=frozenset({SERVICES[3]}))) is None
    lowered = apply_promo(found, promo(amount_minor=7_000, services=frozenset({SERVICES[1]})))
    assert (lowered.total_minor, lowered.discount_minor) == (10_000, 5_000)
    assert lowered.eligible_minor(promo(rate_bps=1)) == 15_000  # before any code
    assert apply_promo(lowered, promo(amount_minor=1)) is lowered


def test_absurd_prices_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one item"):
        quote([], [], QuoteTerms("ARS"), NOW)
    with pytest.raises(ValueError, match="too large"):
        quote([service(base=MAXIMUM_MINOR, quantity=2)], [], QuoteTerms("ARS"), NOW)
    wrong_terms: tuple[dict[str, Any], ...] = (
        {"tax_rate_bps": -1},
        {"platform_fee_bps": 10_001},
        {"minimum_charge_minor": -1},
    )
    for facts in wrong_terms:
        with pytest.raises(ValueError, match=r"\w"):
            QuoteTerms("ARS", **facts)
    found = quote([service()], [], QuoteTerms("ARS"), NOW)
    with pytest.raises(ValueError, match="belongs to an item"):
        replace(found, lines=(replace(found.lines[0], item=1),))


def test_base_prices() -> None:
    assert base_price(PriceType.FIXED, 5_000, 90) == 5_000
    assert base_price(PriceType.FIXED, 5_000, 90, own_minor=0) == 0
    assert base_price(PriceType.HOURLY, 5_000, 90, own_minor=6_000) == 9_000
    assert base_price(PriceType.CUSTOM, 5_000, 90, own_minor=6_000, accepted_minor=7_000) == 7_000
    for accepted in (None, -1, MAXIMUM_PRICE + 1):
        with pytest.raises(ValueError, match=r"\w"):
            base_price(PriceType.CUSTOM, 5_000, 90, accepted_minor=accepted)


def test_fees_of_guests_and_members() -> None:
    fees = FeeRates(guest_bps=1_500, member_bps=1_000)
    assert (fees.of(is_member=False), fees.of(is_member=True)) == (1_500, 1_000)
