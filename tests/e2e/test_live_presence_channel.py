"""A channel of presence that ends, because what it asks is away, and begins again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import WeakValueDictionary

import pytest

from app.ports import StreamUnavailable
from app.resolvers import live_presence
from app.resolvers.context import RequestContext, Services
from app.resolvers.live_hub import LiveHub
from app.resolvers.live_presence import PresenceUpdate, PresenceWanted, presence_channel
from app.resolvers.presence import Presence
from tests.adapters.presence_twin import MemoryBoard
from tests.e2e.test_live_presence import QUICK
from tests.fixtures_api import RunningApi
from tests.listening import until
from tests.shop import at, make_shop

DAY = at(3, 0).date()


@dataclass(eq=False)
class Looker:
    updates: list[PresenceUpdate] = field(default_factory=list)
    errors: list[Exception | None] = field(default_factory=list)

    def told(self, update: PresenceUpdate) -> None:
        self.updates.append(update)

    def ended(self, error: Exception | None) -> None:
        self.errors.append(error)


@pytest.fixture
async def services(running: RunningApi) -> AsyncIterator[Services]:
    presence = Presence(MemoryBoard(ttl_s=5), QUICK)
    channels: WeakValueDictionary[Any, Any] = WeakValueDictionary()
    yield replace(running.api.services, presence=presence, live=LiveHub(), presence_channels=channels)
    await presence.stop()


async def test_what_was_known_before_an_outage_is_not_told_after_it(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = await make_shop(services)
    wanted = PresenceWanted((shop.provider_uuids[0],), None, DAY, DAY)
    channel = await presence_channel(RequestContext(services=services, request_id="test"), wanted)
    one, two = Looker(), Looker()
    await channel.join(one, None)
    await until(lambda: bool(one.updates))
    [snapshot] = await channel.join(two, None)
    assert snapshot.people[0].days == ((DAY, (0, 0)),)

    async def away(*_arguments: Any) -> Any:
        raise OSError("the database is away")

    monkeypatch.setattr(live_presence, "READ_AGAIN_S", 0.0)
    monkeypatch.setattr(live_presence, "read_people", away)
    await until(lambda: bool(one.errors and two.errors))
    assert [type(error) for error in (*one.errors, *two.errors)] == [OSError, OSError]
    with pytest.raises(StreamUnavailable):
        channel.resync()
    monkeypatch.undo()
    [snapshot] = await channel.join(one, None)
    assert snapshot.people[0].days == ((DAY, None),), "known before the outage"
    channel.leave(one)
    with pytest.raises(StreamUnavailable):
        channel.resync()
