"""A booking that is paid when it is made: held until the deadline, confirmed by the payment, never paid twice."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from tests.fixtures_api import log_statements
from tests.journey import ANA, Made, booking_input, instant, live_time, rows_of
from tests.paying import BOOK, GOOD, NO_FUNDS, Payer, Paying, ledger_of, owner_of
from tests.rooms import make_room, need_any
from tests.shop import at, make_shop

BOOK_BARE = """mutation ($input: CreateBookingInput!) { createBooking(input: $input) { __typename
  ... on CreateBookingPayload { accessToken payment { id status clientSecret publishableKey expiresAt }
    booking { id number status version startsAt paymentStatus expiresAt } } } }"""


async def test_the_booking_waits_for_its_payment(payer: Payer, paying: Paying) -> None:
    made = await payer.pay_now(at(2, 10))
    booking, payment = made.answer["booking"], made.answer["payment"]
    assert (booking["status"], booking["paymentStatus"], booking["paymentMethod"]) == ("PENDING", "UNPAID", "PAY_NOW")
    assert timedelta(minutes=29) < instant(booking["expiresAt"]) - datetime.now().astimezone() < timedelta(minutes=31)
    assert payment["amount"] == {"amountMinor": 1_000, "currency": "USD"}
    assert (payment["status"], payment["processor"], payment["publishableKey"]) == ("UNPAID", "stripe", "pk_test_1")
    assert payment["id"].startswith("pay_")
    assert payment["clientSecret"]
    assert payment["expiresAt"] == booking["expiresAt"]
    assert booking["payment"] == payment
    assert booking["transitions"] == [{"from": None, "to": "PENDING"}]
    assert await live_time(payer.shop) == [(at(2, 10), at(2, 10, 30), "held")]
    [claim] = await rows_of(payer.shop, "SELECT expires_at FROM allocation")
    assert claim["expires_at"] > instant(booking["expiresAt"])
    assert len(await paying.intents(made)) == 1


async def test_the_clients_return_confirms_it(payer: Payer, paying: Paying) -> None:
    made = await payer.pay_now(at(2, 10))
    await paying.pay(made)
    booking = (await payer.refresh(made))["booking"]
    assert (booking["status"], booking["paymentStatus"], booking["expiresAt"]) == ("CONFIRMED", "PAID", None)
    assert booking["payment"]["clientSecret"] is None
    assert [step["to"] for step in booking["transitions"]] == ["PENDING", "CONFIRMED"]
    assert await live_time(payer.shop) == [(at(2, 10), at(2, 10, 30), "booked")]
    assert await ledger_of(owner_of(paying, payer.shop).client, made) == {"customer": -1_000, "escrow": 1_000}
    events = await rows_of(payer.shop, "SELECT type FROM outbox_event WHERE type LIKE '%ed' ORDER BY id")
    assert [one["type"] for one in events if one["type"].startswith(("booking", "payment"))] == [
        "booking.created",
        "booking.confirmed",
        "payment.succeeded",
    ]


async def test_the_webhook_confirms_it_and_the_return_changes_nothing(payer: Payer, paying: Paying) -> None:
    made = await payer.pay_now(at(2, 10))
    await paying.pay(made)
    assert await paying.pass_on() >= 1
    booking = await payer.seen(made)
    assert (booking["status"], booking["paymentStatus"]) == ("CONFIRMED", "PAID")
    assert (await payer.refresh(made))["booking"]["version"] == booking["version"]


async def test_a_repeat_with_the_same_key_is_one_payment(payer: Payer, paying: Paying) -> None:
    held = await payer.held(at(2, 10))
    wanted = {"input": booking_input(held, paymentMethod="PAY_NOW", idempotencyKey=str(uuid4()))}
    answers = await asyncio.gather(*(payer.client(BOOK, wanted) for _ in range(3)))
    assert answers[0] == answers[1] == answers[2]
    made = Made(answers[0]["booking"]["id"], answers[0]["accessToken"], answers[0])
    assert len(await paying.intents(made)) == 1
    assert len(await rows_of(payer.shop, "SELECT 1 FROM payment")) == 1


async def test_a_lost_answer_is_asked_for_again(payer: Payer, paying: Paying) -> None:
    await paying.sandbox.control("faults", kind="lost_answer", match="POST /v1/payment_intents", times=1)
    made = await payer.pay_now(at(2, 10))
    assert made.answer["payment"]["clientSecret"]
    assert len(await paying.intents(made)) == 1


async def test_while_the_processor_is_away_the_booking_waits_all_the_same(payer: Payer, paying: Paying) -> None:
    await paying.sandbox.control("faults", kind="error", match="POST /v1/payment_intents", times=9, status=503)
    key = str(uuid4())
    held = await payer.held(at(2, 10))
    wanted = {"input": booking_input(held, paymentMethod="PAY_NOW", idempotencyKey=key)}
    answer = await payer.client(BOOK, wanted)
    assert (answer["booking"]["status"], answer["payment"]["clientSecret"]) == ("PENDING", None)
    made = Made(answer["booking"]["id"], answer["accessToken"], answer)
    await paying.sandbox.http.delete("/_sandbox/faults")
    await paying.work("open_payment", later=timedelta(minutes=1))
    again = await payer.client(BOOK, wanted)
    assert again["payment"]["clientSecret"]
    assert len(await paying.intents(made)) == 1


async def test_a_crash_between_is_finished_by_a_worker(payer: Payer, paying: Paying) -> None:
    held = await payer.held(at(2, 10))
    await paying.sandbox.control("faults", kind="error", match="POST /v1/payment_intents", times=2, status=503)
    answer = await payer.client(BOOK, {"input": booking_input(held, paymentMethod="PAY_NOW")})
    made = Made(answer["booking"]["id"], answer["accessToken"], answer)
    await paying.work("open_payment", later=timedelta(minutes=1))
    [intent] = await paying.intents(made)
    await paying.sandbox.control(f"intents/{intent.id}/pay", card=GOOD)
    assert (await payer.refresh(made))["booking"]["status"] == "CONFIRMED"


async def test_what_is_held_for_a_payment_is_not_the_holders_to_give_back(payer: Payer) -> None:
    held = await payer.held(at(2, 10))
    wanted = {"input": booking_input(held, paymentMethod="PAY_NOW")}
    first, second = await asyncio.gather(payer.client(BOOK, wanted), payer.client(BOOK, wanted))
    assert sorted(one["__typename"] for one in (first, second)) == ["CreateBookingPayload", "HoldExpired"]
    assert (await payer.release(held))["__typename"] == "HoldExpired"
    assert [state for _, _, state in await live_time(payer.shop)] == ["held"]


async def test_a_declined_card_leaves_it_open_until_the_deadline(payer: Payer, paying: Paying) -> None:
    made = await payer.pay_now(at(2, 10))
    await paying.pay(made, NO_FUNDS)
    await paying.pass_on()
    booking = await payer.seen(made)
    assert (booking["status"], booking["paymentStatus"]) == ("PAYMENT_FAILED", "FAILED")
    assert (booking["payment"]["status"], booking["payment"]["declineCode"]) == ("FAILED", "insufficient_funds")
    assert [state for _, _, state in await live_time(payer.shop)] == ["held"]
    await paying.pay(made)  # with another card, in the same form
    booking = (await payer.refresh(made))["booking"]
    assert booking["status"] == "CONFIRMED"
    assert [step["to"] for step in booking["transitions"]] == ["PENDING", "PAYMENT_FAILED", "PENDING", "CONFIRMED"]


async def test_a_room_that_was_not_paid_for_in_time_is_free(payer: Payer, paying: Paying) -> None:
    """As it is shown: before any sweep, and at the cost of whoever did not pay."""
    await need_any(payer.shop, await make_room(payer.shop))
    made = await payer.pay_now(at(2, 10))
    assert (await payer.hold(at(2, 10)))["__typename"] == "SlotUnavailable"
    paying.api.clock.move(timedelta(minutes=40))
    await payer.held(at(2, 10, 15))
    assert (await payer.seen(made))["status"] == "EXPIRED"


async def test_nobody_but_the_customer_is_given_the_secret(payer: Payer, paying: Paying) -> None:
    made = await payer.pay_now(at(2, 10))
    owner = owner_of(paying, payer.shop)
    query = "query ($id: ID!) { booking(id: $id) { payment { clientSecret status } } }"
    assert (await owner.client(query, {"id": made.id}))["payment"] == {"clientSecret": None, "status": "UNPAID"}
    assert (await payer.seen(made))["payment"]["clientSecret"] == made.answer["payment"]["clientSecret"]


async def test_where_there_is_no_processor_it_is_refused(services: Any, client: Any) -> None:
    visitor = Payer(client, await make_shop(services))
    held = await visitor.held(at(2, 10))
    answer = await client(BOOK, {"input": booking_input(held, paymentMethod="PAY_NOW")})
    assert (answer["__typename"], answer["rule"]) == ("NotAllowed", "pay_now_unavailable")
    assert (await visitor.book(held, customer=ANA))["__typename"] == "CreateBookingPayload"


async def test_budget(payer: Payer, paying: Paying) -> None:
    log, stop = log_statements(paying.api.api.services.database)
    try:
        for day in (11, 12):
            held = await payer.held(at(day, 10))
            log.clear()
            answer = await paying.client(BOOK_BARE, {"input": booking_input(held, paymentMethod="PAY_NOW")})
            assert answer["payment"]["clientSecret"]
            assert len(log) <= 8, log.statements
    finally:
        stop()
