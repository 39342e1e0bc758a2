"""The price of a party that grows and shrinks: what was locked, to the cent, whichever way it went."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.group_price import kept_of, price_after_removal, price_for, with_kept
from app.domain.price_quote import LineKind, Quote, QuoteTerms, on_arrival, quote
from app.domain.price_quote_codec import quote_from_json, quote_to_json
from app.domain.price_rule import PricedItem, PriceRule
from app.domain.promo import Promo
from app.domain.refund import Ending, Fee, RefundPolicy
from app.domain.rounding import charge_step, share

NOW = datetime(2026, 5, 4, 10, tzinfo=UTC)
ACTIVITY = UUID(int=7)


def locked(places: int, base: int = 1_500, *, rules: Any = (), promo: Promo | None = None, **terms: Any) -> Quote:
    item = PricedItem(ACTIVITY, "Yoga", base, NOW, ZoneInfo("UTC"), quantity=places)
    return quote([item], rules, QuoteTerms(terms.pop("currency", "USD"), **terms), NOW, promo)


def rule(number: int, **values: Any) -> PriceRule:
    return PriceRule(id=UUID(int=number), label=f"Rule {number}", **values)


RULES = st.lists(
    st.one_of(
        st.builds(lambda n, rate: rule(n, rate_bps=rate), st.integers(1, 99), st.integers(-4_000, 4_000).filter(bool)),
        st.builds(
            lambda n, amount, most: rule(n, amount_minor=amount, at_most_minor=most),
            st.integers(1, 99),
            st.integers(-900, 900).filter(bool),
            st.none() | st.integers(1, 500),
        ),
    ),
    max_size=3,
    unique_by=lambda one: one.id,
)
PROMOS = st.none() | st.one_of(
    st.builds(lambda rate: Promo(UUID(int=1), "CODE", rate_bps=rate), st.integers(1, 10_000)),
    st.builds(lambda off: Promo(UUID(int=1), "CODE", amount_minor=off, currency="USD"), st.integers(1, 9_999)),
)
TERMS = st.fixed_dictionaries(
    {
        "tax_rate_bps": st.integers(0, 3_000),
        "tax_is_included": st.booleans(),
        "platform_fee_bps": st.integers(0, 3_000),
        "deposit_bps": st.integers(0, 10_000),
        "minimum_charge_minor": st.integers(0, 200),
    }
)
QUOTES = st.builds(
    lambda places, base, rules, promo, terms: locked(places, base, rules=rules, promo=promo, **terms),
    st.integers(1, 40),
    st.integers(0, 5_000),
    RULES,
    PROMOS,
    TERMS,
)


def check_sums(price: Quote) -> None:
    """Lines, shares and what is due each add up to the total."""
    assert sum(line.amount_minor for line in price.lines) == price.total_minor
    assert price.shares().total_minor == price.total_minor
    assert price.due_now_minor + price.due_later_minor == price.total_minor
    assert quote_from_json(quote_to_json(price)) == price


@given(QUOTES, st.integers(1, 60), st.integers(1, 60))
def test_all_parts_add_up_and_the_way_back_leads_back(price: Quote, one: int, other: int) -> None:
    there = price_for(price, one)
    check_sums(there)
    assert there.items[0].quantity == one
    assert price_for(price, other).total_minor >= 0
    assert price_for(price, price.items[0].quantity) == price


@given(QUOTES, st.integers(1, 59))
def test_one_more_never_costs_less(price: Quote, places: int) -> None:
    assert price_for(price, places).total_minor <= price_for(price, places + 1).total_minor


@given(QUOTES, st.integers(1, 40), st.integers(0, 10_000))
def test_what_is_kept_is_part_of_the_price(price: Quote, places: int, kept: int) -> None:
    there = price_for(price, places)
    dearer = with_kept(there, kept)
    check_sums(dearer)
    assert (kept_of(dearer), dearer.total_minor) == (kept, there.total_minor + kept)


@pytest.mark.parametrize("places", [1, 2, 5, 9])
def test_without_rules_it_is_so_many_times_the_unit_price(places: int) -> None:
    assert price_for(locked(3), places).total_minor == places * 1_500
    assert price_for(locked(3, tax_rate_bps=2_100), places) == locked(places, tax_rate_bps=2_100)


def test_rules_go_with_the_number() -> None:
    price = locked(4, rules=[rule(1, rate_bps=1_000), rule(2, amount_minor=-100)])
    assert price_for(price, 6) == locked(6, rules=[rule(1, rate_bps=1_000), rule(2, amount_minor=-100)])


def test_a_code_lowers_what_it_was_used_for() -> None:
    code = Promo(UUID(int=1), "TEN", rate_bps=1_000)
    price = locked(2, promo=code)
    assert price.total_minor == 2_700
    assert price_for(price, 3).total_minor == 2_700 + 1_500
    assert price_for(price, 1).total_minor == 1_350
    large = Promo(UUID(int=1), "FIFTY", amount_minor=5_000, currency="USD", minimum_minor=10_000)
    assert price_for(locked(10, promo=large), 1).total_minor == 1_500 - 500  # nobody books ten for the price of one


def test_a_price_on_arrival_has_nothing_due_now() -> None:
    assert price_for(on_arrival(locked(2)), 5).due_now_minor == 0


def test_currencies_with_coarse_amounts() -> None:
    price = locked(3, 1_234, currency="KWD", tax_rate_bps=1_700, tax_is_included=False)
    for places in range(1, 9):
        found = price_for(price, places)
        check_sums(found)
        assert found.total_minor % charge_step("KWD") == 0


def test_what_has_no_price_for_a_party() -> None:
    two = quote([PricedItem(ACTIVITY, name, 100, NOW, ZoneInfo("UTC")) for name in "ab"], [], QuoteTerms("USD"), NOW)
    with pytest.raises(ValueError, match="only the price of places"):
        price_for(two, 2)
    with pytest.raises(ValueError, match="at least one place"):
        price_for(locked(2), 0)
    with pytest.raises(ValueError, match="not negative"):
        with_kept(locked(2), -1)
    assert [line.kind for line in with_kept(locked(1), 5).lines] == [LineKind.BASE, LineKind.KEPT]


POLICIES = st.builds(
    RefundPolicy,
    late_refund_bps=st.integers(0, 10_000),
    late_fee=st.builds(Fee, st.integers(0, 10_000), st.integers(0, 3_000)),
)


@given(
    QUOTES,
    st.integers(1, 39),
    st.integers(0, 10_000),
    st.tuples(POLICIES, st.sampled_from(Ending)),
    st.integers(0, 500),
)
def test_who_leaves_never_makes_it_dearer(
    price: Quote, fewer: int, paid_bps: int, ended: tuple[RefundPolicy, Ending], kept: int
) -> None:
    """And never takes more off than their own part, nor what was kept before."""
    policy, ending = ended
    places = max(1, price.items[0].quantity - fewer)
    now = with_kept(price, kept)
    paid = share(now.total_minor, paid_bps)
    after = price_after_removal(price, now, places, policy=policy, ending=ending, paid_minor=paid)
    check_sums(after)
    assert price_for(price, places).total_minor + kept <= after.total_minor <= now.total_minor
    if ending in {Ending.IN_TIME, Ending.OURS}:
        assert kept_of(after) == kept
