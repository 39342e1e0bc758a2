"""Events of somebody else's calendar → the spans of time in which they are busy.

An event is written in wall-clock time of some zone, and repeats in it: "every Monday at nine" stays at nine when clocks
change. A wall-clock time that clocks jump over is read with the offset before the jump, one that occurs twice as its
first occurrence (RFC 5545, 3.3.5).

Nothing here trusts its input: each occurrence that is looked at is counted, and what would be too many is refused.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import NoReturn, TypeAlias

from dateutil.rrule import rrule

from app.domain.instants import MAXIMUM_INSTANT, MINIMUM_INSTANT

Span: TypeAlias = tuple[datetime, datetime]
"""Two instants in UTC, half open: it ends before the second."""

MOST_SPANS = 5_000
"""Of one calendar, after those that touch were joined."""
MOST_STEPS = 200_000
"""Occurrences looked at, of all events together: 500 years of daily ones, or a few seconds of work."""

_NOTHING = timedelta(0)
_DAY = timedelta(days=1)
LONGEST_DELAY = timedelta(hours=6)
"""Between two polls of a calendar that fails."""
LONGEST_DAYS = 3_660
"""Of one event. What is longer is cut."""


class CalendarRefused(Exception):
    """The calendar as a whole cannot be used. The text is for a person."""


@dataclass(frozen=True, slots=True)
class Length:
    """How long an event is: whole days of the calendar first, then exact time."""

    days: int = 0
    exact: timedelta = _NOTHING


@dataclass(frozen=True, slots=True)
class Occurrence:
    """When it begins, by the wall clock of its series' zone, and how long it is."""

    start: datetime
    length: Length


@dataclass(frozen=True, slots=True)
class Override:
    """One occurrence that differs from its series, or, with `and_following`, that one and all later ones.

    `original`: when it would have begun (the date alone where `is_date`). `start` is by the series' wall clock.
    """

    original: datetime
    is_date: bool
    start: datetime
    length: Length
    is_busy: bool
    and_following: bool = False


@dataclass(slots=True)
class Series:
    """An event with all that it repeats. All wall-clock times are naive and of `zone`.

    `added` come on top of the rules, `removed` (the date alone where it is in `removed_dates`) do not take place.
    """

    zone: tzinfo
    start: datetime
    length: Length
    is_busy: bool = True
    rules: tuple[rrule, ...] = ()
    added: tuple[Occurrence, ...] = ()
    removed: frozenset[datetime] = frozenset()
    removed_dates: frozenset[date] = frozenset()
    overrides: list[Override] = field(default_factory=list)


@dataclass(slots=True)
class Budget:
    """How much work one calendar may still cause."""

    steps: int = MOST_STEPS

    def spend(self) -> None:
        """Raises CalendarRefused when there is none left."""
        self.steps -= 1
        if self.steps < 0:
            refuse_endless()


def refuse_endless() -> NoReturn:
    """Raises CalendarRefused."""
    raise CalendarRefused("The calendar repeats events too often to be worked out.")


def busy_spans(calendar: Iterable[Series], window: Span, budget: Budget | None = None) -> tuple[Span, ...]:
    """Sorted, none touching another, those that touch the window. Raises CalendarRefused."""
    allowed = Budget() if budget is None else budget
    found: set[Span] = set()
    for series in calendar:
        for occurrence in _occurrences(series, window, allowed):
            span = _span(occurrence, series.zone)
            if span is not None and span[0] < window[1] and window[0] < span[1]:
                found.add(span)
    return join_spans(found)


def join_spans(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Sorted and disjoint; those that overlap or touch become one. Raises CalendarRefused when too many are left."""
    joined: list[Span] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    if len(joined) > MOST_SPANS:
        raise CalendarRefused(f"The calendar has more than {MOST_SPANS:,} separate busy times in the coming year.")
    return tuple(joined)


def _occurrences(series: Series, window: Span, budget: Budget) -> Iterator[Occurrence]:
    single = {override.original: override for override in series.overrides if not override.is_date}
    by_date = {override.original.date(): override for override in series.overrides if override.is_date}
    following = sorted((one for one in series.overrides if one.and_following), key=lambda one: one.original)
    for plain in _plain_occurrences(series, window, budget):
        if plain.start in single or plain.start.date() in by_date:
            continue
        rule = next((one for one in reversed(following) if one.original <= plain.start), None)
        if rule is None:
            if series.is_busy:
                yield plain
        elif rule.is_busy:
            yield Occurrence(plain.start + (rule.start - rule.original), rule.length)
    for override in series.overrides:
        budget.spend()
        if override.is_busy:
            yield Occurrence(override.start, override.length)


def _plain_occurrences(series: Series, window: Span, budget: Budget) -> Iterator[Occurrence]:
    """Without overrides. Stops behind the window, a day later for zones and as much as an override can pull forward."""
    last = _wall(window[1], series.zone) + _DAY
    pulled = [one.original - one.start for one in series.overrides if one.and_following]
    last += max([_NOTHING, *pulled])
    seen: set[datetime] = set()
    for start, length in _starts(series, last, budget):
        if start in seen or start in series.removed or start.date() in series.removed_dates:
            continue
        seen.add(start)
        yield Occurrence(start, length)


def _starts(series: Series, last: datetime, budget: Budget) -> Iterator[tuple[datetime, Length]]:
    budget.spend()
    yield series.start, series.length
    for one in series.added:
        budget.spend()
        yield one.start, one.length
    for rule in series.rules:
        for start in rule:
            if start > last:
                break
            budget.spend()
            yield start, series.length


def _wall(instant: datetime, zone: tzinfo) -> datetime:
    return instant.astimezone(zone).replace(tzinfo=None)


def to_instant(wall: datetime, zone: tzinfo) -> datetime:
    """The instant (UTC) of a wall-clock time. Raises OverflowError at the ends of the calendar."""
    return wall.replace(tzinfo=zone).astimezone(UTC)


def _span(occurrence: Occurrence, zone: tzinfo) -> Span | None:
    """None: it takes no time, or lies where no calendar reaches."""
    try:
        start = to_instant(occurrence.start, zone)
        end = start
        if occurrence.length.days:
            end = to_instant(occurrence.start + timedelta(days=occurrence.length.days), zone)
        end = min(end + occurrence.length.exact, start + timedelta(days=LONGEST_DAYS), MAXIMUM_INSTANT)
    except (OverflowError, ValueError):
        return None
    return (start, end) if MINIMUM_INSTANT <= start < end else None


# ── polling ───────────────────────────────────────────────────────────────────────────────────────────

HORIZON = timedelta(days=400)
"""How far ahead busy times are worked out: further than most services can be booked, and every day anew."""
_STAMPS = re.compile(rb"^DTSTAMP[^\r\n]*(?:\r?\n|$)", re.MULTILINE | re.IGNORECASE)


class SourceStatus(StrEnum):
    """What became of the last poll of a calendar. Values are those of the database.

    REFUSED: it will not mend by itself. FAILING: it may. In both the busy times last read still block.
    """

    WAITING = "waiting"
    ACTIVE = "active"
    FAILING = "failing"
    REFUSED = "refused"


def window_of(now: datetime) -> Span:
    """From yesterday to the horizon, in whole UTC days, so that one day's readings of a calendar agree."""
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight - _DAY, midnight + HORIZON + _DAY


def fingerprint(body: bytes) -> bytes:
    """The same for two answers that say the same: some servers stamp every event with the time of the request."""
    return hashlib.sha256(_STAMPS.sub(b"", body)).digest()


def poll_delay(interval: timedelta, failures: int, retry_after: timedelta | None, chance: float) -> timedelta:
    """How long until the next poll. `failures`: how many came one after the other, 0 after a success.

    The interval, doubled with each failure up to six hours, but no less than the server asked for. `chance`, 0 … 1,
    moves it by a tenth up or down, so that calendars that failed together come back apart.
    """
    longest = max(interval, LONGEST_DELAY)
    delay = min(interval * (1 << min(max(failures - 1, 0), 16)), longest) * (0.9 + 0.2 * chance)
    return max(min(delay, longest), retry_after or _NOTHING)
