"""The end of the time to pay: the payment is ended first, then the time goes back; what lands too late is not lost."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.gateway import GatewayUnknown
from tests.journey import ANA, Made, booking_input, live_time, rows_of
from tests.paying import NO_FUNDS, Payer, Paying, ledger_of, owner_of, pay_whatever, sweep_unpaid
from tests.shop import at

AFTER = timedelta(minutes=31)
LONG_AFTER = timedelta(minutes=40)


async def test_the_payment_is_ended_first_then_the_time_is_free(payer: Payer, paying: Paying) -> None:
    made = await payer.pay_now(at(2, 10))
    paying.api.clock.move(AFTER)
    await sweep_unpaid(paying)
    assert (await payer.seen(made))["status"] == "PENDING"  # somebody may still be paying
    assert await paying.work("end_payment") >= 1
    [intent] = await paying.intents(made)
    assert intent.status == "canceled"
    booking = await payer.seen(made)
    assert (booking["status"], booking["paymentStatus"]) == ("EXPIRED", "UNPAID")
    assert await live_time(payer.shop) == []
    assert await paying.pass_on() >= 1
    assert (await payer.seen(made))["status"] == "EXPIRED"


async def test_paid_at_the_last_moment_counts(payer: Payer, paying: Paying) -> None:
    made = await payer.pay_now(at(2, 10))
    await paying.pay(made)
    paying.api.clock.move(AFTER)
    await paying.work("end_payment")
    await sweep_unpaid(paying)
    assert (await payer.seen(made))["status"] == "CONFIRMED"


async def test_a_declined_one_expires_likewise(payer: Payer, paying: Paying) -> None:
    made = await payer.pay_now(at(2, 10))
    await paying.pay(made, NO_FUNDS)
    await payer.refresh(made)
    paying.api.clock.move(AFTER)
    await paying.work("end_payment")
    assert [step["to"] for step in (await payer.seen(made))["transitions"]] == ["PENDING", "PAYMENT_FAILED", "EXPIRED"]


async def test_one_that_was_never_opened_is_opened_to_be_ended(payer: Payer, paying: Paying) -> None:
    await paying.sandbox.control("faults", kind="error", match="POST /v1/payment_intents", times=2, status=503)
    made = await payer.pay_now(at(2, 10))
    assert made.answer["payment"]["clientSecret"] is None
    paying.api.clock.move(AFTER)
    await paying.work("end_payment")
    [intent] = await paying.intents(made)
    assert intent.status == "canceled"
    assert (await payer.seen(made))["status"] == "EXPIRED"


async def test_while_the_processor_is_away_nobody_waits_for_ever(payer: Payer, paying: Paying) -> None:
    made = await payer.pay_now(at(2, 10))
    await paying.sandbox.control("faults", kind="error", match="POST /v1/payment_intents/*/cancel", status=503)
    paying.api.clock.move(AFTER)
    with pytest.raises(GatewayUnknown):
        await paying.work("end_payment")
    assert (await payer.seen(made))["status"] == "PENDING"
    paying.api.clock.move(LONG_AFTER)
    await sweep_unpaid(paying)
    assert (await payer.seen(made))["status"] == "EXPIRED"


async def late(payer: Payer, paying: Paying) -> Made:
    """Expired, while its payment could not be ended; and then it was paid."""
    made = await payer.pay_now(at(2, 10))
    paying.api.clock.move(LONG_AFTER)
    await sweep_unpaid(paying)
    assert (await payer.seen(made))["status"] == "EXPIRED"
    await pay_whatever(paying, made)
    return made


async def test_a_late_payment_gets_the_same_time_if_it_is_free(payer: Payer, paying: Paying) -> None:
    made = await late(payer, paying)
    await paying.pass_on()
    booking = await payer.seen(made)
    assert (booking["status"], booking["paymentStatus"], booking["expiresAt"]) == ("CONFIRMED", "PAID", None)
    assert [step["to"] for step in booking["transitions"]] == ["PENDING", "EXPIRED", "CONFIRMED"]
    assert await live_time(payer.shop) == [(at(2, 10), at(2, 10, 30), "booked")]
    assert await ledger_of(owner_of(paying, payer.shop).client, made) == {"customer": -1_000, "escrow": 1_000}


async def test_a_late_payment_for_a_time_that_is_gone_goes_back_whole(payer: Payer, paying: Paying) -> None:
    made = await late(payer, paying)
    other = await payer.book(await payer.held(at(2, 10)), customer=ANA)
    assert other["__typename"] == "CreateBookingPayload"
    await paying.pass_on()
    assert await paying.work("execute_refund") == 1
    booking = await payer.seen(made)
    assert (booking["status"], booking["paymentStatus"]) == ("REFUNDED", "REFUNDED")
    assert booking["refunds"] == [{"amount": {"amountMinor": 1_000}, "status": "succeeded", "cause": "late_payment"}]
    assert await ledger_of(owner_of(paying, payer.shop).client, made) == {"customer": -1_000, "refunds": 1_000}
    told = await rows_of(payer.shop, "SELECT type FROM outbox_event WHERE type LIKE 'payment.%' ORDER BY id")
    assert [one["type"] for one in told] == ["payment.late", "payment.returned"]


async def test_who_takes_the_lapsed_time_ends_the_booking_and_its_payment(payer: Payer, paying: Paying) -> None:
    made = await payer.pay_now(at(2, 10))
    paying.api.clock.move(LONG_AFTER)
    held = await payer.held(at(2, 10))
    assert (await payer.seen(made))["status"] == "EXPIRED"
    await paying.work("end_payment")
    [intent] = await paying.intents(made)
    assert intent.status == "canceled"
    assert (await payer.client.raw("{ __typename }"))["data"]
    assert booking_input(held)


async def test_cancelling_ends_the_payment_first(payer: Payer, paying: Paying) -> None:
    made = await payer.pay_now(at(2, 10))
    answer = await payer.cancel(made, accessToken=made.token, expectedVersion=1)
    assert answer["status"] == "CANCELLED", answer
    [intent] = await paying.intents(made)
    assert intent.status == "canceled"


async def test_cancelled_while_the_processor_is_away_and_paid_after_all(payer: Payer, paying: Paying) -> None:
    made = await payer.pay_now(at(2, 10))
    await paying.sandbox.control("faults", kind="error", match="POST /v1/payment_intents/*/cancel", status=503, times=1)
    assert (await payer.cancel(made, accessToken=made.token))["status"] == "CANCELLED"
    await pay_whatever(paying, made)
    await paying.work()
    booking = await payer.seen(made)
    assert (booking["status"], booking["paymentStatus"]) == ("REFUNDED", "REFUNDED")
