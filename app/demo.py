"""A guest's journey through the public API, told on the terminal with a live subscription beside it: `turnero demo`."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
from rich.console import Console
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from app.demo_payment import pay_and_cancel
from app.demo_teller import CANCEL, HOLD, SHOP, TIME_ZONE, DemoFailed, Teller, local

DAYS = 10
EVENT_TIMEOUT_S = 5.0

FIND_SHOP = """query ($slug: String!) {
  organization(slug: $slug) { name venues { name providers { id name services { id name durationMinutes } } } }
}"""
FREE_SLOTS = """query ($input: AvailabilityInput!) {
  availability(input: $input) { cursor days { date starts } nextAvailable { startsAt price { amount currency } } }
}"""
WATCH = """subscription ($input: AvailabilityInput!, $after: String) {
  availability(input: $input, after: $after) { kind opened closed causes }
}"""
BOOK = """mutation ($input: CreateBookingInput!) {
  createBooking(input: $input) {
    __typename ... on Error { code message }
    ... on CreateBookingPayload { accessToken booking { id number confirmationCode status version calendarUrl } }
  }
}"""
MOVE = """mutation ($input: RescheduleBookingInput!) {
  rescheduleBooking(input: $input) {
    __typename ... on Error { code message } ... on Booking { startsAt status version number }
  }
}"""
HISTORY = """query ($token: String!) {
  booking(accessToken: $token) { transitions { from to reason actor channel at } }
}"""


def run(url: str) -> int:
    """Tell the journey against the server at `url`. 0 when every step went well."""
    console = Console(highlight=False, soft_wrap=True)
    try:
        asyncio.run(_journey(console, url.rstrip("/")))
    except DemoFailed as failure:
        console.print(f"[red]✗[/] {failure}")
        return 1
    except (httpx.HTTPError, OSError, WebSocketException) as error:
        console.print(f"[red]✗[/] {url} does not answer ({type(error).__name__}). Start it with `make up` first.")
        return 1
    return 0


@dataclass(slots=True)
class Watcher:
    """The other tab: a subscription to the same slots."""

    socket: ClientConnection
    events: asyncio.Queue[dict[str, Any]] = field(default_factory=asyncio.Queue)

    async def start(self, variables: Mapping[str, Any]) -> None:
        await self._send({"type": "connection_init"})
        await self.socket.recv()
        await self._send({"id": "1", "type": "subscribe", "payload": {"query": WATCH, "variables": variables}})

    async def _send(self, message: Mapping[str, Any]) -> None:
        await self.socket.send(json.dumps(message))

    async def listen(self) -> None:
        async for raw in self.socket:
            message = json.loads(raw)
            if message["type"] == "ping":
                await self._send({"type": "pong"})
            elif message["type"] == "next":
                await self.events.put(message["payload"]["data"]["availability"])

    async def until(self, *, opened: str | None = None, closed: str | None = None) -> tuple[dict[str, Any], float]:
        """The next event that tells of this start, and the milliseconds we waited. Raises DemoFailed."""
        begun = time.perf_counter()
        try:
            async with asyncio.timeout(EVENT_TIMEOUT_S):
                while True:
                    event = await self.events.get()
                    if opened in event["opened"] or closed in event["closed"]:
                        return event, (time.perf_counter() - begun) * 1000
        except TimeoutError:
            raise DemoFailed("the subscription told nothing: is the worker running?") from None


async def _journey(console: Console, url: str) -> None:
    headers = {"User-Agent": "turnero-demo"}
    async with httpx.AsyncClient(timeout=10, headers=headers) as http:
        teller = Teller(console, http, f"{url}/graphql")
        console.print(f"[bold]A guest books a haircut[/] at {url}")
        provider, service, starts, search, cursor = await find_slots(teller)
        socket_url = f"ws{url.removeprefix('http')}/graphql"
        async with connect(socket_url, subprotocols=[Subprotocol("graphql-transport-ws")]) as socket:
            watcher = Watcher(socket)
            await watcher.start({"input": search, "after": cursor})
            listening = asyncio.create_task(watcher.listen())
            teller.step("Another tab watches the same slots, from where the list left off")
            try:
                await _book_move_cancel(teller, watcher, provider, service, starts)
            finally:
                listening.cancel()
        await pay_and_cancel(teller, provider, service, starts[len(starts) // 3])
        console.print("[bold]Done.[/] Every step is recorded; nothing was left behind.")


async def find_slots(teller: Teller) -> tuple[dict[str, Any], dict[str, Any], list[str], dict[str, Any], str]:
    """A provider, a service, its free starts, the search and its cursor."""
    shop, took = await teller.ask(FIND_SHOP, {"slug": SHOP})
    provider = next(p for venue in shop["venues"] for p in venue["providers"] if p["services"])
    service = min(provider["services"], key=lambda s: s["durationMinutes"])
    teller.step(f"Found {shop['name']}: {service['name']} with {provider['name']}", took)
    today: date = datetime.now(UTC).date()
    search = {
        "serviceId": service["id"],
        "providerIds": [provider["id"]],
        "from": (today + timedelta(days=2)).isoformat(),
        "to": (today + timedelta(days=DAYS)).isoformat(),
        "timeZone": TIME_ZONE,
    }
    found, took = await teller.ask(FREE_SLOTS, {"input": search})
    starts = [start for day in found["days"] for start in day["starts"]]
    if len(starts) < 2:
        raise DemoFailed("there are no free slots in the coming days; start the server with an empty data folder")
    price = found["nextAvailable"]["price"]
    teller.step(f"{len(starts)} free slots, {price['amount']} {price['currency']} each", took)
    return provider, service, starts, search, found["cursor"]


async def _book_move_cancel(
    teller: Teller, watcher: Watcher, provider: dict[str, Any], service: dict[str, Any], starts: list[str]
) -> None:
    first, second = starts[len(starts) // 2], starts[-1]
    held, took = await teller.ask(
        HOLD,
        {
            "input": {
                "serviceId": service["id"],
                "providerId": provider["id"],
                "startsAt": first,
                "idempotencyKey": str(uuid4()),
            }
        },
    )
    teller.step(f"Held {local(first)} until {local(held['hold']['expiresAt'])}", took)
    event, waited = await watcher.until(closed=first)
    teller.note(f"{local(first)} went grey: {', '.join(event['causes'])}  [dim]+{waited:.0f} ms[/]")
    booked, took = await teller.ask(
        BOOK,
        {
            "input": {
                "holdId": held["hold"]["id"],
                "holdToken": held["holdToken"],
                "customer": {"name": "Valentina Ruiz", "email": "valentina.ruiz@example.com"},
                "paymentMethod": "PAY_ON_ARRIVAL",
                "idempotencyKey": str(uuid4()),
            }
        },
    )
    booking, token = booked["booking"], booked["accessToken"]
    teller.step(f"Booked: {booking['number']}, code {booking['confirmationCode']}, {booking['status']}", took)
    moved, took = await teller.ask(
        MOVE,
        {
            "input": {
                "bookingId": booking["id"],
                "accessToken": token,
                "startsAt": second,
                "expectedVersion": booking["version"],
                "reason": "The train is late",
            }
        },
    )
    teller.step(f"Moved to {local(second)}, still {moved['number']}", took)
    event, waited = await watcher.until(opened=first)
    teller.note(f"{local(first)} is free again: {', '.join(event['causes'])}  [dim]+{waited:.0f} ms[/]")
    cancelled, took = await teller.ask(
        CANCEL,
        {
            "input": {
                "bookingId": booking["id"],
                "accessToken": token,
                "reason": "Only a demo",
                "expectedVersion": moved["version"],
            }
        },
    )
    teller.step(f"Cancelled: {cancelled['status']}, version {cancelled['version']}", took)
    event, waited = await watcher.until(opened=second)
    teller.note(f"{local(second)} is free again: {', '.join(event['causes'])}  [dim]+{waited:.0f} ms[/]")
    history, took = await teller.ask(HISTORY, {"token": token})
    teller.step("Its history:", took)
    for entry in history["transitions"]:
        reason = f" ({entry['reason']})" if entry["reason"] else ""
        teller.console.print(f"    {entry['from'] or '—'} → {entry['to']} by {entry['actor']}{reason}")
