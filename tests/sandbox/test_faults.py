"""Faults on demand: each once with the package as the client, and how rules count and draw."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
import stripe

from app.sandbox.stripe.faults import Faults
from tests.sandbox.running import Sandbox, payment, running

KEY = {"idempotency_key": "fault-1"}


async def intents_made(sandbox: Sandbox) -> int:
    return len((await sandbox.v1.payment_intents.list_async({"limit": 100})).data)


@pytest.mark.parametrize(
    ("fault", "error", "done"),
    [
        ({"kind": "error", "status": 500}, stripe.APIError, 0),
        ({"kind": "error", "status": 429}, stripe.RateLimitError, 0),
        ({"kind": "reset"}, stripe.APIConnectionError, 0),
        ({"kind": "lost_answer"}, stripe.APIConnectionError, 1),
        ({"kind": "lost_to_error", "status": 503}, stripe.APIError, 1),
    ],
)
async def test_a_request_fails_and_its_retry_does_not(
    sandbox: Sandbox, fault: dict[str, Any], error: type[stripe.StripeError], done: int
) -> None:
    before = await intents_made(sandbox)
    key = {"idempotency_key": f"fault {fault}"}
    await sandbox.control("faults", **fault, match="POST /v1/payment_intents", times=1)
    with pytest.raises(error):
        await sandbox.v1.payment_intents.create_async(payment(), key)
    assert await intents_made(sandbox) == before + done
    intent = await sandbox.v1.payment_intents.create_async(payment(), key)
    assert intent.status == "succeeded"
    assert ("idempotent-replayed" in intent.last_response.headers) == bool(done)
    assert await intents_made(sandbox) == before + 1


async def test_a_client_that_gives_up_waiting_does_not_undo_the_work(sandbox: Sandbox) -> None:
    await sandbox.control("faults", kind="late_answer", seconds=0.5, times=1, match="POST /v1/customers")
    headers = {"Idempotency-Key": "late-1"}
    waits = httpx.Timeout(30, read=0.3)
    with pytest.raises(httpx.ReadTimeout):
        await sandbox.http.post("/v1/customers", data={"email": "late@example.com"}, headers=headers, timeout=waits)
    found = await sandbox.v1.customers.list_async({"email": "late@example.com"})
    assert len(found.data) == 1
    again = await sandbox.post("/v1/customers", {"email": "late@example.com"}, **headers)
    assert again.json()["id"] == found.data[0].id


async def test_the_package_retries_by_itself(sandbox: Sandbox) -> None:
    await sandbox.control("faults", kind="lost_answer", times=1, match="POST /v1/refunds")
    intent = await sandbox.paid()
    refund = await sandbox.v1.refunds.create_async({"payment_intent": intent.id}, {"max_network_retries": 2})
    assert refund.status == "succeeded"
    assert len((await sandbox.v1.refunds.list_async({"payment_intent": intent.id})).data) == 1


async def test_a_storm_of_faults_loses_no_money(package_http: stripe.HTTPXClient) -> None:
    """Each payment is asked for with one key until it is answered: there is one of each."""
    async with running(package_http) as sandbox:
        for kind, seed in (("reset", 1), ("lost_answer", 2), ("lost_to_error", 3), ("error", 4)):
            await sandbox.control("faults", kind=kind, probability=0.25, seed=seed, match="POST /v1/*")

        async def pay(number: int) -> str:
            while True:
                try:
                    key = {"Idempotency-Key": f"storm-{number}"}
                    answer = await sandbox.post("/v1/payment_intents", _form(number), **key)
                except httpx.TransportError:
                    continue
                if answer.status_code == 200:
                    return str(answer.json()["id"])

        ids = await asyncio.gather(*(pay(number) for number in range(30)))
        struck = (await sandbox.http.get("/_sandbox/faults")).json()["data"]
        assert all(rule["hit"] for rule in struck)
        await sandbox.http.delete("/_sandbox/faults")
        assert len(set(ids)) == 30 == await intents_made(sandbox)
        assert await sandbox.balance() == sum(1_000 + number for number in range(30))


def _form(number: int) -> dict[str, str]:
    return {
        "amount": str(1_000 + number),
        "currency": "eur",
        "confirm": "true",
        "payment_method": "pm_card_visa",
        "payment_method_types[]": "card",
    }


def test_rules_count_and_draw_alike_with_the_same_seed() -> None:
    runs = []
    for seed in (7, 7, 8):
        faults = Faults()
        rule = faults.add({"kind": "reset", "probability": 0.3, "seed": seed, "skip": 2, "times": 5})
        runs.append([rule.strikes("POST /v1/refunds") for _ in range(100)])
        assert (rule.seen, rule.hit) == (100, 5)
    assert runs[0] == runs[1] != runs[2]
    assert runs[0][:2] == [False, False]


def test_a_rule_of_chance_strikes_as_often_as_it_says() -> None:
    rule = Faults().add({"kind": "reset", "probability": 0.25})
    assert 2_300 < sum(rule.strikes("GET /v1/balance") for _ in range(10_000)) < 2_700


def test_shuffled_deliveries_spread_over_the_time() -> None:
    faults = Faults()
    faults.add({"kind": "webhook_shuffle", "seconds": 10, "seed": 3})
    delays = [faults.plan_delivery("charge.succeeded").delay_of(0) for _ in range(50)]
    assert 0 <= min(delays) < 2
    assert 8 < max(delays) < 10
    assert delays != sorted(delays)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"kind": "explode"},
        {"kind": "reset", "probability": 1.5},
        {"kind": "reset", "probability": "0.5"},
        {"kind": "reset", "times": 0},
        {"kind": "reset", "times": True},
        {"kind": "delay", "seconds": -1},
        {"kind": "error", "status": 200},
        {"kind": "reset", "copies": 10**6},
        {"kind": "reset", "match": ["*"]},
        {"kind": "reset", "whatever": 1},
    ],
)
async def test_a_rule_that_makes_no_sense_is_refused(sandbox: Sandbox, fields: dict[str, Any]) -> None:
    answer = await sandbox.http.post("/_sandbox/faults", json=fields)
    assert (answer.status_code, bool(answer.json()["error"]["message"])) == (400, True)


async def test_rules_are_listed_and_removed(sandbox: Sandbox) -> None:
    made = await sandbox.control("faults", kind="reset", match="GET /v1/nothing")
    assert [rule["id"] for rule in (await sandbox.http.get("/_sandbox/faults")).json()["data"]] == [made["id"]]
    path = f"/_sandbox/faults/{made['id']}"
    assert [(await sandbox.http.delete(path)).status_code for _ in range(2)] == [200, 404]
