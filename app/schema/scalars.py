"""Scalars of the contract, strict at the edge: a value that cannot be is refused with a text a person can act on."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, NewType

import strawberry
from strawberry.types.scalar import ScalarDefinition

from app.domain import instants, schedule

TimeZone = NewType("TimeZone", str)
LocalTime = NewType("LocalTime", str)
Minor = NewType("Minor", int)
JSON = NewType("JSON", object)

MINOR_LIMIT = 2**53 - 1


def parse_instant(value: Any) -> datetime:
    """RFC 3339 with an offset → UTC. Raises ValueError."""
    return instants.parse_instant(_string(value, "an instant with an offset, such as 2026-11-20T14:30:00-03:00"))


def parse_date(value: Any) -> date:
    """`YYYY-MM-DD`. Raises ValueError."""
    return instants.parse_date(_string(value, "a date such as 2026-11-20"))


def parse_local_time(value: Any) -> LocalTime:
    """`HH:MM`, 00:00 to 24:00. Raises ValueError."""
    text = _string(value, "a local time such as 09:30")
    schedule.parse_local_time(text)
    return LocalTime(text)


def parse_time_zone(value: Any) -> TimeZone:
    """An IANA name. Raises ValueError."""
    return TimeZone(instants.zone(_string(value, "an IANA time zone such as America/Argentina/Buenos_Aires")).key)


def parse_minor(value: Any) -> Minor:
    """An integer within ±(2^53 - 1). Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("expected a whole number of minor units, such as 125000 for 1250.00")
    if not -MINOR_LIMIT <= value <= MINOR_LIMIT:
        raise ValueError("is beyond ±(2^53 - 1)")
    return Minor(value)


def _string(value: Any, expected: str) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected {expected}")
    return value


def _scalar(name: str, description: str, parse: Any, serialize: Any) -> ScalarDefinition:
    return strawberry.scalar(name=name, description=description, parse_value=parse, serialize=serialize)


SCALARS: dict[object, ScalarDefinition] = {
    datetime: _scalar(
        "DateTime", "An instant: RFC 3339 with an offset. Answers are UTC.", parse_instant, instants.format_instant
    ),
    date: _scalar("Date", "A calendar date: YYYY-MM-DD.", parse_date, date.isoformat),
    TimeZone: _scalar("TimeZone", "A time zone by its IANA name.", parse_time_zone, str),
    LocalTime: _scalar("LocalTime", "A time of day: HH:MM, up to 24:00.", parse_local_time, str),
    JSON: _scalar("JSON", "Any JSON value.", JSON, JSON),
    Minor: _scalar("Minor", "An amount in minor units of its currency, within ±(2^53 - 1).", parse_minor, int),
}
