"""The money of a party that changes: what is more is due, and what was paid for those who leave goes back."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.ids import IdKind, decode_id
from app.domain.membership import Role
from app.resolvers.context import Services
from tests.classes import Class, faults, make_class
from tests.fees import CASH, balance_of, intent_of, set_terms
from tests.fixtures_api import GraphQLClient
from tests.groups import booked_as, change, seen
from tests.journey import Made, Visitor, colleague, rows_of
from tests.paying import GOOD, REFUND, Payer, Paying, ledger_of
from tests.price_terms import set_terms as set_prices
from tests.promos import make_promo
from tests.shop import at

ADD, REMOVE = "addParticipants", "removeParticipants"


@pytest.fixture
async def yoga(paying: Paying) -> Class:
    services: Services = paying.api.api.services
    return await make_class(paying.client, services)


@pytest.fixture
def payer(yoga: Class, paying: Paying) -> Payer:
    return Payer(paying.client, yoga.shop)


@pytest.fixture
async def staff(yoga: Class) -> GraphQLClient:
    return (await colleague(yoga.client, yoga.shop, Role.STAFF)).client


async def paid(yoga: Class, payer: Payer, paying: Paying, places: int) -> Made:
    """A confirmed booking in three days, paid online."""
    session = await yoga.at(at(3, 9))
    made = await booked_as(yoga, await yoga.held(session["id"], places), paymentMethod="PAY_NOW")
    await paying.pay(made)
    assert (await payer.refresh(made))["booking"]["status"] == "CONFIRMED"
    return made


def money(booking: dict[str, Any]) -> tuple[int, int, int]:
    """Price, due and paid."""
    found = [booking[name]["amountMinor"] for name in ("price", "amountDue", "amountPaid")]
    return found[0], found[1], found[2]


async def shares(yoga: Class, made: Made) -> dict[str, Any]:
    [row] = await rows_of(yoga.shop, "SELECT quote FROM booking WHERE id = :id", id=decode_id(IdKind.BOOKING, made.id))
    quote: dict[str, Any] = row["quote"]
    return quote


async def test_what_is_more_is_due_and_paid(yoga: Class, payer: Payer, paying: Paying) -> None:
    made = await paid(yoga, payer, paying, 2)
    answer = await change(yoga.client, ADD, made, unnamed=2)
    assert (money(answer), answer["paymentStatus"]) == ((6_000, 3_000, 3_000), "PARTIALLY_PAID")
    started = await balance_of(payer, made)
    await paying.sandbox.control(f"intents/{intent_of(started)}/pay", card=GOOD)
    await paying.pass_on()
    booking = await seen(yoga, made)
    assert (money(booking), booking["paymentStatus"]) == ((6_000, 0, 6_000), "PAID")
    assert await ledger_of(yoga.owner, made) == {"customer": -6_000, "escrow": 6_000}


async def test_nobody_joins_unpaid_where_all_is_paid_in_advance(
    yoga: Class, payer: Payer, paying: Paying, staff: GraphQLClient
) -> None:
    """Nor takes places that are never paid, and never given back."""
    made = await paid(yoga, payer, paying, 1)
    await set_terms(payer, accepts_pay_on_arrival=False)
    refused = await change(yoga.client, ADD, made, unnamed=8)
    assert (refused["__typename"], refused["rule"]) == ("NotAllowed", "payment_needed")
    found = await seen(yoga, made)
    assert (money(found), found["partySize"]) == ((1_500, 0, 1_500), 1)
    assert found["session"]["capacityRemaining"] == 9
    assert money(await change(staff, ADD, made, unnamed=1, is_staff=True)) == (3_000, 1_500, 1_500)


async def test_what_was_paid_beyond_the_deposit_covers_who_joins(yoga: Class, payer: Payer, paying: Paying) -> None:
    """Of 15.00 each a third is due in advance: 15.00 that were paid are enough for three, and not for four."""
    made = await paid(yoga, payer, paying, 1)
    await set_terms(payer, accepts_pay_on_arrival=False)
    await rows_of(
        yoga.shop,
        "UPDATE booking SET quote = jsonb_set(quote, '{terms,depositBps}', '3333') WHERE id = :id RETURNING 1",
        id=decode_id(IdKind.BOOKING, made.id),
    )
    assert (await change(yoga.client, ADD, made, unnamed=3))["rule"] == "payment_needed"
    assert money(await change(yoga.client, ADD, made, unnamed=2)) == (4_500, 3_000, 1_500)


async def test_in_time_their_part_goes_back(yoga: Class, payer: Payer, paying: Paying) -> None:
    made = await paid(yoga, payer, paying, 4)
    answer = await change(yoga.client, REMOVE, made, unnamed=3)
    assert money(answer) == (1_500, 0, 1_500)
    assert answer["refunds"] == [{"amount": {"amountMinor": 4_500}, "status": "created", "cause": "policy"}]
    await paying.work()
    await paying.pass_on()
    booking = await seen(yoga, made)
    assert (money(booking), booking["status"]) == ((1_500, 0, 1_500), "CONFIRMED")
    # Who joins later is paid for, whatever went back before.
    again = await change(yoga.client, ADD, made, unnamed=1)
    assert money(again) == (3_000, 1_500, 1_500)
    assert await ledger_of(yoga.owner, made) == {"customer": -6_000, "escrow": 1_500, "refunds": 4_500}
    assert await faults(yoga.shop) == []


async def test_a_gesture_takes_nothing_from_what_goes_back(
    yoga: Class, payer: Payer, paying: Paying, staff: GraphQLClient
) -> None:
    """And no more goes back than was paid."""
    made = await paid(yoga, payer, paying, 3)
    gesture = {"bookingId": made.id, "amountMinor": 500, "reason": "It was cold."}
    assert (await staff(REFUND, {"input": gesture}))["__typename"] == "Booking"
    answer = await change(yoga.client, REMOVE, made, unnamed=1)
    assert money(answer) == (3_000, 0, 2_500)
    assert sorted(one["amount"]["amountMinor"] for one in answer["refunds"]) == [500, 1_500]
    assert money(await change(yoga.client, ADD, made, unnamed=1))[:2] == (4_500, 1_500)
    assert money(await change(yoga.client, REMOVE, made, unnamed=1)) == (3_000, 0, 2_500)
    await staff(REFUND, {"input": {**gesture, "amountMinor": 2_000}})
    assert money(await change(yoga.client, REMOVE, made, unnamed=1)) == (1_500, 0, 0)
    await paying.work()
    assert await ledger_of(yoga.owner, made) == {"customer": -4_500, "refunds": 4_500}


async def test_a_refund_that_fails_leaves_the_money_here(yoga: Class, payer: Payer, paying: Paying) -> None:
    made = await paid(yoga, payer, paying, 2)
    await paying.sandbox.control("faults", kind="error", match="POST /v1/refunds", times=9, status=400)
    await change(yoga.client, REMOVE, made, unnamed=1)
    await paying.work()
    booking = await seen(yoga, made)
    assert (booking["refunds"][0]["status"], money(booking)) == ("failed", (1_500, 0, 3_000))


async def test_late_the_policy_keeps_its_part(yoga: Class, payer: Payer, paying: Paying, staff: GraphQLClient) -> None:
    await set_terms(payer, late_refund_bps=4_000)
    await set_prices(yoga.shop, tax_bps=2_100)
    made = await paid(yoga, payer, paying, 3)
    paying.api.clock.move_to(at(2, 12))
    assert (await change(yoga.client, REMOVE, made, unnamed=1))["rule"] == "cancellation_notice"
    answer = await change(staff, REMOVE, made, unnamed=1, atCustomersRequest=True, is_staff=True)
    # Of 15.00 for one the customer gets 6.00 back, and 9.00 are kept.
    assert money(answer) == (3_900, 0, 3_900)
    assert [(one["kind"], one["amount"]["amountMinor"]) for one in answer["priceLines"]] == [
        ("BASE", 3_000),
        ("KEPT", 900),
    ]
    quote = await shares(yoga, made)
    assert quote["taxMinor"] == round(3_900 * 21 / 121)
    ours = await change(staff, REMOVE, made, unnamed=1, is_staff=True)
    assert money(ours) == (2_400, 0, 2_400)
    assert sum(one["amount"]["amountMinor"] for one in ours["refunds"]) == 2_100
    await paying.work()
    assert (await ledger_of(yoga.owner, made))["customer"] == -4_500


async def test_what_was_kept_for_one_is_not_given_back_with_the_others(
    yoga: Class, payer: Payer, paying: Paying, staff: GraphQLClient
) -> None:
    """One of three leaves late, then the others: each gets the same part back as all three at once would."""
    await set_terms(payer, late_refund_bps=4_000)
    made = await paid(yoga, payer, paying, 3)
    paying.api.clock.move_to(at(2, 12))
    await change(staff, REMOVE, made, unnamed=1, atCustomersRequest=True, is_staff=True)
    terms = (await payer.seen(made))["cancellationTerms"]
    assert terms == {"refund": {"amountMinor": 1_200}, "fee": {"amountMinor": 2_700}}
    answer = await Visitor(staff, yoga.shop).cancel(made, atCustomersRequest=True)
    assert answer["status"] == "CANCELLED", answer
    await paying.work()
    assert await ledger_of(yoga.owner, made) == {"customer": -4_500, "refunds": 1_800, "organization": 2_700}


async def test_late_and_unpaid_the_fee_stays_in_the_price(
    yoga: Class, payer: Payer, staff: GraphQLClient, paying: Paying
) -> None:
    await set_terms(payer, late_fee_bps=2_000)
    session = await yoga.at(at(3, 9))
    made = await booked_as(yoga, await yoga.held(session["id"], 2))
    paying.api.clock.move_to(at(2, 12))
    answer = await change(staff, REMOVE, made, unnamed=1, atCustomersRequest=True, is_staff=True)
    assert money(answer) == (1_800, 1_800, 0)
    grown = await change(staff, ADD, made, unnamed=1, is_staff=True)
    assert money(grown) == (3_300, 3_300, 0)


async def test_cash_is_handed_back(yoga: Class, staff: GraphQLClient) -> None:
    session = await yoga.at(at(3, 9))
    made = await booked_as(yoga, await yoga.held(session["id"], 2))
    await staff(CASH, {"input": {"bookingId": made.id}})
    answer = await change(staff, REMOVE, made, unnamed=1, is_staff=True)
    assert money(answer) == (1_500, 0, 1_500)
    assert [one["amount"]["amountMinor"] for one in answer["refunds"]] == [1_500]


async def test_a_payment_on_its_way(yoga: Class, payer: Payer, paying: Paying) -> None:
    session = await yoga.at(at(3, 9))
    made = await booked_as(yoga, await yoga.held(session["id"], 2), paymentMethod="PAY_NOW")
    refused = await change(yoga.client, ADD, made, unnamed=1)
    assert (refused["__typename"], refused["rule"]) == ("NotAllowed", "not_changeable")
    await paying.pay(made)
    await payer.refresh(made)
    await change(yoga.client, ADD, made, unnamed=1)
    await balance_of(payer, made)
    await rows_of(
        yoga.shop, "UPDATE payment SET status = 'processing' WHERE kind = 'balance' AND status <> 'x' RETURNING 1"
    )
    for operation in (ADD, REMOVE):
        refused = await change(yoga.client, operation, made, unnamed=1)
        assert (refused["__typename"], refused["rule"]) == ("NotAllowed", "payment_in_progress")


async def test_an_open_balance_that_nobody_owes_any_more_is_ended(yoga: Class, payer: Payer, paying: Paying) -> None:
    made = await paid(yoga, payer, paying, 1)
    await change(yoga.client, ADD, made, unnamed=2)
    started = await balance_of(payer, made)
    answer = await change(yoga.client, REMOVE, made, unnamed=1)
    assert money(answer) == (3_000, 1_500, 1_500)
    await paying.work("end_payment")
    intent = await paying.sandbox.v1.payment_intents.retrieve_async(intent_of(started))
    assert intent.status == "canceled"
    assert (await balance_of(payer, made))["payment"]["amount"] == {"amountMinor": 1_500}


async def test_what_was_cancelled_gives_all_of_it_back(yoga: Class, payer: Payer, paying: Paying) -> None:
    made = await paid(yoga, payer, paying, 3)
    await change(yoga.client, REMOVE, made, unnamed=1)
    assert (await Visitor(yoga.client, yoga.shop).cancel(made, accessToken=made.token))["status"] == "CANCELLED"
    await paying.work()
    booking = await seen(yoga, made)
    assert sum(one["amount"]["amountMinor"] for one in booking["refunds"]) == 4_500
    assert await ledger_of(yoga.owner, made) == {"customer": -4_500, "refunds": 4_500}


async def test_a_code_counts_for_those_it_was_used_for(yoga: Class) -> None:
    """Whatever way the party went: the price is that of the code's day, never of the last change."""
    await make_promo(yoga.client, yoga.shop, "TENTH", rateBps=1_000)
    session = await yoga.at(at(3, 9))
    made = await booked_as(yoga, await yoga.held(session["id"], 2), promoCode="TENTH")
    assert money(await seen(yoga, made)) == (2_700, 2_700, 0)
    assert money(await change(yoga.client, ADD, made, unnamed=2))[0] == 5_700
    assert money(await change(yoga.client, REMOVE, made, unnamed=3))[0] == 1_350
    assert money(await change(yoga.client, ADD, made, unnamed=1))[0] == 2_700
