"""Listeners inside the process, that believe what they are told and complain of what does not fit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime

from app.core.ids import IdKind, decode_id
from app.domain.free_times import dates_between
from app.domain.instants import zone
from app.domain.live_update import AvailabilityUpdate, EventKind
from app.domain.plan import Slot
from app.domain.search import AvailabilitySearch
from app.resolvers.availability import get_availability
from app.resolvers.context import RequestContext, Services
from app.resolvers.live_channel import Channel
from tests.shop import Shop

Slots = dict[datetime, list[Slot]]


@dataclass(eq=False)
class Listener:
    """One screen. `past`: each cursor it had, with what it showed then."""

    shown: Slots = field(default_factory=dict)
    cursor: str | None = None
    updates: list[AvailabilityUpdate] = field(default_factory=list)
    past: list[tuple[str, Slots]] = field(default_factory=list)
    error: Exception | None = None
    has_ended: bool = False
    resyncs: int = 0

    def told(self, update: AvailabilityUpdate) -> None:
        assert not self.has_ended
        if update.kind is not EventKind.CHANGE:
            self.shown = {}
            self.resyncs += update.kind is EventKind.RESYNC
        assert not set(update.opened) & set(self.shown), ("opened what was open", update)
        assert set(update.closed) <= set(self.shown), ("closed what was not open", update)
        shown = {start: slots for start, slots in self.shown.items() if start not in update.closed}
        shown.update(by_start(update.updated))
        self.remember(shown, update.cursor)
        self.updates.append(update)

    def remember(self, shown: Slots, cursor: str) -> None:
        self.shown, self.cursor = shown, cursor
        self.past.append((cursor, shown))

    def ended(self, error: Exception | None) -> None:
        self.has_ended, self.error = True, error

    async def join(self, channel: Channel[AvailabilityUpdate], after: str | None = None) -> None:
        for update in await channel.join(self, after):
            self.told(update)


def by_start(slots: Iterable[Slot]) -> Slots:
    found: Slots = {}
    for slot in slots:
        found.setdefault(slot.starts_at, []).append(slot)
    return found


def search_in(shop: Shop, first: datetime, days: int = 1) -> AvailabilitySearch:
    return AvailabilitySearch(
        service_id=decode_id(IdKind.SERVICE, shop.service_id),
        provider_ids=None,
        from_date=first.date(),
        to_date=datetime.fromordinal(first.toordinal() + days - 1).date(),
        time_zone=zone("UTC"),
        duration_minutes=None,
        party_size=1,
    )


async def answered(services: Services, search: AvailabilitySearch) -> tuple[Slots, str]:
    """What the query answers, and its cursor."""
    found = await get_availability(RequestContext(services=services, request_id="test"), search)
    days = dates_between(search.from_date, search.to_date)
    return by_start(slot for day in days for slot in found.times.slots(day)), found.cursor.carried()


async def until(is_true: Callable[[], bool], wait_s: float = 30.0) -> None:
    """Or until that time is over."""
    for _ in range(int(wait_s / 0.01)):
        if is_true():
            return
        await asyncio.sleep(0.01)


async def until_it_shows(listener: Listener, shown: Slots) -> None:
    """Fails when it does not come to show this."""
    await until(lambda: listener.shown == shown)
    assert listener.shown == shown
