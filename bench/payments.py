"""Paying by HTTP: what createBooking with PAY_NOW takes beyond the processor, and how soon a webhook has its answer."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import Any
from uuid import uuid4

import httpx

from bench.bookings import CUSTOMER, HOLD
from bench.report import Line, median, percentile
from bench.world import Place, World
from tests.faults.stack import STRIPE_KEY, STRIPE_WEBHOOK_SECRET
from tests.plain_http import Connection, connect

TIMES = 100
WARM_UP = 10
OWN_SHARE_MS = 30.0
WEBHOOK_MS = 20.0
"""The promises."""

BOOK = """mutation ($input: CreateBookingInput!) { createBooking(input: $input) {
  __typename ... on CreateBookingPayload {
    accessToken payment { id status amount { amountMinor currency } clientSecret publishableKey expiresAt }
    booking { id number status version startsAt paymentStatus expiresAt }
  }
} }"""


async def measure(world: World) -> list[Line]:
    place = await world.open_place()
    async with connect(world.stack.port) as client, httpx.AsyncClient() as http:
        alone_ms, whole_ms = [], []
        for number in range(WARM_UP + TIMES):
            alone, whole = await _processor_alone(http, world), await _pay_now(client, place)
            if number >= WARM_UP:
                alone_ms.append(alone)
                whole_ms.append(whole)
        hooks_ms = [await _webhook(http, world) for _ in range(WARM_UP + TIMES)][WARM_UP:]
    own_ms = median(whole_ms) - median(alone_ms)
    return [
        Line("createBooking PAY_NOW without the processor p50", "ms", own_ms, "promise", OWN_SHARE_MS, at_most=1),
        Line("the same with the processor p50", "ms", median(whole_ms), "the processor alone p50", median(alone_ms)),
        Line("webhook answered p50", "ms", median(hooks_ms), "promise", WEBHOOK_MS, at_most=1),
        Line("webhook answered p99", "ms", percentile(hooks_ms, 99), "promise of the median", WEBHOOK_MS),
    ]


async def _processor_alone(http: httpx.AsyncClient, world: World) -> float:
    """Milliseconds for an intent like ours."""
    key = str(uuid4())
    form = {"amount": 1_000, "currency": "usd", "automatic_payment_methods[enabled]": "true", "transfer_group": key}
    labels = {f"metadata[turnero_{name}]": str(uuid4()) for name in ("payment", "booking", "organization")}
    headers = {"authorization": f"Bearer {STRIPE_KEY}", "idempotency-key": key}
    began = time.perf_counter()
    answer = await http.post(f"{world.stack.stripe_url}/v1/payment_intents", data={**form, **labels}, headers=headers)
    took = 1000 * (time.perf_counter() - began)
    answer.raise_for_status()
    return took


async def _pay_now(client: Connection, place: Place) -> float:
    """Milliseconds from the request to the PaymentSession with its client secret."""
    provider, start = place.start()
    asked: dict[str, Any] = {"serviceId": place.shop.service_id, "providerId": place.shop.provider_ids[provider]}
    held = await client.post(HOLD, {"input": {**asked, "startsAt": start.isoformat()}})
    details = {"holdId": held["hold"]["id"], "holdToken": held["holdToken"], "customer": CUSTOMER}
    began = time.perf_counter()
    booked = await client.post(BOOK, {"input": {**details, "paymentMethod": "PAY_NOW"}})
    took = 1000 * (time.perf_counter() - began)
    if booked["__typename"] != "CreateBookingPayload" or not booked["payment"]["clientSecret"]:
        raise RuntimeError(booked)
    return took


async def _webhook(http: httpx.AsyncClient, world: World) -> float:
    """Milliseconds to the answer: the signature checked, the event stored, its job planned."""
    body = json.dumps(_event()).encode()
    moment = int(time.time())
    digest = hmac.new(STRIPE_WEBHOOK_SECRET.encode(), f"{moment}.".encode() + body, hashlib.sha256).hexdigest()
    headers = {"stripe-signature": f"t={moment},v1={digest}", "content-type": "application/json"}
    began = time.perf_counter()
    answer = await http.post(f"{world.stack.url}/webhooks/stripe", content=body, headers=headers)
    took = 1000 * (time.perf_counter() - began)
    answer.raise_for_status()
    return took


def _event() -> dict[str, Any]:
    """Of an intent that is nobody's: it is looked up, and passed over."""
    return {
        "id": f"evt_{uuid4().hex}",
        "object": "event",
        "type": "payment_intent.succeeded",
        "created": int(time.time()),
        "livemode": False,
        "data": {"object": {"id": f"pi_{uuid4().hex}", "object": "payment_intent"}},
    }
