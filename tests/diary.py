"""A provider's calendar on a screen: what somebody has who believes what they are told."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Any

from tests.live_client import LiveSocket, LiveStream

CALENDAR = """
subscription ($provider: ID!, $from: Date!, $to: Date!, $after: String) {
  providerCalendar(providerId: $provider, from: $from, to: $to, after: $after) {
    kind cursor type gone
    bookings { id status version startsAt confirmationCode allowedTransitions customer { name } provider { id } } } }
"""


@dataclass(slots=True)
class Diary:
    stream: LiveStream
    bookings: dict[str, dict[str, Any]] = field(default_factory=dict)
    cursor: str | None = None
    types: list[str] = field(default_factory=list)

    async def next(self, timeout_s: float = 30.0) -> dict[str, Any]:
        """The next event, taken in. Fails where it does not fit what was there."""
        event = await self.stream.next(timeout_s)
        self.types.append(event["type"])
        if event["kind"] != "CHANGE":
            self.bookings.clear()
        for booking in event["bookings"]:
            known = self.bookings.get(booking["id"])
            assert known is None or known["version"] <= booking["version"], event
            self.bookings[booking["id"]] = booking
        for gone in event["gone"]:
            self.bookings.pop(gone, None)
        self.cursor = event["cursor"]
        return event

    async def told(self) -> tuple[str, str | None]:
        """The next change: its type and the status of its booking; none: it is gone."""
        event = await self.next()
        assert event["kind"] == "CHANGE", event
        assert len(event["bookings"]) + len(event["gone"]) == 1, event
        return event["type"], event["bookings"][0]["status"] if event["bookings"] else None


async def look(socket: LiveSocket, provider: str, first: date, last: date, after: str | None = None) -> Diary:
    """Nothing is taken in yet."""
    variables = {"provider": provider, "from": f"{first}", "to": f"{last}", "after": after}
    return Diary(await socket.subscribe(CALENDAR, **variables))
