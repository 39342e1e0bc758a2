"""What the slot engine is asked about and what it answers: plain values, and the bounds of a window."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from app.domain.instants import MAXIMUM_DATE, day_bounds, local_date, minute_ceil
from app.domain.masks import Span
from app.domain.schedule import DAY_MINUTES, DayException, ScheduleVersion
from app.domain.tariff import Tariff

MAXIMUM_WINDOW_DAYS = 1_100
"""Of one computation. Users may ask for 62 days; the look-ahead for a next free slot goes in steps (`first_slot`)."""


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


class Slot(NamedTuple):
    """A free start. One for each start, end and price; `provider_ids` are sorted.

    `remaining` is how many could be served at once: of providers with the same needs no more than their resources
    suffice for; without needs, all of `provider_ids`. Of a visit it is 1. A session is one, too, with its free places.
    """

    starts_at: datetime
    ends_at: datetime
    provider_ids: tuple[UUID, ...]
    remaining: int
    price_minor: int | None
    session_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Need:
    """Any `quantity` of these resource units, over the service's buffered time. Needs of one plan share no unit."""

    quantity: int
    units: tuple[UUID, ...]

    def __post_init__(self) -> None:
        if self.quantity < 1:
            raise ValueError("a need is of at least one unit")


@dataclass(frozen=True, slots=True)
class BookingLimits:
    """Most holds and bookings of a provider that start on one local day, and in one ISO week (from Monday)."""

    per_day: int | None = None
    per_week: int | None = None

    def __post_init__(self) -> None:
        if any(limit is not None and limit < 1 for limit in (self.per_day, self.per_week)):
            raise ValueError("a limit is of at least one booking")

    def __bool__(self) -> bool:
        return self.per_day is not None or self.per_week is not None


UNLIMITED = BookingLimits()


@dataclass(frozen=True, slots=True)
class ProviderPlan:
    """How one provider gives one service: hours, length, buffers, price (None: by quote), resources and limits.

    `price_minor` is the price before rules and added tax; `tariff` tells those (None: it is the price of every start).
    `exceptions` come in order of precedence: the first that has a day rules it.
    """

    provider_id: UUID
    time_zone: ZoneInfo
    versions: tuple[ScheduleVersion, ...]
    duration_minutes: int
    buffer_before: int = 0
    buffer_after: int = 0
    price_minor: int | None = None
    exceptions: tuple[DayException, ...] = ()
    needs: tuple[Need, ...] = ()
    limits: BookingLimits = UNLIMITED
    tariff: Tariff | None = None

    def __post_init__(self) -> None:
        if self.duration_minutes < 1 or self.buffer_before < 0 or self.buffer_after < 0:
            raise ValueError("a service lasts at least a minute, and no buffer is negative")

    @property
    def asks_occupancy(self) -> bool:
        """Do prices depend on what the provider has on that day?"""
        return self.tariff is not None and self.tariff.asks_occupancy

    def subjects(self) -> tuple[UUID, ...]:
        """Whose busy times matter: the provider's, then the units'."""
        return (self.provider_id, *(unit for need in self.needs for unit in need.units))


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
