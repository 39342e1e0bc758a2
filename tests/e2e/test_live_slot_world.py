"""Whatever happens to a slot, and however often its watchers are cut: nobody's cursor goes back, nobody is told what
they have seen last, and in the end all see what somebody sees who comes now."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from random import Random
from typing import Any

import pytest

from app.resolvers import slot_entrance
from app.resolvers.context import RequestContext, Services
from app.resolvers.live_slot import SlotRequest
from app.resolvers.slot_channel import SlotChannel
from app.resolvers.slot_watch import slot_channel
from tests.e2e.live_steps import LiveSteps
from tests.e2e.test_live_channel_world import Ahead
from tests.fixtures_api import GraphQLClient, MovableClock, RunningApi
from tests.fixtures_live import Guest, RunningRelay
from tests.listening import until
from tests.shop import at, make_shop
from tests.slot_watching import Looker, process, the_slot

TEN = at(3, 10)
STEPS = 60
LOOKERS = 6


@dataclass
class World(LiveSteps):
    rng: Random
    guest: Guest
    owner: GraphQLClient
    relay: RunningRelay
    clock: MovableClock
    processes: list[Services]
    wanted: SlotRequest
    looking: dict[Looker, SlotChannel] = field(default_factory=dict)
    away: list[Looker] = field(default_factory=list)
    held: list[dict[str, Any]] = field(default_factory=list)
    moved_by: timedelta = timedelta(0)
    prices: int = 1_000

    async def join(self, looker: Looker, services: Services) -> None:
        channel = await slot_channel(RequestContext(services=services, request_id="test"), self.wanted, None)
        for update in await channel.join(looker, looker.cursor):
            looker.told(update)
        self.looking[looker] = channel

    async def come(self) -> None:
        if len(self.looking) + len(self.away) < LOOKERS:
            await self.join(Looker(), self.rng.choice(self.processes))

    async def leave(self) -> None:
        if self.looking:
            looker = self.rng.choice(list(self.looking))
            self.looking.pop(looker).leave(looker)
            self.away.append(looker)

    async def come_back(self) -> None:
        if self.away:
            await self.join(self.away.pop(self.rng.randrange(len(self.away))), self.rng.choice(self.processes))

    async def hold(self) -> None:
        """At that time, or at one of its alternatives."""
        start = TEN + timedelta(minutes=30 * self.rng.choice((0, 0, 0, 1, 2, -1)))
        answer = await self.guest.client(HOLD, {"s": self.guest.shop.service_id, "at": start.isoformat()})
        if "hold" in answer:
            self.held.append(answer)

    async def stop_numbering(self) -> None:
        await self.relay.pause()

    async def number(self) -> None:
        await self.relay.pause()
        self.relay.start()


HOLD = """mutation ($s: ID!, $at: DateTime!) { holdSlot(input: { serviceId: $s, startsAt: $at }) {
  __typename ... on HoldSlotPayload { hold { id } holdToken } } }"""


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_all_end_with_what_is_seen_now(
    *,
    running: RunningApi,
    client: GraphQLClient,
    relay: RunningRelay,
    clock: MovableClock,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
) -> None:
    monkeypatch.setattr(slot_entrance, "NUMBER_WAIT_S", 0.03)
    shop = await make_shop(running.api.services, providers=1)
    processes = [process(running), process(running, clock=Ahead(clock))]
    owner = client.signed_in(shop.owner.token)
    world = World(Random(seed), Guest(client, shop), owner, relay, clock, processes, the_slot(shop))
    steps: list[tuple[Callable[[], Awaitable[None]], int]] = [
        (world.come, 4),
        (world.leave, 5),
        (world.come_back, 6),
        (world.hold, 8),
        (world.release, 6),
        (world.pass_time, 1),
        (world.stop_numbering, 1),
        (world.number, 2),
        (world.configure, 1),
        (world.wait, 5),
    ]
    for step in world.rng.choices([one for one, _ in steps], [weight for _, weight in steps], k=STEPS):
        await step()
    await world.number()
    while world.away:
        await world.come_back()
    await processes[0].feed.wait_for(await relay.catch_up())
    # Nothing wakes a channel when a test moves its clock: an event does.
    await world.configure()
    fresh = process(running)
    await fresh.feed.wait_for(await relay.catch_up())
    now = (await Looker().join(fresh, world.wanted)).updates[-1].look
    for looker in world.looking:
        await until(partial(_sees, looker, now))
        assert looker.updates[-1].look == now
    assert sum(len(looker.updates) for looker in world.looking) > LOOKERS * 2
    for looker, channel in world.looking.items():
        assert not looker.errors
        channel.leave(looker)


def _sees(looker: Looker, look: object) -> bool:
    return looker.updates[-1].look == look
