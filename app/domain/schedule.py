"""Weekly hours of a provider and their versions in time. Local times are minutes of a day in the provider's zone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from app.domain.errors import Violation

DAY_MINUTES = 1_440
WEEK_MINUTES = 7 * DAY_MINUTES
MAXIMUM_INTERVALS = 24
"""Openings, and breaks, of one weekday."""

Times = tuple[int, int]
"""Start and end as a person gives them: minutes of the day, 0 … 1440; an end before the start crosses midnight."""


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """Half open, in minutes after the local midnight that begins the weekday; beyond 1440 it is the next day."""

    start_minute: int
    end_minute: int


@dataclass(frozen=True, slots=True)
class WeeklyHours:
    """One weekday (0: Monday). An opening belongs to the weekday that it begins on; a break to that of its opening."""

    weekday: int
    open: tuple[Interval, ...]
    breaks: tuple[Interval, ...] = ()


@dataclass(frozen=True, slots=True)
class ScheduleVersion:
    """Hours of the openings that begin on local dates `effective_from` <= d < `effective_to` (None: for good)."""

    id: UUID
    effective_from: date
    effective_to: date | None
    slot_interval_minutes: int
    weekly: tuple[WeeklyHours, ...]

    def __hash__(self) -> int:
        return hash(self.id)  # the id tells versions apart quickly; equality still compares all fields


class ExceptionKind(StrEnum):
    """What rules a day instead of the week."""

    CLOSED = "closed"
    SPECIAL_HOURS = "special_hours"
    HOLIDAY = "holiday"


@dataclass(frozen=True, slots=True)
class DayException:
    """Rules the openings that begin on local dates `from_date` … `to_date`, both included, instead of the week.

    CLOSED and HOLIDAY have no openings; `reason` is then the holiday's name. Without a `slot_interval_minutes` of its
    own, special hours keep that of the version in force.
    """

    from_date: date
    to_date: date
    kind: ExceptionKind
    open: tuple[Interval, ...] = ()
    breaks: tuple[Interval, ...] = ()
    slot_interval_minutes: int | None = None
    reason: str | None = None

    def __hash__(self) -> int:
        return hash((self.from_date, self.to_date))  # quick, and dates tell nearly all apart; equality compares all


class DayHours(NamedTuple):
    """What rules the openings that begin on one local date."""

    open: tuple[Interval, ...]
    breaks: tuple[Interval, ...]
    slot_interval_minutes: int
    exception: DayException | None
    """None: an ordinary day."""


# ── reading ───────────────────────────────────────────────────────────────────────────────────────────

_LOCAL_TIME = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d|24:00", re.ASCII)


def parse_local_time(text: str) -> int:
    """`HH:MM` → minutes after midnight; `24:00` is 1440. Raises ValueError."""
    if not _LOCAL_TIME.fullmatch(text):
        raise ValueError("is no local time; use HH:MM from 00:00 to 24:00")
    return int(text[:2]) * 60 + int(text[3:])


def weekly_hours(weekday: int, opened: Iterable[Times], breaks: Iterable[Times] = ()) -> WeeklyHours:
    """One weekday from times as a person gives them. Never refuses: `check_weekly` says what is wrong.

    A break of small hours (01:00-01:30 of 20:00-04:00) is put past midnight when only there it lies in an opening.
    Of more than a day may have, nothing is placed: they are refused anyway.
    """
    openings = tuple(_crossing(start, end) for start, end in opened)
    pauses = tuple(_crossing(start, end) for start, end in breaks)
    if max(len(openings), len(pauses)) > MAXIMUM_INTERVALS:
        return WeeklyHours(weekday, openings, pauses)
    stretches = _joined(openings)
    placed: list[Interval] = []
    for pause in pauses:
        later = Interval(pause.start_minute + DAY_MINUTES, pause.end_minute + DAY_MINUTES)
        placed.append(later if not _inside(pause, stretches) and _inside(later, stretches) else pause)
    return WeeklyHours(weekday, openings, tuple(placed))


def _crossing(start: int, end: int) -> Interval:
    return Interval(start, end + DAY_MINUTES if end < start else end)


def _joined(openings: Iterable[Interval]) -> list[Interval]:
    """Stretches of openings that touch or overlap."""
    joined: list[Interval] = []
    for opening in sorted(openings):
        if joined and opening.start_minute <= joined[-1].end_minute:
            last = joined.pop()
            opening = Interval(last.start_minute, max(last.end_minute, opening.end_minute))  # noqa: PLW2901
        joined.append(opening)
    return joined


def _inside(pause: Interval, stretches: Sequence[Interval]) -> bool:
    return any(s.start_minute <= pause.start_minute and pause.end_minute <= s.end_minute for s in stretches)


# ── checking ──────────────────────────────────────────────────────────────────────────────────────────


def check_weekly(
    weekly: Sequence[WeeklyHours], slot_interval_minutes: int, path: str = "input.weekly"
) -> list[Violation]:
    """All that is wrong with a week, each at its place (`input.weekly.0.open.1.end`). An empty week is closed."""
    found: list[Violation] = []
    if not 1 <= slot_interval_minutes <= DAY_MINUTES:
        parent = path.rpartition(".")[0]
        place = f"{parent}.slotIntervalMinutes" if parent else "slotIntervalMinutes"
        found.append(Violation(place, "must be 1 to 1440 minutes"))
    seen: dict[int, int] = {}
    for index, day in enumerate(weekly):
        here = f"{path}.{index}"
        if not 0 <= day.weekday <= 6:
            found.append(Violation(f"{here}.weekday", "is no weekday"))
        elif day.weekday in seen:
            found.append(Violation(f"{here}.weekday", f"was given already, in {path}.{seen[day.weekday]}"))
        seen.setdefault(day.weekday, index)
        found += _check_day(day, here)
    # Overlaps are told apart only in a week whose single parts make sense.
    return found or _overlaps_of_week(weekly, path)


def check_day(day: WeeklyHours, path: str = "input", *, repeats: bool = False) -> list[Violation]:
    """All that is wrong with the hours of one day that is like no other (`input.open.1.end`).

    `repeats`: the day after has the same hours, so that a night must not run into its next opening.
    """
    found = _check_day(day, path)
    if found or not day.open:
        return found
    placed = [(opening, f"{path}.open.{index}") for index, opening in enumerate(day.open)]
    if repeats:
        first, first_path = min(placed)
        placed.append((Interval(first.start_minute + DAY_MINUTES, first.end_minute + DAY_MINUTES), first_path))
    return _overlaps(placed)


def _check_day(day: WeeklyHours, path: str) -> list[Violation]:
    found: list[Violation] = []
    for name, intervals in (("open", day.open), ("breaks", day.breaks)):
        if len(intervals) > MAXIMUM_INTERVALS:
            found.append(Violation(f"{path}.{name}", f"may have at most {MAXIMUM_INTERVALS} intervals"))
            return found  # nobody reads a thousand more
        latest = DAY_MINUTES if name == "open" else 2 * DAY_MINUTES
        for index, interval in enumerate(intervals):
            found += _check_interval(interval, latest, f"{path}.{name}.{index}")
    if not found:
        stretches = _joined(day.open)
        found += [
            Violation(f"{path}.breaks.{index}", "must lie inside the open hours of its weekday")
            for index, pause in enumerate(day.breaks)
            if not _inside(pause, stretches)
        ]
        found += _overlaps([(pause, f"{path}.breaks.{index}") for index, pause in enumerate(day.breaks)])
    return found


def _check_interval(interval: Interval, latest: int, path: str) -> list[Violation]:
    start, end = interval.start_minute, interval.end_minute
    if not 0 <= start < latest:
        return [Violation(f"{path}.start", "must be from 00:00 to 23:59")]
    if end == start:
        return [Violation(f"{path}.end", "equals the start; a whole day is 00:00 to 24:00")]
    if not start < end <= start + DAY_MINUTES:
        return [Violation(f"{path}.end", "must be at most 24 hours after the start")]
    return []


def _overlaps(placed: Sequence[tuple[Interval, str]]) -> list[Violation]:
    found: list[Violation] = []
    reach: tuple[Interval, str] | None = None  # the one that reaches furthest so far
    for interval, path in sorted(placed, key=lambda item: item[0]):
        if reach is not None and interval.start_minute < reach[0].end_minute:
            found.append(Violation(path, f"overlaps {reach[1]}"))
        if reach is None or interval.end_minute > reach[0].end_minute:
            reach = (interval, path)
    return found


def _overlaps_of_week(weekly: Sequence[WeeklyHours], path: str) -> list[Violation]:
    """Overlaps on the circle of the week: the night from Sunday runs into Monday."""
    placed: list[tuple[Interval, str]] = []
    for index, day in enumerate(weekly):
        shift = day.weekday * DAY_MINUTES
        for number, opening in enumerate(day.open):
            here = f"{path}.{index}.open.{number}"
            placed.append((Interval(opening.start_minute + shift, opening.end_minute + shift), here))
    if placed:
        first, first_path = min(placed, key=lambda item: item[0])
        placed.append((Interval(first.start_minute + WEEK_MINUTES, first.end_minute + WEEK_MINUTES), first_path))
    return list(dict.fromkeys(_overlaps(placed)))


# ── storage ───────────────────────────────────────────────────────────────────────────────────────────


def sorted_weekly(weekly: Iterable[WeeklyHours]) -> tuple[WeeklyHours, ...]:
    """The same week from Monday on, intervals in order, days without hours left out: equal weeks become equal."""
    days = sorted(weekly, key=lambda day: day.weekday)
    return tuple(WeeklyHours(d.weekday, tuple(sorted(d.open)), tuple(sorted(d.breaks))) for d in days if d.open)


def weekly_to_json(weekly: Iterable[WeeklyHours]) -> list[dict[str, Any]]:
    """`[{"weekday": 0, "open": [[540, 1080]], "breaks": [[780, 840]]}, …]`."""
    return [{"weekday": day.weekday, "open": _pairs(day.open), "breaks": _pairs(day.breaks)} for day in weekly]


def _pairs(intervals: Iterable[Interval]) -> list[list[int]]:
    return [[interval.start_minute, interval.end_minute] for interval in intervals]


def weekly_from_json(value: Iterable[dict[str, Any]]) -> tuple[WeeklyHours, ...]:
    """What `weekly_to_json` wrote. Trusts it: the database holds only checked weeks."""
    return tuple(
        WeeklyHours(
            day["weekday"],
            tuple(Interval(start, end) for start, end in day["open"]),
            tuple(Interval(start, end) for start, end in day.get("breaks", ())),
        )
        for day in value
    )
