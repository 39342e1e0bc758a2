"""Free slots of providers: the arithmetic behind every search, hold and live stream.

Everything is a mask of minutes (`app.domain.masks`) whose bit 0 is the first minute of the window. A start is free when
1. the service from there on lies in one continuous open stretch (openings that touch join) and outside breaks,
2. the service with its buffers touches no claim (claims bring their own buffers: those of neighbours add up), no time
   off and no time of an external calendar,
3. it lies on the grid of the slot interval, counted in real minutes from the beginning of its opening,
4. it is neither too soon (notice) nor too far (horizon: local days in the provider's zone),
5. for each need, enough resource units are free over the service with its buffers,
6. neither its local day nor its week has as many bookings as the provider takes.
Buffers may run past opening hours and into breaks. Claims with seconds in them count as whole minutes, outward.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import NamedTuple
from zoneinfo import ZoneInfo

from app.domain.busy import Busy, BusyBySubject
from app.domain.instants import at_minute, day_bounds, local_date, minute_ceil
from app.domain.limits import full_spans
from app.domain.masks import Span, around, erode, lowest, ones, span_mask
from app.domain.needs import blocked_on_axis, blocked_span, served
from app.domain.occupancy import NO_LOADS, Loads, day_loads
from app.domain.openings import hours_mask
from app.domain.plan import (
    MAXIMUM_WINDOW_DAYS,
    BookingLimits,
    Need,
    ProviderPlan,
    Refusal,
    Slot,
    SlotRules,
    UnavailableReason,
    Window,
    axis,
    bookable_range,
    horizon_end,
)
from app.domain.schedule import DAY_MINUTES, DayException
from app.domain.slot_list import Shared, SlotGroup, slot_order, slots_of_groups
from app.domain.start_prices import StartPrices

__all__ = [
    "MAXIMUM_WINDOW_DAYS",
    "SEARCH_STEP",
    "BookingLimits",
    "Need",
    "NeedsKey",
    "PlanMask",
    "ProviderPlan",
    "Refusal",
    "Slot",
    "SlotRules",
    "UnavailableReason",
    "Window",
    "axis",
    "blocked_mask",
    "blocked_span",
    "bookable_range",
    "by_price",
    "first_slot",
    "fits_mask",
    "following_masks",
    "free_mask",
    "free_masks",
    "full_mask",
    "groups_of_masks",
    "horizon_end",
    "nearest",
    "nearest_slots",
    "needs_key",
    "next_boundary",
    "slot_order",
    "slots",
    "slots_of_masks",
]

SEARCH_STEP = timedelta(days=31)
"""How much of a long window is computed at once in the search for a first free slot."""


class PlanMask(NamedTuple):
    """One plan's free starts.

    `served`: of a plan with needs, masks of the starts where its resources suffice for one, two … services at once.
    `loads`: what is taken of the provider's days, where prices depend on it.
    """

    plan: ProviderPlan
    free: int
    served: tuple[int, ...] = ()
    loads: Loads = NO_LOADS

    def prices(self, axis: Span, now: datetime) -> StartPrices:
        """What its starts cost; bit 0 is the minute `axis[0]` since 1970."""
        return StartPrices(self.plan, axis, now, self.loads)


# ── masks ─────────────────────────────────────────────────────────────────────────────────────────────


def fits_mask(plan: ProviderPlan, window: Window, *, on_grid: bool = True) -> int:
    """Starts that hours, breaks and grid allow: no claims, no notice, no horizon."""
    first, past = axis(window)
    length = past - first
    if length == 0:
        return 0
    # The last service runs beyond the window. Whole days beyond let services of different length share the masks.
    beyond = -(-plan.duration_minutes // DAY_MINUTES) * DAY_MINUTES
    exceptions = _exceptions_near(plan.exceptions, first, past + beyond)
    hours = hours_mask(plan.time_zone, plan.versions, exceptions, first, length + beyond)
    starts = hours.grid if on_grid else ones(length)
    return erode(hours.open, plan.duration_minutes) & starts & ones(length)


def _exceptions_near(exceptions: tuple[DayException, ...], first: int, past: int) -> tuple[DayException, ...]:
    """Those that may rule a minute of the range: fewer to compare, and the same hours for more plans."""
    if not exceptions:
        return exceptions
    low, high = at_minute(first).date() - _NEAR, at_minute(past).date() + _NEAR
    return tuple(one for one in exceptions if one.from_date <= high and one.to_date >= low)


_NEAR = timedelta(days=4)
"""Openings reach from their day into the next two, and local days lie up to two beside those of UTC."""


def blocked_mask(plan: ProviderPlan, busy: Iterable[Busy], window: Window, now: datetime) -> int:
    """Starts that would meet one of these live claims."""
    first, past = axis(window)
    return blocked_on_axis(plan, busy, first, past, now)


def full_mask(plan: ProviderPlan, claims: Iterable[Busy], window: Window, now: datetime) -> int:
    """Starts on days and in weeks that are at their limit."""
    if not plan.limits:
        return 0
    first, past = axis(window)
    return span_mask([(low - first, high - first) for low, high in full_spans(plan, claims, now)], past - first)


def free_mask(plan: ProviderPlan, busy_by_subject: BusyBySubject, window: Window, rules: SlotRules) -> int:
    """Bit i: the service may start i minutes after the window's first whole minute.

    Claims of the provider and of the units of the plan's needs are looked up in the map; other subjects may be in it.
    """
    return free_masks((plan,), busy_by_subject, window, rules)[0].free


def free_masks(
    plans: Sequence[ProviderPlan], busy_by_subject: BusyBySubject, window: Window, rules: SlotRules
) -> list[PlanMask]:
    """Each plan's free starts."""
    fits: list[int] = []
    bookable: dict[ZoneInfo, Span] = {}
    for plan in plans:
        if plan.time_zone not in bookable:
            bookable[plan.time_zone] = bookable_range(plan, window, rules)
        low, high = bookable[plan.time_zone]
        fits.append(fits_mask(plan, window) & (ones(high - low) << low) if low < high else 0)
    return _untaken(plans, fits, busy_by_subject, window, rules.now)


def following_masks(
    plans: Sequence[ProviderPlan], busy_by_subject: BusyBySubject, window: Window, now: datetime
) -> list[PlanMask]:
    """As `free_masks`, for a service that follows another in one visit: no grid, no notice, no horizon."""
    fits = [fits_mask(plan, window, on_grid=False) for plan in plans]
    return _untaken(plans, fits, busy_by_subject, window, now)


def _untaken(
    plans: Sequence[ProviderPlan], fits: Sequence[int], busy_by_subject: BusyBySubject, window: Window, now: datetime
) -> list[PlanMask]:
    levels: dict[NeedsKey, tuple[int, ...]] = {}
    needy = [needs_key(plan) for plan in plans if plan.needs]
    alike: dict[NeedsKey, int] = Counter(needy) if needy else {}
    found: list[PlanMask] = []
    for plan, fitting in zip(plans, fits, strict=True):
        free = fitting
        claims = busy_by_subject.get(plan.provider_id)
        if free and claims:
            free &= ~(blocked_mask(plan, claims, window, now) | full_mask(plan, claims, window, now))
        loads = day_loads(claims or (), plan.time_zone, now) if plan.asks_occupancy else NO_LOADS
        if not plan.needs:
            found.append(PlanMask(plan, free, (), loads))
            continue
        key = needs_key(plan)
        if key not in levels:
            levels[key] = served(plan, busy_by_subject, axis(window), now, alike[key])
        found.append(PlanMask(plan, free & levels[key][0] if levels[key] else 0, levels[key], loads))
    return found


NeedsKey = tuple[tuple[Need, ...], int, int, int]


def needs_key(plan: ProviderPlan) -> NeedsKey:
    """Plans with the same key need the same units at the same times."""
    return plan.needs, plan.duration_minutes, plan.buffer_before, plan.buffer_after


# ── slots ─────────────────────────────────────────────────────────────────────────────────────────────


def slots(
    plans: Sequence[ProviderPlan],
    busy_by_subject: BusyBySubject,
    window: Window,
    rules: SlotRules,
) -> list[Slot]:
    """Free slots of anyone among the plans, in `slot_order`. A subject without an entry in the map has no claims."""
    return slots_of_masks(free_masks(plans, busy_by_subject, window, rules), window, rules.now)


def slots_of_masks(masks: Iterable[PlanMask], window: Window, now: datetime) -> list[Slot]:
    """Slots from each plan's free starts (as of `free_masks`): equal start, end and price make one slot."""
    return slots_of_groups(groups_of_masks(masks, window, now), axis(window)[0])


def groups_of_masks(masks: Iterable[PlanMask], window: Window, now: datetime) -> list[SlotGroup]:
    """The plans' free starts by length and price, as prices are at `now`."""
    members: dict[tuple[int, int | None], list[PlanMask]] = {}
    for one in masks:
        plan = one.plan
        if plan.tariff is None:
            if one.free:
                members.setdefault((plan.duration_minutes, plan.price_minor), []).append(one)
            continue
        for price_minor, starts in one.prices(axis(window), now).by_total(one.free):
            members.setdefault((plan.duration_minutes, price_minor), []).append(one._replace(free=starts))
    return [_group(*key, plans) for key, plans in members.items()]


def _group(duration_minutes: int, price_minor: int | None, members: Sequence[PlanMask]) -> SlotGroup:
    people = sorted((one.plan.provider_id, one.free) for one in members)
    sharing: dict[NeedsKey, list[PlanMask]] = {}
    for one in members:
        if one.plan.needs:
            sharing.setdefault(needs_key(one.plan), []).append(one)
    shared = [
        Shared(frozenset(one.plan.provider_id for one in those), those[0].served[1:])
        for those in sharing.values()
        if len(those) > 1
    ]
    return SlotGroup(duration_minutes, price_minor, people, shared)


def first_slot(
    plans: Sequence[ProviderPlan],
    busy_by_subject: BusyBySubject,
    window: Window,
    rules: SlotRules,
) -> Slot | None:
    """The first of `slots(…)`, found without computing the rest. The window may reach to the horizon."""
    start = window.from_utc
    while start < window.to_utc:
        step = Window(start, min(start + SEARCH_STEP, window.to_utc))
        masks = free_masks(plans, busy_by_subject, step, rules)
        earliest = lowest(reduce(or_, (one.free for one in masks), 0))
        if earliest is not None:
            return slots_of_masks([one._replace(free=one.free & 1 << earliest) for one in masks], step, rules.now)[0]
        start = step.to_utc
    return None


def nearest_slots(
    plans: Sequence[ProviderPlan],
    busy_by_subject: BusyBySubject,
    window: Window,
    rules: SlotRules,
    *,
    instant: datetime,
    count: int = 6,
) -> list[Slot]:
    """`nearest(slots(…), instant, count)`, without making the slots that are further away."""
    masks = free_masks(plans, busy_by_subject, window, rules)
    near = around(reduce(or_, (one.free for one in masks), 0), minute_ceil(instant) - axis(window)[0], count)
    found = slots_of_masks([one._replace(free=one.free & near) for one in masks], window, rules.now)
    return nearest(found, instant, count)


def nearest(found: Iterable[Slot], instant: datetime, count: int = 6) -> list[Slot]:
    """One slot, the cheapest, for each of the `count` starts nearest to an instant, nearest first.

    Of two equally near, the earlier; of two equally cheap, the shorter; what has a price goes before what has none.
    """
    cheapest: dict[datetime, Slot] = {}
    for slot in found:
        known = cheapest.get(slot.starts_at)
        if known is None or by_price(slot) < by_price(known):
            cheapest[slot.starts_at] = slot
    return sorted(cheapest.values(), key=lambda slot: (abs(slot.starts_at - instant), slot.starts_at))[:count]


def by_price(slot: Slot) -> tuple[object, ...]:
    """The cheapest first, and of these the shortest; what has no price last."""
    return slot.price_minor is None, slot.price_minor or 0, slot.ends_at


# ── the passing of time ───────────────────────────────────────────────────────────────────────────────


def next_boundary(
    plans: Sequence[ProviderPlan],
    busy_by_subject: BusyBySubject,
    window: Window,
    rules: SlotRules,
    earliest: datetime | None,
) -> datetime | None:
    """The earliest instant after `rules.now` at which free slots may change through time alone; None: never.

    `earliest` is the first free start (None: there is none). Three things pass: the notice, when that start becomes too
    soon; a hold, when it lapses; the horizon, at a provider's midnight.
    """
    boundaries: list[datetime] = []
    if earliest is not None:
        # At exactly the notice it may still be booked.
        boundaries.append(earliest - timedelta(minutes=rules.notice_minutes) + timedelta(microseconds=1))
    for subject in {subject for plan in plans for subject in plan.subjects()}.intersection(busy_by_subject):
        boundaries += [claim.expires_at for claim in busy_by_subject[subject] if claim.expires_at is not None]
    for tz in {plan.time_zone for plan in plans}:
        if horizon_end(rules, tz) < window.to_utc:
            boundaries.append(day_bounds(local_date(rules.now, tz), tz)[1])
    return min((instant for instant in boundaries if instant > rules.now), default=None)
