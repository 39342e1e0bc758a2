"""A local Stripe on a free port, the package that the product calls it with, and a receiver of its webhooks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import stripe
import uvicorn

from app.sandbox.main import create_server, listen
from app.sandbox.settings import SandboxSettings

KEY = "sk_test_12345"
Json = dict[str, Any]


@dataclass(slots=True)
class Delivery:
    """One webhook as it came."""

    body: bytes
    headers: dict[str, str]
    """Names in lower case."""
    target: str

    @property
    def signature(self) -> str:
        return self.headers["stripe-signature"]

    @property
    def event(self) -> Json:
        parsed: Json = json.loads(self.body)
        return parsed


@dataclass(slots=True)
class Hooks:
    """A webhook endpoint. `answers`: statuses for the next deliveries, then 200."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    arrived: asyncio.Queue[Delivery] = field(default_factory=asyncio.Queue)

    async def next(self, *types: str) -> Delivery:
        """The next delivery, of one of these types; others are passed over."""
        async with asyncio.timeout(60):
            while True:
                delivery = await self.arrived.get()
                if not types or delivery.event["type"] in types:
                    return delivery

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in head.split("\r\n"))}
                body = await reader.readexactly(int(headers["content-length"]))
                self.arrived.put_nowait(Delivery(body, headers, head.split(" ", 2)[1]))
                status = self.answers.pop(0) if self.answers else 200
                writer.write(f"HTTP/1.1 {status} Said\r\ncontent-length: 0\r\n\r\n".encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@asynccontextmanager
async def receiving() -> AsyncIterator[Hooks]:
    hooks = Hooks()
    server = await asyncio.start_server(hooks.serve, "127.0.0.1", 0)
    hooks.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    try:
        yield hooks
    finally:
        server.close()


@dataclass(slots=True)
class Sandbox:
    """`http` speaks to it without the package, as the key's owner."""

    url: str
    client: stripe.StripeClient
    http: httpx.AsyncClient

    @property
    def v1(self) -> Any:
        """Any: the tests send what the package's types would not let them."""
        return self.client.v1

    async def post(self, path: str, form: Json | None = None, **headers: str) -> httpx.Response:
        return await self.http.post(path, data=form or {}, headers=headers)

    async def control(self, path: str, **fields: Any) -> Json:
        """An action or fault of `/_sandbox`, as JSON."""
        answer = await self.http.post(f"/_sandbox/{path}", json=fields)
        assert answer.status_code in {200, 201}, answer.text
        parsed: Json = answer.json()
        return parsed

    async def paid(self, **more: Any) -> Any:
        """A payment intent of 100.00 EUR that succeeded at once."""
        return await self.v1.payment_intents.create_async(payment(**more))

    async def account(self, **more: Any) -> str:
        made = await self.v1.accounts.create_async(
            {"country": "DE", "capabilities": {"transfers": {"requested": True}}, **more}
        )
        return str(made.id)

    async def balance(self, account: str | None = None, currency: str = "eur") -> int:
        """Available, in minor units."""
        found = await self.v1.balance.retrieve_async({}, {"stripe_account": account} if account else {})
        return sum(entry.amount for entry in found.available if entry.currency == currency)

    async def until(self, kind: str, object_id: str, status: str, account: str | None = None) -> None:
        """Wait for something that it does in the background."""
        options = {"stripe_account": account} if account else {}
        async with asyncio.timeout(60):
            while True:
                found = await getattr(self.v1, kind).retrieve_async(object_id, {}, options)
                if found.status == status:
                    return

    async def settled(self) -> Json:
        """The deliveries, once none is due."""
        async with asyncio.timeout(60):
            while True:
                listed: Json = (await self.http.get("/_sandbox/deliveries")).json()
                if not listed["counts"]["due"]:
                    return listed
                await asyncio.sleep(0.01)


def payment(**more: Any) -> Json:
    return {
        "amount": 10_000,
        "currency": "eur",
        "payment_method": "pm_card_visa",
        "payment_method_types": ["card"],
        "confirm": True,
        **more,
    }


class _QuietServer(uvicorn.Server):
    """Leaves the signals of the test process alone."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def running(package_http: stripe.HTTPXClient, **settings: Any) -> AsyncIterator[Sandbox]:
    """A sandbox with these settings; without fees unless they are set, so that sums are easy to see."""
    listening = listen("127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    chosen = SandboxSettings(**{"public_url": url, "fee_basis_points": 0, "fee_fixed": 0, **settings})
    server = _QuietServer(create_server(chosen).config)
    serving = asyncio.create_task(server.serve([listening]))
    while not server.started:
        assert not serving.done(), "the sandbox ended at once"
        await asyncio.sleep(0.001)
    client = stripe.StripeClient(KEY, base_addresses={"api": url}, http_client=package_http, max_network_retries=0)
    try:
        async with httpx.AsyncClient(
            base_url=url, headers={"Authorization": f"Bearer {KEY}"}, timeout=30, trust_env=False
        ) as http:
            yield Sandbox(url, client, http)
    finally:
        server.should_exit = True
        await serving
