"""MercadoPago's webhooks: what changed, by id alone, with a signature over that id."""

from __future__ import annotations

import hmac
import secrets
from hashlib import sha256
from urllib.parse import quote
from uuid import uuid4

import msgspec

from app.sandbox.mercadopago import COLLECTOR
from app.sandbox.mercadopago.fields import moment
from app.sandbox.settings import SandboxSettings
from app.sandbox.stripe import deliveries
from app.sandbox.stripe.errors import Json
from app.sandbox.stripe.work import Work

ENDPOINT = "mp_endpoint"
PAYMENT, CHARGEBACK = "payment", "topic_chargebacks_wh"


def notify(work: Work, topic: str, action: str, object_id: str, url: str | None, **more: object) -> None:
    """Tell the address of the payment, else that of the application."""
    if work.settings.mercadopago_endpoint is None:
        return
    url = url or work.settings.mercadopago_endpoint.url
    endpoint_id = f"mp_endpoint_{sha256(url.encode()).hexdigest()[:24]}"
    if work.find(ENDPOINT, endpoint_id) is None:
        work.save({"id": endpoint_id, "object": ENDPOINT, "created": work.now, "url": url})
    event: Json = {
        "id": f"mp_event_{secrets.randbelow(10**15)}",
        "object": "mp_event",
        "created": work.now,
        "type": action,
        "pending_webhooks": 0,
        "_topic": topic,
        "_data": {"id": object_id, **more},
    }
    work.save(event)
    plan = work.faults.plan_delivery(action)
    for copy in range(plan.copies):
        due_at = work.settings.clock() + plan.delay_of(copy)
        deliveries.add(work.store, event, endpoint_id, due_at, is_lost=plan.is_lost)


def outgoing(settings: SandboxSettings, endpoint: Json, event: Json) -> tuple[str, dict[str, str], bytes]:
    """Address, headers and body of a delivery."""
    object_id = event["_data"]["id"]
    request_id = str(uuid4())
    secret = settings.mercadopago_endpoint.secret if settings.mercadopago_endpoint else ""
    body = {
        "action": event["type"],
        "api_version": "v1",
        "data": event["_data"],
        "date_created": moment(event["created"]),
        "id": int(event["id"].removeprefix("mp_event_")),
        "live_mode": False,
        "type": event["_topic"],
        "user_id": str(COLLECTOR),
    }
    joint = "&" if "?" in endpoint["url"] else "?"
    url = f"{endpoint['url']}{joint}data.id={quote(object_id)}&type={event['_topic']}"
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "MercadoPago WebHook v1.0 payment",
        "X-Request-Id": request_id,
        "X-Signature": signature(secret, object_id, request_id, int(settings.clock())),
    }
    return url, headers, msgspec.json.encode(body)


def signature(secret: str, object_id: str, request_id: str, at: int) -> str:
    """The `x-signature` header: the time, and the id, the request and the time signed. The body is not."""
    manifest = f"id:{object_id};request-id:{request_id};ts:{at};"
    return f"ts={at},v1={hmac.new(secret.encode(), manifest.encode(), sha256).hexdigest()}"
