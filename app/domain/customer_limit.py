"""How many bookings one customer may have on a day and in a week, and make in an hour."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from app.domain.errors import RateLimited
from app.domain.instants import day_bounds
from app.domain.limits import day_of
from app.domain.policy import RuleBroken


@dataclass(frozen=True, slots=True)
class CustomerLimits:
    """Live bookings that start on one local day, and in one ISO week (from Monday). None: as many as one likes.

    `per_hour`: bookings made within any hour, whatever became of them; those of a series are one.
    """

    per_day: int | None = None
    per_week: int | None = None
    per_hour: int | None = None

    def __bool__(self) -> bool:
        return any(limit is not None for limit in (self.per_day, self.per_week, self.per_hour))

    def of_move(self, old: CountedTime, new: CountedTime) -> CustomerLimits:
        """What a booking that moves has to keep to: on the day, or in the week, where it is already, it may stay.

        It is none that is made.
        """
        return CustomerLimits(
            None if (old.day_from, old.day_to) == (new.day_from, new.day_to) else self.per_day,
            None if (old.week_from, old.week_to) == (new.week_from, new.week_to) else self.per_week,
        )


@dataclass(frozen=True, slots=True)
class CountedTime:
    """The local day of a start, and its week: half open."""

    day: date
    day_from: datetime
    day_to: datetime
    week_from: datetime
    week_to: datetime

    @classmethod
    def around(cls, starts_at: datetime, tz: ZoneInfo) -> CountedTime:
        day = day_of(starts_at, tz)
        monday = day - timedelta(days=day.weekday())
        week = (day_bounds(monday, tz)[0], day_bounds(monday + timedelta(days=6), tz)[1])
        return cls(day, *day_bounds(day, tz), *week)

    @property
    def next_monday(self) -> date:
        return self.day + timedelta(days=7 - self.day.weekday())


def broken_limit(limits: CustomerLimits, time: CountedTime, in_day: int, in_week: int) -> RuleBroken | None:
    """The first limit that one more booking would break, given how many there are already."""
    if limits.per_week is not None and in_week >= limits.per_week:
        message = (
            f"You have {_bookings(in_week)} in this week already, and may have {limits.per_week} a week."
            f" You can book for {time.next_monday} or later."
        )
        return RuleBroken("customer_weekly_limit", message)
    if limits.per_day is not None and in_day >= limits.per_day:
        message = (
            f"You have {_bookings(in_day)} on {time.day} already, and may have {limits.per_day} a day."
            f" You can book for {time.day + timedelta(days=1)} or later."
        )
        return RuleBroken("customer_daily_limit", message)
    return None


def hour_is_full(limit: int, retry_after: timedelta) -> RateLimited:
    """Too many were made within the last hour; the next may be in `retry_after`."""
    seconds = math.ceil(retry_after.total_seconds())
    minutes = math.ceil(seconds / 60)
    message = (
        f"You have made {_bookings(limit)} within an hour, and may not make more."
        f" You can book again in {minutes} minute{'' if minutes == 1 else 's'}."
    )
    return RateLimited(message, seconds)


def _bookings(count: int) -> str:
    return "1 booking" if count == 1 else f"{count} bookings"
