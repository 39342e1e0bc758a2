"""Opening hours as they are given and shown: local times, several intervals a day, breaks."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

import strawberry

from app.domain import schedule
from app.domain.schedule import DAY_MINUTES, Times, parse_local_time, weekly_hours
from app.schema.scalars import LocalTime


@strawberry.enum
class Weekday(Enum):
    MONDAY = 0
    TUESDAY = 1
    WEDNESDAY = 2
    THURSDAY = 3
    FRIDAY = 4
    SATURDAY = 5
    SUNDAY = 6


@strawberry.input(description='Local times. An end of "24:00" is midnight; an end before the start crosses it.')
class IntervalInput:
    start: LocalTime
    end: LocalTime

    def to_minutes(self) -> Times:
        return parse_local_time(self.start), parse_local_time(self.end)


@strawberry.input
class WeeklyHoursInput:
    weekday: Weekday
    open: list[IntervalInput]
    breaks: list[IntervalInput] = strawberry.field(default_factory=list)

    def to_domain(self) -> schedule.WeeklyHours:
        return weekly_hours(
            self.weekday.value, [i.to_minutes() for i in self.open], [i.to_minutes() for i in self.breaks]
        )


@strawberry.type(description='Local times. An end of "24:00" is midnight; an end before the start is of the next day.')
class Interval:
    start: LocalTime
    end: LocalTime

    @classmethod
    def list_of(cls, intervals: Iterable[schedule.Interval]) -> list[Interval]:
        return [cls(start=_clock(one.start_minute), end=_clock_of_end(one)) for one in intervals]


def _clock(minute: int) -> LocalTime:
    hour, rest = divmod(minute % DAY_MINUTES, 60)
    return LocalTime(f"{hour:02}:{rest:02}")


def _clock_of_end(interval: schedule.Interval) -> LocalTime:
    return LocalTime("24:00") if interval.end_minute == DAY_MINUTES else _clock(interval.end_minute)


@strawberry.type(description="An opening belongs to the weekday that it begins on, and its breaks do too.")
class WeeklyHours:
    weekday: Weekday
    open: list[Interval]
    breaks: list[Interval]

    @classmethod
    def list_of(cls, weekly: Iterable[schedule.WeeklyHours]) -> list[WeeklyHours]:
        return [
            cls(weekday=Weekday(day.weekday), open=Interval.list_of(day.open), breaks=Interval.list_of(day.breaks))
            for day in weekly
        ]
