"""A declined payment is tried again, until the same deadline; at once, or by the form in the browser."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

from tests.journey import Made
from tests.paying import GOOD, NO_FUNDS, Payer, Paying
from tests.shop import at


async def declined(payer: Payer, paying: Paying) -> Made:
    made = await payer.pay_now(at(2, 10))
    await paying.pay(made, NO_FUNDS)
    assert (await payer.refresh(made))["booking"]["status"] == "PAYMENT_FAILED"
    return made


async def test_it_waits_again_with_the_same_payment(payer: Payer, paying: Paying) -> None:
    made = await declined(payer, paying)
    answer = await payer.retry(made)
    assert answer["__typename"] == "PaymentPayload", answer
    assert answer["payment"]["id"] == made.answer["payment"]["id"]
    assert answer["payment"]["clientSecret"] == made.answer["payment"]["clientSecret"]
    assert answer["booking"]["expiresAt"] == made.answer["booking"]["expiresAt"]
    await paying.pay(made)
    assert (await payer.refresh(made))["booking"]["status"] == "CONFIRMED"


async def test_a_card_is_tried_at_once(payer: Payer, paying: Paying) -> None:
    made = await declined(payer, paying)
    answer = await payer.retry(made, paymentMethodId=NO_FUNDS)
    assert answer["__typename"] == "PaymentDeclined", answer
    assert (answer["declineCode"], answer["retryable"]) == ("insufficient_funds", True)
    assert answer["message"]
    assert (await payer.seen(made))["status"] == "PAYMENT_FAILED"
    answer = await payer.retry(made, paymentMethodId=GOOD)
    assert answer["__typename"] == "PaymentPayload", answer
    assert (answer["booking"]["status"], answer["booking"]["paymentStatus"]) == ("CONFIRMED", "PAID")
    assert len(await paying.intents(made)) == 1


async def test_the_same_request_twice_is_one_attempt(payer: Payer, paying: Paying) -> None:
    made = await declined(payer, paying)
    key = str(uuid4())
    await paying.sandbox.control("faults", kind="lost_answer", match="POST /v1/payment_intents/*/confirm", times=1)
    first = await payer.retry(made, paymentMethodId=GOOD, idempotencyKey=key)
    again = await payer.retry(made, paymentMethodId=GOOD, idempotencyKey=key)
    assert first["booking"]["status"] == again["booking"]["status"] == "CONFIRMED"
    [intent] = await paying.intents(made)
    assert intent.amount_received == 1_000


async def test_after_the_deadline_it_is_over(payer: Payer, paying: Paying) -> None:
    made = await declined(payer, paying)
    paying.api.clock.move(timedelta(minutes=31))
    answer = await payer.retry(made)
    assert (answer["__typename"], answer["rule"]) == ("NotAllowed", "payment_window_over")


async def test_what_is_paid_is_not_paid_again(payer: Payer, paying: Paying) -> None:
    made = await payer.paid(paying, at(2, 10))
    answer = await payer.retry(made, paymentMethodId=GOOD)
    assert (answer["__typename"], answer["from"], answer["to"]) == ("IllegalTransition", "CONFIRMED", "PENDING")


async def test_one_that_ended_has_a_successor(payer: Payer, paying: Paying) -> None:
    made = await payer.pay_now(at(2, 10))
    [intent] = await paying.intents(made)
    await paying.sandbox.v1.payment_intents.cancel_async(intent.id)
    await payer.refresh(made)
    answer = await payer.retry(made, paymentMethodId=GOOD)
    assert answer["payment"]["id"] != made.answer["payment"]["id"]
    assert answer["booking"]["status"] == "CONFIRMED"
    assert sorted(one.status for one in await paying.intents(made)) == ["canceled", "succeeded"]


async def test_strangers_and_absurd_methods(payer: Payer, paying: Paying) -> None:
    made = await declined(payer, paying)
    other = await payer.pay_now(at(2, 12))
    assert (await payer.retry(made, accessToken=other.token))["__typename"] == "NotFound"
    assert (await payer.retry(made, accessToken=None))["__typename"] == "NotFound"
    for absurd in ("", "😀", "x" * 300):
        assert (await payer.retry(made, paymentMethodId=absurd))["__typename"] == "InvalidInput", absurd
    assert (await payer.retry(made, paymentMethodId="pm_unheard_of"))["__typename"] == "InvalidInput"
    stranger = Made(made.id, other.token, {})
    assert (await payer.refresh(stranger))["__typename"] == "NotFound"
