"""Where random lives of bookings happen: the API's own code in this process, a real database, a local Stripe.

An example's clock begins at a fixed instant and goes on by steps, so that it is the same at any hour of any day.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import msgspec

from app.adapters.stripe_connection import StripeConnection
from app.adapters.stripe_gateway import StripeGateway
from app.checkout.scope import Checkout
from app.commands.activity import Taken
from app.commands.waitlist_offer import offer_what_opened
from app.core.database import SYSTEM_ROLE, Database
from app.domain.schedule import WeeklyHours, weekly_hours
from app.main import build_api
from app.resolvers.context import RequestContext, Services, Viewer
from app.sandbox.main import create_app
from app.sandbox.settings import SandboxSettings
from tests.classes import make_activity, publish
from tests.e2e.checkout_world import STRIPE, Inside, InsideClient, alive
from tests.e2e.lifecycle_template import Ground, Template
from tests.fixtures_api import MovableClock, make_settings
from tests.paying import SECRET
from tests.rooms import make_room, need_any
from tests.sandbox.running import KEY
from tests.shop import Person, Shop, make_person, make_shop

BASE = datetime(2031, 3, 3, 7, 0, tzinfo=UTC)
"""A Monday morning."""
STEP = timedelta(seconds=20)
"""Passes with each step: no deadline falls together with one, and nothing hangs on how long a step really takes."""
FAR = datetime(2100, 1, 1, tzinfo=UTC)
AT_ONCE_MOST = timedelta(seconds=40)
POOL = 16
HOLDS_OF_ONE = 2


def daily(opens: int, closes: int) -> tuple[WeeklyHours, ...]:
    """The same hours on every day."""
    return tuple(weekly_hours(day, [(opens * 60, closes * 60)]) for day in range(7))


@dataclass(slots=True)
class World:
    """`workers`: with a worker's rights. `raw`: of the tables' owner, who sees all. `seen`: what happened."""

    services: Services
    workers: Checkout
    clock: MovableClock
    raw: asyncpg.Connection
    stripe: Inside
    template: Template
    seen: Counter[str] = field(default_factory=Counter)
    is_real_time: bool = False
    """Where many act at once, steps are no steps of the clock, and nobody makes all the others' holds run out."""
    _made: int = 0
    _instant: datetime = BASE

    async def ground(self) -> Ground:
        """Another shop; its time begins."""
        self._made += 1
        self._instant = BASE
        self.clock.move_to(BASE)
        return await self.template.copy(self.raw, self._made)

    def now(self) -> datetime:
        return self.clock.now()

    def pass_time(self, time: timedelta = timedelta(0)) -> None:
        """A step begins, so much later than the last one."""
        if self.is_real_time:
            self.clock.move(self.clock.offset + min(time, AT_ONCE_MOST))
        else:
            self._instant += STEP + time
            self.clock.move_to(self._instant)

    def context(self, person: Person | None) -> RequestContext:
        """One operation of somebody; none: of a guest."""
        viewer = None if person is None else Viewer(person.user_id, FAR)
        return RequestContext(self.services, "lifecycle", viewer=viewer, address="192.0.2.1", channel="test")

    async def control(self, path: str, **fields: Any) -> bool:
        """In the place of the customer or the bank. False: it is not possible now."""
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        status, _, _ = await self.stripe.ask("POST", f"{STRIPE}/_sandbox/{path}", headers, msgspec.json.encode(fields))
        return status < 300


@asynccontextmanager
async def make_world(database_url: str, redis_url: str) -> AsyncIterator[World]:
    """The database is for nothing else."""
    clock = MovableClock()
    clock.move_to(BASE)
    sandbox = create_app(SandboxSettings(public_url=STRIPE, clock=lambda: clock.now().timestamp()))
    server = Inside(sandbox, random.Random(0))
    # Any: as in checkout_world.
    client: Any = InsideClient(server)
    gateway = StripeGateway(StripeConnection(KEY, base_url=STRIPE, http=client), [SECRET], clock=clock)
    settings = make_settings(
        database_url,
        redis_url,
        stripe_secret_key=KEY,
        stripe_webhook_secrets=[SECRET],
        stripe_api_base=STRIPE,
        database_pool_size=POOL,
        hold_limit_per_user=HOLDS_OF_ONE,
    )
    services = build_api(settings, clock).services
    checkout = replace(services.checkout, gateways={"stripe": gateway})
    services = replace(services, checkout=checkout, stream=_silent())
    system = Database(database_url, role=SYSTEM_ROLE, pool_size=POOL, closing=offer_what_opened)
    raw = await asyncpg.connect(database_url)
    try:
        async with alive(sandbox):
            template = await Template.read(raw, *await _make_shop(services))
            yield World(services, replace(checkout, database=system), clock, raw, server, template)
            await server.idle()
    finally:
        await raw.close()
        await system.dispose()
        await services.database.dispose()


def _silent() -> Any:
    """In the stream's place: nobody listens."""

    class Silent:
        async def ring(self) -> None:
            return None

    return Silent()


async def _make_shop(services: Services) -> tuple[Shop, Person]:
    account = await make_person(services, "account")
    plain = {"cancellation_notice_minutes": 60}
    careful = {
        "price_minor": 2_500,
        "duration_minutes": 45,
        "buffer_before_minutes": 15,
        "buffer_after_minutes": 15,
        "requires_approval": True,
        "cancellation_notice_minutes": 120,
    }
    shop = await make_shop(services, providers=2, service=plain, more_services=(careful,))
    await need_any(shop, await make_room(shop), service=1)
    for hours, leaders, capacity in ((daily(9, 12), (), 4), (daily(14, 16), shop.provider_uuids[:1], 3)):
        made = await make_activity(
            shop, Taken(tuple(leaders)), capacity=capacity, session_horizon_days=2, cancellation_notice_minutes=60
        )
        await publish(shop, made.id, hours)
    return shop, account
