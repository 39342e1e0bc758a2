"""One booking through all of its money: rules, a promo code, tax, fee, deposit, balance, payout, and all of it back."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from tests.fees import Desk, balance_of, booked_with, intent_of, seen
from tests.journey import Made
from tests.paying import GOOD, REFUND, Paying, ledger_of
from tests.payouts import Earner, make_earner
from tests.price_terms import add_rule, set_terms
from tests.promos import make_promo
from tests.reconciling import Reconciling
from tests.shop import Shop, at

START = at(2, 10)
PRICE, DEPOSIT, BALANCE = 900, 270, 630
"""10.00 and a fifth, less a quarter by the code; three tenths of it are due at once."""
TAX, FEE, SHARE = 156, 74, 670
"""21 % that are included, a tenth of the rest, and what is left for the provider."""
OF_DEPOSIT = {"platform_fee": 22, "tax": 47, "provider_payable": 201}


@pytest.fixture
async def earner(paying: Paying) -> Earner:
    earner = await make_earner(paying, providers=2)
    await set_terms(earner.shop, tax_bps=2_100, guest_fee_bps=1_000, deposit_bps=3_000)
    await add_rule(earner.shop, rate_bps=2_000)
    await make_promo(paying.client, earner.shop, rateBps=2_500)
    return earner


@pytest.fixture
def desk(earner: Earner) -> Desk:
    return Desk(earner.owner.client)


async def deposited(earner: Earner) -> Made:
    held = await earner.payer.held(START, providerId=earner.provider_id)
    made = await booked_with(earner.payer, held, paymentMethod="PAY_NOW", promoCode="VERANO20")
    assert made.answer["payment"]["amount"]["amountMinor"] == DEPOSIT
    await earner.paying.pay(made)
    assert (await earner.payer.refresh(made))["booking"]["status"] == "CONFIRMED"
    return made


async def served(earner: Earner, made: Made) -> None:
    earner.paying.api.clock.move_to(START + timedelta(minutes=31))
    await earner.owner.stepped(made, "COMPLETED")


async def books(earner: Earner, made: Made) -> dict[str, int]:
    """Of the booking, after every check there is."""
    assert await Reconciling(earner.paying, earner.shop).check() == 0
    await earner.owed()
    return await ledger_of(earner.owner.client, made)


async def test_the_rest_in_cash_that_the_provider_keeps(earner: Earner, desk: Desk) -> None:
    made = await deposited(earner)
    assert await books(earner, made) == {"customer": -DEPOSIT, "escrow": DEPOSIT}
    assert (await desk.take(made, BALANCE + 1))["__typename"] == "InvalidInput"
    assert (await desk.take(made, providerId=earner.provider_id))["paymentStatus"] == "PAID"
    kept = {"customer": -PRICE, "escrow": DEPOSIT, "platform_fee": FEE - 22, "tax": TAX - 47, "paid_out": BALANCE}
    assert await books(earner, made) == {**kept, "provider_payable": -(FEE + TAX - 22 - 47)}
    earner.wait()
    assert await earner.plan() is None  # owed is nothing, before it is served
    await served(earner, made)
    shared = {"customer": -PRICE, "platform_fee": FEE, "tax": TAX}
    assert await books(earner, made) == {**shared, "paid_out": BALANCE, "provider_payable": SHARE - BALANCE}
    earner.wait()
    assert (await earner.paid_out()).amount_minor == SHARE - BALANCE == await earner.received()
    assert await books(earner, made) == {**shared, "paid_out": SHARE}
    await earner.refund(made)  # all of it: the card by itself, cash by hand
    assert await earner.owed() == -OF_DEPOSIT["provider_payable"]
    await earner.take_back()
    assert await earner.received() == 0
    assert (await desk.hand_back(made))["refunds"][-1]["status"] == "succeeded"
    assert await books(earner, made) == {"customer": -PRICE, "refunds": PRICE}
    assert await earner.owed() == 0
    booking = await seen(earner.payer, made)
    assert (booking["status"], booking["paymentStatus"]) == ("REFUNDED", "REFUNDED")
    assert [one["amount"]["amountMinor"] for one in booking["refunds"]] == [DEPOSIT, BALANCE]


async def test_the_rest_in_cash_that_is_in_the_till(earner: Earner, desk: Desk) -> None:
    """What is in the till is the organization's affair; the provider is paid out of what was paid online."""
    made = await deposited(earner)
    await desk.take(made)
    await served(earner, made)
    paid = {"customer": -PRICE, "cash": BALANCE, "platform_fee": 22, "tax": 47}
    assert await books(earner, made) == {**paid, "provider_payable": 201}
    earner.wait()
    assert (await earner.paid_out()).amount_minor == 201
    assert await books(earner, made) == {**paid, "paid_out": 201}
    await earner.refund(made, 300)
    await earner.take_back()
    assert await earner.received() == 0
    assert await books(earner, made) == {"customer": -PRICE, "cash": BALANCE, "refunds": DEPOSIT}
    assert (await desk.hand_back(made))["refunds"][-1]["amount"] == {"amountMinor": 30}
    assert await books(earner, made) == {"customer": -PRICE, "cash": BALANCE - 30, "refunds": DEPOSIT + 30}


async def test_the_rest_online_and_a_dispute_after_the_payout(earner: Earner, paying: Paying) -> None:
    made = await deposited(earner)
    await served(earner, made)
    assert await books(earner, made) == {"customer": -DEPOSIT, **OF_DEPOSIT}
    started = await balance_of(earner.payer, made)
    await paying.sandbox.control(f"intents/{intent_of(started)}/pay", card=GOOD)
    await paying.pass_on()
    shared = {"customer": -PRICE, "platform_fee": FEE, "tax": TAX}
    assert await books(earner, made) == {**shared, "provider_payable": SHARE}
    earner.wait()
    assert (await earner.paid_out()).amount_minor == SHARE == await earner.received()
    assert await books(earner, made) == {**shared, "paid_out": SHARE}
    await earner.refund(made, 100)  # of the larger one, the balance
    await earner.take_back()
    part = await earner.received()
    intents = {one.amount: one for one in await paying.intents(made)}
    await paying.sandbox.control(f"charges/{intents[DEPOSIT].latest_charge}/dispute")
    await paying.pass_on()
    assert (await books(earner, made))["disputes"] == DEPOSIT
    assert await earner.owed() == -OF_DEPOSIT["provider_payable"]
    assert await earner.take_back() == []  # it may be won
    found = await paying.sandbox.v1.disputes.list_async({"payment_intent": intents[DEPOSIT].id})
    await earner.decide(found.data[0].id, "lost")
    await earner.take_back()
    assert await earner.received() == part - OF_DEPOSIT["provider_payable"]
    await earner.refund(made)
    await earner.take_back()
    assert await earner.received() == 0
    assert await books(earner, made) == {"customer": -PRICE, "refunds": PRICE}


async def test_who_gives_it_gets_it(earner: Earner, paying: Paying, desk: Desk) -> None:
    """Moved to a colleague who has no account: the organization keeps the colleague's part, and nobody else gets it.
    What went back before, and what goes back after, adds up all the same."""
    made = await deposited(earner)
    await desk.take(made, 100)
    asked = await earner.owner.client(REFUND, {"input": {"bookingId": made.id, "reason": "Late", "amountMinor": 70}})
    assert asked["__typename"] == "Booking", asked
    moved = await earner.owner.move(made, providerId=earner.shop.provider_ids[1])
    assert (moved["__typename"], moved["price"]["amountMinor"]) == ("Booking", PRICE)
    await paying.work("execute_refund")
    await paying.pass_on()
    await served(earner, made)
    assert await earner.owed() == 0
    kept = {"customer": -DEPOSIT - 100, "cash": 100, "refunds": 70, "platform_fee": 16, "tax": 35, "organization": 149}
    assert await books(earner, made) == kept
    await desk.take(made)
    await earner.refund(made)
    await desk.hand_back(made)
    assert await books(earner, made) == {"customer": -PRICE, "refunds": PRICE}


async def test_a_colleague_with_an_account_is_paid_out(earner: Earner, desk: Desk) -> None:
    """And the one before keeps the cash that was taken, and owes the others' parts of it."""
    colleague = replace(earner, shop=with_second_first(earner.shop))
    await colleague.onboard()
    made = await deposited(earner)
    await desk.take(made, 100, providerId=earner.provider_id)
    assert (await earner.owner.move(made, providerId=colleague.provider_id))["__typename"] == "Booking"
    assert await earner.owed() == -25  # of 100: 8 are the fee, 17 the tax
    await desk.take(made, providerId=colleague.provider_id)
    await served(earner, made)
    earner.wait()
    assert await earner.owed() == -25
    assert await colleague.owed() == SHARE - 75 - 530
    await earner.refund(made)
    await desk.hand_back(made)
    assert (await earner.owed(), await colleague.owed()) == (0, 0)
    assert await books(earner, made) == {"customer": -PRICE, "refunds": PRICE}


async def test_what_another_processor_took_in_is_not_sent_on(earner: Earner, paying: Paying) -> None:
    """The organization changed its processor between the lock of the price and the payment."""
    elsewhere = "UPDATE payout_account SET processor = 'mercadopago' WHERE provider_id = :id RETURNING 1"
    held = await earner.payer.held(START, providerId=earner.provider_id)
    await paying.rows(elsewhere, id=earner.provider)
    made = await booked_with(earner.payer, held, paymentMethod="PAY_NOW", promoCode="VERANO20")
    await paying.pay(made)
    await paying.pass_on()
    await served(earner, made)
    assert await earner.owed() == 0
    assert await books(earner, made) == {"customer": -DEPOSIT, "platform_fee": 22, "tax": 47, "organization": 201}


def with_second_first(shop: Shop) -> Shop:
    return replace(shop, provider_uuids=shop.provider_uuids[::-1])
