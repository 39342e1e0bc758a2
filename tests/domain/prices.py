"""Random items, rules, codes and terms for the tests of money, each of a seed: hypothesis only draws the seed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from app.domain.price_quote import Quote, QuoteTerms, quote
from app.domain.price_rule import Between, PriceCaps, PricedItem, PriceRule, Season
from app.domain.promo import Promo
from app.domain.shares import Shares, shares_of

T = TypeVar("T")

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
"""A Monday."""
BUENOS_AIRES = ZoneInfo("America/Argentina/Buenos_Aires")
CURRENCIES = ("ARS", "JPY", "KWD", "CLF")
SERVICES = tuple(UUID(int=n) for n in range(1, 5))
PROVIDERS = tuple(UUID(int=n) for n in range(101, 104))
_PAYEES = (None, *PROVIDERS)


def seeded(make: Callable[[Random], T]) -> st.SearchStrategy[T]:
    return st.integers(0, 2**48).map(lambda seed: make(Random(seed)))


def _maybe(rng: Random, value: T, chance: float = 0.5) -> T | None:
    return value if rng.random() < chance else None


def random_amount(rng: Random) -> int:
    return rng.choice((0, 1, rng.randint(0, 200), rng.randint(0, 50_000), rng.randint(0, 10_000_000)))


def random_rate(rng: Random) -> int:
    return rng.choice((0, 10_000, rng.randint(0, 10_000), 2_100))


def random_item(rng: Random) -> PricedItem:
    return PricedItem(
        subject_id=rng.choice(SERVICES),
        label="Corte",
        base_minor=random_amount(rng),
        starts_at=NOW + timedelta(minutes=rng.randint(0, 60 * 24 * 60)),
        time_zone=BUENOS_AIRES,
        quantity=rng.randint(1, 8),
        provider_id=rng.choice(_PAYEES),
        payee_id=rng.choice(_PAYEES),
        offer_id=_maybe(rng, UUID(int=9), 0.1),
        occupancy_bps=_maybe(rng, rng.randint(0, 10_000)),
        caps=PriceCaps(
            _maybe(rng, rng.randint(0, 10_000)),
            _maybe(rng, rng.randint(0, 40_000)),
            _maybe(rng, random_amount(rng), 0.2),
            _maybe(rng, random_amount(rng), 0.2),
        ),
    )


def random_rules(rng: Random) -> list[PriceRule]:
    return [_random_rule(rng, UUID(int=rng.getrandbits(100) << 8 | n)) for n in range(rng.randint(0, 5))]


def _random_rule(rng: Random, rule_id: UUID) -> PriceRule:
    by_rate = rng.random() < 0.5
    change = rng.randint(-10_000, 30_000) if by_rate else rng.randint(-50_000, 50_000)
    change = change or 1
    return PriceRule(
        id=rule_id,
        label="Regla",
        rate_bps=change if by_rate else 0,
        amount_minor=0 if by_rate else change,
        at_most_minor=_maybe(rng, random_amount(rng), 0.3),
        priority=rng.randint(-1, 1),
        is_exclusive=rng.random() < 0.2,
        weekdays=frozenset(rng.sample(range(7), 5)) if rng.random() < 0.3 else frozenset(),
        hours=_maybe(rng, (rng.randint(0, 1_440), rng.randint(0, 1_440)), 0.3),
        lead_minutes=_maybe(rng, Between(_maybe(rng, rng.randint(0, 9_000)), _maybe(rng, 40_000)), 0.3),
        occupancy_bps=_maybe(rng, Between(rng.randint(0, 5_000), _maybe(rng, 9_000)), 0.2),
        seasons=(Season(date(2026, 3, 10), date(2026, 4, 20), rng.random() < 0.5),) if rng.random() < 0.2 else (),
        subjects=frozenset(rng.sample((*SERVICES, *PROVIDERS), 4)) if rng.random() < 0.3 else frozenset(),
    )


def random_terms(rng: Random) -> QuoteTerms:
    return QuoteTerms(
        currency=rng.choice(CURRENCIES),
        tax_rate_bps=random_rate(rng),
        tax_is_included=rng.random() < 0.5,
        platform_fee_bps=random_rate(rng),
        deposit_bps=random_rate(rng),
        minimum_charge_minor=rng.choice((0, 50, 500)),
    )


def random_promo(rng: Random) -> Promo:
    by_rate = rng.random() < 0.5
    return Promo(
        id=UUID(int=rng.getrandbits(100)),
        code="VERANO20",
        rate_bps=rng.randint(1, 10_000) if by_rate else 0,
        amount_minor=0 if by_rate else rng.randint(1, 100_000),
        at_most_minor=_maybe(rng, random_amount(rng), 0.3),
        currency="ARS",
        services=frozenset(rng.sample(SERVICES, 2)) if rng.random() < 0.5 else frozenset(),
    )


def random_visit(rng: Random) -> list[PricedItem]:
    return [random_item(rng) for _ in range(rng.randint(1, 4))]


def random_quote(rng: Random) -> Quote:
    promo = _maybe(rng, random_promo(rng))
    return quote(random_visit(rng), random_rules(rng), random_terms(rng), NOW, promo)


def random_shares(rng: Random) -> Shares:
    payees = rng.sample(_PAYEES, rng.randint(0, 3))
    return shares_of(random_amount(rng), random_amount(rng), {payee: random_amount(rng) for payee in payees})


quotes = seeded(random_quote)
share_sets = seeded(random_shares)
