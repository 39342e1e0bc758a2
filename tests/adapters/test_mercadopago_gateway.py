"""MercadoPago's adapter against the local MercadoPago: the common contract, then what is its own."""

from __future__ import annotations

import hmac
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import uuid4

import httpx
import pytest
import stripe

from app.adapters.mercadopago_connection import MercadoPagoConnection, is_taken, to_decimal, to_minor
from app.adapters.mercadopago_gateway import MercadoPagoGateway
from app.adapters.mercadopago_webhooks import TOLERANCE_S
from app.domain.payment import IntentPhase
from app.gateway import (
    BadSignature,
    Capability,
    Capture,
    ConfirmOrder,
    Declined,
    Delivery,
    GatewayRefused,
    GatewayUnknown,
    ObjectKind,
    PaymentSnapshot,
    RefusalKind,
)
from app.sandbox.settings import ConfiguredEndpoint
from tests.adapters.gateway_contract import SECRET, GatewayContract, Stand, found, refund_order
from tests.sandbox.running import Hooks, Json, Sandbox, receiving, running

TOKEN = "TEST-1234567890"
HOLDERS = {"good": "APRO", "no_funds": "FUND", "stolen": "BLAC", "call": "CALL", "pending": "CONT"}


class MercadoPagoStand(Stand):
    currency = "ARS"
    creates = "POST /mercadopago/v1/payments"
    refunds = "POST /mercadopago/v1/payments/*/refunds"

    def __init__(self, transport: httpx.AsyncBaseTransport, sandbox: Sandbox, hooks: Hooks) -> None:
        self._transport = transport
        self.sandbox, self.hooks = sandbox, hooks
        self.gateway = self.made()

    def made(
        self,
        *,
        url: str | None = None,
        key: str | None = None,
        deadline_s: float = 5,
        secrets: Sequence[str] = (SECRET,),
        later_s: float = 0,
    ) -> MercadoPagoGateway:
        connection = MercadoPagoConnection(
            TOKEN if key is None else key,
            base_url=url or f"{self.sandbox.url}/mercadopago",
            transport=self._transport,
            deadline_s=deadline_s,
        )
        return MercadoPagoGateway(
            connection, secrets, notification_url=self.hooks.url, wall=lambda: time.time() + later_s
        )

    async def api(self, method: str, path: str, **sent: Any) -> httpx.Response:
        """MercadoPago's API without the adapter."""
        headers = {"Authorization": f"Bearer {TOKEN}", **sent.pop("headers", {})}
        return await self.sandbox.http.request(method, f"/mercadopago/{path}", headers=headers, **sent)

    async def method(self, kind: str) -> str:
        card = {
            "card_number": "5031 7557 3453 0604",
            "expiration_month": 11,
            "expiration_year": 2030,
            "security_code": "123",
            "cardholder": {"name": HOLDERS[kind]},
        }
        answer = await self.sandbox.http.post(
            f"/mercadopago/v1/card_tokens?public_key={TOKEN}", json=card, headers={"Authorization": ""}
        )
        assert answer.status_code == 201, answer.text
        return f"master:{answer.json()['id']}"

    async def pay_as_guest(self, opened: PaymentSnapshot, kind: str = "good") -> None:
        assert opened.redirect_url is not None
        await self.sandbox.control(f"checkout/{opened.redirect_url.rpartition('/')[2]}/pay", holder=HOLDERS[kind])

    async def dispute(self, paid: PaymentSnapshot) -> None:
        await self.sandbox.control(f"mercadopago/{paid.charge_id}/dispute")

    async def decide(self, paid: PaymentSnapshot, *, is_won: bool) -> None:
        await self.sandbox.control(f"mercadopago/{paid.charge_id}/decide", outcome="won" if is_won else "lost")


@pytest.fixture(scope="session")
async def shared(http: stripe.HTTPXClient) -> AsyncIterator[MercadoPagoStand]:
    async with (
        httpx.AsyncHTTPTransport() as transport,
        receiving() as hooks,
        running(http, mercadopago_endpoint=ConfiguredEndpoint("http://127.0.0.1:9/", SECRET)) as sandbox,
    ):
        yield MercadoPagoStand(transport, sandbox, hooks)


@pytest.fixture
async def stand(shared: MercadoPagoStand) -> AsyncIterator[MercadoPagoStand]:
    """Shared; the faults that a test made end with it."""
    yield shared
    await shared.sandbox.http.delete("/_sandbox/faults")


class TestContract(GatewayContract):
    signature_header = "x-signature"
    tolerance_s = TOLERANCE_S


async def test_what_it_says_of_itself(stand: MercadoPagoStand) -> None:
    assert stand.gateway.capabilities == {Capability.HOSTED_PAGE, Capability.SPLIT_FEE}
    assert not stand.gateway.is_live
    assert MercadoPagoConnection("APP_USR-0", transport=stand._transport).is_live
    assert not MercadoPagoConnection("APP_USR-0", transport=stand._transport, is_live=False).is_live
    with pytest.raises(GatewayRefused) as refused:
        await stand.gateway.create_payment(stand.order(capture=Capture.MANUAL))
    assert refused.value.kind is RefusalKind.NOT_OFFERED


async def test_a_page_is_opened_once(stand: MercadoPagoStand) -> None:
    order = stand.order(expires_at=datetime.now(UTC) + timedelta(minutes=30))
    pages = {(await stand.gateway.create_payment(order)).redirect_url for _ in range(2)}
    assert len(pages) == 1
    await stand.fault("lost_answer", "POST /mercadopago/checkout/preferences")
    lost = stand.order()
    with pytest.raises(GatewayUnknown):
        await stand.gateway.create_payment(lost)
    looked_up = await stand.gateway.look_up_payment(lost.payment_id, datetime.now(UTC) - timedelta(minutes=1))
    opened = await stand.gateway.create_payment(lost)
    assert looked_up is not None
    assert looked_up.redirect_url == opened.redirect_url


async def test_a_page_that_is_over_takes_nothing(stand: MercadoPagoStand) -> None:
    order = stand.order(expires_at=datetime.now(UTC) + timedelta(milliseconds=1))
    opened = await stand.gateway.create_payment(order)
    over = await stand.gateway.find_payment(opened.processor_id)
    assert over is not None
    assert (over.phase, over.redirect_url) == (IntentPhase.CANCELLED, None)


async def test_paid_on_the_page_after_a_token_was_declined(stand: MercadoPagoStand) -> None:
    opened = await stand.gateway.create_payment(stand.order())
    order = ConfirmOrder(opened.processor_id, await stand.method("call"), uuid4().hex)
    for _ in range(2):
        with pytest.raises(Declined) as declined:
            await stand.gateway.confirm_payment(order)
        assert "call" in declined.value.message
    await stand.pay_as_guest(opened)
    # Asked again with its key, the attempt that failed does not hide the one that did not.
    assert (await stand.gateway.confirm_payment(order)).phase is IntentPhase.SUCCEEDED


async def test_a_lost_answer_to_another_attempt_is_one_attempt(stand: MercadoPagoStand) -> None:
    opened = await stand.gateway.create_payment(stand.order())
    order = ConfirmOrder(opened.processor_id, await stand.method("good"), uuid4().hex)
    await stand.fault("lost_answer", stand.creates)
    with pytest.raises(GatewayUnknown):
        await stand.gateway.confirm_payment(order)
    paid = await stand.gateway.confirm_payment(order)
    assert (paid.phase, paid.intent.captured_minor) == (IntentPhase.SUCCEEDED, 10_000)


async def test_what_came_in_twice_is_told(stand: MercadoPagoStand) -> None:
    """Two windows of one checkout page: both payments are there, and each can be given back."""
    opened = await stand.gateway.create_payment(stand.order())
    await stand.pay_as_guest(opened)
    await stand.pay_as_guest(opened)
    paid = await found(stand, opened)
    assert (paid.intent.amount_minor, paid.intent.captured_minor) == (10_000, 20_000)
    await stand.gateway.refund(refund_order(paid, 10_000))
    now = await found(stand, paid)
    assert now.refunded_minor == 10_000
    with pytest.raises(GatewayRefused):
        await stand.gateway.refund(refund_order(paid, 1))
    others = (await stand.api("GET", f"v1/payments/search?external_reference={paid.processor_id}")).json()["results"]
    (second,) = [str(one["id"]) for one in others if str(one["id"]) != paid.charge_id]
    assert now.charge_id == second  # where there is something left
    await stand.gateway.refund(refund_order(paid, 10_000, charge_id=second))
    assert (await found(stand, paid)).refunded_minor == 20_000


async def test_a_payment_that_is_reviewed(stand: MercadoPagoStand) -> None:
    waiting = await stand.paid(method_id=await stand.method("pending"))
    assert (waiting.phase, waiting.intent.captured_minor) == (IntentPhase.PROCESSING, 0)
    (made,) = (await stand.api("GET", f"v1/payments/search?external_reference={waiting.processor_id}")).json()[
        "results"
    ]
    await stand.sandbox.control(f"mercadopago/{made['id']}/review", outcome="approved")
    assert (await found(stand, waiting)).phase is IntentPhase.SUCCEEDED


async def test_the_platforms_share_stays_with_it(stand: MercadoPagoStand) -> None:
    paid = await stand.paid(platform_fee_minor=1_234)
    answer = (await stand.api("GET", f"v1/payments/{paid.charge_id}")).text
    assert '"application_fee":12.34' in answer
    assert '"net_received_amount":87.66' in answer


async def test_a_key_of_another_payment(stand: MercadoPagoStand) -> None:
    order = stand.order(method_id=await stand.method("good"))
    await stand.gateway.create_payment(order)
    with pytest.raises(GatewayRefused) as refused:
        await stand.gateway.create_payment(replace(order, payment_id=uuid4()))
    assert refused.value.kind is RefusalKind.KEY_REUSED


async def test_a_payment_of_somebody_else(stand: MercadoPagoStand) -> None:
    """Made by hand on the same account: it is shown, and belongs to nothing of ours."""
    sent: Json = {
        "transaction_amount": 12.5,
        "token": (await stand.method("good")).partition(":")[2],
        "payer": {"email": "x@example.com"},
        "external_reference": "invoice 7",
    }
    made = (await stand.api("POST", "v1/payments", json=sent, headers={"X-Idempotency-Key": uuid4().hex})).json()
    shown = await stand.gateway.payment_of(ObjectKind.PAYMENT, str(made["id"]))
    assert shown is not None
    assert (shown.processor_id, shown.payment_id, shown.intent.captured_minor) == (str(made["id"]), None, 1_250)


async def test_chargebacks_are_told_by_their_own_id(stand: MercadoPagoStand) -> None:
    paid = await stand.paid()
    await stand.dispute(paid)
    owner: PaymentSnapshot | None = None
    while owner is None or owner.processor_id != paid.processor_id:
        event = stand.gateway.read_event(await stand.delivered("topic_chargebacks_wh"))
        assert (event.object_kind, event.type) == (ObjectKind.DISPUTE, "changed_case_status")
        owner = await stand.gateway.payment_of(event.object_kind, event.object_id)
    assert owner.disputed_minor == 10_000


def signed(object_id: str, stamp: int, body: bytes, *, signs: str | None = None) -> Delivery:
    manifest = f"id:{signs or object_id};request-id:r-1;ts:{stamp};"
    signature = hmac.new(SECRET.encode(), manifest.encode(), sha256).hexdigest()
    headers = {"x-signature": f"ts={stamp}, v1={signature}", "x-request-id": "r-1"}
    return Delivery(body, headers, f"data.id={object_id}&type=payment")


async def test_signatures_as_they_were_seen_in_the_wild(stand: MercadoPagoStand) -> None:
    now = int(time.time())
    body = b'{"id":7,"type":"payment","action":"payment.updated","live_mode":true,"data":{"id":"ORD1"},"user_id":44}'
    for delivery in (
        signed("ORD1", now, body),
        signed("ORD1", now * 1_000, body),
        signed("ORD1", now, body, signs="ord1"),
        signed("ord1", now, body),
    ):
        event = stand.gateway.read_event(delivery)
        assert (event.event_id, event.type, event.account, event.is_live) == ("7", "payment.updated", "44", True)
    for altered in (b"", b"[]", b'{"id":7}', b"\xff", body.replace(b"ORD1", b"ORD2")):
        with pytest.raises(BadSignature):
            stand.gateway.read_event(signed("ORD1", now, altered))


@pytest.mark.parametrize(
    ("minor", "currency", "there"),
    [(123_456, "ARS", "1234.56"), (5, "CLP", "5"), (1_500, "COP", "15.00"), (1, "BRL", "0.01")],
)
def test_amounts_as_mercadopago_wants_them(minor: int, currency: str, there: str) -> None:
    assert to_decimal(minor, currency) == Decimal(there)
    assert to_minor(Decimal(there), currency) == minor


@pytest.mark.parametrize(("minor", "currency"), [(1_550, "COP"), (0, "ARS"), (-1, "ARS"), (100, "EUR")])
def test_amounts_that_cannot_be_charged(minor: int, currency: str) -> None:
    with pytest.raises(GatewayRefused) as refused:
        to_decimal(minor, currency)
    assert refused.value.kind is RefusalKind.AMOUNT
    assert is_taken("ARS")
