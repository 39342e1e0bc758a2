"""The lines of an iCalendar stream (RFC 5545, 3.1) that say when somebody is busy; others are never looked into.

One pass, whose memory is bounded by what is kept: descriptions, attendees, alarms and tasks are dropped as they are
read, and so are single events that are clearly outside the days asked for: most of a calendar that is years old.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date

from app.domain.busy_calendar import CalendarRefused

MOST_EVENTS = 10_000
"""That could matter: repeating ones, and single ones in the days asked for."""
MOST_ZONES = 200
MOST_ZONE_LINES = 4_000
DEEPEST = 8
LONGEST_LINE = 1_000_000
"""Characters of a line that matters, unfolded. Lists of dates are the long ones."""

_EVENT_NAMES = frozenset(
    {
        "DTSTART",
        "DTEND",
        "DURATION",
        "RRULE",
        "RDATE",
        "EXDATE",
        "RECURRENCE-ID",
        "UID",
        "SEQUENCE",
        "STATUS",
        "TRANSP",
        "X-MICROSOFT-CDO-BUSYSTATUS",
    }
)
_ZONE_NAMES = frozenset({"TZID", "DTSTART", "TZOFFSETFROM", "TZOFFSETTO", "RRULE", "RDATE"})
_ZONE_PARTS = ("VTIMEZONE", "STANDARD", "DAYLIGHT")
_REPEATS = frozenset({"RRULE", "RDATE", "RECURRENCE-ID"})
_ENDS = frozenset({"DTEND", "DTSTART"})
_NAME = re.compile(r"[A-Za-z0-9-]{1,64}(?=[:;])")
_DATE = re.compile(r":(\d{8})(?:T|$)", re.ASCII)
_PARAMETER = re.compile(r';([A-Za-z0-9-]+)=("[^"]*"|[^";:]*)')


@dataclass(slots=True)
class RawEvent:
    """The lines of one VEVENT by upper-case name, unfolded; `line` is where it begins in the stream, from 1."""

    line: int
    lines: dict[str, list[str]] = field(default_factory=dict)


@dataclass(slots=True)
class RawCalendar:
    """What is left of a stream. `zones`: each VTIMEZONE as text. `zone_name`: what X-WR-TIMEZONE says."""

    events: list[RawEvent] = field(default_factory=list)
    zones: list[str] = field(default_factory=list)
    zone_name: str | None = None


def read_lines(body: bytes, from_date: date, to_date: date) -> RawCalendar:
    """Keeps single events that may touch the dates, and all that repeat. Raises CalendarRefused."""
    text = body.decode("utf-8-sig", "replace")
    if not text[:4_096].lstrip().upper().startswith("BEGIN:VCALENDAR"):
        raise CalendarRefused("What is at this address is no iCalendar file.")
    reading = _Reading(from_date, to_date)
    for number, line in _unfolded(text):
        reading.take(number, line)
    return reading.end()


def split_line(line: str) -> tuple[dict[str, str], str]:
    """`DTSTART;TZID="Europe/Madrid":20270105T100000` → its parameters, unquoted, and its value. Raises ValueError."""
    place = _NAME.match(line)
    at = place.end() if place else len(line)
    parameters: dict[str, str] = {}
    while match := _PARAMETER.match(line, at):
        parameters[match[1].upper()] = match[2].strip('"')
        at = match.end()
    if line[at : at + 1] != ":":
        raise ValueError("is no content line")
    return parameters, line[at + 1 :].strip()


def _unfolded(text: str) -> Iterator[tuple[int, str]]:
    """(line number, content line) without empty ones. A line that is too long to matter is cut."""
    number, parts, size = 0, [""], 0
    for count, line in enumerate(io.StringIO(text, newline=None), 1):
        bare = line.rstrip("\n")
        if bare[:1] in {" ", "\t"}:
            if size <= LONGEST_LINE:
                parts.append(bare[1:])
                size += len(bare)
            continue
        if parts != [""]:
            yield number, "".join(parts)
        number, parts, size = count, [bare], len(bare)
    if parts != [""]:
        yield number, "".join(parts)


class _Reading:
    """Where in the nesting of components the stream is."""

    def __init__(self, from_date: date, to_date: date) -> None:
        self._dates = (from_date.strftime("%Y%m%d"), to_date.strftime("%Y%m%d"))
        self._open: list[str] = []
        self._event: RawEvent | None = None
        self._zone: list[str] | None = None
        self._zone_lines = 0
        self._calendar = RawCalendar()

    def take(self, number: int, line: str) -> None:
        """The next content line. Raises CalendarRefused."""
        match = _NAME.match(line)
        if match is None:
            return  # no property: not ours to judge, as long as components nest
        name = match[0].upper()
        if name == "BEGIN":
            self._begin(number, line[6:].strip().upper())
        elif name == "END":
            self._end(number, line[4:].strip().upper())
        elif self._event is not None and self._open[-1] == "VEVENT" and name in _EVENT_NAMES:
            self._check_length(number, line)
            self._event.lines.setdefault(name, []).append(line)
        elif self._zone is not None and name in _ZONE_NAMES:
            self._keep_zone_line(line)
        elif name == "X-WR-TIMEZONE" and self._open == ["VCALENDAR"] and self._calendar.zone_name is None:
            self._calendar.zone_name = line.partition(":")[2].strip()[:100]

    def end(self) -> RawCalendar:
        """Raises CalendarRefused for a stream that ends inside a component: the rest of it, with events, is missing."""
        if self._open:
            raise CalendarRefused("The calendar breaks off before its end.")
        return self._calendar

    def _begin(self, number: int, component: str) -> None:
        if (not self._open) is not (component == "VCALENDAR") or len(self._open) >= DEEPEST:
            raise CalendarRefused(f"The calendar is malformed: line {number} begins what cannot stand there.")
        self._open.append(component)
        if component == "VEVENT" and len(self._open) == 2:
            self._event = RawEvent(number)
        elif component == "VTIMEZONE" and len(self._open) == 2:
            self._zone = []
        if self._zone is not None and component in _ZONE_PARTS:
            self._keep_zone_line(f"BEGIN:{component}")

    def _end(self, number: int, component: str) -> None:
        if not self._open or self._open.pop() != component:
            raise CalendarRefused(f"The calendar is malformed: line {number} ends what did not begin.")
        if self._zone is not None and component in _ZONE_PARTS:
            self._keep_zone_line(f"END:{component}")
        if len(self._open) != 1:
            return
        if component == "VEVENT" and self._event is not None:
            self._keep_event(self._event)
            self._event = None
        elif component == "VTIMEZONE" and self._zone is not None:
            self._calendar.zones.append("\r\n".join(self._zone) + "\r\n")
            self._zone = None
            if len(self._calendar.zones) > MOST_ZONES:
                raise CalendarRefused(f"The calendar defines more than {MOST_ZONES} time zones.")

    def _keep_event(self, event: RawEvent) -> None:
        if not event.lines.keys() & _REPEATS and self._is_outside(event):
            return
        self._calendar.events.append(event)
        if len(self._calendar.events) > MOST_EVENTS:
            raise CalendarRefused(f"The calendar has more than {MOST_EVENTS:,} events that could matter.")

    def _is_outside(self, event: RawEvent) -> bool:
        """Do all its dates lie before the first one asked for, or all behind the last? Unknown ones do not."""
        lines = [line for name in _ENDS & event.lines.keys() for line in event.lines[name]]
        found = [match[1] for match in map(_DATE.search, lines) if match]
        if not found or len(found) < len(lines):
            return False
        return min(found) > self._dates[1] or (max(found) < self._dates[0] and "DURATION" not in event.lines)

    def _keep_zone_line(self, line: str) -> None:
        assert self._zone is not None
        self._zone.append(line[:10_000])
        self._zone_lines += 1
        if self._zone_lines > MOST_ZONE_LINES:
            raise CalendarRefused("The calendar's definitions of time zones are too long.")

    @staticmethod
    def _check_length(number: int, line: str) -> None:
        if len(line) > LONGEST_LINE:
            raise CalendarRefused(f"The calendar is malformed: line {number} is too long.")
