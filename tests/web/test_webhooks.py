"""`/webhooks/stripe`: only what Stripe signed, each event once, in any order; nothing of its body is believed."""

from __future__ import annotations

import hmac
import random
import time
from hashlib import sha256

import pytest

from app.core.ids import IdKind, decode_id
from tests.journey import Made, rows_of
from tests.paying import GOOD, NO_FUNDS, SECRET, Payer, Paying, ledger_of, owner_of
from tests.sandbox.running import Delivery
from tests.shop import at


def signed(body: bytes, *, age_s: float = 0, secret: str = SECRET) -> str:
    moment = int(time.time() - age_s)
    digest = hmac.new(secret.encode(), f"{moment}.".encode() + body, sha256).hexdigest()
    return f"t={moment},v1={digest}"


async def paid(payer: Payer, paying: Paying) -> tuple[Made, list[Delivery]]:
    made = await payer.pay_now(at(2, 10))
    await paying.pay(made)
    return made, await paying.collected()


async def status_of(payer: Payer, made: Made) -> str:
    """As the database has it: whoever asks for the client secret asks the processor, too."""
    [row] = await rows_of(
        payer.shop, "SELECT status FROM booking WHERE id = :id", id=decode_id(IdKind.BOOKING, made.id)
    )
    return str(row["status"])


async def stored(paying: Paying, delivery: Delivery) -> list[dict[str, object]]:
    return await paying.rows("SELECT * FROM processor_event WHERE event_id = :id", id=delivery.event["id"])


async def test_a_good_one_is_kept_and_worked_on(payer: Payer, paying: Paying) -> None:
    made, deliveries = await paid(payer, paying)
    [success] = [one for one in deliveries if one.event["type"] == "payment_intent.succeeded"]
    answer = await paying.deliver(success)
    assert (answer.status_code, answer.text) == (200, "Kept\n")
    [row] = await stored(paying, success)
    assert (row["object_kind"], row["processed_at"], row["is_live"]) == ("payment", None, False)
    assert await status_of(payer, made) == "pending"
    await paying.work("process_payment_event")
    [row] = await stored(paying, success)
    assert row["outcome"] == "applied"
    assert (await payer.seen(made))["status"] == "CONFIRMED"


async def test_twice_is_once(payer: Payer, paying: Paying) -> None:
    _, deliveries = await paid(payer, paying)
    assert (await paying.deliver(deliveries[-1])).text == "Kept\n"
    again = await paying.deliver(deliveries[-1])
    assert (again.status_code, again.text) == (200, "Known\n")
    assert len(await stored(paying, deliveries[-1])) == 1
    assert await paying.work("process_payment_event") == 1


@pytest.mark.parametrize(
    "break_it",
    [
        lambda one: {"body": one.body.replace(b"payment_intent.", b"payment_intenT.")},
        lambda _: {"signature": ""},
        lambda _: {"signature": "t=abc,v1=zz"},
        lambda one: {"signature": signed(one.body, secret="whsec_of_somebody_else")},
        lambda one: {"signature": signed(one.body, age_s=3_600)},
        lambda one: {"signature": signed(one.body, age_s=-3_600)},
        lambda _: {"body": b"\x00\xff", "signature": signed(b"\x00\xff")},
        lambda _: {"body": b"{}", "signature": signed(b"{}")},
    ],
    ids=["altered", "unsigned", "absurd", "foreign", "old", "from the future", "no text", "no event"],
)
async def test_what_is_not_stripes_is_refused(payer: Payer, paying: Paying, break_it: object) -> None:
    assert callable(break_it)
    _, deliveries = await paid(payer, paying)
    answer = await paying.deliver(deliveries[-1], **break_it(deliveries[-1]))
    assert (answer.status_code, answer.text) == (400, "Bad signature\n")
    assert await stored(paying, deliveries[-1]) == []


async def test_of_the_other_mode_it_is_kept_and_nothing_follows(payer: Payer, paying: Paying) -> None:
    made, deliveries = await paid(payer, paying)
    body = (
        deliveries[-1]
        .body.replace(b'"livemode":false', b'"livemode":true')
        .replace(b'"livemode": false', b'"livemode": true')
    )
    answer = await paying.deliver(deliveries[-1], body=body, signature=signed(body))
    assert answer.status_code == 200
    [row] = await stored(paying, deliveries[-1])
    assert row["outcome"] == "wrong_mode"
    assert await paying.work("process_payment_event") == 0
    assert await status_of(payer, made) == "pending"


async def test_shuffled_doubled_and_three_days_old_it_ends_in_the_same_state(payer: Payer, paying: Paying) -> None:
    made = await payer.pay_now(at(5, 10))
    await paying.pay(made, NO_FUNDS)
    await paying.pay(made, GOOD)
    [intent] = await paying.intents(made)
    await paying.sandbox.v1.refunds.create_async({"payment_intent": intent.id, "amount": 100})
    deliveries = await paying.collected()
    chance = random.Random(7)
    twice = [*deliveries, *deliveries]
    chance.shuffle(twice)
    for one in twice:
        # Stripe signs each attempt anew: what is three days old is the event, not its signature.
        body = one.body.replace(b'"created":', b'"created":1,"was":', 1)
        assert (await paying.deliver(one, body=body, signature=signed(body))).status_code == 200
        if chance.random() < 0.5:
            await paying.work("process_payment_event")
    await paying.work("process_payment_event")
    booking = await payer.seen(made)
    assert (booking["status"], booking["paymentStatus"]) == ("CONFIRMED", "PARTIALLY_REFUNDED")
    owner = owner_of(paying, payer.shop)
    assert await ledger_of(owner.client, made) == {"customer": -1_000, "escrow": 900, "refunds": 100}


async def test_what_is_not_ours_or_unknown_does_no_harm(paying: Paying) -> None:
    await paying.sandbox.paid()
    for one in await paying.collected():
        assert (await paying.deliver(one)).status_code == 200
    await paying.work("process_payment_event")
    outcomes = await paying.rows("SELECT DISTINCT outcome FROM processor_event WHERE processed_at IS NOT NULL")
    assert "not_ours" in {row["outcome"] for row in outcomes}


async def test_other_processors_and_methods(paying: Paying) -> None:
    url = paying.api.url
    assert (await paying.http.post(f"{url}/webhooks/mercadopago", content=b"{}")).status_code == 404
    assert (await paying.http.get(f"{url}/webhooks/stripe")).status_code == 405
    assert (await paying.http.post(f"{url}/webhooks/stripe", content=b"x" * 1_100_000)).status_code == 413
