"""Events, and who is to get them: written in the transaction of what they tell."""

from __future__ import annotations

import hmac
from hashlib import sha256

import msgspec

from app.sandbox.stripe import API_VERSION, deliveries
from app.sandbox.stripe.errors import Json
from app.sandbox.stripe.lists import list_objects
from app.sandbox.stripe.params import Params
from app.sandbox.stripe.store import PLATFORM, Page
from app.sandbox.stripe.work import Work, stamp, visible

MOST_ENDPOINTS = 16


def emit(work: Work, event_type: str, body: Json, before: Json | None = None) -> None:
    """Tell that something happened to an object. `before`: what it was, for events that tell what changed."""
    now = visible(body)
    data: Json = {"object": now}
    if before is not None:
        old = visible(before)
        data["previous_attributes"] = {key: old[key] for key in old if old[key] != now.get(key)}
    event = stamp(
        work,
        "event",
        "evt",
        api_version=API_VERSION,
        data=data,
        pending_webhooks=0,
        request={"id": work.request.id, "idempotency_key": work.request.idempotency_key},
        type=event_type,
    )
    if work.account != PLATFORM:
        event["account"] = work.account
    wanting = [endpoint["id"] for endpoint in _endpoints(work) if _wants(endpoint, event_type, work.account)]
    event["pending_webhooks"] = len(wanting)
    work.save(event)
    for endpoint_id in wanting:
        plan = work.faults.plan_delivery(event_type)
        for copy in range(plan.copies):
            due_at = work.settings.clock() + plan.delay_of(copy)
            deliveries.add(work.store, event, endpoint_id, due_at, is_lost=plan.is_lost)


def list_events(work: Work, params: Params) -> Json:
    facts = {}
    event_type = params.text("type")
    types = params.strings("types")
    if event_type:
        facts["type"] = event_type
    is_delivered = params.flag("delivery_success")

    def keep(event: Json) -> bool:
        if types and event["type"] not in types:
            return False
        return is_delivered is None or (event["pending_webhooks"] == 0) == is_delivered

    needs_a_look = types or is_delivered is not None
    return list_objects(work, params, "event", facts, keep=keep if needs_a_look else None)


def get_event(work: Work, params: Params, event_id: str) -> Json:
    params.done()
    return work.need("event", event_id)


def packed(event: Json) -> bytes:
    """The body of a delivery, laid out as Stripe's."""
    return msgspec.json.format(msgspec.json.encode(visible(event)), indent=2)


def signature(secret: str, body: bytes, at: int) -> str:
    """The `Stripe-Signature` header: the time, and the time and body signed."""
    signed = hmac.new(secret.encode(), f"{at}.".encode() + body, sha256).hexdigest()
    return f"t={at},v1={signed}"


def _endpoints(work: Work) -> list[Json]:
    return work.store.page(PLATFORM, "webhook_endpoint", Page(MOST_ENDPOINTS))


def _wants(endpoint: Json, event_type: str, account: str) -> bool:
    scope = endpoint["_scope"]
    return (
        endpoint["status"] == "enabled"
        and (scope == "both" or (scope == "connect") == (account != PLATFORM))
        and ("*" in endpoint["enabled_events"] or event_type in endpoint["enabled_events"])
    )
