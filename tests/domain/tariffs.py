"""Random rules for what the starts of a world cost, and what each start costs by the book: quoted one by one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from uuid import UUID

from app.domain.busy import BusyBySubject
from app.domain.occupancy import occupancy_bps
from app.domain.plan import ProviderPlan, SlotRules, Window
from app.domain.price_book import PLAIN, PriceBook
from app.domain.price_rule import NO_CAPS, Between, PriceCaps, PriceRule, Season
from app.domain.slot_price import appointment, locked_price

SERVICE = UUID(int=500)
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class BookOfPrices:
    """An organization's prices; every service of the world is the same one."""

    book: PriceBook = PLAIN
    currency: str = "ARS"

    def put_into(self, plan: ProviderPlan) -> ProviderPlan:
        return replace(plan, tariff=self.book.tariff_of(self.currency, SERVICE, plan.provider_id))

    def of(self, parts: Sequence[tuple[ProviderPlan, datetime]], taken: BusyBySubject, now: datetime) -> int | None:
        """What services cost together, each with its start; None: one of them is by quote."""
        if any(plan.price_minor is None for plan, _ in parts):
            return None
        items = [
            appointment(
                self.book,
                SERVICE,
                plan,
                start,
                occupancy_bps=occupancy_bps(plan, start, taken.get(plan.provider_id, ()), now),
            )
            for plan, start in parts
        ]
        return locked_price(items, self.book, self.currency, now).total_minor


def random_prices(seed: int, window: Window, rules: SlotRules, people: Iterable[UUID]) -> BookOfPrices:
    """Often of an organization where nothing changes prices."""
    rng = Random(seed + 7)
    if rng.random() < 0.6:
        return BookOfPrices()
    book = PriceBook(
        rules=tuple(_random_rule(rng, number, window, rules, list(people)) for number in range(rng.randint(0, 4))),
        caps=PriceCaps(8_000, rng.choice((None, 15_000))) if rng.random() < 0.3 else NO_CAPS,
        tax_rate_bps=rng.choice((0, 2_100)),
        tax_is_included=rng.random() < 0.5,
    )
    return BookOfPrices(book, rng.choice(("ARS", "ARS", "KWD")))


def _random_rule(rng: Random, number: int, window: Window, rules: SlotRules, people: list[UUID]) -> PriceRule:
    change = rng.choice((-2_000, -500, 1_000, 2_500))
    is_rate = rng.random() < 0.7
    first = (window.from_utc + timedelta(days=rng.randint(-1, 2))).date()
    lead = (window.from_utc - rules.now) // MINUTE + rng.randint(-600, 2_000)
    hours = 60 * rng.randint(0, 23) + rng.choice((0, 30)), rng.randint(0, 1_440)
    season = Season(first, first + timedelta(days=rng.randint(0, 1)), rng.random() < 0.5)
    return PriceRule(
        id=UUID(int=number + 1),
        label="Rule",
        rate_bps=change if is_rate else 0,
        amount_minor=0 if is_rate else change // 10,
        priority=rng.randint(0, 1),
        is_exclusive=rng.random() < 0.15,
        weekdays=frozenset(rng.sample(range(7), 4)) if rng.random() < 0.4 else frozenset(),
        hours=hours if rng.random() < 0.4 else None,
        lead_minutes=rng.choice((Between(lead), Between(None, lead), Between(lead, lead + 200), None)),
        occupancy_bps=Between(rng.choice((None, 1, 2_500)), rng.choice((None, 5_000))) if rng.random() < 0.3 else None,
        seasons=(season,) if rng.random() < 0.2 else (),
        subjects=rng.choice((frozenset(), frozenset(), frozenset({SERVICE}), frozenset({rng.choice(people)}))),
    )
