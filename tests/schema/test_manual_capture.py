"""Services that need approval: authorized when booked, taken when accepted, let go of otherwise."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from tests.fees import seen
from tests.journey import Answer, Made, Visitor, instant, live_time
from tests.paying import GOOD, Payer, Paying, ledger_of, owner_of
from tests.shop import at, make_shop


@pytest.fixture
async def payer(paying: Paying) -> Payer:
    """A guest at a shop that accepts each booking itself."""
    return Payer(paying.client, await make_shop(paying.api.api.services, service={"requires_approval": True}))


@pytest.fixture
def owner(payer: Payer, paying: Paying) -> Visitor:
    return owner_of(paying, payer.shop)


async def authorized(payer: Payer, paying: Paying, days: int = 3) -> Made:
    made = await payer.pay_now(at(days, 10))
    await paying.pay(made)
    answer = (await payer.refresh(made))["booking"]
    assert (answer["status"], answer["paymentStatus"]) == ("AWAITING_PROVIDER", "AUTHORIZED")
    return made


async def answers_within(owner: Visitor, hours: int) -> None:
    """From now on, of new bookings."""
    wanted = {"organizationId": owner.shop.organization_id, "approvalHours": hours}
    answer = await owner.client(UPDATE_ORGANIZATION, {"input": wanted})
    assert answer["__typename"] == "UpdateOrganizationPayload", answer


UPDATE_ORGANIZATION = """mutation ($input: UpdateOrganizationInput!) {
  updateOrganization(input: $input) { __typename ... on Error { message } }
}"""


async def intent_in(paying: Paying, made: Made) -> Any:
    [intent] = await paying.intents(made)
    return intent


def steps(booking: Answer) -> list[str]:
    return [one["to"] for one in booking["transitions"]]


async def test_taken_when_it_is_accepted(payer: Payer, paying: Paying, owner: Visitor) -> None:
    made = await authorized(payer, paying)
    assert (await intent_in(paying, made)).status == "requires_capture"
    assert await ledger_of(owner.client, made) == {}
    answer = await owner.step(made, "CONFIRMED")
    assert (answer["status"], answer["paymentStatus"], answer["expiresAt"]) == ("CONFIRMED", "PAID", None)
    booking = await seen(payer, made)
    assert [(one["to"], one["actor"]) for one in booking["transitions"]][-1] == ("CONFIRMED", "owner")
    assert (await intent_in(paying, made)).amount_received == 1_000
    assert await ledger_of(owner.client, made) == {"customer": -1_000, "escrow": 1_000}
    assert await live_time(payer.shop) == [(at(3, 10), at(3, 10, 30), "booked")]
    await paying.work()
    await paying.pass_on()
    assert (await seen(payer, made))["status"] == "CONFIRMED"


async def test_let_go_of_when_it_is_declined(payer: Payer, paying: Paying, owner: Visitor) -> None:
    made = await authorized(payer, paying)
    assert (await owner.cancel(made))["status"] == "CANCELLED"
    await paying.work()
    await paying.pass_on()
    booking = await seen(payer, made)
    assert (booking["status"], booking["paymentStatus"]) == ("CANCELLED", "UNPAID")
    assert (await intent_in(paying, made)).status == "canceled"
    assert await ledger_of(owner.client, made) == {}


async def test_while_the_processor_is_away_a_worker_takes_it(payer: Payer, paying: Paying, owner: Visitor) -> None:
    made = await authorized(payer, paying)
    await paying.sandbox.control(
        "faults", kind="error", match="POST /v1/payment_intents/*/capture", times=2, status=503
    )
    assert (await owner.step(made, "CONFIRMED"))["status"] == "AWAITING_PROVIDER"
    assert await paying.work("capture_payment", later=timedelta(minutes=1)) == 1
    booking = await seen(payer, made)
    assert (booking["status"], booking["paymentStatus"]) == ("CONFIRMED", "PAID")
    assert booking["transitions"][-1]["actor"] == "owner"


async def test_accepted_and_moved_before_it_was_taken_it_is_asked_for_again(
    payer: Payer, paying: Paying, owner: Visitor
) -> None:
    """Nobody accepted the time that its customer moved it to."""
    made = await authorized(payer, paying)
    capture = {"kind": "error", "match": "POST /v1/payment_intents/*/capture", "times": 2, "status": 503}
    await paying.sandbox.control("faults", **capture)
    assert (await owner.step(made, "CONFIRMED"))["status"] == "AWAITING_PROVIDER"
    assert (await payer.move(made, at(4, 10), accessToken=made.token))["status"] == "AWAITING_PROVIDER"
    await paying.work("capture_payment", later=timedelta(minutes=1))
    assert (await seen(payer, made))["status"] == "AWAITING_PROVIDER"
    assert (await intent_in(paying, made)).status == "requires_capture"
    assert (await owner.step(made, "CONFIRMED"))["status"] == "CONFIRMED"
    assert await ledger_of(owner.client, made) == {"customer": -1_000, "escrow": 1_000}


@pytest.mark.parametrize("times", [1, 2])
async def test_a_lost_answer_takes_it_once(payer: Payer, paying: Paying, owner: Visitor, times: int) -> None:
    made = await authorized(payer, paying)
    fault = {"kind": "lost_answer", "match": "POST /v1/payment_intents/*/capture", "times": times}
    await paying.sandbox.control("faults", **fault)
    await owner.step(made, "CONFIRMED")
    await paying.pass_on()
    await paying.work(later=timedelta(minutes=1))
    assert (await seen(payer, made))["status"] == "CONFIRMED"
    assert await ledger_of(owner.client, made) == {"customer": -1_000, "escrow": 1_000}


async def test_what_cannot_be_taken_may_be_paid_again(payer: Payer, paying: Paying, owner: Visitor) -> None:
    made = await authorized(payer, paying)
    await paying.sandbox.control(f"intents/{(await intent_in(paying, made)).id}/expire")
    answer = await owner.step(made, "CONFIRMED")
    assert (answer["status"], answer["paymentStatus"]) == ("PAYMENT_FAILED", "UNPAID")
    assert [state for _, _, state in await live_time(payer.shop)] == ["held"]
    again = await payer.retry(made)
    assert again["booking"]["status"] == "PENDING"
    await paying.pay(Made(made.id, made.token, again))
    booking = (await payer.refresh(made))["booking"]
    assert (booking["status"], booking["paymentStatus"]) == ("CONFIRMED", "PAID")  # it was accepted already
    assert steps(await seen(payer, made)) == [
        "PENDING",
        "AWAITING_PROVIDER",
        "PAYMENT_FAILED",
        "PENDING",
        "CONFIRMED",
    ]
    assert await live_time(payer.shop) == [(at(3, 10), at(3, 10, 30), "booked")]


async def test_what_cannot_be_taken_and_is_not_paid_again_expires(payer: Payer, paying: Paying, owner: Visitor) -> None:
    made = await authorized(payer, paying)
    await paying.sandbox.control(f"intents/{(await intent_in(paying, made)).id}/expire")
    await owner.step(made, "CONFIRMED")
    await payer.retry(made)
    paying.api.clock.move(timedelta(minutes=31))
    await paying.work("end_payment")
    assert (await seen(payer, made))["status"] == "EXPIRED"
    assert await live_time(payer.shop) == []


async def test_nobody_answers_before_the_authorization_ends(payer: Payer, paying: Paying, owner: Visitor) -> None:
    await answers_within(owner, 720)
    made = await authorized(payer, paying, days=20)
    until = instant((await seen(payer, made))["expiresAt"])
    assert timedelta(days=6, hours=22) < until - at(0, 0) < timedelta(days=8)
    await paying.work("end_payment", later=timedelta(hours=1))
    assert (await seen(payer, made))["status"] == "AWAITING_PROVIDER"
    paying.api.clock.move_to(until + timedelta(minutes=1))
    await paying.work("end_payment")
    booking = await seen(payer, made)
    assert (booking["status"], booking["paymentStatus"]) == ("EXPIRED", "UNPAID")
    assert (await intent_in(paying, made)).status == "canceled"
    assert await live_time(payer.shop) == []


async def test_nobody_answers_before_the_start(payer: Payer, paying: Paying, owner: Visitor) -> None:
    await answers_within(owner, 720)
    made = await authorized(payer, paying, days=2)
    assert instant((await seen(payer, made))["expiresAt"]) == at(2, 10)
    paying.api.clock.move_to(at(2, 10, 1))
    await paying.work("end_payment")
    assert (await seen(payer, made))["status"] == "EXPIRED"


async def test_moved_it_waits_for_its_answer_until_the_new_start(payer: Payer, paying: Paying, owner: Visitor) -> None:
    await answers_within(owner, 720)
    made = await authorized(payer, paying, days=2)
    assert (await owner.move(made, at(4, 10)))["status"] == "AWAITING_PROVIDER"
    assert instant((await seen(payer, made))["expiresAt"]) == at(4, 10)
    paying.api.clock.move_to(at(2, 10, 1))
    await paying.work("end_payment")
    assert (await seen(payer, made))["status"] == "AWAITING_PROVIDER"
    paying.api.clock.move_to(at(4, 10, 1))
    await paying.work("end_payment")
    assert (await seen(payer, made))["status"] == "EXPIRED"


async def test_an_authorization_that_ran_out_by_itself_expires_it(payer: Payer, paying: Paying, owner: Visitor) -> None:
    made = await authorized(payer, paying)
    await paying.sandbox.control(f"intents/{(await intent_in(paying, made)).id}/expire")
    await paying.pass_on()
    assert (await seen(payer, made))["status"] == "EXPIRED"
    assert (await owner.step(made, "CONFIRMED"))["__typename"] == "NotAllowed"


async def test_authorized_when_the_booking_was_over_is_let_go_of(payer: Payer, paying: Paying, owner: Visitor) -> None:
    made = await payer.pay_now(at(3, 10))
    fault = {"kind": "error", "match": "POST /v1/payment_intents/*/cancel", "times": 1, "status": 503}
    await paying.sandbox.control("faults", **fault)
    assert (await payer.cancel(made, accessToken=made.token))["status"] == "CANCELLED"
    await paying.rows("DELETE FROM job RETURNING 1")
    await paying.sandbox.control(f"intents/{(await intent_in(paying, made)).id}/pay", card=GOOD)
    await paying.pass_on()
    await paying.work()
    assert (await intent_in(paying, made)).status == "canceled"
    assert await ledger_of(owner.client, made) == {}


async def test_accepted_and_cancelled_at_once(payer: Payer, paying: Paying, owner: Visitor) -> None:
    """Whoever is first: at the end it is paid and confirmed, or over and nothing was kept."""
    made = await authorized(payer, paying)
    await asyncio.gather(owner.step(made, "CONFIRMED"), payer.cancel(made, accessToken=made.token))
    for _ in range(2):
        await paying.work(later=timedelta(minutes=1))
        await paying.pass_on()
    booking = await seen(payer, made)
    balances = await ledger_of(owner.client, made)
    if booking["status"] == "CONFIRMED":
        assert balances == {"customer": -1_000, "escrow": 1_000}
    else:
        assert booking["status"] in {"CANCELLED", "REFUNDED"}
        assert -balances.get("customer", 0) == balances.get("refunds", 0)
        assert await live_time(payer.shop) == []


async def test_accepted_twice_is_as_once(payer: Payer, paying: Paying, owner: Visitor) -> None:
    made = await authorized(payer, paying)
    answers = await asyncio.gather(owner.step(made, "CONFIRMED"), owner.step(made, "CONFIRMED"))
    assert {one["__typename"] for one in answers} <= {"Booking", "IllegalTransition"}
    await paying.work(later=timedelta(minutes=1))
    assert (await seen(payer, made))["status"] == "CONFIRMED"
    assert await ledger_of(owner.client, made) == {"customer": -1_000, "escrow": 1_000}


async def test_only_the_staff_accept(payer: Payer, paying: Paying) -> None:
    made = await authorized(payer, paying)
    assert (await payer.step(made, "CONFIRMED"))["__typename"] == "NotFound"
    assert (await intent_in(paying, made)).status == "requires_capture"
