"""How many bookings one customer may have on a day and in a week."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest

from app.domain.membership import Role
from app.resolvers.context import Services
from tests.classes import make_class
from tests.fixtures_api import GraphQLClient, StatementLog
from tests.journey import ANA, Answer, Visitor, account, colleague
from tests.rooms import limit_customers
from tests.shop import Shop, at, make_person, make_shop

BEA = {"name": "Bea", "email": "bea@example.com"}


@pytest.fixture
async def shop(services: Services) -> Shop:
    return await make_shop(services)


@pytest.fixture
def guest(client: GraphQLClient, shop: Shop) -> Visitor:
    return Visitor(client, shop)


def monday(hour: int, minute: int = 0) -> datetime:
    """A coming week's, so that its days are in one week; not tomorrow's, which may be too soon for notice."""
    return at(9 - at(2, 0).weekday(), hour, minute)


async def book(visitor: Visitor, start: datetime, **extra: Any) -> Answer:
    return await visitor.book(await visitor.held(start), **extra)


async def test_a_day_has_room_for_so_many(guest: Visitor, shop: Shop) -> None:
    await limit_customers(shop, day=2)
    for hour in (10, 11):
        assert (await book(guest, monday(hour)))["__typename"] == "CreateBookingPayload"
    refused = await book(guest, monday(12))
    assert (refused["__typename"], refused["rule"]) == ("NotAllowed", "customer_daily_limit")
    assert f"{monday(0).date() + timedelta(days=1)} or later" in refused["message"]
    assert (await book(guest, monday(12) + timedelta(days=1)))["__typename"] == "CreateBookingPayload"
    assert (await book(guest, monday(13), customer=BEA))["__typename"] == "CreateBookingPayload"


async def test_a_week_goes_from_monday_to_sunday(guest: Visitor, shop: Shop) -> None:
    await limit_customers(shop, week=2)
    assert (await book(guest, monday(0)))["__typename"] == "CreateBookingPayload"
    assert (await book(guest, monday(23, 30) + timedelta(days=6)))["__typename"] == "CreateBookingPayload"
    refused = await book(guest, monday(12) + timedelta(days=3))
    assert refused["rule"] == "customer_weekly_limit"
    assert f"{(monday(0) + timedelta(days=7)).date()} or later" in refused["message"]
    assert (await book(guest, monday(0) + timedelta(days=7)))["__typename"] == "CreateBookingPayload"


async def test_what_was_cancelled_counts_no_more(guest: Visitor, shop: Shop) -> None:
    await limit_customers(shop, day=1)
    first = await guest.booked(monday(10))
    assert (await book(guest, monday(11)))["rule"] == "customer_daily_limit"
    await guest.cancel(first, accessToken=first.token)
    assert (await book(guest, monday(12)))["__typename"] == "CreateBookingPayload"


async def test_the_day_is_that_of_the_bookings_zone(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, time_zone="Pacific/Auckland")
    await limit_customers(shop, day=1)
    guest = Visitor(client, shop)
    assert (await book(guest, monday(10)))["__typename"] == "CreateBookingPayload"  # evening there
    assert (await book(guest, monday(13)))["__typename"] == "CreateBookingPayload"  # the next day there
    assert (await book(guest, monday(14)))["rule"] == "customer_daily_limit"


async def test_staff_are_not_bound(guest: Visitor, shop: Shop, client: GraphQLClient, services: Services) -> None:
    await limit_customers(shop, day=1)
    staff = await colleague(client, shop, Role.STAFF)
    for hour in (10, 11):
        assert (await book(staff, monday(hour)))["__typename"] == "CreateBookingPayload"
    assert (await book(guest, monday(12)))["rule"] == "customer_daily_limit"  # what staff booked counts
    linked = await make_person(services, "linked")
    own = await make_shop(services, linked=linked)
    await limit_customers(own, day=1)
    provider = Visitor(client.signed_in(linked.token), own)
    for hour in (10, 11):
        assert (await book(provider, monday(hour)))["__typename"] == "CreateBookingPayload"


async def test_moving_is_no_way_around_it(guest: Visitor, shop: Shop, client: GraphQLClient) -> None:
    """A day or a week that is full takes nobody in; where a booking is already, it may be moved about."""
    tuesday = monday(0) + timedelta(days=1)
    days = [tuesday + timedelta(days=number) for number in range(3)]
    made = [await guest.booked(day + timedelta(hours=10)) for day in (*days, tuesday + timedelta(days=7))]
    await limit_customers(shop, day=1, week=3)
    link = {"accessToken": made[1].token}
    refused = await guest.move(made[1], days[0] + timedelta(hours=12), **link)
    assert (refused["__typename"], refused["rule"]) == ("NotAllowed", "customer_daily_limit")
    refused = await guest.move(made[3], days[2] + timedelta(days=1, hours=12), accessToken=made[3].token)
    assert refused["rule"] == "customer_weekly_limit"
    for start in (days[1] + timedelta(hours=15), days[2] + timedelta(days=1, hours=12)):
        assert (await guest.move(made[1], start, **link))["__typename"] == "Booking"
    staff = await colleague(client, shop, Role.STAFF)
    assert (await staff.move(made[1], days[0] + timedelta(hours=12)))["__typename"] == "Booking"
    # Now that day has more than it may; both may still move on it.
    assert (await guest.move(made[1], days[0] + timedelta(hours=14), **link))["__typename"] == "Booking"


async def test_moved_to_one_day_all_at_once(guest: Visitor, shop: Shop) -> None:
    tuesday = monday(0) + timedelta(days=1)
    made = [await guest.booked(tuesday + timedelta(days=number, hours=10)) for number in range(5)]
    await limit_customers(shop, day=2)
    answers = await asyncio.gather(
        *(
            guest.move(one, tuesday + timedelta(hours=11 + number), accessToken=one.token)
            for number, one in enumerate(made[1:])
        )
    )
    assert Counter(answer["__typename"] for answer in answers) == {"Booking": 1, "NotAllowed": 3}


async def test_a_session_s_day_counts_like_any(services: Services, client: GraphQLClient) -> None:
    yoga = await make_class(client, services)
    first, second = [await yoga.booked((await yoga.at(at(day, 10)))["id"]) for day in (3, 4)]
    await limit_customers(yoga.shop, day=1)
    later = (await yoga.at(at(3, 11)))["id"]
    refused = await yoga.guest.move(second, sessionId=later, accessToken=second.token)
    assert (refused["__typename"], refused["rule"]) == ("NotAllowed", "customer_daily_limit")
    assert (await yoga.guest.move(first, sessionId=later, accessToken=first.token))["__typename"] == "Booking"


async def test_by_account_or_by_address(guest: Visitor, shop: Shop, client: GraphQLClient) -> None:
    await limit_customers(shop, day=1)
    signed_in = await account(client, shop, "customer")
    assert (await book(signed_in, monday(10), customer=None))["__typename"] == "CreateBookingPayload"
    # The account with another address, and the address without the account.
    assert (await book(signed_in, monday(11), customer=BEA))["rule"] == "customer_daily_limit"
    email = (await shop.person("customer")).email
    same = {"name": "Ana", "email": f" {email.upper()} "}
    assert (await book(guest, monday(12), customer=same))["rule"] == "customer_daily_limit"
    assert (await book(guest, monday(13), customer=BEA))["__typename"] == "CreateBookingPayload"


@pytest.mark.parametrize("who", ["guest", "account"])
async def test_exact_with_twenty_at_once(guest: Visitor, shop: Shop, client: GraphQLClient, who: str) -> None:
    await limit_customers(shop, day=3)
    signed_in = await account(client, shop, "customer")
    held = [await guest.held(monday(0, 30 * number)) for number in range(20)]
    asker, customer = (guest, ANA) if who == "guest" else (signed_in, None)
    answers = await asyncio.gather(*(asker.book(one, customer=customer) for one in held))
    assert Counter(answer["__typename"] for answer in answers) == {"CreateBookingPayload": 3, "NotAllowed": 17}


async def test_another_organization_counts_for_itself(guest: Visitor, shop: Shop, services: Services) -> None:
    other = await make_shop(services)
    for one in (shop, other):
        await limit_customers(one, day=1)
        assert (await book(Visitor(guest.client, one), monday(10)))["__typename"] == "CreateBookingPayload"


async def test_without_limits_nothing_is_counted(guest: Visitor, statements: StatementLog) -> None:
    held = await guest.held(monday(10))
    statements.clear()
    await guest.book(held)
    assert not any("count_customer_bookings" in statement for statement in statements.statements)
