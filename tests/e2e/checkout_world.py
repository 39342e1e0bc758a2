"""A shop, a local Stripe and a clock, all in this process: where random checkouts happen.

There are no sockets. A request takes a moment there and back, and it goes on when whoever asked is gone, as it would on
another machine. The processor's clock is ours: moved by a day, it has forgotten its idempotency keys.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec
import stripe
from sqlalchemy import text

from app.adapters.stripe_connection import StripeConnection
from app.adapters.stripe_gateway import StripeGateway
from app.checkout.event import receive_event
from app.checkout.scope import Checkout
from app.core.database import SYSTEM_ROLE, Database
from app.domain.errors import DomainError
from app.gateway import Delivery, GatewayError
from app.main import Api, build_api
from app.sandbox.main import create_app
from app.sandbox.settings import SandboxSettings
from app.sandbox.stripe.api import Dropped
from app.sandbox.stripe.events import signature
from tests.fixtures_api import MovableClock, make_settings
from tests.paying import SECRET
from tests.sandbox.running import KEY

T = TypeVar("T")
Json = dict[str, Any]

STRIPE = "http://stripe.test"
KILLED = 0.08
"""Of those who are at work, so many do not live to see its end."""
LONGEST_LIFE_S = 0.04
"""Of those."""
MOMENT_S = 0.003
"""At most so long a request is on its way, in each direction."""
PATIENCE_S = 1.0
"""While the processor has its faults, whoever asks it gives up after this; it may be done later still."""
CALM_S = 60.0
"""Otherwise: a machine that has other things to do is no fault."""
BY_ENDPOINT = 0.1
"""Of the webhooks, so many go through the whole HTTP server; the others to the function behind it."""


class Inside:
    """A server in this process."""

    def __init__(self, app: Any, chance: random.Random) -> None:
        self._app = app
        self._chance = chance
        self._serving: set[asyncio.Future[Any]] = set()

    async def ask(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers, body. Raises Dropped when there is no answer."""
        serving = asyncio.ensure_future(self._serve(method, url, headers, body))
        self._serving.add(serving)
        serving.add_done_callback(self._heard)
        return await asyncio.shield(serving)

    def _heard(self, serving: asyncio.Future[Any]) -> None:
        """Nobody may be left who would hear how it ended."""
        self._serving.discard(serving)
        if not serving.cancelled():
            serving.exception()

    async def idle(self) -> None:
        """Once it has done all that it was ever asked for."""
        while self._serving:
            await asyncio.wait(self._serving)

    async def _serve(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        await asyncio.sleep(self._chance.random() * MOMENT_S)
        parts = urlsplit(url)
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": parts.path,
            "raw_path": parts.path.encode(),
            "root_path": "",
            "query_string": parts.query.encode(),
            "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()],
            "server": ("inside", 80),
            "client": ("127.0.0.1", 1),
        }
        sent: list[Json] = []

        async def receive() -> Json:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Json) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        await asyncio.sleep(self._chance.random() * MOMENT_S)
        answered = {name.decode("latin-1"): value.decode("latin-1") for name, value in sent[0]["headers"]}
        return sent[0]["status"], answered, b"".join(one.get("body", b"") for one in sent[1:])


# Any: the package does not type how its errors are made.
_not_answered: Any = stripe.APIConnectionError


async def together(*works: Coroutine[Any, Any, Any]) -> None:
    """At the same time; when one fails, so does all of it."""
    async with asyncio.TaskGroup() as group:
        for work in works:
            group.create_task(work)


class InsideClient(stripe.HTTPClient):
    """How Stripe's own package reaches a server in this process."""

    name = "inside"

    def __init__(self, server: Inside) -> None:
        super().__init__()
        self._server = server

    async def request_async(
        self, method: str, url: str, headers: Mapping[str, str], post_data: Any = None
    ) -> tuple[bytes, int, Mapping[str, str]]:
        body = post_data.encode() if isinstance(post_data, str) else post_data or b""
        try:
            status, answered, content = await self._server.ask(method.upper(), url, headers, body)
        except Dropped:
            raise _not_answered("The connection was reset.") from httpx.ReadError("reset")
        return content, status, answered


@asynccontextmanager
async def alive(app: Any) -> AsyncIterator[None]:
    """An ASGI application from its start to its end."""
    told: asyncio.Queue[Json] = asyncio.Queue()
    said: asyncio.Queue[Json] = asyncio.Queue()
    living = asyncio.create_task(app({"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}, told.get, said.put))
    told.put_nowait({"type": "lifespan.startup"})
    assert (await said.get())["type"] == "lifespan.startup.complete"
    try:
        yield
    finally:
        told.put_nowait({"type": "lifespan.shutdown"})
        await living


@dataclass(slots=True)
class World:
    """`guests`: with the rights of a request; `staff`: a worker's, across organizations. `seen`: what happened."""

    api: Api
    clock: MovableClock
    guests: Checkout
    workers: Checkout
    stripe: Inside
    http: Inside
    chance: random.Random
    connection: StripeConnection
    seen: Counter[str] = field(default_factory=Counter)
    strange: list[str] = field(default_factory=list)
    """What must not be raised anywhere, and was."""
    _last_event: str | None = None

    def now(self) -> datetime:
        return self.clock.now()

    def wait(self, time: timedelta) -> None:
        self.clock.move(self.clock.offset + time)

    async def rows(self, query: str, **values: Any) -> list[dict[str, Any]]:
        async with self.workers.within(None) as tx:
            return [dict(row._mapping) for row in await tx.execute(text(query), values)]

    # ── what fails, and who dies ──────────────────────────────────────────────────────────────────────

    async def mortal(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Some are killed in the middle: whatever they asked may have been done, and nobody hears of it."""
        if self.chance.random() >= KILLED:
            return await work
        task = asyncio.ensure_future(work)
        await asyncio.wait([task], timeout=self.chance.random() * LONGEST_LIFE_S)
        if task.done():
            return await task
        task.cancel()
        self.seen["killed"] += 1
        with suppress(asyncio.CancelledError, GatewayError, DomainError):
            await task
        return None

    async def tried(self, work: Coroutine[Any, Any, T]) -> T | None:
        """What is refused, or not answered, is counted."""
        try:
            return await work
        except (GatewayError, DomainError) as error:
            self.seen[f"{type(error).__name__} {getattr(error, 'rule', '')}".strip()] += 1
            return None

    async def control(self, path: str, **fields: Any) -> Json | None:
        """In the customer's, the bank's or the processor's place. None: it is not possible now."""
        body = msgspec.json.encode(fields)
        status, _, answer = await self.stripe.ask("POST", f"{STRIPE}/_sandbox/{path}", _AS_JSON, body)
        return msgspec.json.decode(answer) if status < 300 else None

    async def trouble(self, *faults: Json) -> None:
        """From now on the processor has these, and nobody waits for it for long."""
        self.connection._deadline_s = PATIENCE_S
        for fault in faults:
            await self.control("faults", **fault)

    async def calm(self) -> None:
        """From now on the processor always answers, and what it was asked for before is done."""
        self.connection._deadline_s = CALM_S
        await self.stripe.ask("DELETE", f"{STRIPE}/_sandbox/faults", _AS_JSON, b"")
        await self.stripe.idle()

    async def at_stripe(self, method: str, path: str, body: str = "") -> Json | None:
        """By its owner's own hands. None: refused, or not answered."""
        headers = {**_AS_OWNER, "content-type": "application/x-www-form-urlencoded"}
        try:
            status, _, answer = await self.stripe.ask(method, f"{STRIPE}/v1/{path}", headers, body.encode())
        except Dropped:
            return None
        return msgspec.json.decode(answer) if status < 300 else None

    # ── webhooks ──────────────────────────────────────────────────────────────────────────────────────

    async def events(self) -> list[Json]:
        """Those that happened since this was asked last, the oldest first."""
        found: list[Json] = []
        while True:
            cursor = "" if self._last_event is None else f"&ending_before={self._last_event}"
            page = await self.at_stripe("GET", f"events?limit=100{cursor}")
            if page is None:
                continue
            if not page["data"]:
                return found
            found += reversed(page["data"])
            self._last_event = page["data"][0]["id"]

    async def deliver(self, event: Json) -> None:
        """As the processor does, signed at this moment."""
        body = msgspec.json.encode(event)
        headers = {"content-type": "application/json", "stripe-signature": signature(SECRET, body, int(time.time()))}
        self.seen["webhooks"] += 1
        if self.chance.random() >= BY_ENDPOINT:
            await receive_event(self.guests, "stripe", Delivery(body, headers))
            return
        status, _, answer = await self.http.ask("POST", "http://turnero.test/webhooks/stripe", headers, body)
        if status != 200:
            self.strange.append(f"a webhook was answered {status}: {answer[:200]!r}")


_AS_OWNER = {"authorization": f"Bearer {KEY}"}
_AS_JSON = {**_AS_OWNER, "content-type": "application/json"}


@asynccontextmanager
async def make_world(database_url: str, redis_url: str, chance: random.Random) -> AsyncIterator[World]:
    """An empty one."""
    clock = MovableClock()
    app = create_app(
        SandboxSettings(
            public_url=STRIPE,
            fee_basis_points=0,
            fee_fixed=0,
            dispute_fee=0,
            enforce_onboarding=True,
            clock=lambda: clock.now().timestamp(),
        )
    )
    server = Inside(app, chance)
    # Any: a client of its own is what the package is made for; ours wants to close the one it is given.
    client: Any = InsideClient(server)
    connection = StripeConnection(KEY, base_url=STRIPE, http=client, deadline_s=CALM_S)
    gateway = StripeGateway(connection, [SECRET], clock=clock)
    settings = make_settings(
        database_url,
        redis_url,
        stripe_secret_key=KEY,
        stripe_webhook_secrets=[SECRET],
        stripe_api_base=STRIPE,
        database_pool_size=12,
    )
    api = build_api(settings, clock)
    database = Database(database_url, role=SYSTEM_ROLE, pool_size=24)
    guests = replace(api.services.checkout, gateways={"stripe": gateway})
    try:
        async with alive(app), alive(api.app):
            workers = replace(guests, database=database)
            yield World(api, clock, guests, workers, server, Inside(api.app, chance), chance, connection)
            await server.idle()
    finally:
        await database.dispose()
