"""A booking as an .ics file (RFC 5545), opened by a secret that opens nothing else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from icalendar import Calendar, Event, vCalAddress
from litestar import Response, route
from litestar.enums import HttpMethod
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, QueryParameter


@dataclass(frozen=True, slots=True)
class Organizer:
    """`host`: of this installation, whose address is shown: replies to it reach nobody."""

    name: str
    host: str

    def to_address(self) -> vCalAddress:
        address = vCalAddress(f"mailto:no-reply@{self.host}")
        address.params["CN"] = self.name
        return address


@dataclass(frozen=True, slots=True)
class CalendarEntry:
    """What a calendar shows. `sequence` rises with every change of the booking. `organizer`: whose name is shown."""

    uid: str
    summary: str
    location: str | None
    description: str
    starts_at: datetime
    ends_at: datetime
    changed_at: datetime
    sequence: int
    is_cancelled: bool
    is_tentative: bool
    organizer: Organizer | None = None


FindEntry = Callable[[UUID, str], Awaitable[CalendarEntry | None]]
"""Booking id and calendar token → the entry, or None for a wrong token or no such booking."""

READS = (HttpMethod.GET, HttpMethod.HEAD)
HEADERS = {"Cache-Control": "private, no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


def to_event(entry: CalendarEntry) -> Event:
    """In UTC; what is cancelled is published as CANCELLED, so that a calendar that knows it removes it."""
    event = Event()
    event.add("uid", entry.uid)
    event.add("dtstamp", entry.changed_at.astimezone(UTC))
    event.add("last-modified", entry.changed_at.astimezone(UTC))
    event.add("dtstart", entry.starts_at.astimezone(UTC))
    event.add("dtend", entry.ends_at.astimezone(UTC))
    event.add("summary", entry.summary)
    event.add("description", entry.description)
    if entry.location:
        event.add("location", entry.location)
    if entry.organizer is not None:
        event.add("organizer", entry.organizer.to_address())
    event.add("sequence", entry.sequence)
    event.add("status", "CANCELLED" if entry.is_cancelled else "TENTATIVE" if entry.is_tentative else "CONFIRMED")
    return event


def to_ics(entry: CalendarEntry) -> bytes:
    """A calendar of one booking. Opened again, its entry follows the booking: by UID and SEQUENCE a calendar knows the
    one that it has, and by METHOD that it is to go.
    """
    calendar = Calendar()
    calendar.add("prodid", "-//Turnero//Booking//EN")
    calendar.add("version", "2.0")
    calendar.add("method", "CANCEL" if entry.is_cancelled else "PUBLISH")
    calendar.add_component(to_event(entry))
    return bytes(calendar.to_ical())


def calendar_routes(find: FindEntry) -> list[HTTPRouteHandler]:
    """`GET /calendar/{booking}.ics?token=…`."""

    @route("/calendar/{file:str}", http_method=READS, include_in_schema=False)
    async def booking_ics(
        file: FromPath[str], token: Annotated[str, QueryParameter(max_length=200)] = ""
    ) -> Response[bytes]:
        entry = None
        stem, dot, kind = file.rpartition(".")
        if dot and kind == "ics":
            try:
                entry = await find(UUID(stem), token)
            except ValueError:
                entry = None
        if entry is None:
            return Response(b"Not found\n", status_code=404, media_type="text/plain", headers=HEADERS)
        return Response(to_ics(entry), media_type="text/calendar", headers=HEADERS)

    return [booking_ics]
