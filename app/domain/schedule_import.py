"""Schedules as other booking systems keep them for an activity, in JSON:

{"operatingDays": ["Monday", …], "startTime": "09:00", "endTime": "22:00", "slotInterval": 60,
 "customHours": {"Saturday": {"enabled": true, "startTime": "10:00", "endTime": "23:00"}}}

A day is open if it is listed or has custom hours that are enabled; those take the place of the general ones. Custom
hours that are not enabled say nothing. An end before the start lies on the next day.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.domain.errors import FieldErrors, InvalidInput
from app.domain.schedule import (
    DAY_MINUTES,
    Times,
    WeeklyHours,
    check_weekly,
    parse_local_time,
    sorted_weekly,
    weekly_hours,
)

WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
MOST_LISTED = 14
"""Longer lists are not read to their end."""

_FIELDS = frozenset({"operatingDays", "startTime", "endTime", "slotInterval", "customHours"})
_CUSTOM_FIELDS = frozenset({"enabled", "startTime", "endTime"})


@dataclass(frozen=True, slots=True)
class ImportedSchedule:
    weekly: tuple[WeeklyHours, ...]
    slot_interval_minutes: int


def read_schedule_json(value: object, path: str = "input.schedule") -> ImportedSchedule:
    """Raises InvalidInput with everything that is wrong, each at its place (`input.schedule.customHours.Saturday`)."""
    errors = FieldErrors()
    if not isinstance(value, Mapping):
        raise InvalidInput.at(path, "must be an object with operatingDays, startTime, endTime and slotInterval")
    _refuse_unknown(value, _FIELDS, path, errors)
    listed = _days(value.get("operatingDays"), f"{path}.operatingDays", errors)
    custom = _custom_hours(value.get("customHours"), f"{path}.customHours", errors)
    interval = _interval(value.get("slotInterval"), f"{path}.slotInterval", errors)
    general = None
    if listed - custom.keys() or "startTime" in value or "endTime" in value:
        general = _times(value, path, errors)
    errors.raise_any()
    hours = {day: (times, path) for day in listed if (times := general) is not None} | custom
    if not hours:
        raise InvalidInput.at(f"{path}.operatingDays", "leaves no day open; to close an activity publish an empty week")
    return _checked(hours, interval, errors)


def _checked(hours: Mapping[int, tuple[Times, str]], interval: int, errors: FieldErrors) -> ImportedSchedule:
    """What the rules of schedules say of it, told at the places where it was given."""
    days = sorted(hours)
    weekly = [weekly_hours(day, [hours[day][0]]) for day in days]
    for violation in check_weekly(weekly, interval, "weekly"):
        _, index, *rest = violation.path.split(".")
        if index.isdigit():
            field = ".startTime" if rest and rest[-1] == "start" else ".endTime"
            message = violation.message
            if message.startswith("overlaps weekly."):
                other = days[int(message.split(".")[1])]
                message = f"overlaps the hours of {WEEKDAYS[other].capitalize()}"
            errors.add(hours[days[int(index)]][1] + field, message)
    errors.raise_any()
    return ImportedSchedule(sorted_weekly(weekly), interval)


def _refuse_unknown(value: Mapping[Any, Any], known: frozenset[str], path: str, errors: FieldErrors) -> None:
    for key in list(value)[:MOST_LISTED]:
        if key not in known:
            errors.add(path, f"has a field that is not known: {str(key)[:40]!r}")


def _days(value: object, path: str, errors: FieldErrors) -> set[int]:
    if not isinstance(value, list):
        errors.add(path, 'must be a list of weekdays, such as ["Monday", "Tuesday"]')
        return set()
    days: set[int] = set()
    for index, name in enumerate(value[:MOST_LISTED]):
        day = _weekday(name)
        if day is None:
            errors.add(f"{path}.{index}", "is no weekday; use the English names, Monday to Sunday")
        elif day in days:
            errors.add(f"{path}.{index}", "was given already")
        else:
            days.add(day)
    if len(value) > MOST_LISTED:
        errors.add(path, "has more entries than a week has days")
    return days


def _weekday(name: object) -> int | None:
    lowered = name.lower() if isinstance(name, str) else ""
    return WEEKDAYS.index(lowered) if lowered in WEEKDAYS else None


def _custom_hours(value: object, path: str, errors: FieldErrors) -> dict[int, tuple[Times, str]]:
    """By weekday, of those that are enabled, with their place."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        errors.add(path, "must be an object with a weekday for each key")
        return {}
    found: dict[int, tuple[Times, str]] = {}
    seen: set[int] = set()
    for name in list(value)[:MOST_LISTED]:
        day = _weekday(name)
        if day is None:
            errors.add(path, f"has a key that is no weekday: {str(name)[:40]!r}")
            continue
        here = f"{path}.{name}"
        if day in seen:
            errors.add(here, "was given already")
        seen.add(day)
        times = _one_custom_day(value[name], here, errors)
        if times is not None:
            found[day] = (times, here)
    return found


def _one_custom_day(value: object, path: str, errors: FieldErrors) -> Times | None:
    if not isinstance(value, Mapping):
        errors.add(path, "must be an object with enabled, startTime and endTime")
        return None
    _refuse_unknown(value, _CUSTOM_FIELDS, path, errors)
    enabled = value.get("enabled", True)
    if not isinstance(enabled, bool):
        errors.add(f"{path}.enabled", "must be true or false")
        return None
    return _times(value, path, errors) if enabled else None


def _times(value: Mapping[Any, Any], path: str, errors: FieldErrors) -> Times | None:
    start = _time(value.get("startTime"), f"{path}.startTime", errors)
    end = _time(value.get("endTime"), f"{path}.endTime", errors)
    return None if start is None or end is None else (start, end)


def _time(value: object, path: str, errors: FieldErrors) -> int | None:
    if not isinstance(value, str):
        errors.add(path, "must be a local time such as 09:00")
        return None
    return errors.read(path, parse_local_time, value)


def _interval(value: object, path: str, errors: FieldErrors) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= DAY_MINUTES:
        errors.add(path, f"must be a whole number of minutes from 1 to {DAY_MINUTES}")
        return 0
    return value
