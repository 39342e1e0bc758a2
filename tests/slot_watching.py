"""Somebody who looks at one slot."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from weakref import WeakValueDictionary

from app.core.ids import IdKind, decode_id
from app.domain.live_codec import Cursor
from app.domain.live_update import EventKind
from app.resolvers.context import RequestContext, Services
from app.resolvers.live_hub import LiveHub
from app.resolvers.live_slot import SlotRequest
from app.resolvers.slot_fold import SlotUpdate
from app.resolvers.slot_watch import Wanted, slot_channel
from tests.fixtures_api import RunningApi
from tests.live_client import LiveStream, live_socket
from tests.schema.operations import SLOT
from tests.shop import Shop, at, iso

TEN = at(3, 10)
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


# ── inside the process ────────────────────────────────────────────────────────────────────────────────


@dataclass(eq=False)
class Looker:
    """One screen, that complains of what was told before and of cursors that go back."""

    updates: list[SlotUpdate] = field(default_factory=list)
    errors: list[Exception | None] = field(default_factory=list)
    cursor: str | None = None

    def told(self, update: SlotUpdate) -> None:
        assert not self.errors
        if self.cursor is not None and update.kind is EventKind.CHANGE:
            assert Cursor.decode(self.cursor).position <= Cursor.decode(update.cursor).position
        if self.updates and update.kind is EventKind.CHANGE:
            assert self.updates[-1].look != update.look, "told again"
        self.updates.append(update)
        self.cursor = update.cursor

    def ended(self, error: Exception | None) -> None:
        self.errors.append(error)

    async def join(self, services: Services, wanted: Wanted) -> Looker:
        channel = await slot_channel(RequestContext(services=services, request_id="test"), wanted, None)
        for update in await channel.join(self, self.cursor):
            self.told(update)
        return self

    def statuses(self) -> list[str]:
        return [update.look.status.value for update in self.updates]


def process(running: RunningApi, **more: Any) -> Services:
    """Another one, with channels of its own."""
    return replace(running.api.services, live=LiveHub(), slot_channels=WeakValueDictionary(), **more)


def the_slot(shop: Shop, start: datetime = TEN) -> SlotRequest:
    service_id = decode_id(IdKind.SERVICE, shop.service_id)
    return SlotRequest(service_id, (decode_id(IdKind.PROVIDER, shop.provider_id),), start, None, 1)
