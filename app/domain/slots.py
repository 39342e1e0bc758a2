"""Free slots of providers: the arithmetic behind every search, hold and live stream.

Everything is a mask of minutes (`app.domain.masks`) whose bit 0 is the first minute of the window. A start is free when
1. the service from there on lies in one continuous open stretch (openings that touch join) and outside breaks,
2. the service with its buffers touches no claim (claims bring their own buffers, so those of neighbours add up),
3. it lies on the grid of the slot interval, counted in real minutes from the beginning of its opening,
4. it is neither too soon (notice) nor too far (horizon: local days in the provider's zone).
Buffers may run past opening hours and into breaks. Claims with seconds in them count as whole minutes, outward.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from functools import reduce
from operator import attrgetter, or_
from uuid import UUID
from zoneinfo import ZoneInfo

from app.domain.busy import Busy
from app.domain.instants import MAXIMUM_DATE, at_minute, day_bounds, local_date, minute_ceil, minute_floor
from app.domain.masks import Span, bits, erode, lowest, ones, span_mask
from app.domain.openings import hours_mask
from app.domain.schedule import DAY_MINUTES, ScheduleVersion

MAXIMUM_WINDOW_DAYS = 1_100
"""Of one computation. Users may ask for 62 days; the look-ahead for a next free slot goes in steps (`first_slot`)."""

_SEARCH_STEP = timedelta(days=31)


class UnavailableReason(StrEnum):
    """Why a time cannot be had."""

    CLOSED = "closed"
    BREAK = "break"
    HOLIDAY = "holiday"
    TIME_OFF = "time_off"
    BOOKED = "booked"
    HELD = "held"
    BUFFER = "buffer"
    NOTICE = "notice"
    HORIZON = "horizon"
    LIMIT = "limit"
    RESOURCE = "resource"
    CAPACITY = "capacity"
    EXTERNAL_BUSY = "external_busy"
    INACTIVE = "inactive"


@dataclass(frozen=True, slots=True)
class Slot:
    """A free start. One for each start, end and price; `provider_ids` are sorted and `remaining` counts them."""

    starts_at: datetime
    ends_at: datetime
    provider_ids: tuple[UUID, ...]
    remaining: int
    price_minor: int | None


@dataclass(frozen=True, slots=True)
class ProviderPlan:
    """How one provider gives one service: hours, length, buffers and price (None: by quote)."""

    provider_id: UUID
    time_zone: ZoneInfo
    versions: tuple[ScheduleVersion, ...]
    duration_minutes: int
    buffer_before: int = 0
    buffer_after: int = 0
    price_minor: int | None = None

    def __post_init__(self) -> None:
        if self.duration_minutes < 1 or self.buffer_before < 0 or self.buffer_after < 0:
            raise ValueError("a service lasts at least a minute, and no buffer is negative")


@dataclass(frozen=True, slots=True)
class Window:
    """Starts that are wanted: `from_utc` <= start < `to_utc`. Whole local days come from `instants.day_bounds`."""

    from_utc: datetime
    to_utc: datetime


@dataclass(frozen=True, slots=True)
class SlotRules:
    """When a start may be booked. The horizon counts local days in each provider's own zone."""

    now: datetime
    notice_minutes: int = 0
    maximum_advance_days: int = 365


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a start is not offered; `message` is for a person."""

    reason: UnavailableReason
    message: str


# ── masks ─────────────────────────────────────────────────────────────────────────────────────────────


def axis(window: Window) -> Span:
    """The whole minutes since 1970 that may be starts: first, and one past the last. ValueError when too wide."""
    first, past = minute_ceil(window.from_utc), minute_ceil(window.to_utc)
    if past - first > MAXIMUM_WINDOW_DAYS * DAY_MINUTES:
        raise ValueError(f"a window is at most {MAXIMUM_WINDOW_DAYS} days wide")
    return first, max(first, past)


def horizon_end(rules: SlotRules, tz: ZoneInfo) -> datetime:
    """Starts from here on are too far: the end of the last local day that may be booked."""
    today = local_date(rules.now, tz)
    days = min(rules.maximum_advance_days, (MAXIMUM_DATE - today).days)
    return day_bounds(today + timedelta(days=days), tz)[1]


def bookable_range(plan: ProviderPlan, window: Window, rules: SlotRules) -> Span:
    """The bits of the window that notice and horizon leave: first, and one past the last (equal: none)."""
    first, past = axis(window)
    low = max(first, minute_ceil(rules.now + timedelta(minutes=rules.notice_minutes)))
    high = min(past, minute_ceil(horizon_end(rules, plan.time_zone)))
    return low - first, max(low, high) - first


def fits_mask(plan: ProviderPlan, window: Window) -> int:
    """Starts that hours, breaks and grid allow: no claims, no notice, no horizon."""
    first, past = axis(window)
    length = past - first
    if length == 0:
        return 0
    # The last service runs beyond the window. Whole days beyond let services of different length share the masks.
    beyond = -(-plan.duration_minutes // DAY_MINUTES) * DAY_MINUTES
    hours = hours_mask(plan.time_zone, plan.versions, first, length + beyond)
    return erode(hours.open, plan.duration_minutes) & hours.grid & ones(length)


def blocked_span(plan: ProviderPlan, busy: Busy) -> Span:
    """The starts, in minutes since 1970, that would meet this claim."""
    low = minute_floor(busy.busy_from) - plan.duration_minutes - plan.buffer_after + 1
    return low, minute_ceil(busy.busy_to) + plan.buffer_before


def blocked_mask(plan: ProviderPlan, busy: Iterable[Busy], window: Window, now: datetime) -> int:
    """Starts that would meet a live claim."""
    first, past = axis(window)
    # blocked_span, written out: this loop is most of the cost of a month with many bookings.
    before = plan.duration_minutes + plan.buffer_after - 1 + first
    after = plan.buffer_before - first
    spans = [
        (minute_floor(claim.busy_from) - before, minute_ceil(claim.busy_to) + after)
        for claim in busy
        if claim.busy_from < claim.busy_to and (claim.expires_at is None or claim.expires_at > now)
    ]
    return span_mask(spans, past - first)


def free_mask(plan: ProviderPlan, busy: Iterable[Busy], window: Window, rules: SlotRules) -> int:
    """Bit i: the service may start i minutes after the window's first whole minute."""
    low, high = bookable_range(plan, window, rules)
    if low >= high:
        return 0
    free = fits_mask(plan, window) & (ones(high - low) << low)
    return free & ~blocked_mask(plan, busy, window, rules.now) if free else 0


def free_starts(plan: ProviderPlan, busy: Iterable[Busy], window: Window, rules: SlotRules) -> list[datetime]:
    """The free starts of one provider, rising."""
    first, _ = axis(window)
    return [at_minute(first + bit) for bit in bits(free_mask(plan, busy, window, rules))]


# ── slots ─────────────────────────────────────────────────────────────────────────────────────────────


def slot_order(slot: Slot) -> tuple[datetime, datetime, bool, int]:
    """By start, end and price; a slot without a price comes last."""
    return slot.starts_at, slot.ends_at, slot.price_minor is None, slot.price_minor or 0


def slots(
    plans: Sequence[ProviderPlan],
    busy_by_provider: Mapping[UUID, Iterable[Busy]],
    window: Window,
    rules: SlotRules,
) -> list[Slot]:
    """Free slots of anyone among the plans, in `slot_order`. A provider without an entry in the map has no claims."""
    return slots_of_masks(free_masks(plans, busy_by_provider, window, rules), window)


def free_masks(
    plans: Sequence[ProviderPlan],
    busy_by_provider: Mapping[UUID, Iterable[Busy]],
    window: Window,
    rules: SlotRules,
) -> list[tuple[ProviderPlan, int]]:
    """Each plan's free starts, as `free_mask` gives them."""
    return [(plan, free_mask(plan, busy_by_provider.get(plan.provider_id, ()), window, rules)) for plan in plans]


def count_slots(masks: Iterable[tuple[ProviderPlan, int]]) -> int:
    """How many slots `slots_of_masks` would make of them: cheap, so that an answer can be refused before it is made."""
    groups: dict[tuple[int, int | None], int] = {}
    for plan, mask in masks:
        key = (plan.duration_minutes, plan.price_minor)
        groups[key] = groups.get(key, 0) | mask
    return sum(mask.bit_count() for mask in groups.values())


def slots_of_masks(masks: Iterable[tuple[ProviderPlan, int]], window: Window) -> list[Slot]:
    """Slots from each plan's free starts (as of `free_mask`): equal start, end and price make one slot."""
    first, _ = axis(window)
    groups: dict[tuple[int, int | None], list[tuple[UUID, int]]] = {}
    for plan, mask in masks:
        if mask:
            groups.setdefault((plan.duration_minutes, plan.price_minor), []).append((plan.provider_id, mask))
    found: list[Slot] = []
    for (duration, price), members in groups.items():
        if len(members) == 1:
            [(provider_id, mask)] = members
            who = (provider_id,)
            found += [
                Slot(at_minute(minute), at_minute(minute + duration), who, 1, price)
                for minute in (first + bit for bit in bits(mask))
            ]
        else:
            found += _shared(members, first, duration, price)
    if len(groups) > 1:
        found.sort(key=slot_order)
    return found


def _shared(members: list[tuple[UUID, int]], first: int, duration: int, price: int | None) -> list[Slot]:
    """Slots of several providers with one length and price."""
    members = sorted(members)
    union = reduce(or_, (mask for _, mask in members))
    width = union.bit_length()
    rows = [f"{mask:0{width}b}" for _, mask in members]
    known: dict[str, tuple[UUID, ...]] = {}  # the same few sets of people come again and again
    found: list[Slot] = []
    for bit in bits(union):
        pattern = "".join([row[width - 1 - bit] for row in rows])
        who = known.get(pattern)
        if who is None:
            who = tuple(member[0] for member, sign in zip(members, pattern, strict=True) if sign == "1")
            known[pattern] = who
        minute = first + bit
        found.append(Slot(at_minute(minute), at_minute(minute + duration), who, len(who), price))
    return found


def first_slot(
    plans: Sequence[ProviderPlan],
    busy_by_provider: Mapping[UUID, Sequence[Busy]],
    window: Window,
    rules: SlotRules,
) -> Slot | None:
    """The first of `slots(…)`, found without computing the rest. The window may reach to the horizon."""
    start = window.from_utc
    while start < window.to_utc:
        step = Window(start, min(start + _SEARCH_STEP, window.to_utc))
        masks = [(p, free_mask(p, busy_by_provider.get(p.provider_id, ()), step, rules)) for p in plans]
        earliest = min((bit for bit in (lowest(mask) for _, mask in masks) if bit is not None), default=None)
        if earliest is not None:
            return slots_of_masks([(p, mask & (1 << earliest)) for p, mask in masks], step)[0]
        start = step.to_utc
    return None


def split_by_day(found: Sequence[Slot], from_date: date, to_date: date, tz: ZoneInfo) -> list[tuple[date, list[Slot]]]:
    """One entry for each local date, both ends included, empty ones too. `found` is in `slot_order`."""
    days: list[tuple[date, list[Slot]]] = []
    key = attrgetter("starts_at")
    day = from_date
    low = bisect_left(found, day_bounds(day, tz)[0], key=key)
    while day <= to_date:
        high = bisect_left(found, day_bounds(day, tz)[1], lo=low, key=key)
        days.append((day, list(found[low:high])))
        low = high
        day += timedelta(days=1)
    return days


def nearest(found: Iterable[Slot], around: datetime, count: int = 6) -> list[Slot]:
    """The `count` slots nearest to an instant, nearest first; of two equally near, the earlier."""
    return sorted(found, key=lambda slot: (abs(slot.starts_at - around), slot_order(slot)))[:count]


# ── the passing of time ───────────────────────────────────────────────────────────────────────────────


def next_boundary(
    plans: Sequence[ProviderPlan],
    busy_by_provider: Mapping[UUID, Iterable[Busy]],
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
    for plan in plans:
        claims = busy_by_provider.get(plan.provider_id, ())
        boundaries += [claim.expires_at for claim in claims if claim.expires_at is not None]
        if horizon_end(rules, plan.time_zone) < window.to_utc:
            boundaries.append(day_bounds(local_date(rules.now, plan.time_zone), plan.time_zone)[1])
    return min((instant for instant in boundaries if instant > rules.now), default=None)
