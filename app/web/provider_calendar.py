"""A provider's bookings as an iCalendar feed (RFC 5545), to be subscribed to, at an address that is a secret."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated

from icalendar import Calendar
from litestar import Response, route
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, HeaderParameter

from app.web.calendar import HEADERS, READS, CalendarEntry, to_event


@dataclass(frozen=True, slots=True)
class ProviderCalendar:
    """No date says whether it changed: an entry that went away leaves none."""

    name: str
    entries: tuple[CalendarEntry, ...]

    @property
    def etag(self) -> str:
        """The same for what would be written the same."""
        return f'"{hashlib.sha256(repr((self.name, self.entries)).encode()).hexdigest()[:32]}"'


FindProviderCalendar = Callable[[str], Awaitable[ProviderCalendar | None]]
"""Token → the calendar, or None for one that opens nothing (any more)."""

_KEPT = {**HEADERS, "Cache-Control": "private, no-cache"}
"""A client may keep it, and asks each time whether it still holds."""
_REFRESH = timedelta(minutes=15)


def to_feed(found: ProviderCalendar) -> bytes:
    """About 0.2 ms for each event."""
    calendar = Calendar()
    calendar.add("prodid", "-//Turnero//Provider//EN")
    calendar.add("version", "2.0")
    calendar.add("method", "PUBLISH")
    calendar.add("x-wr-calname", found.name)
    calendar.add("refresh-interval", _REFRESH, parameters={"VALUE": "DURATION"})
    calendar.add("x-published-ttl", "PT15M")
    for entry in found.entries:
        calendar.add_component(to_event(entry))
    return bytes(calendar.to_ical())


def is_fresh(found: ProviderCalendar, if_none_match: str | None) -> bool:
    """Has the client what it would be given?"""
    if if_none_match is None:
        return False
    tags = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return bool(tags & {found.etag, "*"})


def provider_calendar_routes(find: FindProviderCalendar) -> list[HTTPRouteHandler]:
    """`GET /calendar/providers/{token}.ics`."""

    @route("/calendar/providers/{file:str}", http_method=READS, include_in_schema=False)
    async def provider_ics(
        file: FromPath[str],
        if_none_match: Annotated[str | None, HeaderParameter(name="If-None-Match")] = None,
    ) -> Response[bytes]:
        token, dot, kind = file.rpartition(".")
        found = await find(token) if dot and kind == "ics" else None
        if found is None:
            return Response(b"Not found\n", status_code=404, media_type="text/plain", headers=HEADERS)
        headers = {**_KEPT, "ETag": found.etag}
        if is_fresh(found, if_none_match):
            return Response(b"", status_code=304, media_type="text/calendar", headers=headers)
        body = await asyncio.to_thread(to_feed, found)
        return Response(body, media_type="text/calendar", headers=headers)

    return [provider_ics]
