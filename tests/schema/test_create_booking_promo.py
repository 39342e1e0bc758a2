"""A booking with a promo code: what it costs, and whether the code's use counts."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from app.commands.expiry import expire_unpaid_bookings
from app.core.ids import IdKind, decode_id
from app.domain.membership import Role
from app.resolvers.context import Services
from tests.classes import make_class
from tests.fixtures_api import GraphQLClient, StatementLog
from tests.journey import ANA, Made, Visitor, account, audit_of, booking_input, colleague, rows_of
from tests.paying import BOOK, Payer, Paying, ledger_of, owner_of
from tests.promos import change_promo, make_promo, said, uses_of
from tests.shop import at, make_shop
from tests.sweeps import sweep

BEA = {"name": "Bea", "email": "bea@example.com"}


@pytest.fixture
async def guest(services: Services, client: GraphQLClient) -> Visitor:
    return Visitor(client, await make_shop(services))


async def test_the_code_lowers_the_locked_price(guest: Visitor) -> None:
    promo = await make_promo(guest.client, guest.shop)
    made = await guest.booked(at(2, 10), promoCode=" verano20 ")
    assert made.answer["price"] == {"amountMinor": 800, "currency": "USD"}
    assert [item["price"]["amountMinor"] for item in made.answer["items"]] == [800]
    assert made.answer["status"] == "CONFIRMED"
    [row] = await rows_of(guest.shop, "SELECT promo_code_id, quote, price_minor FROM booking")
    assert row["promo_code_id"] == decode_id(IdKind.PROMO_CODE, promo["id"])
    assert row["quote"]["totalMinor"] == row["price_minor"] == 800
    assert (row["quote"]["lines"][-1]["kind"], row["quote"]["lines"][-1]["amountMinor"]) == ("promo", -200)
    [use] = await rows_of(guest.shop, "SELECT * FROM promo_use")
    assert (use["discount_minor"], use["returned_at"]) == (200, None)
    [entry] = await audit_of(guest.shop, made)
    assert entry["after"]["promo_code_id"] == str(row["promo_code_id"])
    [event] = await rows_of(guest.shop, "SELECT subject_id, payload FROM outbox_event WHERE type = 'promo_code.used'")
    assert (event["subject_id"], event["payload"]) == (
        row["promo_code_id"],
        {"bookingId": str(decode_id(IdKind.BOOKING, made.id))},
    )
    assert await uses_of(guest.shop, promo) == 1


async def test_a_visit_is_lowered_by_its_parts(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, more_services=({},))
    await make_promo(client, shop, serviceIds=[shop.service_ids[1]])
    items = [{"serviceId": one} for one in shop.service_ids]
    made = await Visitor(client, shop).booked(at(2, 10), hold={"serviceId": None, "items": items}, promoCode="VERANO20")
    assert made.answer["price"]["amountMinor"] == 1_800
    assert [item["price"]["amountMinor"] for item in made.answer["items"]] == [1_000, 800]


async def test_places_of_a_session(services: Services, client: GraphQLClient) -> None:
    yoga = await make_class(client, services)
    promo = await make_promo(client, yoga.shop, activityIds=[yoga.activity_id])
    session = await yoga.at(at(3, 9))
    held = await yoga.held(session["id"], 2)
    made = await yoga.guest.book(held, promoCode="VERANO20")
    assert made["booking"]["price"]["amountMinor"] == held.answer["price"]["amountMinor"] * 8 // 10
    assert await uses_of(yoga.shop, promo) == 1
    theirs = await yoga.guest.book(await yoga.held(session["id"]), promoCode="OTHER")
    assert said(theirs) == [("input.promoCode", "is no code that can be used here")]


async def test_an_amount_takes_off_no_more_than_there_is(guest: Visitor) -> None:
    promo = await make_promo(guest.client, guest.shop, amountMinor=5_000)
    made = await guest.booked(at(2, 10), promoCode="VERANO20")
    assert (made.answer["price"]["amountMinor"], made.answer["paymentStatus"]) == (0, "PAID")
    assert await uses_of(guest.shop, promo) == 1


async def test_a_refused_code_leaves_the_hold_as_it_was(guest: Visitor) -> None:
    promo = await make_promo(guest.client, guest.shop, totalLimit=1)
    await guest.booked(at(2, 8), promoCode="VERANO20")
    held = await guest.held(at(2, 10))
    refused = await guest.book(held, promoCode="VERANO20")
    assert said(refused) == [("input.promoCode", "is a code that was used as often as it may be")]
    assert (await guest.book(held))["booking"]["price"]["amountMinor"] == 1_000
    assert await uses_of(guest.shop, promo) == 1


async def test_a_repeat_uses_it_once(guest: Visitor) -> None:
    promo = await make_promo(guest.client, guest.shop, totalLimit=1)
    held, key = await guest.held(at(2, 10)), str(uuid4())
    answers = await asyncio.gather(*(guest.book(held, promoCode="VERANO20", idempotencyKey=key) for _ in range(4)))
    assert {answer["booking"]["id"] for answer in answers} == {answers[0]["booking"]["id"]}
    assert await uses_of(guest.shop, promo) == 1
    other = await guest.book(held, idempotencyKey=key)
    assert other["__typename"] == "IdempotencyConflict"


# ── whose use it is ───────────────────────────────────────────────────────────────────────────────────


async def test_a_limit_of_one_customer(guest: Visitor) -> None:
    """By e-mail address: a guest has a new record each time."""
    await make_promo(guest.client, guest.shop, customerLimit=1)
    await guest.booked(at(2, 8), promoCode="VERANO20")
    again = await guest.book(
        await guest.held(at(2, 9)), promoCode="VERANO20", customer={**ANA, "email": "ANA@example.com"}
    )
    assert said(again) == [("input.promoCode", "is a code that you have used as often as you may")]
    await guest.booked(at(2, 10), promoCode="VERANO20", customer=BEA)


async def test_an_account_is_one_customer_whatever_it_writes(guest: Visitor) -> None:
    await make_promo(guest.client, guest.shop, customerLimit=1)
    customer = await account(guest.client, guest.shop, "customer")
    await customer.booked(at(2, 8), promoCode="VERANO20", customer=None)
    again = await customer.book(await customer.held(at(2, 9)), promoCode="VERANO20", customer=BEA)
    assert said(again)[0][1] == "is a code that you have used as often as you may"
    # And who books as a guest with the account's address is the same customer.
    email = guest.shop.people["customer"].email
    as_guest = await guest.book(await guest.held(at(2, 10)), promoCode="VERANO20", customer={**BEA, "email": email})
    assert said(as_guest)[0][1] == "is a code that you have used as often as you may"


async def test_staff_use_it_for_their_customers(guest: Visitor) -> None:
    await make_promo(guest.client, guest.shop, customerLimit=1)
    staff = await colleague(guest.client, guest.shop, Role.STAFF)
    for hour, customer in ((8, ANA), (9, BEA)):
        await staff.booked(at(2, hour), promoCode="VERANO20", customer=customer)
    again = await staff.book(await staff.held(at(2, 10)), promoCode="VERANO20", customer=BEA)
    assert again["__typename"] == "InvalidInput"


async def test_a_first_booking_only(guest: Visitor) -> None:
    promo = await make_promo(guest.client, guest.shop, firstBookingOnly=True)
    first = await guest.booked(at(2, 8))
    refused = await guest.book(await guest.held(at(2, 9)), promoCode="VERANO20")
    assert said(refused) == [("input.promoCode", "is a code for a first booking only")]
    await guest.cancel(first, accessToken=first.token)  # it came to nothing
    await guest.booked(at(2, 9, 30), promoCode="VERANO20")
    await guest.booked(at(2, 12), promoCode="VERANO20", customer=BEA)
    assert await uses_of(guest.shop, promo) == 2


async def test_another_organization_has_other_codes(guest: Visitor, services: Services) -> None:
    await make_promo(guest.client, await make_shop(services), "THEIRS")
    refused = await guest.book(await guest.held(at(2, 10)), promoCode="THEIRS")
    assert said(refused) == [("input.promoCode", "is no code that can be used here")]


@pytest.mark.parametrize(
    "code", ["", " ", "ab", "x" * 100_000, "🎉🎉🎉", "\u202eVERANO20", "VERANO20\x01", "' OR 1=1 --"]
)
async def test_hostile_codes_are_unknown(guest: Visitor, code: str) -> None:
    await make_promo(guest.client, guest.shop)
    held = await guest.held(at(2, 10))
    assert said(await guest.book(held, promoCode=code)) == [("input.promoCode", "is no code that can be used here")]
    assert (await guest.book(held))["__typename"] == "CreateBookingPayload"


# ── when a use comes back ─────────────────────────────────────────────────────────────────────────────


async def test_cancelled_before_it_was_paid(guest: Visitor) -> None:
    promo = await make_promo(guest.client, guest.shop, totalLimit=1)
    made = await guest.booked(at(2, 10), promoCode="VERANO20")
    await guest.cancel(made, accessToken=made.token)
    assert await uses_of(guest.shop, promo) == 0
    [event] = await rows_of(guest.shop, "SELECT payload FROM outbox_event WHERE type = 'promo_code.use_returned'")
    assert event["payload"] == {"bookingId": str(decode_id(IdKind.BOOKING, made.id))}
    await guest.booked(at(2, 12), promoCode="VERANO20")
    assert await uses_of(guest.shop, promo) == 1


async def test_a_lowered_limit_touches_nobody(guest: Visitor) -> None:
    promo = await make_promo(guest.client, guest.shop, totalLimit=5)
    made = [await guest.booked(at(2, 8 + number), promoCode="VERANO20") for number in range(3)]
    await change_promo(guest.client, guest.shop, promo, totalLimit=1)
    for one in made:
        assert (await guest.read(one, one.token))["price"]["amountMinor"] == 800
    await guest.cancel(made[0], accessToken=made[0].token)
    assert await uses_of(guest.shop, promo) == 2
    refused = await guest.book(await guest.held(at(2, 15)), promoCode="VERANO20")
    assert refused["__typename"] == "InvalidInput"


async def test_switched_off_it_changes_no_booking(guest: Visitor) -> None:
    promo = await make_promo(guest.client, guest.shop)
    made = await guest.booked(at(2, 10), promoCode="VERANO20")
    await change_promo(guest.client, guest.shop, promo, isActive=False)
    assert (await guest.read(made, made.token))["price"]["amountMinor"] == 800
    await guest.cancel(made, accessToken=made.token)
    assert await uses_of(guest.shop, promo) == 0


# ── paid online ───────────────────────────────────────────────────────────────────────────────────────


async def test_what_is_paid_is_the_lower_price_and_goes_back_whole(payer: Payer, paying: Paying) -> None:
    promo = await make_promo(paying.client, payer.shop)
    made = await payer.pay_now(at(3, 10), promoCode="VERANO20")
    assert made.answer["payment"]["amount"]["amountMinor"] == 800
    await paying.pay(made)
    assert (await payer.refresh(made))["booking"]["paymentStatus"] == "PAID"
    owner = owner_of(paying, payer.shop).client
    assert await ledger_of(owner, made) == {"customer": -800, "escrow": 800}
    await payer.cancel(made, accessToken=made.token)
    await paying.work("execute_refund")
    booking = await payer.seen(made)
    assert (booking["status"], booking["refunds"][0]["amount"]) == ("REFUNDED", {"amountMinor": 800})
    assert await ledger_of(owner, made) == {"customer": -800, "refunds": 800}
    assert await uses_of(payer.shop, promo) == 1  # it was paid: it counts


async def test_an_unpaid_booking_gives_its_use_back(payer: Payer, paying: Paying) -> None:
    promo = await make_promo(paying.client, payer.shop, totalLimit=1)
    made = await payer.pay_now(at(3, 10), promoCode="VERANO20")
    assert await uses_of(payer.shop, promo) == 1
    paying.api.clock.move(timedelta(minutes=31))
    await paying.work("end_payment")
    assert (await payer.seen(made))["status"] == "EXPIRED"
    assert await uses_of(payer.shop, promo) == 0
    await payer.booked(at(3, 12), promoCode="VERANO20")
    assert await uses_of(payer.shop, promo) == 1


async def test_a_late_payment_keeps_price_and_code_beyond_the_limit(payer: Payer, paying: Paying) -> None:
    promo = await make_promo(paying.client, payer.shop, totalLimit=1)
    await paying.sandbox.control(
        "faults", kind="error", match="POST /v1/payment_intents/*/cancel", times=99, status=503
    )
    made = await payer.pay_now(at(3, 10), promoCode="VERANO20")
    await expired_at_last(payer, paying, made)
    assert await uses_of(payer.shop, promo) == 0
    other = await payer.booked(at(3, 12), promoCode="VERANO20", customer=BEA)
    await paying.pay(made)
    await paying.pass_on()
    booking = await payer.seen(made)
    assert (booking["status"], booking["paymentStatus"]) == ("CONFIRMED", "PAID")
    assert await uses_of(payer.shop, promo) == 2
    await payer.cancel(other, accessToken=other.token)
    assert await uses_of(payer.shop, promo) == 1
    refused = await payer.book(await payer.held(at(3, 15)), promoCode="VERANO20")
    assert refused["__typename"] == "InvalidInput"


async def expired_at_last(payer: Payer, paying: Paying, made: Made) -> None:
    """Unpaid, although the processor did not answer when its payment was to be ended."""
    paying.api.clock.move(timedelta(minutes=40))
    await sweep(paying.worker, paying.api.clock, expire_unpaid_bookings)
    assert (await payer.seen(made))["status"] == "EXPIRED"


async def test_a_free_booking_needs_no_payment(payer: Payer, paying: Paying) -> None:
    promo = await make_promo(paying.client, payer.shop, rateBps=10_000)
    held = await payer.held(at(3, 10))
    answer = await paying.client(BOOK, {"input": booking_input(held, paymentMethod="PAY_NOW", promoCode="VERANO20")})
    booking = answer["booking"]
    assert (booking["status"], booking["paymentStatus"], answer["payment"]) == ("CONFIRMED", "PAID", None)
    assert await uses_of(payer.shop, promo) == 1


async def test_budget(guest: Visitor, statements: StatementLog) -> None:
    """One statement to find the code, one to count for the customer where a limit asks for it, one to take the use."""
    await make_promo(guest.client, guest.shop, "PLAIN")
    await make_promo(guest.client, guest.shop, "LIMITED", customerLimit=2)
    counts: list[int] = []
    for hour, extra in ((10, {}), (11, {"promoCode": "PLAIN"}), (12, {"promoCode": "LIMITED"})):
        held = await guest.held(at(2, hour))
        statements.clear()
        wanted: dict[str, Any] = {"idempotencyKey": str(uuid4()), **extra}
        assert (await guest.book(held, **wanted))["__typename"] == "CreateBookingPayload"
        counts.append(len(statements))
    assert counts[0] <= 8
    assert counts[1:] == [counts[0] + 2, counts[0] + 3]


@pytest.mark.parametrize("limit", [{"firstBookingOnly": True}, {"customerLimit": 1}])
async def test_nobody_learns_who_was_here_without_booking(guest: Visitor, limit: dict[str, Any]) -> None:
    """Whose address it is, is asked last: a booking that cannot be made otherwise tells nothing of them."""
    await make_promo(guest.client, guest.shop, **limit)
    await guest.booked(at(2, 8), promoCode="VERANO20")
    held = await guest.held(at(2, 10))
    answers = [
        await guest.book(held, promoCode="VERANO20", paymentMethod="PAY_NOW", customer=customer)
        for customer in (ANA, BEA)
    ]
    assert answers[0] == answers[1]
    assert answers[0]["rule"] == "pay_now_unavailable"
