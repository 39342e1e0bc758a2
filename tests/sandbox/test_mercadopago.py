"""The local MercadoPago itself: what it refuses, its checkout page, and its notifications."""

from __future__ import annotations

import time
from typing import Any
from uuid import uuid4

import pytest
import stripe

from app.sandbox.settings import ConfiguredEndpoint
from tests.sandbox.running import Hooks, Json, Sandbox, running

AUTH = {"Authorization": "Bearer TEST-1"}
CARD = {
    "card_number": "4509953566233704",
    "expiration_month": 11,
    "expiration_year": 2030,
    "security_code": "123",
    "cardholder": {"name": "APRO"},
}


async def call(sandbox: Sandbox, method: str, path: str, status: int, body: Any = None, **headers: str) -> Json:
    sent = {} if body is None else {"content": body} if isinstance(body, bytes) else {"json": body}
    answer = await sandbox.http.request(method, f"/mercadopago/{path}", headers={**AUTH, **headers}, **sent)
    assert answer.status_code == status, answer.text
    parsed: Json = answer.json()
    return parsed


async def order(sandbox: Sandbox, **more: Any) -> Json:
    token = await call(sandbox, "POST", "v1/card_tokens", 201, CARD)
    return {"transaction_amount": 100.5, "token": token["id"], "payer": {"email": "a@example.com"}, **more}


async def pay(sandbox: Sandbox, status: int = 201, **more: Any) -> Json:
    key = {"X-Idempotency-Key": uuid4().hex}
    return await call(sandbox, "POST", "v1/payments", status, await order(sandbox, **more), **key)


async def test_a_payment_as_mercadopago_shows_it(sandbox: Sandbox) -> None:
    paid = await pay(sandbox, external_reference="r-1", metadata={"Shop-Name": "Ñ"}, payment_method_id="visa")
    assert (paid["status"], paid["status_detail"], paid["captured"]) == ("approved", "accredited", True)
    assert (paid["transaction_amount"], paid["currency_id"], paid["live_mode"]) == (100.5, "ARS", False)
    assert (paid["metadata"], isinstance(paid["id"], int)) == ({"shop_name": "Ñ"}, True)
    assert not any(name.startswith("_") or name == "object" for name in paid)
    page = await call(sandbox, "GET", "v1/payments/search?external_reference=r-1", 200)
    assert [one["id"] for one in page["results"]] == [paid["id"]]


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"transaction_amount": None}, 4020),
        ({"transaction_amount": -1}, 4037),
        ({"transaction_amount": 0.001}, 4037),
        ({"transaction_amount": 1e300}, 4037),
        ({"transaction_amount": "100"}, 4037),
        ({"transaction_amount": True}, 4037),
        ({"currency_id": "CLP"}, 4037),
        ({"currency_id": "EUR"}, 4050),
        ({"token": "nope"}, 2006),
        ({"token": 7}, "invalid_parameter"),
        ({"payer": {}}, 4051),
        ({"payer": "x"}, "invalid_parameter"),
        ({"application_fee": 100.5}, 4039),
        ({"payment_method_id": "amex"}, 2067),
        ({"installments": 12}, 3028),
    ],
)
async def test_orders_that_make_no_sense(sandbox: Sandbox, more: Json, code: int | str) -> None:
    refused = await pay(sandbox, 400, **more)
    assert refused["cause"][0]["code"] == code


async def test_requests_that_make_no_sense(sandbox: Sandbox) -> None:
    assert (await call(sandbox, "POST", "v1/payments", 400, await order(sandbox)))["cause"][0]["code"] == 4292
    for body in (b"{", b"[]", b"\xff", b'"x"'):
        await call(sandbox, "POST", "v1/payments", 400, body, **{"X-Idempotency-Key": "k"})
    for token in ("", "Bearer", "Bearer APP_USR-1", "Basic x"):
        await call(sandbox, "GET", "v1/payments/1", 401, Authorization=token)
    for path in ("", "v1/payments/1", "v1/payments/1/2/3", "checkout/preferences/x", "v1/chargebacks/1"):
        await call(sandbox, "GET", path, 404)
    for query in ("limit=-1", "offset=x", "range=x", "begin_date=yesterday", "begin_date=2026-01-01"):
        await call(sandbox, "GET", f"v1/payments/search?{query}", 400)
    for name, value in (("card_number", "1"), ("expiration_month", 13), ("security_code", "x"), ("cardholder", {})):
        await call(sandbox, "POST", "v1/card_tokens", 400, {**CARD, name: value})


async def test_a_token_pays_once(sandbox: Sandbox) -> None:
    sent = await order(sandbox)
    for status, key in ((201, "first"), (201, "first"), (400, "second")):
        await call(sandbox, "POST", "v1/payments", status, sent, **{"X-Idempotency-Key": f"{key} {sent['token']}"})


async def test_the_checkout_page(sandbox: Sandbox) -> None:
    preference: Json = {
        "items": [{"title": "<b>Haircut", "quantity": 2, "unit_price": 10.25}],
        "back_urls": {"success": "https://shop.example/ok?a=1"},
    }
    made = await call(sandbox, "POST", "checkout/preferences", 201, preference)
    path = made["init_point"].removeprefix(sandbox.url)
    page = (await sandbox.http.get(path)).text
    assert "20.50 ARS" in page
    assert "&lt;b&gt;Haircut" in page
    declined = await sandbox.http.post(f"{path}/pay", data={"holder": "FUND"})
    assert declined.status_code == 303
    assert "cc_rejected_insufficient_amount" in declined.headers["location"]
    paid = await sandbox.http.post(f"{path}/pay", data={"holder": "APRO"})
    assert paid.headers["location"].startswith("https://shop.example/ok?a=1&collection_id=")
    overview = (await sandbox.http.get("/_sandbox/")).text
    assert made["id"] in overview
    assert "approved (accredited)" in overview
    over = {"expires": True, "expiration_date_to": "2026-01-01T00:00:00.000-04:00"}
    await call(sandbox, "PUT", f"checkout/preferences/{made['id']}", 200, over)
    assert "over" in (await sandbox.http.get(path)).text
    refused = await sandbox.http.post(f"{path}/pay", json={})
    assert (refused.status_code, "expired" in refused.text) == (400, True)
    assert (await sandbox.http.get("/_sandbox/checkout/nope")).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"items": []},
        {"items": [{"unit_price": 1}]},
        {"items": [{"unit_price": -1, "quantity": 1}]},
        {"items": [{"unit_price": 1, "quantity": 1}], "auto_return": "approved"},
        {"items": [{"unit_price": 1, "quantity": 1}], "marketplace_fee": 2},
        {"items": [{"unit_price": 1, "quantity": 1}], "expires": "yes"},
        {"items": [{"unit_price": 1, "quantity": 1}], "expiration_date_to": "soon"},
    ],
)
async def test_preferences_that_make_no_sense(sandbox: Sandbox, body: Json) -> None:
    await call(sandbox, "POST", "checkout/preferences", 400, body)


async def test_an_authorization_runs_out(package_http: stripe.HTTPXClient) -> None:
    now = [time.time()]
    async with running(package_http, clock=lambda: now[0]) as sandbox:
        held = await pay(sandbox, capture=False)
        assert held["status"] == "authorized"
        now[0] += 6 * 86_400
        await sandbox.http.get("/_sandbox/")
        while (found := await call(sandbox, "GET", f"v1/payments/{held['id']}", 200))["status"] == "authorized":
            pass
        assert (found["status"], found["status_detail"]) == ("cancelled", "expired")


async def test_notifications_are_tried_again(package_http: stripe.HTTPXClient, hooks: Hooks) -> None:
    hooks.answers = [500]
    endpoint = ConfiguredEndpoint(f"{hooks.url}?shop=1", "s")
    async with running(package_http, retry_base_s=0.001, mercadopago_endpoint=endpoint) as sandbox:
        paid = await pay(sandbox)
        first, second = await hooks.next(), await hooks.next()
        assert first.body == second.body
        assert second.target == f"/hook?shop=1&data.id={paid['id']}&type=payment"
        assert second.event["data"] == {"id": str(paid["id"])}
        assert second.headers["x-signature"].startswith("ts=")
        assert (await sandbox.settled())["counts"]["delivered"] == 1
