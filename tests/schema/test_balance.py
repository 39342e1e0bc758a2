"""Deposit and balance: the rest is paid online or at the desk, once; its failure changes no booking."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest

from tests.fees import Desk, balance_of, deposited, intent_of, seen, set_terms
from tests.fixtures_api import log_statements
from tests.journey import Answer, Visitor, account
from tests.paying import GOOD, NO_FUNDS, Payer, Paying, ledger_of, owner_of
from tests.schema.test_refund_booking import give_back
from tests.shop import at, make_shop


@pytest.fixture
def desk(payer: Payer, paying: Paying) -> Desk:
    return Desk(owner_of(paying, payer.shop).client)


async def pay(paying: Paying, answer: Answer, card: str = GOOD) -> None:
    await paying.sandbox.control(f"intents/{intent_of(answer)}/pay", card=card)


async def test_the_rest_is_paid_online(payer: Payer, paying: Paying, desk: Desk) -> None:
    made = await deposited(payer, paying, at(2, 10))
    booking = await seen(payer, made)
    assert (booking["paymentStatus"], booking["amountDue"]) == ("PARTIALLY_PAID", {"amountMinor": 700})
    started = await balance_of(payer, made)
    assert started["payment"]["kind"] == "BALANCE"
    assert started["payment"]["amount"] == {"amountMinor": 700}
    await pay(paying, started)
    await paying.pass_on()
    booking = await seen(payer, made)
    assert (booking["status"], booking["paymentStatus"], booking["amountDue"]) == (
        "CONFIRMED",
        "PAID",
        {"amountMinor": 0},
    )
    assert await ledger_of(desk.client, made) == {"customer": -1_000, "escrow": 1_000}
    assert (await balance_of(payer, made))["rule"] == "nothing_due"


async def test_a_refused_balance_changes_nothing_and_may_be_tried_again(payer: Payer, paying: Paying) -> None:
    made = await deposited(payer, paying, at(2, 10))
    started = await balance_of(payer, made)
    await pay(paying, started, NO_FUNDS)
    await paying.pass_on()
    booking = await seen(payer, made)
    assert (booking["status"], booking["paymentStatus"]) == ("CONFIRMED", "PARTIALLY_PAID")
    assert (booking["payment"]["kind"], booking["payment"]["status"]) == ("BALANCE", "FAILED")
    again = await balance_of(payer, made)
    assert again["payment"]["id"] == started["payment"]["id"]
    await pay(paying, again)
    assert (await payer.refresh(made))["booking"]["paymentStatus"] == "PAID"


async def test_it_is_ended_at_its_deadline_and_the_booking_stays(payer: Payer, paying: Paying) -> None:
    made = await deposited(payer, paying, at(5, 10))
    started = await balance_of(payer, made)
    await paying.work("end_payment", later=timedelta(hours=1))
    assert (await seen(payer, made))["payment"]["status"] == "UNPAID"
    paying.api.clock.move(timedelta(days=1, minutes=1))
    await paying.work("end_payment")
    intent = await paying.sandbox.v1.payment_intents.retrieve_async(intent_of(started))
    assert intent.status == "canceled"
    assert (await seen(payer, made))["status"] == "CONFIRMED"
    other = await balance_of(payer, made)
    assert other["payment"]["id"] != started["payment"]["id"]


async def test_asked_for_at_once_it_is_one_payment(payer: Payer, paying: Paying) -> None:
    made, key = await deposited(payer, paying, at(2, 10)), str(uuid4())
    answers = await asyncio.gather(
        *(balance_of(payer, made) for _ in range(3)), *(balance_of(payer, made, idempotencyKey=key) for _ in range(3))
    )
    assert len({one["payment"]["id"] for one in answers}) == 1
    assert len(await paying.intents(made)) == 2


async def test_a_lost_answer_is_asked_for_again(payer: Payer, paying: Paying) -> None:
    made = await deposited(payer, paying, at(2, 10))
    await paying.sandbox.control("faults", kind="error", match="POST /v1/payment_intents", times=2, status=503)
    started = await balance_of(payer, made)
    assert started["payment"]["clientSecret"] is None
    assert await paying.work("open_payment", later=timedelta(minutes=1)) >= 1
    assert (await balance_of(payer, made))["payment"]["clientSecret"]
    assert len(await paying.intents(made)) == 2


async def test_cash_and_card_at_once_are_never_too_much(payer: Payer, paying: Paying, desk: Desk) -> None:
    made = await deposited(payer, paying, at(2, 10))
    started = await balance_of(payer, made)
    await asyncio.gather(desk.take(made, 700), pay(paying, started))
    await asyncio.gather(payer.refresh(made), desk.take(made, 700), paying.pass_on())
    await paying.work()
    await paying.pass_on()
    booking = await seen(payer, made)
    assert (booking["status"], booking["paymentStatus"], booking["amountDue"]) == (
        "CONFIRMED",
        "PAID",
        {"amountMinor": 0},
    )
    balances = await ledger_of(desk.client, made)
    assert -balances["customer"] - balances.get("refunds", 0) == 1_000


async def test_what_lands_after_cash_was_taken_goes_back_whole(payer: Payer, paying: Paying, desk: Desk) -> None:
    made = await deposited(payer, paying, at(2, 10))
    started = await balance_of(payer, made)
    await desk.take(made, 100)
    await pay(paying, started)
    await paying.work()
    await paying.pass_on()
    booking = await seen(payer, made)
    assert booking["amountDue"] == {"amountMinor": 600}
    assert booking["refunds"] == [{"amount": {"amountMinor": 700}, "status": "succeeded", "cause": "late_payment"}]
    assert (await balance_of(payer, made))["payment"]["amount"] == {"amountMinor": 600}


async def test_another_amount_ends_the_payment_that_was_open(payer: Payer, paying: Paying, desk: Desk) -> None:
    made = await deposited(payer, paying, at(2, 10))
    started = await balance_of(payer, made)
    await desk.take(made, 100)
    other = await balance_of(payer, made)
    assert other["payment"]["amount"] == {"amountMinor": 600}
    intent = await paying.sandbox.v1.payment_intents.retrieve_async(intent_of(started))
    assert intent.status == "canceled"
    await pay(paying, other)
    assert (await payer.refresh(made))["booking"]["paymentStatus"] == "PAID"


async def test_a_cancelled_booking_takes_no_balance(payer: Payer, paying: Paying, desk: Desk) -> None:
    made = await deposited(payer, paying, at(3, 10))
    started = await balance_of(payer, made)
    assert (await payer.cancel(made, accessToken=made.token))["status"] == "CANCELLED"
    await pay(paying, started)
    await paying.work()
    booking = await seen(payer, made)
    assert booking["status"] == "REFUNDED"
    assert await ledger_of(desk.client, made) == {"customer": -1_000, "refunds": 1_000}
    assert (await balance_of(payer, made))["rule"] == "not_confirmed"


async def test_paid_after_it_was_served(payer: Payer, paying: Paying, desk: Desk) -> None:
    made = await deposited(payer, paying, at(1, 10))
    paying.api.clock.move_to(at(1, 11))
    await Visitor(desk.client, payer.shop).stepped(made, "CHECKED_IN", "COMPLETED")
    await pay(paying, await balance_of(payer, made))
    assert (await payer.refresh(made))["booking"]["paymentStatus"] == "PAID"
    assert await ledger_of(desk.client, made) == {"customer": -1_000, "organization": 1_000}


async def test_who_still_owes_may_be_sent_to_the_desk_first(payer: Payer, paying: Paying, desk: Desk) -> None:
    await set_terms(payer, balance_required_at_check_in=True)
    made = await deposited(payer, paying, at(1, 10))
    staff = Visitor(desk.client, payer.shop)
    paying.api.clock.move_to(at(1, 11))
    for to in ("CHECKED_IN", "IN_PROGRESS", "COMPLETED"):
        refused = await staff.step(made, to)
        assert (refused["rule"], refused["message"]) == ("balance_due", "7.00 USD is still to be paid before this.")
    assert (await staff.step(made, "NO_SHOW"))["status"] == "NO_SHOW"
    await staff.stepped(made, "CHECKED_IN", "IN_PROGRESS")  # put right: who is there is served
    assert (await desk.take(made))["paymentStatus"] == "PAID"


async def test_a_gesture_is_not_due_again(payer: Payer, paying: Paying, desk: Desk) -> None:
    made = await payer.paid(paying, at(3, 10))
    assert (await give_back(Visitor(desk.client, payer.shop), made, 100))["__typename"] == "Booking"
    assert (await seen(payer, made))["amountDue"] == {"amountMinor": 0}
    assert (await balance_of(payer, made))["rule"] == "nothing_due"


async def test_who_may(payer: Payer, paying: Paying, desk: Desk) -> None:
    made = await deposited(payer, paying, at(2, 10))
    assert (await balance_of(payer, made, accessToken=None))["__typename"] == "NotFound"
    assert (await balance_of(payer, made, accessToken="wrong"))["__typename"] == "NotFound"
    owner = Payer(desk.client, payer.shop)
    assert (await balance_of(owner, made, accessToken=None))["rule"] == "customer_only"
    stranger = await account(paying.client, payer.shop, "stranger")
    assert (await balance_of(Payer(stranger.client, payer.shop), made, accessToken=None))["__typename"] == "NotFound"
    other = Payer(paying.client, await make_shop(paying.api.api.services))
    elsewhere = await other.booked(at(2, 10))
    assert (await balance_of(payer, made, accessToken=elsewhere.token))["__typename"] == "NotFound"
    waiting = await payer.pay_now(at(2, 12))
    assert (await balance_of(payer, waiting))["rule"] == "not_confirmed"


async def test_its_budget(payer: Payer, paying: Paying) -> None:
    made = await deposited(payer, paying, at(2, 10))
    statements, stop = log_statements(paying.api.api.services.database)
    await balance_of(payer, made)
    stop()
    assert 5 < len(statements) <= 24, statements.statements
