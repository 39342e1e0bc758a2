"""Rules of recurrence: the part of RFC 5545 that bookings repeat by, read, written and expanded.

Rules come from strangers, so nothing here runs longer than a look at REACH_DAYS days: a rule that never matches, never
ends or steps by seconds is told as such. A rule gives local dates. Each becomes an instant by the wall clock of the
first start, so that 10:00 stays 10:00 when clocks change; what a clock skips or shows twice is told by `Occurrence`.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from itertools import islice
from typing import NamedTuple
from zoneinfo import ZoneInfo

from app.domain.errors import InvalidInput
from app.domain.instants import MAXIMUM_DATE, parse_date, resolve_local

MAXIMUM_DATES = 104
"""Of one series: two years of weeks."""
REACH_DAYS = 1_100
"""No date of a series lies further from its first one: nothing can be booked further ahead."""
MAXIMUM_EVERY = 1_000
MAXIMUM_EXCEPTIONS = 400
RULE_LENGTH = 500

_DAY = timedelta(days=1)
_DAY_NAMES = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


class Frequency(StrEnum):
    """Values are those of RFC 5545."""

    DAILY = "DAILY"
    WEEKLY = "WEEKLY"
    MONTHLY = "MONTHLY"


class NthDay(NamedTuple):
    """A weekday (0: Monday); of a month the `nth` (from its end where negative; 0: each of them)."""

    weekday: int
    nth: int = 0


@dataclass(frozen=True, slots=True)
class RecurrenceRule:
    """As in RFC 5545; months, weekdays and positions empty: not given. It ends by `count`, `until` or `until_instant`.

    `until` is a local date, included; `until_instant` is the last instant at which it may recur.
    """

    frequency: Frequency
    every: int = 1
    count: int | None = None
    until: date | None = None
    until_instant: datetime | None = None
    days: tuple[NthDay, ...] = ()
    month_days: tuple[int, ...] = ()
    months: tuple[int, ...] = ()
    positions: tuple[int, ...] = ()
    week_start: int = 0

    def text(self) -> str:
        """As RFC 5545 writes it. What is the same for every rule is left out."""
        parts = [f"FREQ={self.frequency}"]
        if self.every != 1:
            parts.append(f"INTERVAL={self.every}")
        if self.count is not None:
            parts.append(f"COUNT={self.count}")
        if self.until is not None:
            parts.append(f"UNTIL={self.until:%Y%m%d}")
        if self.until_instant is not None:
            parts.append(f"UNTIL={self.until_instant:%Y%m%dT%H%M%SZ}")
        for name, numbers in (("BYMONTH", self.months), ("BYMONTHDAY", self.month_days)):
            if numbers:
                parts.append(f"{name}={','.join(map(str, numbers))}")
        if self.days:
            parts.append("BYDAY=" + ",".join(f"{day.nth or ''}{_DAY_NAMES[day.weekday]}" for day in self.days))
        if self.positions:
            parts.append(f"BYSETPOS={','.join(map(str, self.positions))}")
        if self.week_start:
            parts.append(f"WKST={_DAY_NAMES[self.week_start]}")
        return ";".join(parts)


# ── reading ───────────────────────────────────────────────────────────────────────────────────────────

_NUMBER = re.compile(r"[+-]?[0-9]{1,4}", re.ASCII)
_NTH_DAY = re.compile(r"([+-]?[0-9]{1,2})?(MO|TU|WE|TH|FR|SA|SU)", re.ASCII)
_UNTIL = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})(?:T([0-9]{2})([0-9]{2})([0-9]{2})(Z?))?", re.ASCII)
_KNOWN = ("FREQ", "INTERVAL", "COUNT", "UNTIL", "BYDAY", "BYMONTHDAY", "BYMONTH", "BYSETPOS", "WKST")


def parse_rule(text: str) -> RecurrenceRule:
    """`FREQ=WEEKLY;COUNT=10`, with or without `RRULE:` before it. Raises ValueError, with a text for a person."""
    if len(text) > RULE_LENGTH:
        raise ValueError(f"may have at most {RULE_LENGTH} characters")
    if not text.isascii() or not text.isprintable():
        raise ValueError("is no RFC 5545 rule in one line, such as FREQ=WEEKLY;COUNT=10")
    parts: dict[str, str] = {}
    for part in text.upper().removeprefix("RRULE:").removesuffix(";").split(";"):
        name, is_pair, value = part.partition("=")
        if not is_pair or not value:
            raise ValueError("is no RFC 5545 rule, such as FREQ=WEEKLY;COUNT=10")
        if name in parts:
            raise ValueError(f"has {name} twice")
        if name not in _KNOWN:
            raise ValueError(f"has a part that cannot be booked by; known are {', '.join(_KNOWN)}")
        parts[name] = value
    until, until_instant = _until(parts.get("UNTIL"))
    rule = RecurrenceRule(
        frequency=_frequency(parts.get("FREQ")),
        every=_number("INTERVAL", parts.get("INTERVAL", "1"), 1, MAXIMUM_EVERY),
        count=None if "COUNT" not in parts else _number("COUNT", parts["COUNT"], 1, MAXIMUM_DATES),
        until=until,
        until_instant=until_instant,
        days=tuple(_nth_day(one) for one in _list(parts, "BYDAY")),
        month_days=_numbers(parts, "BYMONTHDAY", 31),
        months=_numbers(parts, "BYMONTH", 12, from_end=False),
        positions=_numbers(parts, "BYSETPOS", 366),
        week_start=_week_start(parts.get("WKST", "MO")),
    )
    check_rule(rule)
    return rule


def check_rule(rule: RecurrenceRule) -> None:
    """Raises ValueError for a rule that says nothing that can be booked by."""
    if not 1 <= rule.every <= MAXIMUM_EVERY:
        raise ValueError(f"must repeat every 1 to {MAXIMUM_EVERY}")
    if rule.count is not None and not 1 <= rule.count <= MAXIMUM_DATES:
        raise ValueError(f"must have a count of 1 to {MAXIMUM_DATES}")
    ends = sum(end is not None for end in (rule.count, rule.until, rule.until_instant))
    if ends != 1:
        raise ValueError("must end: give a count or an until, one of the two")
    if rule.frequency is not Frequency.MONTHLY:
        if any(day.nth for day in rule.days):
            raise ValueError("can number its weekdays (BYDAY=1MO) by the month only: FREQ=MONTHLY")
        if rule.frequency is Frequency.WEEKLY and rule.month_days:
            raise ValueError("cannot have BYMONTHDAY by the week: RFC 5545 forbids it")
    if rule.positions and not (rule.days or rule.month_days or rule.months):
        raise ValueError("has a BYSETPOS, which chooses among BYDAY or BYMONTHDAY: give one of those")


def _frequency(value: str | None) -> Frequency:
    try:
        return Frequency(value or "")
    except ValueError:
        raise ValueError("must have a FREQ of DAILY, WEEKLY or MONTHLY") from None


def _number(name: str, value: str, least: int, most: int) -> int:
    if not _NUMBER.fullmatch(value) or not least <= int(value) <= most:
        raise ValueError(f"must have {name} of {least} to {most}")
    return int(value)


def _list(parts: dict[str, str], name: str) -> list[str]:
    return parts[name].split(",") if name in parts else []


def _numbers(parts: dict[str, str], name: str, most: int, *, from_end: bool = True) -> tuple[int, ...]:
    found = [_number(name, one, -most if from_end else 1, most) for one in _list(parts, name)]
    if 0 in found:
        raise ValueError(f"must not have a {name} of 0")
    return tuple(dict.fromkeys(found))


def _nth_day(text: str) -> NthDay:
    match = _NTH_DAY.fullmatch(text)
    if match is None or (match[1] and not 1 <= abs(int(match[1])) <= 5):
        raise ValueError("must have weekdays such as MO, 1MO or -1FR in BYDAY")
    return NthDay(_DAY_NAMES.index(match[2]), int(match[1] or 0))


def _week_start(text: str) -> int:
    if text not in _DAY_NAMES:
        raise ValueError("must have a weekday such as MO as WKST")
    return _DAY_NAMES.index(text)


def _until(text: str | None) -> tuple[date | None, datetime | None]:
    if text is None:
        return None, None
    match = _UNTIL.fullmatch(text)
    if match is None or (match[4] and not match[7]):
        raise ValueError("must have an UNTIL such as 20270131 or 20270131T120000Z (UTC)")
    year, month, day = match[1], match[2], match[3]
    try:
        last = parse_date(f"{year}-{month}-{day}")
        if match[4] is None:
            return last, None
        return None, datetime(last.year, last.month, last.day, int(match[4]), int(match[5]), int(match[6]), tzinfo=UTC)
    except ValueError:
        raise ValueError("has an UNTIL that no calendar has, or that is too far") from None


# ── expanding ─────────────────────────────────────────────────────────────────────────────────────────


def rule_dates(rule: RecurrenceRule, first: date) -> Iterator[date]:
    """The local dates of a rule from `first` on, rising, as far as REACH_DAYS; `count` and `until_instant` are not
    looked at. Days that a month does not have are passed over, as RFC 5545 says."""
    last = min(first.toordinal() + REACH_DAYS, MAXIMUM_DATE.toordinal())
    if rule.until is not None:
        last = min(last, rule.until.toordinal())
    for period in _periods(rule, first, last):
        for day in _positioned(sorted(period), rule.positions):
            if first.toordinal() <= day.toordinal() <= last:
                yield day


def _periods(rule: RecurrenceRule, first: date, last: int) -> Iterator[list[date]]:
    """What the rule has in each day, week or month that it looks at, before positions are chosen."""
    match rule.frequency:
        case Frequency.DAILY:
            for number in range(first.toordinal(), last + 1, rule.every):
                yield _of_days(rule, [date.fromordinal(number)], by_default=None)
        case Frequency.WEEKLY:
            begin = first.toordinal() - (first.weekday() - rule.week_start) % 7
            for number in range(begin, last + 1, 7 * rule.every):
                week = [date.fromordinal(number + offset) for offset in range(7)]
                yield _of_days(rule, week, by_default=first.weekday())
        case Frequency.MONTHLY:
            index = first.year * 12 + first.month - 1
            while date(index // 12, index % 12 + 1, 1).toordinal() <= last:
                yield _of_month(rule, index // 12, index % 12 + 1, first.day)
                index += rule.every


def _of_days(rule: RecurrenceRule, days: list[date], *, by_default: int | None) -> list[date]:
    weekdays = {day.weekday for day in rule.days}
    if not weekdays and by_default is not None:
        weekdays = {by_default}
    return [
        day
        for day in days
        if (not weekdays or day.weekday() in weekdays)
        and (not rule.months or day.month in rule.months)
        and (not rule.month_days or _has_month_day(rule, day))
    ]


def _of_month(rule: RecurrenceRule, year: int, month: int, own_day: int) -> list[date]:
    if rule.months and month not in rule.months:
        return []
    length = calendar.monthrange(year, month)[1]
    days = [date(year, month, number) for number in range(1, length + 1)]
    if not rule.month_days and not rule.days:
        return [day for day in days if day.day == own_day]
    return [
        day
        for day in days
        if (not rule.month_days or _has_month_day(rule, day))
        and (not rule.days or any(_is_nth(day, wanted, length) for wanted in rule.days))
    ]


def _has_month_day(rule: RecurrenceRule, day: date) -> bool:
    length = calendar.monthrange(day.year, day.month)[1]
    return day.day in rule.month_days or day.day - length - 1 in rule.month_days


def _is_nth(day: date, wanted: NthDay, length: int) -> bool:
    if day.weekday() != wanted.weekday:
        return False
    if wanted.nth < 0:
        return (length - day.day) // 7 + 1 == -wanted.nth
    return wanted.nth in {0, (day.day - 1) // 7 + 1}


def _positioned(days: list[date], positions: tuple[int, ...]) -> list[date]:
    if not positions:
        return days
    chosen = {at - 1 if at > 0 else len(days) + at for at in positions}
    return [day for place, day in enumerate(days) if place in chosen]


# ── of a wall clock ───────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One date of a series, counted from 1. `is_skipped`: clocks go forward over its time, and `starts_at` is when they
    have; of a time that comes twice it is the first."""

    index: int
    day: date
    starts_at: datetime
    is_skipped: bool


def local_start(day: date, minute: int, tz: ZoneInfo) -> tuple[datetime, bool]:
    """The instant of a wall-clock time, minutes after midnight, and whether clocks skip it that day."""
    starts_at = resolve_local(day, minute, tz)
    shown = starts_at.astimezone(tz)
    return starts_at, (shown.date(), shown.hour * 60 + shown.minute) != (day, minute)


def occurrences(
    rule: RecurrenceRule,
    exceptions: Collection[date],
    starts_at: datetime,
    tz: ZoneInfo,
    path: str = "input.recurrence",
) -> tuple[Occurrence, ...]:
    """The dates of a series whose first start is `starts_at`, without the excepted ones, which `count` counts.

    Raises InvalidInput: for a first start that is none of the rule's or no whole minute, for no date, and for more than
    MAXIMUM_DATES or REACH_DAYS allow.
    """
    first, minute = _first(starts_at, tz)
    days: list[date] = []
    for day in islice(rule_dates(rule, first), MAXIMUM_DATES + 1 if rule.count is None else rule.count):
        if rule.until_instant is not None and local_start(day, minute, tz)[0] > rule.until_instant:
            break
        days.append(day)
    if not days or days[0] != first:
        nearest = f"; the first from there on is {days[0].isoformat()}" if days else ""
        raise InvalidInput.at("input.startsAt", f"is on none of the dates of the rule{nearest}")
    _check_length(rule, days, path)
    kept = [day for day in days if day not in exceptions]
    if not kept:
        raise InvalidInput.at(f"{path}.exceptDates", "leave no date of the rule")
    return tuple(Occurrence(index, day, *local_start(day, minute, tz)) for index, day in enumerate(kept, 1))


def _first(starts_at: datetime, tz: ZoneInfo) -> tuple[date, int]:
    """The local date and minute of a first start."""
    if starts_at.second or starts_at.microsecond:
        raise InvalidInput.at("input.startsAt", "must be a whole minute")
    shown = starts_at.astimezone(tz)
    minute = shown.hour * 60 + shown.minute
    if shown.date() >= MAXIMUM_DATE or local_start(shown.date(), minute, tz)[0] != starts_at:
        message = "is the second time that clocks show this that day: a series keeps to the first"
        raise InvalidInput.at("input.startsAt", message if shown.date() < MAXIMUM_DATE else "is too far")
    return shown.date(), minute


def _check_length(rule: RecurrenceRule, days: list[date], path: str) -> None:
    if len(days) > MAXIMUM_DATES:
        raise InvalidInput.at(path, f"has more than {MAXIMUM_DATES} dates: let it end sooner")
    far = f"reaches more than {REACH_DAYS} days beyond the first date: let it end sooner"
    if rule.count is not None and len(days) < rule.count:
        raise InvalidInput.at(path, far)
    end = rule.until or (None if rule.until_instant is None else rule.until_instant.date())
    if end is not None and (end - days[0]).days > REACH_DAYS:
        raise InvalidInput.at(path, far)
