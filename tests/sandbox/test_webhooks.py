"""Webhooks: signed so that the package believes them, kept, tried again, and lost or shuffled when asked."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import stripe

from app.sandbox.settings import ConfiguredEndpoint
from app.sandbox.stripe import API_VERSION
from tests.sandbox.running import Hooks, Sandbox, payment, receiving, running


async def listening(sandbox: Sandbox, hooks: Hooks, *types: str, **more: Any) -> Any:
    return await sandbox.v1.webhook_endpoints.create_async(
        {"url": hooks.url, "enabled_events": list(types) or ["*"], **more}
    )


async def test_the_package_believes_the_signature(sandbox: Sandbox, hooks: Hooks) -> None:
    endpoint = await listening(sandbox, hooks, "payment_intent.succeeded")
    intent = await sandbox.v1.payment_intents.create_async(payment(), {"idempotency_key": "signed-1"})
    delivery = await hooks.next()
    event = sandbox.client.construct_event(delivery.body, delivery.signature, endpoint.secret)
    assert (event.type, event.data.object.id, event.api_version) == ("payment_intent.succeeded", intent.id, API_VERSION)
    assert event.request is not None
    assert event.request.idempotency_key == "signed-1"
    assert event.request.id == intent.last_response.headers["request-id"]
    for body, secret in ((delivery.body + b" ", endpoint.secret), (delivery.body, "whsec_other")):
        with pytest.raises(stripe.SignatureVerificationError):
            sandbox.client.construct_event(body, delivery.signature, secret)
    await sandbox.v1.webhook_endpoints.delete_async(endpoint.id)


def test_the_version_is_the_packages() -> None:
    assert stripe.api_version == API_VERSION


async def test_what_a_payment_tells(package_http: stripe.HTTPXClient, hooks: Hooks) -> None:
    async with running(package_http) as sandbox:
        endpoint = await listening(sandbox, hooks)
        held = await sandbox.paid(capture_method="manual")
        await sandbox.v1.payment_intents.capture_async(held.id)
        refund = await sandbox.v1.refunds.create_async({"payment_intent": held.id, "amount": 1})
        listed = await sandbox.settled()
        told = [delivery["event_type"] for delivery in reversed(listed["data"])]
        assert told == [
            "payment_intent.created",
            "charge.succeeded",
            "payment_intent.amount_capturable_updated",
            "charge.captured",
            "payment_intent.succeeded",
            "refund.created",
            "charge.refunded",
        ]
        deliveries = [await hooks.next() for _ in told]
        by_type = {delivery.event["type"]: delivery.event for delivery in deliveries}
        assert by_type["refund.created"]["data"]["object"]["id"] == refund.id
        assert by_type["charge.refunded"]["data"]["previous_attributes"] == {"amount_refunded": 0}
        assert by_type["charge.succeeded"]["data"]["object"]["captured"] is False
        assert all(event["pending_webhooks"] == 1 for event in by_type.values())
        assert not any(key.startswith("_") for event in by_type.values() for key in event["data"]["object"])
        kept = await sandbox.v1.events.retrieve_async(by_type["charge.captured"]["id"])
        assert (kept.pending_webhooks, hasattr(endpoint, "secret")) == (0, True)
        found = await sandbox.v1.webhook_endpoints.retrieve_async(endpoint.id)
        assert not hasattr(found, "secret")


async def test_a_refused_delivery_is_tried_again_and_given_up_at_last(
    package_http: stripe.HTTPXClient, hooks: Hooks
) -> None:
    async with running(package_http, retry_base_s=0.001, most_attempts=3) as sandbox:
        await listening(sandbox, hooks, "customer.created")
        hooks.answers = [500, 302]
        await sandbox.v1.customers.create_async({})
        attempts = [await hooks.next() for _ in range(3)]
        assert len({attempt.body for attempt in attempts}) == 1
        (delivered,) = (await sandbox.settled())["data"]
        assert (delivered["state"], delivered["attempts"], delivered["status"]) == ("delivered", 3, 200)
        hooks.answers = [500, 500, 500]
        await sandbox.v1.customers.create_async({})
        (lost, _) = (await sandbox.settled())["data"]
        assert (lost["state"], lost["attempts"], lost["due_at"]) == ("given_up", 3, None)
        while not hooks.arrived.empty():
            hooks.arrived.get_nowait()
        await sandbox.control(f"events/{lost['event']}/resend")
        assert (await hooks.next()).event["id"] == lost["event"]
        await sandbox.control(f"deliveries/{delivered['seq']}/resend")
        assert (await hooks.next()).event["id"] == delivered["event"]


async def test_deliveries_wait_for_a_restart(package_http: stripe.HTTPXClient, hooks: Hooks, tmp_path: Path) -> None:
    kept = str(tmp_path / "stripe.sqlite3")
    async with running(package_http, data_path=kept, retry_base_s=0.01) as sandbox:
        await sandbox.v1.webhook_endpoints.create_async({"url": hooks.url, "enabled_events": ["customer.created"]})
        hooks.answers = [503]
        customer = await sandbox.v1.customers.create_async({})
        await hooks.next()
    async with running(package_http, data_path=kept):
        assert (await hooks.next()).event["data"]["object"]["id"] == customer.id


async def test_a_configured_endpoint_gets_everything_of_all_accounts(
    package_http: stripe.HTTPXClient, hooks: Hooks, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {
        "data_path": str(tmp_path / "stripe.sqlite3"),
        "endpoints": (ConfiguredEndpoint(hooks.url, "whsec_configured"),),
    }
    async with running(package_http, **settings) as sandbox:
        await sandbox.v1.customers.create_async({})
        own = await hooks.next("customer.created")
        sandbox.client.construct_event(own.body, own.signature, "whsec_configured")
        account = await sandbox.account()
        await sandbox.control(f"accounts/{account}/state", state="onboarded")
        assert (await hooks.next("account.updated")).event["account"] == account
    async with running(package_http, **settings) as again:
        assert len((await again.v1.webhook_endpoints.list_async()).data) == 1


async def test_endpoints_choose(package_http: stripe.HTTPXClient, hooks: Hooks) -> None:
    async with running(package_http) as sandbox, receiving() as connect, receiving() as off:
        await listening(sandbox, hooks, "account.updated", "customer.updated")
        await listening(sandbox, connect, connect=True)
        disabled = await listening(sandbox, off)
        await sandbox.v1.webhook_endpoints.update_async(disabled.id, {"disabled": True})
        account = await sandbox.account()
        await sandbox.control(f"accounts/{account}/state", state="onboarded")
        customer = await sandbox.v1.customers.create_async({})
        await sandbox.v1.customers.update_async(customer.id, {"name": "Ana"})
        await sandbox.settled()
        assert [(await hooks.next()).event["type"], hooks.arrived.qsize()] == ["customer.updated", 0]
        assert [(await connect.next()).event["type"], connect.arrived.qsize()] == ["account.updated", 0]
        assert off.arrived.empty()


async def test_duplicate_lost_late_and_shuffled(package_http: stripe.HTTPXClient, hooks: Hooks) -> None:
    async with running(package_http, retry_base_s=0.001) as sandbox:
        await listening(sandbox, hooks, "customer.created")
        await sandbox.control("faults", kind="webhook_duplicate", copies=9, times=1)
        await sandbox.v1.customers.create_async({})
        same = [await hooks.next() for _ in range(10)]
        assert len({json.loads(delivery.body)["id"] for delivery in same}) == 1
        await sandbox.control("faults", kind="webhook_lost", times=1)
        await sandbox.v1.customers.create_async({})
        await hooks.next()
        (lost, *_) = (await sandbox.settled())["data"]
        assert (lost["attempts"], lost["state"]) == (2, "delivered")
        await sandbox.http.delete("/_sandbox/faults")
        await sandbox.control("faults", kind="webhook_shuffle", seconds=0.2, seed=1)
        made = [(await sandbox.v1.customers.create_async({})).id for _ in range(8)]
        arrived = [(await hooks.next()).event["data"]["object"]["id"] for _ in made]
        assert sorted(arrived) == sorted(made)
        assert arrived != made
        await sandbox.http.delete("/_sandbox/faults")
        await sandbox.control("faults", kind="webhook_late", seconds=3_600, times=1)
        late = await sandbox.v1.customers.create_async({})
        soon = await sandbox.v1.customers.create_async({})
        assert (await hooks.next()).event["data"]["object"]["id"] == soon.id
        due = [one for one in (await sandbox.http.get("/_sandbox/deliveries")).json()["data"] if one["state"] == "due"]
        (event,) = [one for one in due if one["event_type"] == "customer.created"]
        assert (await sandbox.v1.events.retrieve_async(event["event"])).data.object.id == late.id


async def test_an_endpoint_that_hangs_holds_up_nobody(package_http: stripe.HTTPXClient, hooks: Hooks) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    try:
        async with running(package_http, webhook_timeout_s=30) as sandbox:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            await sandbox.v1.webhook_endpoints.create_async({"url": url, "enabled_events": ["customer.created"]})
            await listening(sandbox, hooks, "customer.created")
            customer = await sandbox.v1.customers.create_async({})
            assert (await hooks.next()).event["data"]["object"]["id"] == customer.id
    finally:
        server.close()


@pytest.mark.parametrize(
    "fields",
    [
        {"enabled_events": ["*"]},
        {"url": "http://x.example", "enabled_events": []},
        {"url": "http://x.example"},
        {"url": "ftp://x.example", "enabled_events": ["*"]},
        {"url": "http://", "enabled_events": ["*"]},
        {"url": "http://x.example:99999/", "enabled_events": ["*"]},
        {"url": "http://x.example/\r\nevil: 1", "enabled_events": ["*"]},
        {"url": "http://x.example", "enabled_events": ["<script>"]},
        {"url": "http://x.example", "enabled_events": ["*"], "api_version": "2020-01-01"},
    ],
)
async def test_an_endpoint_that_makes_no_sense(sandbox: Sandbox, fields: dict[str, Any]) -> None:
    with pytest.raises(stripe.InvalidRequestError):
        await sandbox.v1.webhook_endpoints.create_async(fields)
