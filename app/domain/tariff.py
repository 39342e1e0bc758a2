"""What starts cost by rules that change prices: masks of starts at which the same rules match.

A rule's standing conditions (weekday, hours, season) depend on the start alone; its lead time on now as well, and its
occupancy on what the provider has that day. Starts with the same matching rules cost the same, so that a month has a
few prices to compute, not one for each slot. What a start costs is exactly what `price_quote.quote` says of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import NamedTuple
from zoneinfo import ZoneInfo

from app.domain.instants import minute_ceil
from app.domain.masks import Span, ones, span_mask
from app.domain.money import MAXIMUM_MINOR
from app.domain.price_quote import QuoteTerms, total_of
from app.domain.price_rule import NO_CAPS, PriceCaps, PriceRule, counting_rules, price_by
from app.domain.rounding import charge_step
from app.domain.schedule import DAY_MINUTES, WEEK_MINUTES
from app.domain.wall_clock import wall_stretches

WEEKS_KEPT = 8
"""Of one tariff: what its standing conditions say of so many stretches of whole weeks is remembered."""
CELLS_KEPT = 128
"""Of so many and more none are: a cell of two months is 11 kB."""
PRICES_KEPT = 4_096


class Cell(NamedTuple):
    """Starts at which the same rules match: bit k of `matching` is rule k of the tariff."""

    matching: int
    starts: int


class _Standing(NamedTuple):
    """`cells` by the rules that have only standing conditions; for each other rule, where its standing ones hold."""

    cells: tuple[Cell, ...]
    masks: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Tariff:
    """The rules that may count for what somebody offers, the caps, and the tax. `terms`: of these only what the total
    depends on."""

    rules: tuple[PriceRule, ...]
    terms: QuoteTerms
    caps: PriceCaps = NO_CAPS
    _standing: dict[tuple[ZoneInfo, int, int], _Standing] = field(default_factory=dict, compare=False, repr=False)
    _prices: dict[tuple[int, int], int] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def asks_occupancy(self) -> bool:
        return any(rule.occupancy_bps is not None for rule in self.rules)

    @cached_property
    def lead_bounds(self) -> tuple[int, ...]:
        """Lead times, in minutes, at which a price may change."""
        bounds = {bound for rule in self.rules for bound in rule.lead_minutes or () if bound is not None}
        return tuple(sorted(bounds))

    @cached_property
    def is_plain(self) -> bool:
        """Does everything cost what it costs before rules and tax?"""
        return not self.rules and not self.adds and self.keeps_apart

    @cached_property
    def keeps_apart(self) -> bool:
        """Do different sums always come to different totals?"""
        return charge_step(self.terms.currency) == 1

    @cached_property
    def adds(self) -> bool:
        """Is tax added to prices?"""
        return not self.terms.tax_is_included and self.terms.tax_rate_bps > 0

    def item_minor(self, base_minor: int, matching: int) -> int:
        """The price of one place by these rules, before tax and rounding."""
        if not matching:
            return base_minor
        known = self._prices.get((base_minor, matching))
        if known is None:
            if len(self._prices) >= PRICES_KEPT:
                self._prices.clear()
            rules = counting_rules(rule for place, rule in enumerate(self.rules) if matching >> place & 1)
            known = self._prices[base_minor, matching] = price_by(base_minor, 1, self.caps, rules).total_minor
        return known

    def total_minor(self, subtotal_minor: int | None) -> int | None:
        """With tax and rounding. None: by quote, or more than can be charged."""
        if subtotal_minor is None:
            return None
        total = total_of(self.terms, subtotal_minor)
        return total if total <= MAXIMUM_MINOR else None

    def cells(
        self, tz: ZoneInfo, axis: Span, now: datetime, occupancy: Sequence[tuple[Span, int]], starts: int
    ) -> list[Cell]:
        """Some starts of the minutes `axis` (since 1970), by which rules match; no cell is empty.

        `occupancy`: spans of minutes since 1970 with how full they are, 0 to 10,000; elsewhere 0.
        """
        weeks = axis[0] // WEEK_MINUTES * WEEK_MINUTES, -(-axis[1] // WEEK_MINUTES) * WEEK_MINUTES
        standing, later = self._standing_of(tz, weeks), axis[0] - weeks[0]
        found = [Cell(rules, part) for rules, mask in standing.cells if (part := mask >> later & starts)]
        for place, mask in standing.masks:
            rule = self.rules[place]
            holds = mask >> later & starts
            if rule.lead_minutes is not None:
                holds &= _lead_mask(rule, axis, now)
            if rule.occupancy_bps is not None and holds:
                holds &= _occupancy_mask(rule, axis, occupancy)
            if holds:
                found = list(_split(found, place, holds))
        return found

    def _standing_of(self, tz: ZoneInfo, weeks: Span) -> _Standing:
        key = (tz, *weeks)
        known = self._standing.get(key)
        if known is None:
            known = _standing(self.rules, tz, weeks)
            if len(self._standing) >= WEEKS_KEPT:
                self._standing.clear()
            if len(known.cells) + len(known.masks) <= CELLS_KEPT:
                self._standing[key] = known
        return known


def _standing(rules: Sequence[PriceRule], tz: ZoneInfo, axis: Span) -> _Standing:
    masks: list[tuple[int, int]] = []
    turns: dict[int, int] = {}  # at which minute which rules begin or cease to hold
    for place, rule in enumerate(rules):
        spans = _standing_spans(rule, tz, axis)
        if rule.lead_minutes is not None or rule.occupancy_bps is not None:
            masks.append((place, span_mask(spans, axis[1] - axis[0])))
            continue
        for low, high in spans:
            turns[low] = turns.get(low, 0) ^ 1 << place
            turns[high] = turns.get(high, 0) ^ 1 << place
    return _Standing(_between_turns(turns, axis[1] - axis[0]), tuple(masks))


def _between_turns(turns: dict[int, int], length: int) -> tuple[Cell, ...]:
    """In one walk along the axis: a hundred rules have thousands of cells."""
    found: dict[int, list[Span]] = {}
    matching, low = 0, 0
    for minute in sorted({*turns, length}):
        if minute > low:
            found.setdefault(matching, []).append((low, minute))
            low = minute
        matching ^= turns.get(minute, 0)
    return tuple(Cell(rules, span_mask(spans, length)) for rules, spans in found.items())


def _split(cells: Sequence[Cell], place: int, holds: int) -> Iterator[Cell]:
    for matching, starts in cells:
        inside = starts & holds
        if inside:
            yield Cell(matching | 1 << place, inside)
        if inside != starts:
            yield Cell(matching, starts ^ inside)


# ── conditions as masks: `price_rule.matches`, of all starts at once ──────────────────────────────────


def _standing_spans(rule: PriceRule, tz: ZoneInfo, axis: Span) -> list[Span]:
    """Where weekday, hours and season hold: apart from one another, within the axis, counted from its first minute."""
    first, past = axis
    if not rule.weekdays and not rule.seasons and rule.hours is None:
        return [(0, past - first)]
    low, high = rule.hours or (0, DAY_MINUTES)
    if high <= low:
        high += DAY_MINUTES  # the part after midnight belongs to the day before it
    spans = (
        (max(midnight + low, stretch.low) - first, min(midnight + high, stretch.high) - first)
        for stretch in wall_stretches(tz, first, past)
        for day, midnight in stretch.days(before=1)
        if not rule.weekdays or day.weekday() in rule.weekdays
        if not rule.seasons or any(season.has(day) for season in rule.seasons)
    )
    return [(start, end) for start, end in spans if start < end]


def _lead_mask(rule: PriceRule, axis: Span, now: datetime) -> int:
    assert rule.lead_minutes is not None
    first, past = axis
    soonest = minute_ceil(now) - first
    low, high = (None if bound is None else soonest + bound for bound in rule.lead_minutes)
    low, high = max(low or 0, 0), past - first if high is None else min(high, past - first)
    return ones(high - low) << low


def _occupancy_mask(rule: PriceRule, axis: Span, occupancy: Sequence[tuple[Span, int]]) -> int:
    assert rule.occupancy_bps is not None
    first, past = axis
    has, spans = rule.occupancy_bps.has, [(low - first, high - first) for (low, high), _ in occupancy]
    inside = span_mask([span for span, (_, bps) in zip(spans, occupancy, strict=True) if has(bps)], past - first)
    return inside | (ones(past - first) & ~span_mask(spans, past - first) if has(0) else 0)
