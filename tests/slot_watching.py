"""Somebody who looks at one slot."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.live_client import LiveStream, live_socket
from tests.schema.operations import SLOT
from tests.shop import Shop, iso

WATCH = f"""
subscription ($input: SlotWatchInput!, $token: String, $after: String) {{
  slotWatch(input: $input, holdToken: $token, after: $after) {{
    kind cursor status cause slot {{ {SLOT} sessionId }} alternatives {{ {SLOT} sessionId }}
  }}
}}
"""


def slot_of(shop: Shop, start: Any, *providers: str, **more: Any) -> dict[str, Any]:
    """Input of `slotWatch`."""
    asked = {"serviceId": shop.service_id, "startsAt": iso(start), **more}
    return {**asked, "providerIds": list(providers)} if providers else asked


@dataclass(slots=True)
class SlotScreen:
    stream: LiveStream
    last: dict[str, Any]
    """The event before; nothing is told that says the same again."""

    async def event(self, kind: str = "CHANGE") -> dict[str, Any]:
        event = await self.stream.next()
        assert event["kind"] == kind, event
        was, now = ({**one, "cursor": "", "kind": "", "cause": ""} for one in (self.last, event))
        assert kind != "CHANGE" or was != now, f"told again: {event}"
        self.last = event
        return event

    async def next(self, kind: str = "CHANGE") -> tuple[str, str | None]:
        event = await self.event(kind)
        return event["status"], event["cause"]

    @property
    def cursor(self) -> str:
        cursor: str = self.last["cursor"]
        return cursor

    @property
    def alternatives(self) -> list[str]:
        return [slot["startsAt"] for slot in self.last["alternatives"]]


@asynccontextmanager
async def looking_at(
    url: str, asked: dict[str, Any], *, token: str | None = None, after: str | None = None
) -> AsyncIterator[SlotScreen]:
    async with live_socket(url) as socket:
        yield SlotScreen(await socket.subscribe(WATCH, input=asked, token=token, after=after), {})
