"""A card that is kept for fees: only where its payer agreed to it and a fee could need it; without it, no booking."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from app.domain.membership import Role
from tests.fees import FEE_TERMS, booked_with, deposited, seen, set_terms, with_deposit
from tests.journey import Held, Made, booking_input, colleague, rows_of
from tests.paying import BOOK, NO_FUNDS, Payer, Paying
from tests.shop import at, iso, make_shop

HOLD_WITH_FEES = """
mutation ($input: HoldSlotInput!) { holdSlot(input: $input) { ... on HoldSlotPayload { holdToken hold { id
  fees { lateCancellation { amountMinor } noShow { amountMinor } isCardRequiredOnArrival } } } } }
"""


@pytest.fixture
async def payer(payer: Payer) -> Payer:
    """A guest at a shop that charges 5.00 for not coming and 2.50 for cancelling late, and wants a card for it."""
    await set_terms(payer, **FEE_TERMS)
    return payer


async def test_a_card_is_kept_before_the_booking_is_confirmed(payer: Payer, paying: Paying) -> None:
    wanted = {"serviceId": payer.shop.service_id, "startsAt": iso(at(1, 10))}
    answer = await payer.client(HOLD_WITH_FEES, {"input": wanted})
    held = Held(answer["hold"]["id"], answer["holdToken"], answer["hold"])
    assert answer["hold"]["fees"] == {
        "lateCancellation": {"amountMinor": 250},
        "noShow": {"amountMinor": 500},
        "isCardRequiredOnArrival": True,
    }
    refused = await payer.book(held)
    assert refused["rule"] == "fee_consent_needed"
    made = await booked_with(payer, held, acceptsFees=True)
    booking, payment = made.answer["booking"], made.answer["payment"]
    assert (booking["status"], booking["paymentStatus"], booking["paymentMethod"]) == (
        "PENDING",
        "UNPAID",
        "PAY_ON_ARRIVAL",
    )
    assert payment["clientSecret"].startswith("seti_")
    assert (await seen(payer, made))["payment"]["kind"] == "SETUP"
    await paying.pay(made)
    await paying.pass_on()
    booking = await seen(payer, made)
    assert (booking["status"], booking["paymentStatus"], booking["amountDue"]) == (
        "CONFIRMED",
        "UNPAID",
        {"amountMinor": 1_000},
    )
    [row] = await rows_of(payer.shop, "SELECT consent, customer_ref, method_ref FROM payment")
    assert row["customer_ref"]
    assert row["method_ref"]
    assert (row["consent"]["priceMinor"], row["consent"]["by"]["actor"]) == (1_000, "guest")
    assert row["consent"]["policy"]["noShowFee"]["shareBps"] == 5_000


async def test_a_refused_card_is_tried_again_until_the_deadline(payer: Payer, paying: Paying) -> None:
    made = await booked_with(payer, await payer.held(at(2, 10)), acceptsFees=True)
    await paying.pay(made, NO_FUNDS)
    assert (await payer.refresh(made))["booking"]["status"] == "PAYMENT_FAILED"
    again = await payer.retry(made)
    assert again["booking"]["status"] == "PENDING"
    await paying.pay(Made(made.id, made.token, again))
    assert (await payer.refresh(made))["booking"]["status"] == "CONFIRMED"


async def test_without_a_card_the_time_goes_back(payer: Payer, paying: Paying) -> None:
    made = await booked_with(payer, await payer.held(at(2, 10)), acceptsFees=True)
    paying.api.clock.move(timedelta(minutes=31))
    await paying.work("end_payment")
    assert (await seen(payer, made))["status"] == "EXPIRED"
    assert await rows_of(payer.shop, "SELECT 1 FROM allocation WHERE status IN ('held', 'booked')") == []
    await paying.pay(made)  # too late, and nothing was taken
    await paying.pass_on()
    assert (await seen(payer, made))["status"] == "EXPIRED"
    other = await booked_with(payer, await payer.held(at(2, 10)), acceptsFees=True)
    assert (await payer.cancel(other, accessToken=other.token))["status"] == "CANCELLED"


async def test_saved_at_the_last_moment_counts_and_a_lost_answer_is_asked_for_again(
    payer: Payer, paying: Paying
) -> None:
    await paying.sandbox.control("faults", kind="lost_answer", match="POST /v1/setup_intents", times=1)
    await paying.sandbox.control("faults", kind="lost_answer", match="POST /v1/customers", times=1)
    made = await booked_with(payer, await payer.held(at(2, 10)), acceptsFees=True)
    if made.answer["payment"]["clientSecret"] is None:
        await paying.work("open_payment", later=timedelta(minutes=1))
        made = Made(made.id, made.token, await seen(payer, made))
    await paying.pay(made)
    paying.api.clock.move(timedelta(minutes=31))
    await paying.work("end_payment")
    assert (await seen(payer, made))["status"] == "CONFIRMED"
    assert len(await rows_of(payer.shop, "SELECT 1 FROM processor_customer")) == 1


async def test_staff_book_a_walk_in_without_a_card(payer: Payer, paying: Paying) -> None:
    staff = await colleague(paying.client, payer.shop, Role.STAFF)
    made = await staff.booked(at(2, 10))
    assert made.answer["status"] == "CONFIRMED"


async def test_a_card_is_kept_with_a_deposit_only_where_its_payer_agreed(payer: Payer, paying: Paying) -> None:
    agreed = await deposited(payer, paying, at(2, 10), acceptsFees=True)
    silent = await deposited(payer, paying, at(2, 12))
    whole = await booked_with(payer, await payer.held(at(2, 14)), paymentMethod="PAY_NOW", acceptsFees=True)
    kept = {
        row["id"]: row["consent"] is not None
        for row in await rows_of(payer.shop, "SELECT booking_id AS id, consent FROM payment ORDER BY id")
    }
    assert list(kept.values()) == [True, False, False]  # of the third, no fee could be more than what is paid
    [first] = await paying.intents(agreed)
    [second] = await paying.intents(silent)
    [third] = await paying.intents(whole)
    assert (first.setup_future_usage, second.setup_future_usage, third.setup_future_usage) == (
        "off_session",
        None,
        None,
    )


async def test_where_no_card_can_be_kept_none_is_asked_for(services: Any, client: Any) -> None:
    visitor = Payer(client, await make_shop(services))
    await set_terms(visitor, no_show_fee_bps=5_000, card_required_for_arrival=True)
    held = await with_deposit(visitor, await visitor.held(at(2, 10)))
    answer = await client(BOOK, {"input": booking_input(held, acceptsFees=True)})
    assert answer["booking"]["status"] == "CONFIRMED"
