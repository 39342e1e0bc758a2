"""What was paid, saved and owed for a guest's booking follows it into the account that claims it."""

from __future__ import annotations

import pytest

from tests.fees import FEE_TERMS, booked_with, seen, set_terms, with_card
from tests.journey import Made
from tests.paying import Payer, Paying, ledger_of, owner_of
from tests.schema.test_booking_link import CLAIM
from tests.shop import at


@pytest.fixture
async def eva(payer: Payer) -> Payer:
    """An account that has a record at this shop already, and a card of its own there."""
    person = await payer.shop.person("eva")
    return Payer(payer.client.signed_in(person.token), payer.shop)


async def _claim(eva: Payer, made: Made) -> None:
    answer = await eva.client(CLAIM, {"input": {"accessToken": made.token}})
    assert answer["__typename"] == "ClaimBookingPayload", answer


async def test_the_saved_card_still_pays_the_fee(payer: Payer, eva: Payer, paying: Paying) -> None:
    await set_terms(payer, **FEE_TERMS)
    await with_card(eva, paying, at(1, 12))
    made = await with_card(payer, paying, at(1, 10))
    await _claim(eva, made)
    paying.api.clock.move_to(at(1, 23))
    owner = owner_of(paying, payer.shop)
    assert (await owner.step(made, "NO_SHOW"))["status"] == "NO_SHOW"
    await paying.work()
    await paying.pass_on()
    [fee] = (await seen(payer, made))["fees"]
    assert (fee["status"], fee["charged"]["amountMinor"]) == ("CHARGED", 500)
    assert await ledger_of(owner.client, made) == {"customer": -500, "organization": 500}


async def test_what_was_paid_goes_back_when_the_account_cancels(payer: Payer, eva: Payer, paying: Paying) -> None:
    made = await payer.paid(paying, at(5, 10))
    await _claim(eva, made)
    assert (await eva.cancel(made))["status"] == "CANCELLED"
    await paying.work()
    await paying.pass_on()
    assert (await payer.seen(made))["status"] == "REFUNDED"
    assert await ledger_of(owner_of(paying, payer.shop).client, made) == {"customer": -1_000, "refunds": 1_000}


async def test_one_that_is_still_to_be_paid_is_paid_by_either(payer: Payer, eva: Payer, paying: Paying) -> None:
    await set_terms(payer, **FEE_TERMS)
    made = await booked_with(payer, await payer.held(at(2, 10)), acceptsFees=True)
    await _claim(eva, made)
    await paying.pay(made)
    assert (await Payer(eva.client, payer.shop).refresh(made))["booking"]["status"] == "CONFIRMED"
