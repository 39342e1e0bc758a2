"""What costs nothing is not paid: neither a processor nor an accepted method is needed for it."""

from __future__ import annotations

import pytest

from app.resolvers.context import Services
from tests.classes import make_class
from tests.fixtures_api import GraphQLClient
from tests.journey import Made, Visitor, rows_of
from tests.paying import REFRESH, RETRY
from tests.price_terms import set_terms
from tests.promos import make_promo, uses_of
from tests.shop import at, make_shop, set_offer

PAID = {"status": "CONFIRMED", "paymentStatus": "PAID"}


@pytest.fixture
async def guest(services: Services, client: GraphQLClient) -> Visitor:
    """Of an installation that has no processor."""
    return Visitor(client, await make_shop(services))


async def _state(guest: Visitor, made: Made) -> dict[str, str]:
    booking = await guest.read(made, made.token)
    return {name: booking[name] for name in PAID}


@pytest.mark.parametrize("method", ["PAY_NOW", "PAY_ON_ARRIVAL"])
async def test_a_code_that_takes_all_needs_no_processor(guest: Visitor, method: str) -> None:
    promo = await make_promo(guest.client, guest.shop, rateBps=10_000)
    held = await guest.held(at(2, 10))
    answer = await guest.book(held, paymentMethod=method, promoCode="VERANO20")
    assert answer["__typename"] == "CreateBookingPayload", answer
    booking = answer["booking"]
    assert (booking["price"]["amountMinor"], answer["payment"]) == (0, None)
    assert {name: booking[name] for name in PAID} == PAID
    assert await uses_of(guest.shop, promo) == 1
    [row] = await rows_of(guest.shop, "SELECT expires_at, quote FROM booking")
    assert (row["expires_at"], row["quote"]["totalMinor"], row["quote"]["dueNowMinor"]) == (None, 0, 0)
    assert await rows_of(guest.shop, "SELECT id FROM payment") == []


async def test_what_is_left_of_the_price_does(guest: Visitor) -> None:
    await make_promo(guest.client, guest.shop, rateBps=9_000)
    held = await guest.held(at(2, 10))
    for code in (None, "VERANO20"):
        refused = await guest.book(held, paymentMethod="PAY_NOW", promoCode=code)
        assert (refused["__typename"], refused["rule"]) == ("NotAllowed", "pay_now_unavailable")


async def test_whatever_methods_are_accepted(guest: Visitor) -> None:
    await set_offer(guest.shop, 0, price_minor=0)
    await set_terms(guest.shop, accepts_pay_now=False)
    made = await guest.booked(at(2, 10), paymentMethod="PAY_NOW")
    assert await _state(guest, made) == PAID
    await set_terms(guest.shop, accepts_pay_now=True, accepts_pay_on_arrival=False)
    assert await _state(guest, await guest.booked(at(2, 12))) == PAID


async def test_places_of_a_session(services: Services, client: GraphQLClient) -> None:
    yoga = await make_class(client, services)
    await make_promo(client, yoga.shop, amountMinor=10**9)
    held = await yoga.held((await yoga.at(at(3, 9)))["id"], 2)
    answer = await yoga.guest.book(held, paymentMethod="PAY_NOW", promoCode="VERANO20")
    assert {name: answer["booking"][name] for name in PAID} == PAID


async def test_it_has_no_payment_to_look_after_and_nothing_goes_back(guest: Visitor) -> None:
    promo = await make_promo(guest.client, guest.shop, rateBps=10_000)
    made = await guest.booked(at(2, 10), paymentMethod="PAY_NOW", promoCode="VERANO20")
    refreshed = await guest.client(REFRESH, {"id": made.id, "token": made.token})
    assert (refreshed["__typename"], refreshed["rule"]) == ("NotAllowed", "no_payment")
    retried = await guest.client(RETRY, {"input": {"bookingId": made.id, "accessToken": made.token}})
    assert retried["__typename"] == "IllegalTransition"
    assert (await guest.cancel(made, accessToken=made.token))["status"] == "CANCELLED"
    assert await rows_of(guest.shop, "SELECT id FROM refund") == []
    assert await uses_of(guest.shop, promo) == 0


async def test_it_waits_for_an_approval_all_the_same(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, service={"requires_approval": True, "price_minor": 0})
    made = await Visitor(client, shop).booked(at(2, 10), paymentMethod="PAY_NOW")
    assert (made.answer["status"], made.answer["paymentStatus"]) == ("AWAITING_PROVIDER", "PAID")
