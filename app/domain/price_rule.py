"""Rules that change a price: weekday, hours, lead time, occupancy and season; percent or amount; within caps.

How rules combine: those that match are taken by priority, the highest first, then by id. Each changes the price by its
share of the *base* price, so that the sum does not depend on the order. An exclusive rule stands alone: it counts only
as the first, and then nothing else does. Caps bound what rules may do to a base price; they never change the base price
itself. No price falls below zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from app.domain.money import MAXIMUM_MINOR
from app.domain.rounding import WHOLE_BPS, share

MAXIMUM_RATE_BPS = 10 * WHOLE_BPS
"""A rule adds at most ten times the base price, and takes at most all of it."""

DAY_MINUTES = 1_440
_MINUTE = timedelta(minutes=1)


class Between(NamedTuple):
    """`low` <= value < `high`; None: no bound."""

    low: int | None = None
    high: int | None = None

    def has(self, value: int) -> bool:
        return (self.low is None or value >= self.low) and (self.high is None or value < self.high)


@dataclass(frozen=True, slots=True)
class Season:
    """Local dates, both included. Every year: month and day count alone, and December to February is one season."""

    first: date
    last: date
    every_year: bool = False

    def has(self, day: date) -> bool:
        if not self.every_year:
            return self.first <= day <= self.last
        low, high, asked = ((one.month, one.day) for one in (self.first, self.last, day))
        return low <= asked <= high if low <= high else asked >= low or asked <= high


@dataclass(frozen=True, slots=True)
class PriceRule:
    """One rule; every condition that is set must hold, and an empty one always does.

    Exactly one of `rate_bps` (of the base price; negative: a discount) and `amount_minor` (for each place) is not zero.
    `at_most_minor`: the change of one place is no larger than this, up or down.
    `hours`: local minutes from midnight in which the service starts, [from, to); with `to` <= `from` they cross
    midnight, and the part after it belongs to the weekday and the season of the day before.
    `lead_minutes`: whole minutes from now to the start. `occupancy_bps`: how full it is; never matches where unknown.
    `subjects`: services, activities or providers; empty: all.
    """

    id: UUID
    label: str
    rate_bps: int = 0
    amount_minor: int = 0
    at_most_minor: int | None = None
    priority: int = 0
    is_exclusive: bool = False
    weekdays: frozenset[int] = frozenset()
    hours: tuple[int, int] | None = None
    lead_minutes: Between | None = None
    occupancy_bps: Between | None = None
    seasons: tuple[Season, ...] = ()
    subjects: frozenset[UUID] = frozenset()

    def __post_init__(self) -> None:
        if (self.rate_bps == 0) == (self.amount_minor == 0):
            raise ValueError("a rule changes a price either by a rate or by an amount")
        if not -WHOLE_BPS <= self.rate_bps <= MAXIMUM_RATE_BPS or abs(self.amount_minor) > MAXIMUM_MINOR:
            raise ValueError("a rule takes at most the whole price, and adds at most ten times it")
        if self.at_most_minor is not None and self.at_most_minor < 0:
            raise ValueError("the most that a rule changes is not negative")
        if any(not 0 <= weekday <= 6 for weekday in self.weekdays):
            raise ValueError("weekdays are 0 (Monday) to 6")
        if self.hours is not None and not all(0 <= minute <= DAY_MINUTES for minute in self.hours):
            raise ValueError("hours are minutes of a day")


@dataclass(frozen=True, slots=True)
class PriceCaps:
    """How low and how high rules may bring a price: shares of the base price, and amounts for one place.

    Of several bounds the tightest counts. A base price that lies outside already stays what it is.
    """

    floor_bps: int | None = None
    ceiling_bps: int | None = None
    floor_minor: int | None = None
    ceiling_minor: int | None = None

    def bounds(self, base_minor: int, quantity: int) -> tuple[int, int | None]:
        """Lowest and highest price of `quantity` places whose base price is `base_minor` in all."""
        floors = [0]
        ceilings = []
        if self.floor_bps is not None:
            floors.append(share(base_minor, self.floor_bps))
        if self.floor_minor is not None:
            floors.append(self.floor_minor * quantity)
        if self.ceiling_bps is not None:
            ceilings.append(share(base_minor, self.ceiling_bps))
        if self.ceiling_minor is not None:
            ceilings.append(self.ceiling_minor * quantity)
        return min(max(floors), base_minor), max(min(ceilings), base_minor) if ceilings else None


NO_CAPS = PriceCaps()


@dataclass(frozen=True, slots=True)
class PricedItem:
    """One service of a visit, or the places of a session, as rules see it.

    `base_minor`: what one place costs (`pricing.base_price`). `quantity`: the party where each place is paid for,
    otherwise 1. `subject_id`: the service or the activity. `payee_id`: the provider who is paid out for it, None where
    the organization keeps the money. `offer_id`: the accepted quote of a CUSTOM price, which no rule touches.
    """

    subject_id: UUID
    label: str
    base_minor: int
    starts_at: datetime
    time_zone: ZoneInfo
    quantity: int = 1
    provider_id: UUID | None = None
    payee_id: UUID | None = None
    offer_id: UUID | None = None
    occupancy_bps: int | None = None
    caps: PriceCaps = NO_CAPS

    def __post_init__(self) -> None:
        if self.base_minor < 0:
            raise ValueError("a price is not negative")
        if self.quantity < 1:
            raise ValueError("at least one place is paid for")
        if self.starts_at.utcoffset() is None:
            raise ValueError("a start needs an offset from UTC")


class Change(NamedTuple):
    """What a rule does to a price; without a rule: what the caps take back."""

    rule: PriceRule | None
    amount_minor: int


@dataclass(frozen=True, slots=True)
class ItemPrice:
    """All places of an item: the base price and each change of it, in the order in which they count."""

    base_minor: int
    changes: tuple[Change, ...]

    @property
    def total_minor(self) -> int:
        return self.base_minor + sum(change.amount_minor for change in self.changes)


def matches(rule: PriceRule, item: PricedItem, now: datetime) -> bool:
    """Does every condition of the rule hold for this item, booked at `now`?"""
    if item.offer_id is not None:
        return False
    if rule.subjects and rule.subjects.isdisjoint({item.subject_id, item.provider_id}):
        return False
    if rule.lead_minutes is not None and not rule.lead_minutes.has((item.starts_at - now) // _MINUTE):
        return False
    if rule.occupancy_bps is not None and (
        item.occupancy_bps is None or not rule.occupancy_bps.has(item.occupancy_bps)
    ):
        return False
    day = _day_of(rule, item)
    if day is None or (rule.weekdays and day.weekday() not in rule.weekdays):
        return False
    return not rule.seasons or any(season.has(day) for season in rule.seasons)


def _day_of(rule: PriceRule, item: PricedItem) -> date | None:
    """The local day that the start belongs to under this rule's hours; None outside them."""
    local = item.starts_at.astimezone(item.time_zone)
    if rule.hours is None:
        return local.date()
    minute = local.hour * 60 + local.minute
    low, high = rule.hours
    if low < high:
        return local.date() if low <= minute < high else None
    if minute >= low:
        return local.date()
    return local.date() - timedelta(days=1) if minute < high else None


def matching_rules(item: PricedItem, rules: Iterable[PriceRule], now: datetime) -> tuple[PriceRule, ...]:
    """The rules that count for this item, in the order in which they do, whatever order they were given in."""
    return counting_rules(rule for rule in rules if matches(rule, item, now))


def counting_rules(matching: Iterable[PriceRule]) -> tuple[PriceRule, ...]:
    """Of rules that match those that count, in the order in which they do."""
    found: list[PriceRule] = []
    for rule in sorted(matching, key=lambda one: (-one.priority, one.id.int)):
        if not rule.is_exclusive:
            found.append(rule)
        elif not found:
            return (rule,)
    return tuple(found)


def price_after_rules(item: PricedItem, rules: Iterable[PriceRule], now: datetime) -> ItemPrice:
    """What all places of the item cost by the rules, and why."""
    return price_by(item.base_minor, item.quantity, item.caps, matching_rules(item, rules, now))


def price_by(base_minor: int, quantity: int, caps: PriceCaps, counting: Sequence[PriceRule]) -> ItemPrice:
    """What `quantity` places of this base price cost by the rules that count."""
    base = base_minor * quantity
    changes = [Change(rule, _change(rule, base, quantity)) for rule in counting]
    if changes:
        wanted = base + sum(change.amount_minor for change in changes)
        low, high = caps.bounds(base, quantity)
        capped = max(low, wanted if high is None else min(wanted, high))
        if capped != wanted:
            changes.append(Change(None, capped - wanted))
    return ItemPrice(base, tuple(changes))


def _change(rule: PriceRule, base_minor: int, quantity: int) -> int:
    change = share(base_minor, rule.rate_bps) if rule.rate_bps else rule.amount_minor * quantity
    if rule.at_most_minor is None:
        return change
    most = rule.at_most_minor * quantity
    return max(-most, min(change, most))
