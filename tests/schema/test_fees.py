"""Fees for cancelling late and for not coming: agreed to before, kept, charged once, waived, given back."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from app.checkout.fee import charge_fee
from app.checkout.scope import Checkout
from app.domain.membership import Role
from tests.fees import FEE_TERMS, OWED, Desk, booked_with, deposited, seen, set_terms, with_card
from tests.journey import Answer, Made, Visitor, account, audit_of, colleague, rows_of
from tests.paying import Payer, Paying, ledger_of, owner_of
from tests.shop import at, make_shop

LATE_DECLINE = "pm_card_chargeCustomerFail"
ASKS_ALWAYS = "pm_card_authenticationRequired"
ASKS_ONCE = "pm_card_authenticationRequiredOnSetup"


@pytest.fixture
async def desk(payer: Payer, paying: Paying) -> Desk:
    """At a shop that charges 5.00 for not coming and 2.50 for cancelling late, and wants a card for it."""
    await set_terms(payer, **FEE_TERMS)
    return Desk(owner_of(paying, payer.shop).client)


async def no_show(payer: Payer, paying: Paying, desk: Desk, made: Made, days: int = 1) -> Answer:
    paying.api.clock.move_to(at(days, 23))
    return await Visitor(desk.client, payer.shop).step(made, "NO_SHOW")


def fee_in(booking: Answer) -> tuple[Any, ...]:
    [fee] = booking["fees"]
    return fee["cause"], fee["status"], fee["kept"]["amountMinor"], fee["charged"]["amountMinor"]


async def fees_charged(paying: Paying, made: Made) -> int:
    """What the processor took in all."""
    return sum(one.amount_received for one in await paying.intents(made))


# ── charged ──


async def test_who_does_not_come_is_charged_once(payer: Payer, paying: Paying, desk: Desk) -> None:
    made = await with_card(payer, paying, at(1, 10))
    before = await no_show(payer, paying, desk, made)
    assert before["status"] == "NO_SHOW", before
    assert fee_in(await seen(payer, made)) == ("NO_SHOW", "DUE", 0, 500)
    assert await paying.work() >= 1
    await paying.pass_on()
    booking = await seen(payer, made)
    assert fee_in(booking) == ("NO_SHOW", "CHARGED", 0, 500)
    assert (booking["status"], booking["paymentStatus"], booking["amountDue"]) == (
        "NO_SHOW",
        "UNPAID",
        {"amountMinor": 0},
    )
    assert await fees_charged(paying, made) == 500
    assert await ledger_of(desk.client, made) == {"customer": -500, "organization": 500}
    told = await rows_of(payer.shop, "SELECT type FROM outbox_event WHERE type LIKE 'fee.%' ORDER BY id")
    assert [one["type"] for one in told] == ["fee.due", "fee.charged"]
    assert "booking.fee" in [one["action"] for one in await audit_of(payer.shop, made)]


async def test_what_was_paid_is_kept_first_and_only_the_rest_is_charged(
    payer: Payer, paying: Paying, desk: Desk
) -> None:
    made = await deposited(payer, paying, at(1, 10), acceptsFees=True)
    await no_show(payer, paying, desk, made)
    await paying.work()
    assert fee_in(await seen(payer, made)) == ("NO_SHOW", "CHARGED", 300, 200)
    assert await ledger_of(desk.client, made) == {"customer": -500, "organization": 500}


async def test_what_a_bank_holds_back_is_not_charged_a_second_time(payer: Payer, paying: Paying, desk: Desk) -> None:
    made = await deposited(payer, paying, at(1, 10), acceptsFees=True)
    [intent] = await paying.intents(made)
    await paying.sandbox.control(f"charges/{intent.latest_charge}/dispute")
    await paying.pass_on()
    await no_show(payer, paying, desk, made)
    await paying.work()
    assert fee_in(await seen(payer, made)) == ("NO_SHOW", "CHARGED", 300, 200)
    assert await ledger_of(desk.client, made) == {"customer": -500, "disputes": 300, "organization": 200}
    [dispute] = (await paying.sandbox.v1.disputes.list_async({"payment_intent": intent.id})).data
    await paying.sandbox.control(f"disputes/{dispute.id}/decide", outcome="won")
    await paying.pass_on()
    assert await ledger_of(desk.client, made) == {"customer": -500, "organization": 500}  # kept, and not given back


async def test_without_consent_a_fee_takes_no_more_than_was_paid(payer: Payer, paying: Paying, desk: Desk) -> None:
    made = await deposited(payer, paying, at(1, 10))
    await no_show(payer, paying, desk, made)
    await paying.work()
    assert fee_in(await seen(payer, made)) == ("NO_SHOW", "KEPT", 300, 0)
    assert await fees_charged(paying, made) == 300


async def test_cancelling_late_costs_what_the_terms_said_before(payer: Payer, paying: Paying, desk: Desk) -> None:
    made = await with_card(payer, paying, at(3, 10))
    assert (await seen(payer, made))["cancellationTerms"] == {"refund": {"amountMinor": 0}, "fee": {"amountMinor": 0}}
    paying.api.clock.move_to(at(3, 9))
    assert (await seen(payer, made))["cancellationTerms"]["fee"] == {"amountMinor": 250}
    assert (await payer.cancel(made, accessToken=made.token))["rule"] == "cancellation_notice"
    owner = Visitor(desk.client, payer.shop)
    assert (await owner.cancel(made, atCustomersRequest=True))["status"] == "CANCELLED"
    await paying.work()
    assert fee_in(await seen(payer, made)) == ("LATE_CANCELLATION", "CHARGED", 0, 250)
    assert await fees_charged(paying, made) == 250


async def test_cancelled_and_not_come_at_once_is_one_fee(payer: Payer, paying: Paying, desk: Desk) -> None:
    made = await with_card(payer, paying, at(1, 10))
    owner = Visitor(desk.client, payer.shop)
    paying.api.clock.move_to(at(1, 11))
    answers = await asyncio.gather(owner.step(made, "NO_SHOW"), owner.cancel(made, atCustomersRequest=True))
    assert sorted(one["__typename"] for one in answers) == ["Booking", "IllegalTransition"]
    await paying.work()
    assert len((await seen(payer, made))["fees"]) == 1
    assert await fees_charged(paying, made) in {250, 500}


async def test_nobody_pays_for_what_the_shop_calls_off(payer: Payer, paying: Paying, desk: Desk) -> None:
    made = await with_card(payer, paying, at(1, 10))
    paying.api.clock.move_to(at(1, 9))
    answer = await Visitor(desk.client, payer.shop).cancel(made)
    assert answer["status"] == "CANCELLED"
    await paying.work()
    assert (await seen(payer, made))["fees"] == []
    assert await fees_charged(paying, made) == 0


@pytest.mark.parametrize("kind", ["lost_answer", "lost_to_error"])
async def test_a_lost_answer_charges_once(payer: Payer, paying: Paying, desk: Desk, kind: str) -> None:
    made = await with_card(payer, paying, at(1, 10))
    await no_show(payer, paying, desk, made)
    fault = {"status": 500} if kind == "lost_to_error" else {}
    await paying.sandbox.control("faults", kind=kind, match="POST /v1/payment_intents", times=2, **fault)
    with pytest.raises(Exception, match=r".+"):
        await paying.work("charge_fee")
    await paying.pass_on()  # the webhook may come before we know
    await paying.work("charge_fee")
    await paying.pass_on()
    assert fee_in(await seen(payer, made)) == ("NO_SHOW", "CHARGED", 0, 500)
    assert await fees_charged(paying, made) == 500
    assert await ledger_of(desk.client, made) == {"customer": -500, "organization": 500}


async def charge_at_once(paying: Paying) -> None:
    """Three workers at the same job; the same key still under way is no answer to them."""
    [job] = await paying.rows("SELECT args FROM job WHERE kind = 'charge_fee' AND done_at IS NULL")
    known = paying.api.api.services.checkout
    worker = Checkout(paying.worker, known.clock, known.gateways)
    attempts = (charge_fee(worker, UUID(job["args"]["feeId"]), job["args"]["attempt"]) for _ in range(3))
    await asyncio.gather(*attempts, return_exceptions=True)


async def test_two_workers_at_once_charge_once(payer: Payer, paying: Paying, desk: Desk) -> None:
    made = await with_card(payer, paying, at(1, 10))
    await no_show(payer, paying, desk, made)
    await charge_at_once(paying)
    await paying.work()
    await paying.pass_on()
    assert await fees_charged(paying, made) == 500
    assert fee_in(await seen(payer, made))[1] == "CHARGED"


async def test_a_refusal_that_two_workers_heard_counts_once(payer: Payer, paying: Paying, desk: Desk) -> None:
    made = await with_card(payer, paying, at(1, 10), LATE_DECLINE)
    await no_show(payer, paying, desk, made)
    await charge_at_once(paying)
    await paying.work("charge_fee")
    await charge_again(paying)
    [fee] = (await seen(payer, made))["fees"]
    assert (fee["status"], fee["attempts"]) == ("DUE", 1)
    waiting = await paying.rows("SELECT 1 FROM job WHERE kind = 'charge_fee' AND done_at IS NULL")
    assert len(waiting) == 1


async def charge_again(paying: Paying) -> None:
    """A worker that died after it had written everything down but that it was done."""
    [job] = await paying.rows("SELECT args FROM job WHERE kind = 'charge_fee' AND done_at IS NOT NULL LIMIT 1")
    known = paying.api.api.services.checkout
    await charge_fee(Checkout(paying.worker, known.clock, known.gateways), UUID(job["args"]["feeId"]), 0)


async def test_a_refusal_is_tried_again_later_and_then_owed(payer: Payer, paying: Paying, desk: Desk) -> None:
    made = await with_card(payer, paying, at(1, 10), LATE_DECLINE)
    await no_show(payer, paying, desk, made)
    for days in (0, 1, 4, 9):
        paying.api.clock.move_to(at(1, 23) + timedelta(days=days, minutes=1 + days))
        assert await paying.work("charge_fee") >= 1, days
        assert await paying.work("charge_fee") == 0
    [fee] = (await seen(payer, made))["fees"]
    assert (fee["status"], fee["attempts"], fee["failure"]) == ("OWED", 4, "generic_decline")
    listed = await desk.client(OWED, {"organization": payer.shop.organization_id, "statuses": ["OWED"]})
    assert listed["totalCount"] == 1
    assert listed["edges"][0]["node"]["bookingId"] == made.id
    [intent] = await paying.intents(made)
    assert intent.status == "canceled"
    assert (await seen(payer, made))["status"] == "NO_SHOW"


async def test_a_bank_that_asks_its_customer_is_not_asked_again(payer: Payer, paying: Paying, desk: Desk) -> None:
    made = await booked_with(payer, await payer.held(at(1, 10)), acceptsFees=True)
    await paying.pay(made, ASKS_ALWAYS)
    setup = made.answer["payment"]["clientSecret"].partition("_secret")[0]
    await paying.sandbox.control(f"intents/{setup}/authenticate", outcome="complete")
    assert (await payer.refresh(made))["booking"]["status"] == "CONFIRMED"
    await no_show(payer, paying, desk, made)
    await paying.work()
    assert fee_in(await seen(payer, made))[1] == "OWED"


async def test_a_card_that_was_confirmed_when_it_was_saved_is_charged(payer: Payer, paying: Paying, desk: Desk) -> None:
    made = await booked_with(payer, await payer.held(at(1, 10)), acceptsFees=True)
    await paying.pay(made, ASKS_ONCE)
    setup = made.answer["payment"]["clientSecret"].partition("_secret")[0]
    await paying.sandbox.control(f"intents/{setup}/authenticate", outcome="complete")
    await paying.pass_on()
    await no_show(payer, paying, desk, made)
    await paying.work()
    assert fee_in(await seen(payer, made))[1] == "CHARGED"


# ── let off ──


async def test_waived_before_it_was_charged(payer: Payer, paying: Paying, desk: Desk) -> None:
    made = await with_card(payer, paying, at(1, 10))
    await no_show(payer, paying, desk, made)
    answer = await desk.waive(made)
    assert fee_in(answer) == ("NO_SHOW", "WAIVED", 0, 500)
    assert answer["fees"][0]["reason"] == "A good customer"
    await paying.work()
    assert await fees_charged(paying, made) == 0
    assert (await desk.waive(made))["rule"] == "no_fee"
    assert "booking.fee_waived" in [one["action"] for one in await audit_of(payer.shop, made)]


async def test_waived_after_it_was_charged_goes_back(payer: Payer, paying: Paying, desk: Desk) -> None:
    made = await deposited(payer, paying, at(1, 10), acceptsFees=True)
    await no_show(payer, paying, desk, made)
    await paying.work()
    assert (await desk.waive(made))["__typename"] == "Booking"
    await paying.work()
    booking = await seen(payer, made)
    assert fee_in(booking) == ("NO_SHOW", "WAIVED", 300, 200)
    assert (booking["status"], booking["paymentStatus"]) == ("REFUNDED", "REFUNDED")
    assert await ledger_of(desk.client, made) == {"customer": -500, "refunds": 500}


async def test_waived_while_it_is_charged_goes_back_by_itself(payer: Payer, paying: Paying, desk: Desk) -> None:
    made = await with_card(payer, paying, at(1, 10))
    await no_show(payer, paying, desk, made)
    await paying.sandbox.control("faults", kind="lost_answer", match="POST /v1/payment_intents", times=2)
    with pytest.raises(Exception, match=r".+"):
        await paying.work("charge_fee")
    assert fee_in(await desk.waive(made))[1] == "WAIVED"
    await paying.pass_on()
    await paying.work()
    await paying.pass_on()
    booking = await seen(payer, made)
    assert booking["refunds"] == [{"amount": {"amountMinor": 500}, "status": "succeeded", "cause": "late_payment"}]
    assert await ledger_of(desk.client, made) == {"customer": -500, "refunds": 500}


async def test_who_had_come_after_all_has_the_fee_back(payer: Payer, paying: Paying, desk: Desk) -> None:
    made = await with_card(payer, paying, at(1, 10))
    await no_show(payer, paying, desk, made)
    await paying.work()
    owner = Visitor(desk.client, payer.shop)
    assert (await owner.step(made, "CHECKED_IN"))["status"] == "CHECKED_IN"
    await paying.work()
    booking = await seen(payer, made)
    assert fee_in(booking)[1] == "RETURNED"
    assert (booking["status"], booking["amountDue"]) == ("CHECKED_IN", {"amountMinor": 1_000})
    assert booking["refunds"] == [{"amount": {"amountMinor": 500}, "status": "succeeded", "cause": "fee"}]
    assert (await desk.take(made))["paymentStatus"] == "PAID"
    assert (await owner.step(made, "COMPLETED"))["status"] == "COMPLETED"
    assert await ledger_of(desk.client, made) == {"customer": -1_500, "refunds": 500, "cash": 1_000}


async def test_a_second_no_show_has_a_second_fee(payer: Payer, paying: Paying, desk: Desk) -> None:
    made = await with_card(payer, paying, at(1, 10))
    owner = Visitor(desk.client, payer.shop)
    await no_show(payer, paying, desk, made)
    await owner.stepped(made, "CHECKED_IN", "COMPLETED", "NO_SHOW")
    await paying.work()
    booking = await seen(payer, made)
    assert [one["status"] for one in booking["fees"]] == ["RETURNED", "CHARGED"]
    assert await fees_charged(paying, made) == 500
    assert await ledger_of(desk.client, made) == {"customer": -500, "organization": 500}


async def test_the_policys_refund_is_due_again_for_who_had_come(payer: Payer, paying: Paying, desk: Desk) -> None:
    await set_terms(payer, no_show_refund_bps=5_000)
    made = await payer.paid(paying, at(1, 10))
    await no_show(payer, paying, desk, made)
    await paying.work()
    assert fee_in(await seen(payer, made)) == ("NO_SHOW", "KEPT", 500, 0)
    await Visitor(desk.client, payer.shop).step(made, "CHECKED_IN")
    assert (await seen(payer, made))["amountDue"] == {"amountMinor": 500}


async def test_the_policys_refund_that_never_arrived_is_not_due_again(payer: Payer, paying: Paying, desk: Desk) -> None:
    """The customer has come after all, and then the processor refuses to give back what was asked for."""
    await set_terms(payer, no_show_refund_bps=5_000)
    made = await payer.paid(paying, at(1, 10))
    await no_show(payer, paying, desk, made)
    await Visitor(desk.client, payer.shop).step(made, "CHECKED_IN")
    assert (await seen(payer, made))["amountDue"] == {"amountMinor": 500}
    await paying.sandbox.control("faults", kind="error", match="POST /v1/refunds", status=400)
    await paying.work("execute_refund")
    booking = await seen(payer, made)
    assert (booking["paymentStatus"], booking["amountDue"]) == ("PAID", {"amountMinor": 0})
    assert (await desk.take(made, 500))["rule"] == "nothing_due"


# ── who may ──


async def test_who_may(payer: Payer, paying: Paying, desk: Desk) -> None:
    made = await with_card(payer, paying, at(1, 10))
    await no_show(payer, paying, desk, made)
    other = Payer(paying.client, await make_shop(paying.api.api.services))
    stranger = await account(paying.client, payer.shop, "stranger")
    for client in (payer.client, stranger.client, owner_of(paying, other.shop).client):
        assert (await Desk(client).waive(made))["__typename"] == "NotFound"
        refused = await client.raw(OWED, {"organization": payer.shop.organization_id})
        assert refused["errors"][0]["extensions"]["code"] in {"NOT_FOUND", "UNAUTHENTICATED"}
    assert (await desk.waive(made, reason=" "))["__typename"] == "InvalidInput"
    assert (await desk.waive(made, reason="x" * 501))["__typename"] == "InvalidInput"
    assert (await desk.waive(made, expectedVersion=1))["__typename"] == "StaleVersion"
    staff = await colleague(paying.client, payer.shop, Role.STAFF)
    assert (await Desk(staff.client).waive(made))["__typename"] == "Booking"
