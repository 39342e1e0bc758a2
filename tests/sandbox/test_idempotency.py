"""Idempotency keys: one effect, one answer, over races, refusals and restarts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import stripe

from tests.sandbox.running import Sandbox, payment, running


async def test_a_replay_gives_the_first_answer(sandbox: Sandbox) -> None:
    key = {"idempotency_key": "replay-1"}
    first = await sandbox.v1.payment_intents.create_async(payment(), key)
    await sandbox.v1.payment_intents.update_async(first.id, {"description": "changed since"})
    second = await sandbox.v1.payment_intents.create_async(payment(), key)
    assert second.id == first.id
    assert second.description is None
    headers = second.last_response.headers
    assert headers["idempotent-replayed"] == "true"
    assert headers["original-request"] == first.last_response.headers["request-id"] != headers["request-id"]
    assert "idempotent-replayed" not in first.last_response.headers


async def test_other_parameters_or_another_address_are_refused(sandbox: Sandbox) -> None:
    key = {"idempotency_key": "mismatch-1"}
    await sandbox.v1.customers.create_async({"email": "a@example.com"}, key)
    with pytest.raises(stripe.IdempotencyError, match="same parameters"):
        await sandbox.v1.customers.create_async({"email": "b@example.com"}, key)
    with pytest.raises(stripe.IdempotencyError):
        await sandbox.v1.payment_intents.create_async(payment(), key)


async def test_the_order_of_parameters_does_not_matter(sandbox: Sandbox) -> None:
    key = {"Idempotency-Key": "order-1"}
    first = await sandbox.post("/v1/customers", {"name": "Ana", "metadata[a]": "1"}, **key)
    second = await sandbox.post("/v1/customers", {"metadata[a]": "1", "name": "Ana"}, **key)
    assert first.json()["id"] == second.json()["id"]


async def test_keys_of_accounts_do_not_meet(sandbox: Sandbox) -> None:
    account = await sandbox.account()
    key = {"idempotency_key": "per-account"}
    ours = await sandbox.v1.customers.create_async({}, key)
    theirs = await sandbox.v1.customers.create_async({}, {**key, "stripe_account": account})
    assert ours.id != theirs.id


async def test_a_race_moves_money_once(sandbox: Sandbox) -> None:
    account = await sandbox.account()
    await sandbox.paid()
    wish = {"amount": 100, "currency": "eur", "destination": account}
    key = {"idempotency_key": "race-1"}
    results = await asyncio.gather(*(sandbox.v1.transfers.create_async(wish, key) for _ in range(16)))
    assert len({transfer.id for transfer in results}) == 1
    assert await sandbox.balance(account) == 100


async def test_a_key_in_use_is_a_conflict(sandbox: Sandbox) -> None:
    key = {"Idempotency-Key": "busy-1"}
    await sandbox.control("faults", kind="delay", seconds=0.3, times=1, match="POST /v1/customers")
    slow = asyncio.create_task(sandbox.post("/v1/customers", {"name": "Ana"}, **key))
    while (await sandbox.http.get("/_sandbox/faults")).json()["data"][0]["hit"] == 0:
        pass
    for form in ({"name": "Ana"}, {"name": "Somebody else"}):
        conflict = await sandbox.post("/v1/customers", form, **key)
        assert (conflict.status_code, conflict.json()["error"]["code"]) == (409, "idempotency_key_in_use")
    made = (await slow).json()
    assert (await sandbox.post("/v1/customers", {"name": "Ana"}, **key)).json()["id"] == made["id"]


async def test_a_declined_card_stays_declined_under_its_key(sandbox: Sandbox) -> None:
    key = {"idempotency_key": "declined-1"}
    intents = []
    for _ in range(2):
        with pytest.raises(stripe.CardError) as declined:
            await sandbox.v1.payment_intents.create_async(payment(payment_method="pm_card_chargeDeclined"), key)
        assert declined.value.error is not None
        assert declined.value.error.payment_intent is not None
        intents.append(declined.value.error.payment_intent.id)
    assert intents[0] == intents[1]


async def test_a_refusal_by_state_is_kept_and_one_by_parameters_is_not(sandbox: Sandbox) -> None:
    account = await sandbox.account()
    wish = {"amount": "77000000", "currency": "eur", "destination": account}
    key = {"Idempotency-Key": "poor-1"}
    first = await sandbox.post("/v1/transfers", wish, **key)
    assert first.json()["error"]["code"] == "balance_insufficient"
    again = await sandbox.post("/v1/transfers", wish, **key)
    assert (again.json(), again.headers["idempotent-replayed"]) == (first.json(), "true")
    typo = await sandbox.post("/v1/customers", {"nam": "Ana"}, **{"Idempotency-Key": "typo-1"})
    assert typo.status_code == 400
    right = await sandbox.post("/v1/customers", {"name": "Ana"}, **{"Idempotency-Key": "typo-1"})
    assert right.status_code == 200


@pytest.mark.parametrize("key", ["", "k" * 256])
async def test_a_key_has_a_length(sandbox: Sandbox, key: str) -> None:
    assert (await sandbox.post("/v1/customers", {}, **{"Idempotency-Key": key})).status_code == 400


async def test_everything_is_kept_over_a_restart(package_http: stripe.HTTPXClient, tmp_path: Path) -> None:
    kept = str(tmp_path / "new" / "stripe.sqlite3")
    key = {"idempotency_key": "restart-1"}
    now = [1_790_000_000.0]
    async with running(package_http, data_path=kept, clock=lambda: now[0]) as before:
        intent = await before.v1.payment_intents.create_async(payment(metadata={"booking": "9"}), key)
        endpoint = await before.v1.webhook_endpoints.create_async(
            {"url": "http://127.0.0.1:9/none", "enabled_events": ["payout.paid"]}
        )
    async with running(package_http, data_path=kept, clock=lambda: now[0]) as after:
        replayed = await after.v1.payment_intents.create_async(payment(metadata={"booking": "9"}), key)
        assert replayed.id == intent.id
        assert replayed.last_response.headers["idempotent-replayed"] == "true"
        assert (await after.balance(), len((await after.v1.payment_intents.list_async()).data)) == (10_000, 1)
        found = await after.v1.payment_intents.search_async({"query": "metadata['booking']:'9'"})
        assert [one.id for one in found.data] == [intent.id]
        assert (await after.v1.webhook_endpoints.retrieve_async(endpoint.id)).status == "enabled"
        now[0] += 86_401
        fresh = await after.v1.payment_intents.create_async(payment(), key)
        assert fresh.id != intent.id
