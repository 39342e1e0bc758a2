"""Whatever happens, and however often they are cut: everybody ends with what the query answers, and nobody is told
that a start opens or closes which does not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest

from app.domain.live_update import AvailabilityUpdate
from app.domain.search import AvailabilitySearch
from app.ports import ShiftedClock
from app.resolvers import live_entrance
from app.resolvers.context import Services
from app.resolvers.live_channel import Channel
from app.resolvers.live_hub import LiveHub
from tests.e2e.live_steps import LiveSteps
from tests.fixtures_api import GraphQLClient, MovableClock, RunningApi
from tests.fixtures_live import Guest, RunningRelay
from tests.listening import Listener, answered, search_in, until
from tests.shop import Shop, at, make_shop

DAY = at(3, 0)
STEPS = 70
LISTENERS = 8


class Ahead(ShiftedClock):
    """Another process's clock."""

    def __init__(self, clock: ShiftedClock) -> None:
        super().__init__()
        object.__setattr__(self, "_clock", clock)

    def now(self) -> datetime:
        clock: ShiftedClock = self._clock  # type: ignore[attr-defined]
        return clock.now() + timedelta(seconds=3)


@dataclass
class World(LiveSteps):
    rng: Random
    guest: Guest
    shop: Shop
    owner: GraphQLClient
    relay: RunningRelay
    clock: MovableClock
    processes: list[Services]
    search: AvailabilitySearch
    listening: dict[Listener, Channel[AvailabilityUpdate]] = field(default_factory=dict)
    away: list[Listener] = field(default_factory=list)
    held: list[dict[str, Any]] = field(default_factory=list)
    booked: list[dict[str, Any]] = field(default_factory=list)
    moved_by: timedelta = timedelta(0)
    is_numbering: bool = True
    prices: int = 1_000

    def channel(self) -> Channel[AvailabilityUpdate]:
        """At any process, at any pace."""
        services = self.rng.choice(self.processes)
        return services.live.availability(services, self.search, self.rng.choice((0, 0, 0, 20, 500)))

    # ── who listens ──────────────────────────────────────────────────────────────────────────────────

    async def come(self) -> None:
        if len(self.listening) + len(self.away) < LISTENERS:
            await self._join(Listener(), None)

    async def come_from_the_query(self) -> None:
        shown, cursor = await answered(self.rng.choice(self.processes), self.search)
        if len(self.listening) + len(self.away) < LISTENERS:
            listener = Listener()
            listener.remember(shown, cursor)
            await self._join(listener, cursor)

    async def leave(self) -> None:
        if self.listening:
            listener = self.rng.choice(list(self.listening))
            self.listening.pop(listener).leave(listener)
            self.away.append(listener)

    async def come_back(self) -> None:
        """With the last cursor, or with one of the screen as it was before."""
        if self.away:
            listener = self.away.pop(self.rng.randrange(len(self.away)))
            if self.rng.random() < 0.4:
                cursor, shown = self.rng.choice(listener.past)
                listener.remember(shown, cursor)
            await self._join(listener, listener.cursor)

    async def _join(self, listener: Listener, cursor: str | None) -> None:
        channel = self.channel()
        await listener.join(channel, cursor)
        self.listening[listener] = channel

    # ── what happens ─────────────────────────────────────────────────────────────────────────────────

    async def hold(self) -> None:
        start = DAY + timedelta(minutes=45 * len(self.held + self.booked) % 1_200)
        answer = await self.guest.client(HOLD, {"s": self.shop.service_id, "at": start.isoformat()})
        if "hold" in answer:
            self.held.append(answer)

    async def stop_numbering(self) -> None:
        if self.is_numbering:
            await self.relay.pause()
            self.is_numbering = False

    async def number(self) -> None:
        if not self.is_numbering:
            self.relay.start()
            self.is_numbering = True


HOLD = """mutation ($s: ID!, $at: DateTime!) { holdSlot(input: { serviceId: $s, startsAt: $at }) {
  __typename ... on HoldSlotPayload { hold { id expiresAt } holdToken } } }"""


@pytest.mark.parametrize("seed", [4, 6, 11])
async def test_everybody_ends_with_the_same(
    *,
    running: RunningApi,
    client: GraphQLClient,
    relay: RunningRelay,
    clock: MovableClock,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
) -> None:
    monkeypatch.setattr(live_entrance, "NUMBER_WAIT_S", 0.03)
    shop = await make_shop(running.api.services, providers=2)
    first = replace(running.api.services, live=LiveHub())
    second = replace(first, live=LiveHub(), clock=Ahead(clock))
    world = World(
        rng=Random(seed),
        guest=Guest(client, shop),
        shop=shop,
        owner=client.signed_in(shop.owner.token),
        relay=relay,
        clock=clock,
        processes=[first, second],
        search=search_in(shop, DAY),
    )
    steps: list[tuple[Callable[[], Awaitable[None]], int]] = [
        (world.come, 4),
        (world.come_from_the_query, 4),
        (world.leave, 5),
        (world.come_back, 6),
        (world.hold, 8),
        (world.release, 5),
        (world.pass_time, 1),
        (world.stop_numbering, 1),
        (world.number, 2),
        (world.configure, 1),
        (world.wait, 5),
    ]
    try:
        for step in world.rng.choices([one for one, _ in steps], [weight for _, weight in steps], k=STEPS):
            await step()
        await world.number()
        while world.away:
            await world.come_back()
        await first.feed.wait_for(await relay.catch_up())
        # Nothing wakes a source when a test moves its clock: somebody who comes does.
        for services in world.processes:
            for pace in (0, 20, 500):
                await Listener().join(services.live.availability(services, world.search, pace))
        shown, _ = await answered(first, world.search)
        for listener in world.listening:
            await until(lambda one=listener: one.shown == shown)  # type: ignore[misc]
            assert listener.shown == shown
        updates = [update for listener in world.listening for update in listener.updates]
        assert len(updates) > LISTENERS * 2
        # Each of them is still told, and once.
        before = {listener: len(listener.updates) for listener in world.listening}
        await world.guest.hold(at(3, 23))
        shown, _ = await answered(first, world.search)
        for listener in world.listening:
            await until(lambda one=listener: one.shown == shown)  # type: ignore[misc]
            assert listener.shown == shown
            assert len(listener.updates) - before[listener] == 1
    finally:
        await world.number()
        for services in world.processes:
            services.live.close()
