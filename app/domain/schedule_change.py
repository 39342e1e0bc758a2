"""What publishing hours does to an owner's versions, and to the open minutes of a week. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date

from app.domain.masks import ones
from app.domain.schedule import DAY_MINUTES, WEEK_MINUTES, Interval, ScheduleVersion, WeeklyHours


def publish_over(in_force: Sequence[ScheduleVersion], version: ScheduleVersion) -> tuple[ScheduleVersion, ...]:
    """The versions in force once `version` is published, by date.

    It rules from its date until the next planned one begins (its own `effective_to` is not asked); the one that
    reaches over its date ends there, and one that begins on the same date is in force no more.
    """
    start = version.effective_from
    until: date | None = None
    kept: list[ScheduleVersion] = []
    for each in in_force:
        if each.effective_from == start:
            until = each.effective_to
        elif each.effective_from < start and (each.effective_to is None or each.effective_to > start):
            until = each.effective_to
            kept.append(replace(each, effective_to=start))
        else:
            kept.append(each)
    later = [each.effective_from for each in in_force if each.effective_from > start]
    kept.append(replace(version, effective_to=min(later, default=until)))
    return tuple(sorted(kept, key=lambda each: each.effective_from))


def minutes_gained_and_lost(before: Iterable[WeeklyHours], after: Iterable[WeeklyHours]) -> tuple[int, int]:
    """Minutes of an ordinary week that are open only after, and only before: moving an hour gains one and loses one."""
    old, new = _open_minutes(before), _open_minutes(after)
    return (new & ~old).bit_count(), (old & ~new).bit_count()


def _open_minutes(weekly: Iterable[WeeklyHours]) -> int:
    """Bit i: the minute i of the week, from Monday's midnight, is open. The night from Sunday runs into Monday."""
    opened = closed = 0
    for day in weekly:
        for interval in day.open:
            opened |= _bits(day.weekday, interval)
        for interval in day.breaks:
            closed |= _bits(day.weekday, interval)
    return opened & ~closed


def _bits(weekday: int, interval: Interval) -> int:
    bits = ones(interval.end_minute - interval.start_minute) << (weekday * DAY_MINUTES + interval.start_minute)
    return bits & ones(WEEK_MINUTES) | bits >> WEEK_MINUTES
