"""A deposit now and the rest later; and what cancelling gives back of it: what was shown before."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.journey import Answer, Made, booking_input, rows_of
from tests.paying import BOOK, Payer, Paying, ledger_of, owner_of
from tests.price_terms import add_rule, priced_hold, set_terms, total
from tests.promos import make_promo
from tests.shop import at, set_offer

SEEN = """
query ($id: ID!, $token: String) { booking(id: $id, accessToken: $token) { status paymentStatus version
  price { amountMinor } amountPaid { amountMinor } amountDue { amountMinor } payment { amount { amountMinor } }
  mine: cancellationTerms { refund { amountMinor } fee { amountMinor } }
  theirs: cancellationTerms(atCustomersRequest: true) { refund { amountMinor } fee { amountMinor } } } }
"""


async def _seen(visitor: Payer | Any, made: Made, token: str | None = None) -> Answer:
    """Amounts as numbers."""
    found: Answer = await visitor.client(SEEN, {"id": made.id, "token": token})
    amounts = {name: found[name]["amountMinor"] for name in ("price", "amountPaid", "amountDue")}
    terms = {name: (found[name]["refund"]["amountMinor"], found[name]["fee"]["amountMinor"]) for name in _TERMS}
    return {**found, **amounts, **terms}


_TERMS = ("mine", "theirs")


async def test_the_deposit_confirms_and_the_rest_stays_due(payer: Payer, paying: Paying) -> None:
    await set_terms(payer.shop, deposit_bps=3_000)
    await add_rule(payer.shop, rate_bps=1_000)
    held = await priced_hold(payer, at(2, 10))
    assert (total(held), held["dueNow"]["amountMinor"]) == (1_100, 330)
    made = await payer.pay_now(at(2, 12))
    seen = await _seen(payer, made, made.token)
    assert (seen["status"], seen["amountPaid"], seen["amountDue"]) == ("PENDING", 0, 1_100)
    assert seen["payment"]["amount"]["amountMinor"] == 330
    await paying.pay(made)
    await paying.pass_on()
    seen = await _seen(payer, made, made.token)
    assert (seen["status"], seen["paymentStatus"]) == ("CONFIRMED", "PARTIALLY_PAID")
    assert (seen["price"], seen["amountPaid"], seen["amountDue"]) == (1_100, 330, 770)
    assert await ledger_of(owner_of(paying, payer.shop).client, made) == {"customer": -330, "escrow": 330}
    assert (seen["mine"], seen["theirs"]) == ((330, 0), (330, 0))
    assert (await payer.cancel(made, accessToken=made.token))["status"] == "CANCELLED"
    await paying.work("execute_refund")
    seen = await _seen(payer, made, made.token)
    assert (seen["paymentStatus"], seen["amountPaid"], seen["amountDue"]) == ("REFUNDED", 0, 0)


@pytest.mark.parametrize(
    ("terms", "refund"),
    [
        ({"late_refund_bps": 5_000}, 150),
        ({"late_refund_bps": 5_000, "late_fee_bps": 2_000}, 100),  # the larger of the two is kept
        ({"late_refund_bps": 10_000, "late_fee_bps": 9_000}, 0),  # no more than was paid
        ({}, 0),
    ],
)
@pytest.mark.parametrize("at_request", [True, False])
async def test_what_is_shown_is_what_cancelling_does(
    payer: Payer, paying: Paying, terms: dict[str, Any], refund: int, at_request: bool
) -> None:
    await set_terms(payer.shop, deposit_bps=3_000, **terms)
    made = await payer.paid(paying, at(3, 10))
    await set_terms(payer.shop, late_refund_bps=1, late_fee_bps=10_000)  # too late for this booking
    paying.api.clock.move(timedelta(days=2, hours=12))
    owner = owner_of(paying, payer.shop)
    shown = await _seen(owner, made)
    assert (shown["mine"], shown["theirs"]) == ((300, 0), (refund, 300 - refund))
    assert (await _seen(payer, made, made.token))["mine"] == shown["theirs"]
    assert (await payer.cancel(made, accessToken=made.token))["rule"] == "cancellation_notice"
    assert (await owner.cancel(made, atCustomersRequest=at_request))["__typename"] == "Booking"
    await paying.work("execute_refund")
    expected_refund, expected_fee = shown["theirs" if at_request else "mine"]
    [row] = await rows_of(payer.shop, "SELECT paid_minor - refunded_minor AS kept, refunded_minor FROM booking")
    [entry] = await rows_of(payer.shop, "SELECT after FROM audit_entry WHERE action = 'booking.cancelled'")
    assert entry["after"].get("at_customers_request", False) is at_request  # why so much was kept
    assert (row["refunded_minor"], row["kept"]) == (expected_refund, expected_fee)
    [intent] = await paying.intents(made)
    charge = await paying.sandbox.v1.charges.retrieve_async(intent.latest_charge)
    assert charge.amount_refunded == expected_refund


@pytest.mark.parametrize(
    ("currency", "price", "deposit", "due"),
    [("JPY", 1_235, 3_333, 412), ("KWD", 1_235, 3_333, 410), ("KWD", 1_236, None, 1_240), ("CLP", 3_000, 5_000, 1_500)],
)
async def test_currencies_without_and_with_three_decimals(  # noqa: PLR0917 (they are parameters)
    payer: Payer, paying: Paying, currency: str, price: int, deposit: int | None, due: int
) -> None:
    await rows_of(payer.shop, "UPDATE organization SET currency = :currency RETURNING 1", currency=currency)
    await set_offer(payer.shop, 0, price_minor=price)
    await set_terms(payer.shop, deposit_bps=deposit)
    made = await payer.paid(paying, at(2, 10))
    seen = await _seen(payer, made, made.token)
    assert (seen["amountPaid"], seen["amountPaid"] + seen["amountDue"]) == (due, seen["price"])
    assert seen["mine"] == (due, 0)
    await payer.cancel(made, accessToken=made.token)
    await paying.work("execute_refund")
    assert (await _seen(payer, made, made.token))["paymentStatus"] == "REFUNDED"


async def test_what_is_too_little_for_the_processor(payer: Payer) -> None:
    """A deposit of less than the least is the least; so is a rest; a price of less cannot be paid online."""
    await set_terms(payer.shop, deposit_bps=100)
    assert (await priced_hold(payer, at(2, 10)))["dueNow"]["amountMinor"] == 50
    await set_terms(payer.shop, deposit_bps=9_900)
    assert (await priced_hold(payer, at(2, 11)))["dueNow"]["amountMinor"] == 1_000
    await set_offer(payer.shop, 0, price_minor=49)
    held = await payer.held(at(2, 12))
    answer = await payer.client(BOOK, {"input": booking_input(held, paymentMethod="PAY_NOW")})
    assert (answer["__typename"], answer["rule"]) == ("NotAllowed", "pay_now_too_little")
    assert (await payer.book(held))["__typename"] == "CreateBookingPayload"


async def test_methods_that_are_not_accepted(payer: Payer) -> None:
    await set_terms(payer.shop, accepts_pay_on_arrival=False)
    refused = await payer.book(await payer.held(at(2, 10)))
    assert (refused["__typename"], refused["rule"]) == ("NotAllowed", "pay_on_arrival_unavailable")
    await set_terms(payer.shop, accepts_pay_on_arrival=True, accepts_pay_now=False)
    held = await payer.held(at(2, 12))
    answer = await payer.client(BOOK, {"input": booking_input(held, paymentMethod="PAY_NOW")})
    assert (answer["__typename"], answer["rule"]) == ("NotAllowed", "pay_now_unavailable")
    made = await payer.booked(at(2, 14))
    seen = await _seen(payer, made, made.token)
    assert (seen["status"], seen["paymentStatus"], seen["amountDue"]) == ("CONFIRMED", "UNPAID", 1_000)


async def test_too_little_where_nothing_is_paid_on_arrival(payer: Payer) -> None:
    """Nobody is told to choose a method that is refused next."""
    await set_terms(payer.shop, accepts_pay_on_arrival=False)
    await make_promo(payer.client, payer.shop, amountMinor=960)
    held = await payer.held(at(2, 10))
    wanted = booking_input(held, paymentMethod="PAY_NOW", promoCode="VERANO20")
    answer = await payer.client(BOOK, {"input": wanted})
    assert (answer["rule"], answer["message"]) == ("pay_now_too_little", "Less than 0.50 USD cannot be paid online.")
    del wanted["promoCode"]
    assert (await payer.client(BOOK, {"input": wanted}))["__typename"] == "CreateBookingPayload"
