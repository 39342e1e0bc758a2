"""After any events a calendar shows what a new one would, whoever looks and however often they are cut."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime

from tests.classes import Class, make_class
from tests.diary import Diary, look
from tests.fixtures_api import GraphQLClient, RunningApi
from tests.fixtures_live import RunningRelay
from tests.journey import Made, Visitor
from tests.live_client import live_socket
from tests.shop import Shop, at, iso, make_person, make_shop

DAY = at(3, 0).date()
HOURS = [hour for hour in range(24) if hour not in {9, 10, 11}]
"""Those that no session takes."""
STEPS = ("book", "visit", "places", "move", "move", "hand over", "cancel")


@dataclass(slots=True)
class World:
    """Appointments, visits and places that come, move and go at random, on the day that is watched and the next."""

    shop: Shop
    yoga: Class
    sessions: list[str]
    client: GraphQLClient
    chance: random.Random
    made: dict[str, list[Made]] = field(default_factory=lambda: {"time": [], "visit": [], "places": []})
    slots: list[datetime] = field(default_factory=lambda: [at(day, hour) for hour in HOURS for day in (3, 4)])

    @property
    def guest(self) -> Visitor:
        return Visitor(self.client, self.shop)

    @property
    def owner(self) -> Visitor:
        return Visitor(self.client.signed_in(self.shop.owner.token), self.shop)

    def provider(self) -> dict[str, str]:
        return {"providerId": self.chance.choice(self.shop.provider_ids)}

    async def step(self) -> None:
        what, start = self.chance.choice(STEPS), self.slots.pop(0)
        if what == "book":
            self.made["time"].append(await self.guest.booked(start, hold=self.provider()))
        elif what == "visit":
            people = reversed(self.shop.provider_ids)
            items = [{"serviceId": s, "providerId": p} for s, p in zip(self.shop.service_ids, people, strict=True)]
            self.made["visit"].append(await self.guest.booked(start, hold={"serviceId": None, "items": items}))
        elif what == "places":
            self.made["places"].append(await self.yoga.booked(self.chance.choice(self.sessions)))
        else:
            await self._change(what, start)

    async def _change(self, what: str, start: datetime) -> None:
        """Of one of them, if there is any; it may be refused."""
        known = [(kind, one) for kind, all_of_it in self.made.items() for one in all_of_it]
        if not known:
            return
        kind, one = self.chance.choice(known)
        if what == "cancel":
            await self.owner.cancel(one)
        elif what == "hand over":
            await self.owner.move(one, None, **self.provider())
        elif kind == "places":
            await self.guest.move(one, accessToken=one.token, sessionId=self.chance.choice(self.sessions))
        else:
            await self.guest.move(one, accessToken=one.token, startsAt=iso(start))


@dataclass(slots=True)
class Looker:
    """Somebody who looks at the first provider's day, and comes back with what they had."""

    url: str
    token: str
    provider: str
    diary: Diary | None = None

    @asynccontextmanager
    async def looking(self) -> AsyncIterator[None]:
        """At the end of the block they have what somebody new is given."""
        async with live_socket(self.url, self.token) as socket:
            known = self.diary
            now = await look(socket, self.provider, DAY, DAY, known.cursor if known else None)
            if known is not None:
                now.bookings, now.cursor = known.bookings, known.cursor
            self.diary = now
            yield
            fresh = await look(socket, self.provider, DAY, DAY)
            await fresh.next()
            while now.bookings != fresh.bookings:
                await now.next()
            with suppress(TimeoutError):
                while True:
                    await now.next(0.3)
            assert now.bookings == fresh.bookings


async def test_screens_agree_with_new_ones(running: RunningApi, client: GraphQLClient, relay: RunningRelay) -> None:
    nora = await make_person(running.api.services, "nora")
    shop = await make_shop(running.api.services, providers=2, linked=nora, more_services=({},))
    yoga = await make_class(client, running.api.services, shop=shop, led_by_first=True)
    sessions = [(await yoga.at(at(day, 9)))["id"] for day in (3, 4)]
    world = World(shop, yoga, sessions, client, random.Random(3))
    lookers = [Looker(running.socket_url, token, shop.provider_id) for token in (nora.token, shop.owner.token)]
    for _ in range(2):
        async with lookers[0].looking(), lookers[1].looking():
            for _ in range(8):
                await world.step()
            await relay.catch_up()
        await world.step()  # while nobody looks
        await relay.catch_up()
    assert all(world.made.values())
