"""How many bookings one customer may make within an hour."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from app.domain.customer_limit import CustomerLimits, hour_is_full
from app.domain.membership import Role
from app.resolvers.context import Services
from tests.classes import make_class
from tests.factories import Catalogue, make, refused
from tests.fixtures_api import GraphQLClient, MovableClock, StatementLog
from tests.journey import ANA, Answer, Visitor, account, booking_input, colleague, rows_of
from tests.shop import Shop, at, make_shop

BOOK = """
mutation ($input: CreateBookingInput!) { createBooking(input: $input) { __typename
  ... on CreateBookingPayload { booking { id } }
  ... on RateLimited { code message retryAfterSeconds } } }
"""
LIMIT = "query ($id: ID!) { organization(id: $id) { bookingsPerHourLimit customerDailyLimit } }"
MADE = "CreateBookingPayload"


async def limit_hours(shop: Shop, limit: int | None) -> None:
    await rows_of(
        shop,
        "UPDATE organization SET bookings_per_hour_limit = :most WHERE id = :id RETURNING 1",
        id=shop.organization_uuid,
        most=limit,
    )


@pytest.fixture
async def shop(services: Services) -> Shop:
    shop = await make_shop(services)
    await limit_hours(shop, 2)
    return shop


@pytest.fixture
def guest(client: GraphQLClient, shop: Shop) -> Visitor:
    return Visitor(client, shop)


async def book(visitor: Visitor, number: int, **extra: Any) -> Answer:
    held = await visitor.held(at(3, 0) + timedelta(minutes=30 * number))
    answer: Answer = await visitor.client(BOOK, {"input": booking_input(held, **extra)})
    return answer


@pytest.mark.parametrize("who", ["guest", "account"])
async def test_of_twenty_at_once_exactly_five(guest: Visitor, shop: Shop, client: GraphQLClient, who: str) -> None:
    await limit_hours(shop, 5)
    signed_in = await account(client, shop, "customer")
    held = [await guest.held(at(3, 0) + timedelta(minutes=30 * number)) for number in range(20)]
    asker, customer = (guest, ANA) if who == "guest" else (signed_in, None)
    inputs = [{"input": booking_input(one, customer=customer)} for one in held]
    answers = await asyncio.gather(*(asker.client(BOOK, one) for one in inputs))
    assert Counter(answer["__typename"] for answer in answers) == {MADE: 5, "RateLimited": 15}
    assert len(await rows_of(shop, "SELECT 1 FROM booking")) == 5
    assert all(3_500 < one["retryAfterSeconds"] <= 3_600 for one in answers if one["__typename"] == "RateLimited")


async def test_the_hour_slides(guest: Visitor, clock: MovableClock) -> None:
    noon = datetime.now(UTC)
    for minutes in (0, 40):
        clock.move_to(noon + timedelta(minutes=minutes))
        assert (await book(guest, minutes))["__typename"] == MADE
    clock.move_to(noon + timedelta(minutes=50))
    full = await book(guest, 1)
    assert (full["__typename"], full["code"]) == ("RateLimited", "RATE_LIMITED")
    assert abs(full["retryAfterSeconds"] - 600) < 60  # when the first of them is an hour old
    assert "2 bookings within an hour" in full["message"]
    assert f"again in {math.ceil(full['retryAfterSeconds'] / 60)} minutes" in full["message"]
    clock.move_to(noon + timedelta(minutes=50, seconds=full["retryAfterSeconds"] + 1))
    assert (await book(guest, 2))["__typename"] == MADE
    full = await book(guest, 3)  # the one of minute 40 has twenty minutes to go
    assert abs(full["retryAfterSeconds"] - 40 * 60) < 60


async def test_by_account_or_by_address(guest: Visitor, shop: Shop, client: GraphQLClient) -> None:
    signed_in = await account(client, shop, "customer")
    address = (await shop.person("customer")).email
    same = {"name": "Ana", "email": f" {address.upper()} "}
    assert (await book(signed_in, 1, customer=None))["__typename"] == MADE
    assert (await book(guest, 2, customer=same))["__typename"] == MADE
    assert (await book(signed_in, 3, customer=None))["__typename"] == "RateLimited"
    assert (await book(guest, 4, customer=same))["__typename"] == "RateLimited"
    assert (await book(signed_in, 5, customer=ANA))["__typename"] == MADE
    assert (await book(signed_in, 6, customer={**ANA, "email": "eve@example.com"}))["__typename"] == "RateLimited"
    assert (await book(guest, 7, customer={**ANA, "email": "bea@example.com"}))["__typename"] == MADE


async def test_whatever_became_of_them(guest: Visitor) -> None:
    for number in (1, 2):
        made = await guest.booked(at(3, number))
        await guest.cancel(made, accessToken=made.token)
    assert (await book(guest, 30))["__typename"] == "RateLimited"


async def test_a_repeat_is_no_booking(guest: Visitor) -> None:
    held = await guest.held(at(4, 10))
    again = {"input": booking_input(held, idempotencyKey=str(uuid4()))}
    answers = [await guest.client(BOOK, again) for _ in range(5)]
    assert len({answer["booking"]["id"] for answer in answers}) == 1
    assert (await book(guest, 1))["__typename"] == MADE
    assert (await guest.client(BOOK, again))["__typename"] == MADE, "one that was made is told of when it is full too"
    assert (await book(guest, 2))["__typename"] == "RateLimited"


async def test_staff_and_providers_book_for_others(guest: Visitor, shop: Shop, client: GraphQLClient) -> None:
    staff = await colleague(client, shop, Role.STAFF)
    for number in range(4):
        assert (await book(staff, number))["__typename"] == MADE
    for number in (4, 5):  # what staff made for her is not hers to answer for
        assert (await book(guest, number))["__typename"] == MADE
    assert (await book(guest, 6))["__typename"] == "RateLimited"
    assert (await book(staff, 7))["__typename"] == MADE


async def test_a_series_counts_once(guest: Visitor, shop: Shop) -> None:
    await limit_hours(shop, None)
    for number in range(3):
        await book(guest, number)
    series = uuid4()
    await rows_of(
        shop,
        "INSERT INTO booking_series"
        " (id, organization_id, service_id, customer_id, rule, starts_at, time_zone, party_size)"
        " SELECT :series, organization_id, service_id, customer_id, 'FREQ=DAILY;COUNT=3', starts_at, time_zone, 1"
        " FROM booking ORDER BY id LIMIT 1 RETURNING 1",
        series=series,
    )
    await rows_of(
        shop,
        "UPDATE booking b SET series_id = :series, series_index = n.number"
        " FROM (SELECT id, row_number() OVER (ORDER BY id) AS number FROM booking) n WHERE n.id = b.id RETURNING 1",
        series=series,
    )
    await limit_hours(shop, 2)
    assert (await book(guest, 3))["__typename"] == MADE
    assert (await book(guest, 4))["__typename"] == "RateLimited"


async def test_places_of_sessions_count_too(services: Services, client: GraphQLClient) -> None:
    yoga = await make_class(client, services)
    await limit_hours(yoga.shop, 1)
    await yoga.booked((await yoga.at(at(3, 10)))["id"])
    held = await yoga.held((await yoga.at(at(4, 10)))["id"])
    assert (await client(BOOK, {"input": booking_input(held)}))["__typename"] == "RateLimited"


async def test_moving_makes_none(guest: Visitor) -> None:
    made = [await guest.booked(at(3 + number, 10)) for number in range(2)]
    moved = await guest.move(made[0], at(6, 10), accessToken=made[0].token)
    assert moved["__typename"] == "Booking"


async def test_another_organization_counts_for_itself(guest: Visitor, services: Services) -> None:
    other = await make_shop(services)
    await limit_hours(other, 2)
    for number in range(2):
        assert (await book(guest, number))["__typename"] == MADE
    assert (await book(Visitor(guest.client, other), 1))["__typename"] == MADE


async def test_budget(guest: Visitor, statements: StatementLog) -> None:
    held = await guest.held(at(3, 10))
    statements.clear()
    await guest.client(BOOK, {"input": booking_input(held, idempotencyKey=str(uuid4()))})
    assert any("count_customer_bookings" in statement for statement in statements.statements)
    assert len(statements) <= 8, statements.statements


async def test_the_setting(catalogue: Catalogue, client: GraphQLClient) -> None:
    owner = catalogue.owner.client
    assert await client(LIMIT, {"id": catalogue.id}) == {"bookingsPerHourLimit": 5, "customerDailyLimit": None}
    for given, kept in ((1, 1), (1_000, 1_000), (0, None), (7, 7), (None, None)):
        await make(owner, "updateOrganization", organizationId=catalogue.id, bookingsPerHourLimit=given)
        assert (await client(LIMIT, {"id": catalogue.id}))["bookingsPerHourLimit"] == kept
    for wrong in (-1, 1_001):
        found = await refused(owner, "updateOrganization", organizationId=catalogue.id, bookingsPerHourLimit=wrong)
        assert set(found) == {"input.bookingsPerHourLimit"}


def test_it_says_when() -> None:
    assert not CustomerLimits()
    assert CustomerLimits(per_hour=1)
    one = hour_is_full(1, timedelta(seconds=59.2))
    assert (one.retry_after_seconds, one.message.endswith("again in 1 minute.")) == (60, True)
    assert "1 booking within" in one.message
    assert hour_is_full(5, timedelta(microseconds=1)).retry_after_seconds == 1
