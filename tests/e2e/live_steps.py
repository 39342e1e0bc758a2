"""What happens by chance in a shop that many look at: the steps that all random worlds of live delivery have."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from random import Random
from typing import Any

from tests.factories import make
from tests.fixtures_api import GraphQLClient, MovableClock
from tests.fixtures_live import Guest

RELEASE = "mutation ($id: ID!, $token: String!) { releaseHold(holdId: $id, holdToken: $token) { __typename } }"


class LiveSteps:
    """`held`: answers of `holdSlot` that can be released. `moved_by`: how far the clock is ahead. `prices`: last."""

    rng: Random
    guest: Guest
    owner: GraphQLClient
    clock: MovableClock
    held: list[dict[str, Any]]
    moved_by: timedelta
    prices: int

    async def release(self) -> None:
        if self.held:
            held = self.held.pop(self.rng.randrange(len(self.held)))
            await self.guest.client(RELEASE, {"id": held["hold"]["id"], "token": held["holdToken"]})

    async def pass_time(self) -> None:
        """Holds lapse."""
        self.moved_by += timedelta(minutes=self.rng.choice((1, 4, 11)))
        self.clock.move(self.moved_by)

    async def configure(self) -> None:
        self.prices += 100
        await make(self.owner, "updateService", serviceId=self.guest.shop.service_id, priceMinor=self.prices)

    async def wait(self) -> None:
        await asyncio.sleep(self.rng.choice((0, 0.005, 0.03)))
