"""Instants, local times and zones. Instants are aware datetimes in UTC; local times are minutes of a local date.

How a local time becomes an instant: one that does not exist (clocks went forward over it) moves to the end of the gap;
one that occurs twice means its first occurrence. Both keep the order of local times, so that hours never turn round.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINIMUM_INSTANT = EPOCH
MAXIMUM_INSTANT = datetime(2200, 1, 1, tzinfo=UTC)
MINIMUM_DATE = date(1970, 1, 1)
MAXIMUM_DATE = date(2200, 1, 1)
MAXIMUM_LOCAL_MINUTE = 2 * 1_440
"""An opening may run into the next day, so its end counts on from the day that it began on."""

_MINUTE = timedelta(minutes=1)
_SECOND = timedelta(seconds=1)
_ZERO = timedelta(0)

# ── zones ─────────────────────────────────────────────────────────────────────────────────────────────

_ZONE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9][A-Za-z0-9_+-]*){0,2}", re.ASCII)
_ZONE_LENGTH = 64
_NOT_A_PLACE = frozenset({"posixrules", "localtime", "factory", "leapseconds", "leap-seconds"})
_NOT_A_REGION = ("posix/", "right/", "systemv/")


@lru_cache(maxsize=1_024)  # only zones that exist are remembered: raising is not cached, so a stranger cannot fill it
def _load_zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def zone(name: str) -> ZoneInfo:
    """The IANA zone of this name, by its exact spelling. Raises ValueError, with a text for a person."""
    lowered = name.lower() if len(name) <= _ZONE_LENGTH else ""
    # The name becomes a path below the zone folder: nothing but letters and single slashes gets that far.
    if not lowered or not _ZONE_NAME.fullmatch(name) or lowered in _NOT_A_PLACE or lowered.startswith(_NOT_A_REGION):
        raise ValueError("is no IANA time zone; use a name such as America/Argentina/Buenos_Aires")
    try:
        return _load_zone(name)
    except (KeyError, ValueError, OSError):  # KeyError: not found; OSError: a folder such as "America"
        raise ValueError("is no IANA time zone; use a name such as America/Argentina/Buenos_Aires") from None


# ── instants ──────────────────────────────────────────────────────────────────────────────────────────

_INSTANT = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2})(:\d{2})?(?:\.(\d{1,9}))?([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)", re.ASCII
)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def check_instant(value: datetime) -> datetime:
    """The same instant in UTC. Raises ValueError for a naive one or one out of bounds."""
    if value.utcoffset() is None:
        raise ValueError("needs an offset from UTC, as in 2026-03-04T10:00:00-03:00 or 2026-03-04T13:00:00Z")
    # The wall clock is compared first: turning year 1 or 9999 into UTC may overflow.
    in_reach = MINIMUM_DATE.year - 1 <= value.year <= MAXIMUM_DATE.year + 1
    if not in_reach or not MINIMUM_INSTANT <= value <= MAXIMUM_INSTANT:
        raise ValueError("must lie between 1970-01-01T00:00:00Z and 2200-01-01T00:00:00Z")
    return value.astimezone(UTC)


def parse_instant(text: str) -> datetime:
    """RFC 3339 with an offset → the instant in UTC, cut to whole microseconds. Raises ValueError."""
    match = _INSTANT.fullmatch(text) if len(text) <= 40 else None
    if match is None:
        raise ValueError("is no RFC 3339 instant with an offset, as in 2026-03-04T10:00:00-03:00")
    day, clock, seconds, fraction, offset = match.groups()
    fraction = (fraction or "0")[:6].ljust(6, "0")
    try:
        value = datetime.fromisoformat(f"{day}T{clock}{seconds or ':00'}.{fraction}{offset.upper()}")
    except ValueError:
        raise ValueError("names a day or time that does not exist") from None
    return check_instant(value)


@lru_cache(maxsize=16_384)  # as of `at_minute`: the same starts are told over and over
def format_instant(value: datetime) -> str:
    """`2026-03-04T13:00:00Z`; a fraction of a second only where there is one."""
    if value.tzinfo is not UTC:
        value = value.astimezone(UTC)
    return value.isoformat()[:-6] + "Z"  # for +00:00


def parse_date(text: str) -> date:
    """`YYYY-MM-DD` between 1970 and 2200. Raises ValueError."""
    if not _DATE.fullmatch(text):
        raise ValueError("is no date; use YYYY-MM-DD")
    try:
        value = date.fromisoformat(text)
    except ValueError:
        raise ValueError("names a day that does not exist") from None
    return check_date(value)


def check_date(value: date) -> date:
    """Raises ValueError for a date out of bounds."""
    if not MINIMUM_DATE <= value <= MAXIMUM_DATE:
        raise ValueError("must lie between 1970-01-01 and 2200-01-01")
    return value


# ── local times ───────────────────────────────────────────────────────────────────────────────────────


def _naive(day: date, minutes: int) -> datetime:
    if not 0 <= minutes <= MAXIMUM_LOCAL_MINUTE:
        raise ValueError("a local time is 0 to 2880 minutes after midnight")
    return datetime(day.year, day.month, day.day) + minutes * _MINUTE  # noqa: DTZ001 - a wall clock has no zone


def _offsets(local: datetime, tz: ZoneInfo) -> tuple[timedelta, timedelta]:
    """The zone's offset at a wall-clock time as first and as second occurrence; they differ in gaps and repeats."""
    first = tz.utcoffset(local)
    second = tz.utcoffset(local.replace(fold=1))
    assert first is not None
    assert second is not None
    return first, second


def resolve_local(day: date, minutes: int, tz: ZoneInfo) -> datetime:
    """The instant (UTC) of a local time, `minutes` 0…2880 after the midnight of `day`. See the head of this file."""
    local = _naive(day, minutes)
    before, after = _offsets(local, tz)
    instant = (local - before).replace(tzinfo=UTC)
    if after <= before:  # usual, or occurs twice: the first
        return instant
    return _change_between((local - after).replace(tzinfo=UTC), instant, tz)


def _change_between(low: datetime, high: datetime, tz: ZoneInfo) -> datetime:
    """The instant, low < it <= high, at which the zone's offset changes. Halves the range down to a second."""
    earlier = low.astimezone(tz).utcoffset()
    while high - low > _SECOND:
        middle = low + (high - low) // 2
        middle = middle.replace(microsecond=0)
        if middle <= low:
            break
        if middle.astimezone(tz).utcoffset() == earlier:
            low = middle
        else:
            high = middle
    return high


@lru_cache(maxsize=4_096)  # the coming weeks of many zones
def day_bounds(day: date, tz: ZoneInfo) -> tuple[datetime, datetime]:
    """First instant of the local date and of the one after it: 23, 24, 25 hours apart, or 0 where the date was skipped.

    Consecutive dates meet, so every instant belongs to exactly one. Where clocks went back over a midnight that had
    already passed (Newfoundland until 2010), the repeated end of the old day counts to the new one.
    """
    return resolve_local(day, 0, tz), resolve_local(day, 1_440, tz)


def local_date(instant: datetime, tz: ZoneInfo) -> date:
    """The date on a calendar in that zone."""
    return instant.astimezone(tz).date()


# ── the minute axis ───────────────────────────────────────────────────────────────────────────────────


def minute_floor(instant: datetime) -> int:
    """Whole minutes since 1970 that have begun by `instant`."""
    since = instant - EPOCH
    return since.days * 1_440 + since.seconds // 60


def minute_ceil(instant: datetime) -> int:
    """The first whole minute since 1970 that is not before `instant`."""
    since = instant - EPOCH
    minute, rest = divmod(since.seconds, 60)
    return since.days * 1_440 + minute + (1 if rest or since.microseconds else 0)


@lru_cache(maxsize=16_384)  # months of quarter hours: the same starts are asked for over and over
def at_minute(minute: int) -> datetime:
    """The instant that many minutes after 1970."""
    return datetime.fromtimestamp(minute * 60, UTC)
