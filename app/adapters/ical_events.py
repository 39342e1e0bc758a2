"""The lines of events → series that the domain expands (RFC 5545, with what Outlook, Google and Apple make of it).

An event that cannot be read is left out and counted: the rest of its calendar keeps its owner from being booked twice.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from dateutil.rrule import rrule, rrulestr

from app.adapters.ical_lines import RawCalendar, RawEvent, split_line
from app.adapters.ical_zones import ZoneNames
from app.domain.busy_calendar import (
    LONGEST_DAYS,
    CalendarRefused,
    Length,
    Occurrence,
    Override,
    Series,
    refuse_endless,
    to_instant,
)

MOST_DATES = 20_000
"""In all lists of added and removed dates together."""
MOST_FREQUENT_COUNT = 5_000
"""Of a rule that repeats by minutes or seconds; without a count it is refused."""
MOST_TIMES_A_DAY = 288
_TIMES_OF_DAY = ("BYHOUR", "BYMINUTE", "BYSECOND")
_HIGHEST = {
    **{"BYSECOND": 59, "BYMINUTE": 59, "BYHOUR": 23, "BYMONTHDAY": 31, "BYYEARDAY": 366, "BYWEEKNO": 53},
    **{"BYMONTH": 12, "BYSETPOS": 366},
}
"""What nothing can be beyond, from either end; dateutil searches for an hour 25 till the end of time."""

_STAMP = re.compile(r"(\d{4})(\d{2})(\d{2})(?:T(\d{2})(\d{2})(\d{2})(Z?))?", re.ASCII)
_DURATION = re.compile(
    r"([+-]?)P(?:(\d{1,9})W)?(?:(\d{1,9})D)?(?:T(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,9})S)?)?", re.ASCII
)
_RULE = re.compile(r"[A-Z0-9=;,+-]{1,2000}", re.ASCII)

Unreadable = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError)
"""What the libraries raise for values that they cannot make sense of."""


@dataclass(frozen=True, slots=True)
class ReadEvents:
    """`unreadable`: how many events were left out; `first_line`: where the first of them begins in the stream."""

    series: list[Series]
    unreadable: int
    first_line: int | None


@dataclass(frozen=True, slots=True)
class _Stamp:
    """A date, or a wall-clock time in its zone. Dates are in the owner's zone."""

    wall: datetime
    zone: tzinfo
    is_date: bool

    def instant(self) -> datetime:
        return to_instant(self.wall, self.zone)

    def wall_in(self, zone: tzinfo) -> datetime:
        """A date is the same date everywhere."""
        if self.is_date or self.zone is zone:
            return self.wall
        return self.instant().astimezone(zone).replace(tzinfo=None)


@dataclass(frozen=True, slots=True)
class _Event:
    """One VEVENT. `original`: which occurrence of its series it replaces."""

    uid: str
    sequence: int
    start: _Stamp
    length: Length
    is_busy: bool
    raw: RawEvent
    original: _Stamp | None
    and_following: bool


def read_events(calendar: RawCalendar, home: ZoneInfo) -> ReadEvents:
    """`home`: the zone of all-day events, and of floating times where the calendar names none.

    Raises CalendarRefused.
    """
    reader = _Reader(calendar, home)
    faulty: list[int] = []
    by_uid: dict[str, list[_Event]] = {}
    for raw in calendar.events:
        try:
            event = reader.event(raw)
        except Unreadable:
            faulty.append(raw.line)
        else:
            by_uid.setdefault(event.uid, []).append(event)
    series: list[Series] = []
    for events in by_uid.values():
        try:
            series += reader.series(events)
        except Unreadable:
            faulty.append(events[0].raw.line)
    return ReadEvents(series, len(faulty), min(faulty, default=None))


class _Reader:
    def __init__(self, calendar: RawCalendar, home: ZoneInfo) -> None:
        self._zones = ZoneNames(calendar.zones)
        self._home = home
        self._floating = self._zones.find(calendar.zone_name or "") or home
        self._dates_left = MOST_DATES

    # ── one event ──

    def event(self, raw: RawEvent) -> _Event:
        """Raises one of Unreadable."""
        start = self._one(raw, "DTSTART")
        if start is None:
            raise ValueError("has no start")
        original = self._one(raw, "RECURRENCE-ID")
        following = "RECURRENCE-ID" in raw.lines and "THISANDFUTURE" in raw.lines["RECURRENCE-ID"][0].upper()
        return _Event(
            # Without one it is a thing of its own.
            uid=_text(raw, "UID") or f"line {raw.line}",
            sequence=_number(_text(raw, "SEQUENCE")),
            start=start,
            length=self._length(raw, start),
            is_busy=_is_busy(raw),
            raw=raw,
            original=original,
            and_following=following,
        )

    def _one(self, raw: RawEvent, name: str) -> _Stamp | None:
        lines = raw.lines.get(name)
        if not lines:
            return None
        parameters, value = split_line(lines[0])
        return self._stamp(value, parameters.get("TZID"))

    def _stamp(self, value: str, zone_name: str | None) -> _Stamp:
        match = _STAMP.fullmatch(value.strip())
        if match is None:
            raise ValueError("is no date or time")
        year, month, day, hour, minute, second, utc = match.groups()
        if hour is None:
            return _Stamp(_naive(year, month, day), self._home, True)
        wall = _naive(year, month, day, hour, minute, min(second, "59"))  # a leap second is none here
        if utc:
            return _Stamp(wall, UTC, False)
        found = self._zones.find(zone_name) if zone_name else None
        return _Stamp(wall, found or self._floating, False)

    def _length(self, raw: RawEvent, start: _Stamp) -> Length:
        end = self._one(raw, "DTEND")
        if end is not None:
            return _length_until(start, end)
        duration = _text(raw, "DURATION")
        if duration:
            return _length_of(duration)
        return Length(days=1) if start.is_date else Length()

    # ── an event with all that repeats it ──

    def series(self, events: Sequence[_Event]) -> list[Series]:
        """All of one UID. Raises CalendarRefused, or one of Unreadable."""
        masters = [event for event in events if event.original is None]
        changed: dict[tuple[datetime, bool], _Event] = {}
        for event in sorted(events, key=lambda one: one.sequence):
            if event.original is not None:
                changed[event.original.instant(), event.and_following] = event
        if not masters:  # invited to single occurrences only
            return [Series(one.start.zone, one.start.wall, one.length, one.is_busy) for one in changed.values()]
        newest = max(event.sequence for event in masters)
        return [self._repeated(one, list(changed.values())) for one in masters if one.sequence == newest]

    def _repeated(self, master: _Event, changed: Sequence[_Event]) -> Series:
        zone, lines = master.start.zone, master.raw.lines
        added = self._listed(lines.get("RDATE", ()), master)
        removed = [stamp for stamp, _ in self._listed(lines.get("EXDATE", ()), master)]
        return Series(
            zone=zone,
            start=master.start.wall,
            length=master.length,
            is_busy=master.is_busy,
            rules=tuple(self._rule(line, master.start) for line in lines.get("RRULE", ())),
            added=tuple(Occurrence(stamp.wall_in(zone), length) for stamp, length in added),
            removed=frozenset(stamp.wall_in(zone) for stamp in removed),
            removed_dates=frozenset(stamp.wall.date() for stamp in removed if stamp.is_date),
            overrides=[_override(event, master) for event in changed],
        )

    def _listed(self, lines: Sequence[str], master: _Event) -> list[tuple[_Stamp, Length]]:
        """The dates of RDATE or EXDATE lines. A period brings its own length."""
        found = []
        for line in lines:
            parameters, values = split_line(line)
            for value in filter(None, values.split(",")):
                self._dates_left -= 1
                if self._dates_left < 0:
                    raise CalendarRefused(f"The calendar lists more than {MOST_DATES:,} single dates.")
                first, slash, last = value.partition("/")
                stamp = self._stamp(first, parameters.get("TZID"))
                length = master.length
                if slash:
                    is_duration = last.lstrip("+-").startswith("P")
                    length = (
                        _length_of(last)
                        if is_duration
                        else _length_until(stamp, self._stamp(last, parameters.get("TZID")))
                    )
                found.append((stamp, length))
        return found

    def _rule(self, line: str, start: _Stamp) -> rrule:
        value = split_line(line)[1].upper().rstrip(";")
        if not _RULE.fullmatch(value):
            raise ValueError("is no rule")
        parts = dict(part.split("=", 1) for part in value.split(";"))
        if int(parts.get("INTERVAL", "1")) < 1:
            raise ValueError("an interval is 1 or more")
        if any(abs(int(one)) > most for name, most in _HIGHEST.items() for one in parts.get(name, "0").split(",")):
            raise ValueError("names what is in no calendar")
        if (
            parts.get("FREQ") in {"SECONDLY", "MINUTELY"}
            and not 0 < int(parts.get("COUNT", "0")) <= MOST_FREQUENT_COUNT
        ):
            refuse_endless()
        if math.prod(parts.get(name, "").count(",") + 1 for name in _TIMES_OF_DAY) > MOST_TIMES_A_DAY:
            refuse_endless()
        if "UNTIL" in parts:
            parts["UNTIL"] = self._until(parts["UNTIL"], start).strftime("%Y%m%dT%H%M%S")
            parts.pop("COUNT", None)  # never both (RFC 5545, 3.3.10)
        rule = rrulestr(";".join(f"{name}={part}" for name, part in parts.items()), dtstart=start.wall, ignoretz=True)
        if not isinstance(rule, rrule):
            raise TypeError("is more than a rule")
        return rule

    def _until(self, value: str, start: _Stamp) -> datetime:
        """The last wall-clock time that the rule may reach. A date counts as a whole, however it is written."""
        until = self._stamp(value, None)
        if until.is_date:
            return until.wall.replace(hour=23, minute=59, second=59)
        if start.is_date or until.zone is not UTC:
            return until.wall
        return until.wall_in(start.zone)


def _override(event: _Event, master: _Event) -> Override:
    assert event.original is not None
    zone = master.start.zone
    # Some write the date of an all-day occurrence as its midnight, in whatever zone.
    as_date = event.original.is_date or master.start.is_date
    original = event.original.wall.replace(hour=0, minute=0, second=0) if as_date else event.original.wall_in(zone)
    return Override(
        original=original,
        is_date=as_date,
        start=event.start.wall_in(zone),
        length=event.length,
        is_busy=event.is_busy,
        and_following=event.and_following,
    )


def _length_until(start: _Stamp, end: _Stamp) -> Length:
    if start.is_date and end.is_date:
        days = (end.wall - start.wall).days
        return Length(days=1 if days < 1 else min(days, LONGEST_DAYS))
    return Length(exact=end.instant() - start.instant())


def _length_of(text: str) -> Length:
    """`P1DT2H`: a day of the calendar and two exact hours; `PT26H`: exact hours."""
    match = _DURATION.fullmatch(text.strip().upper())
    if match is None:
        raise ValueError("is no duration")
    if match[1] == "-":
        return Length()
    weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.groups()[1:])
    exact = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    return Length(min(7 * weeks + days, LONGEST_DAYS), min(exact, timedelta(days=LONGEST_DAYS)))


def _is_busy(raw: RawEvent) -> bool:
    return (
        _text(raw, "STATUS").upper() != "CANCELLED"
        and _text(raw, "TRANSP").upper() != "TRANSPARENT"
        and _text(raw, "X-MICROSOFT-CDO-BUSYSTATUS").upper() != "FREE"
    )


def _text(raw: RawEvent, name: str) -> str:
    lines = raw.lines.get(name)
    return split_line(lines[0])[1] if lines else ""


def _number(text: str) -> int:
    return int(text) if text.isdecimal() and len(text) < 10 else 0


def _naive(*parts: str) -> datetime:
    """Year, month, day and, if it has one, the time."""
    year, month, day, hour, minute, second = (*map(int, parts), *(0,) * (6 - len(parts)))
    return datetime(year, month, day, hour, minute, second)  # noqa: DTZ001 (a wall clock has no zone)
