"""What an organization's prices are computed with, and what is locked of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import InvalidInput
from app.domain.minimum_charge import minimum_charge
from app.domain.money import EXPONENTS, MAXIMUM_MINOR
from app.domain.plan import ProviderPlan
from app.domain.price_book import PLAIN, PriceBook
from app.domain.price_offer import AcceptedOffer
from app.domain.price_quote import FeeRates, LineKind
from app.domain.price_rule import Between, PriceCaps, PriceRule
from app.domain.rounding import charge_step
from app.domain.slot_price import appointment, locked_price, places
from tests.domain.prices import BUENOS_AIRES, NOW, PROVIDERS, SERVICES, random_rules, seeded

CUT, YOGA = SERVICES[:2]
ANA, BRUNO = PROVIDERS[:2]
SOON = NOW + timedelta(days=1)


def plan(price_minor: int | None = 10_000, provider_id: UUID = ANA) -> ProviderPlan:
    return ProviderPlan(provider_id, BUENOS_AIRES, (), 30, price_minor=price_minor)


def rule(number: int, **facts: Any) -> PriceRule:
    return PriceRule(UUID(int=number), f"Regla {number}", **{"rate_bps": 1_000, **facts})


def test_fees_are_the_organizations_or_else_the_installations() -> None:
    installation = FeeRates(guest_bps=800, member_bps=400)
    assert [PLAIN.fee_bps(installation, is_member=member) for member in (False, True)] == [800, 400]
    own = PriceBook(guest_fee_bps=0, member_fee_bps=None)
    assert [own.fee_bps(installation, is_member=member) for member in (False, True)] == [0, 400]


def test_the_least_that_is_charged_is_the_processors() -> None:
    assert PriceBook().terms("USD").minimum_charge_minor == minimum_charge("stripe", "USD") == 50
    assert PriceBook(processor="mercadopago").terms("USD").minimum_charge_minor == 0
    assert minimum_charge("stripe", "ARS") == 0
    assert all(minimum_charge("stripe", code) % charge_step(code) == 0 for code in EXPONENTS)


def test_who_is_asked_how_full_it_is() -> None:
    full = {"occupancy_bps": Between(5_000, None)}
    assert not PriceBook((rule(1),)).asks_occupancy_of([CUT])
    assert PriceBook((rule(1), rule(2, **full))).asks_occupancy_of([CUT])
    about = PriceBook((rule(1, **full, subjects=frozenset({ANA})),))
    assert [about.asks_occupancy_of(each) for each in ([CUT, ANA], [CUT, BRUNO], [])] == [True, False, False]


def test_an_accepted_quote_is_the_price_whatever_the_service_costs() -> None:
    offer = AcceptedOffer(UUID(int=9), CUT, None, None, 7_777, "ARS")
    book = PriceBook((rule(1),), PriceCaps(floor_minor=9_999))
    for base in (None, 10_000):
        item = appointment(book, CUT, plan(base), SOON, label="A medida", offer=offer)
        found = locked_price([item], book, "ARS", NOW)
        [line] = found.lines
        assert (line.kind, line.amount_minor, line.source_id) == (LineKind.BASE, 7_777, UUID(int=9))
    with pytest.raises(ValueError, match="accepted"):
        appointment(book, CUT, plan(None), SOON)


def test_each_place_is_paid_for() -> None:
    book = PriceBook((rule(1, rate_bps=0, amount_minor=-250),), tax_rate_bps=2_100, tax_is_included=False)
    found = locked_price([places(book, YOGA, 1_000, SOON, BUENOS_AIRES, quantity=4)], book, "ARS", NOW, 1_000)
    assert [line.amount_minor for line in found.lines] == [4_000, -1_000, 630]
    assert (found.total_minor, found.tax_minor, found.platform_fee_minor) == (3_630, 630, 300)


def test_more_than_can_be_represented_is_refused_where_it_was_asked_for() -> None:
    book = PriceBook((rule(1, rate_bps=100_000),))
    with pytest.raises(InvalidInput) as refused:
        locked_price([appointment(book, CUT, plan(MAXIMUM_MINOR), SOON)], book, "ARS", NOW)
    assert [violation.path for violation in refused.value.violations] == ["input"]


@given(seeded(random_rules), st.integers(0, 1_000_000), st.integers(0, 40_000), st.sampled_from(("ARS", "JPY", "KWD")))
def test_rules_that_do_not_match_change_nothing(rules: list[PriceRule], base: int, minutes: int, currency: str) -> None:
    book = PriceBook(tuple(rules), tax_rate_bps=1_050)
    starts_at = NOW + timedelta(minutes=minutes)
    about_others = tuple(replace(one, subjects=frozenset({YOGA, BRUNO})) for one in rules)
    item = appointment(book, CUT, plan(base), starts_at)
    plain = locked_price([item], replace(book, rules=()), currency, NOW)
    assert locked_price([item], replace(book, rules=about_others), currency, NOW) == plain
    found = locked_price([item], book, currency, NOW)
    assert sum(line.amount_minor for line in found.lines) == found.total_minor
    assert found.total_minor % charge_step(currency) == found.due_now_minor % charge_step(currency) == 0
    assert found.tax_minor + found.platform_fee_minor + found.payable_minor == found.total_minor


def test_the_worked_example_of_the_documentation() -> None:
    held_at, start = datetime(2026, 11, 21, 15, tzinfo=UTC), datetime(2026, 11, 28, 22, tzinfo=UTC)
    rules = (
        PriceRule(UUID(int=1), "Weekend", rate_bps=2_000, weekdays=frozenset({5, 6}), priority=10),
        PriceRule(UUID(int=2), "Evening", amount_minor=150_000, hours=(18 * 60, 22 * 60), priority=5),
        PriceRule(UUID(int=3), "Early bird", rate_bps=-1_000, lead_minutes=Between(5 * 1_440, None)),
    )
    book = PriceBook(rules, PriceCaps(ceiling_bps=12_500), 2_100, tax_label="IVA", deposit_bps=3_000)

    def priced(with_book: PriceBook) -> tuple[list[int], tuple[int, ...]]:
        item = appointment(with_book, CUT, plan(1_000_000), start, label="Haircut")
        found = locked_price([item], with_book, "ARS", held_at, 800)
        parts = (found.tax_minor, found.platform_fee_minor, found.payable_minor, found.due_now_minor)
        return [line.amount_minor for line in found.lines], (found.total_minor, *parts)

    lines = [1_000_000, 200_000, 150_000, -100_000]
    assert priced(book) == (lines, (1_250_000, 216_942, 82_645, 950_413, 375_000))
    added = replace(book, tax_is_included=False)
    assert priced(added) == ([*lines, 262_500], (1_512_500, 262_500, 100_000, 1_150_000, 453_750))
    assert priced(replace(book, caps=PriceCaps(ceiling_bps=12_000)))[0] == [*lines, -50_000]
