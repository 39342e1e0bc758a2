"""A guest who goes back does not find the own hold in the way."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from app.domain.membership import Role
from app.resolvers.context import Services
from tests.classes import Class, make_class
from tests.fixtures_api import GraphQLClient, make_settings, serve
from tests.guests import GuestVisit, start
from tests.journey import account, colleague, live_time, rows_of
from tests.schema.test_price_quote import accepted
from tests.shop import Shop, at, make_shop


@pytest.fixture
async def shop(services: Services) -> Shop:
    return await make_shop(services, service={"maximum_duration_minutes": 60, "max_group_size": 4})


@pytest.fixture
async def guest(client: GraphQLClient, shop: Shop) -> GuestVisit:
    return await start(client, shop)


async def _statuses(shop: Shop) -> list[str]:
    return [row["status"] for row in await rows_of(shop, "SELECT status FROM hold ORDER BY id")]


async def test_the_same_slot_gives_the_own_hold_at_its_price(guest: GuestVisit, shop: Shop) -> None:
    held = await guest.held(at(2, 10))
    await rows_of(shop, "UPDATE service SET price_minor = 9999 RETURNING id")
    ways: list[dict[str, Any]] = [{}, {"providerId": shop.provider_id}, {"durationMinutes": 30}]
    for named in ways:
        again = await guest.held(at(2, 10), **named)
        assert (again.id, again.token, again.answer) == (held.id, held.token, held.answer)
    stranger = await guest.visitor.hold(at(2, 10))
    assert (stranger["__typename"], stranger["reason"]) == ("SlotUnavailable", "HELD")
    assert await _statuses(shop) == ["active"]


@pytest.mark.parametrize(
    ("start_at", "wanted"),
    [
        (at(2, 10, 15), {}),
        (at(2, 10), {"durationMinutes": 60}),
        (at(2, 10), {"partySize": 2}),
        (at(2, 9, 45), {"durationMinutes": 60}),
    ],
)
async def test_another_choice_takes_its_place(
    guest: GuestVisit, shop: Shop, start_at: datetime, wanted: dict[str, Any]
) -> None:
    for named in ({}, {"providerId": shop.provider_id}):
        held = await guest.held(at(2, 10))
        other = await guest.held(start_at, **wanted, **named)
        assert other.id != held.id
        length = timedelta(minutes=wanted.get("durationMinutes", 30))
        assert await live_time(shop) == [(start_at, start_at + length, "held")]
        assert (await guest.visitor.book(held))["__typename"] == "HoldExpired"
    assert (await guest.visitor.book(other))["__typename"] == "CreateBookingPayload"


async def test_what_is_elsewhere_stays(guest: GuestVisit, shop: Shop) -> None:
    one, two = await guest.held(at(2, 10)), await guest.held(at(2, 10, 30))
    assert one.id != two.id
    assert len(await live_time(shop)) == 2


async def test_refused_the_old_hold_stands(guest: GuestVisit) -> None:
    held = await guest.held(at(2, 10))
    await guest.visitor.held(at(2, 10, 30))
    refused = await guest.hold(at(2, 10, 15))
    assert refused["__typename"] == "SlotUnavailable"
    assert (await guest.held(at(2, 10))).id == held.id
    assert (await guest.visitor.book(held))["__typename"] == "CreateBookingPayload"


async def test_a_visit_is_the_same_by_its_services(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, more_services=({"name": "Second"},))
    guest = await start(client, shop)
    one, two = ({"serviceId": each} for each in shop.service_ids)
    held = await guest.held(at(2, 10), serviceId=None, items=[one, two])
    again = await guest.held(at(2, 10), serviceId=None, items=[{**one, "providerId": shop.provider_id}, two])
    assert again.id == held.id
    other = await guest.held(at(2, 10), serviceId=None, items=[two, one])
    assert other.id != held.id
    assert (await guest.held(at(2, 10))).id != other.id
    assert len(await live_time(shop)) == 1


async def test_nobody_slips_in_between(guest: GuestVisit, shop: Shop) -> None:
    await guest.held(at(2, 10))
    choices = [at(2, 10, 15), at(2, 10)] * 4

    async def strangers() -> list[str]:
        tried = [guest.visitor.hold(at(2, 10, 15 * (n % 2))) for n in range(16)]
        return [answer["__typename"] for answer in await asyncio.gather(*tried)]

    async def changes() -> list[str]:
        return [(await guest.hold(choice))["__typename"] for choice in choices]

    others, own = await asyncio.gather(strangers(), changes())
    assert own == ["HoldSlotPayload"] * len(choices)
    assert set(others) == {"SlotUnavailable"}
    assert await live_time(shop) == [(at(2, 10), at(2, 10, 30), "held")]


async def test_the_same_request_many_times_at_once_is_one_hold(guest: GuestVisit, shop: Shop) -> None:
    answers = await asyncio.gather(*(guest.hold(at(2, 10)) for _ in range(8)))
    assert {answer["__typename"] for answer in answers} == {"HoldSlotPayload"}
    assert len({answer["hold"]["id"] for answer in answers}) == 1
    assert await _statuses(shop) == ["active"]


async def test_two_who_want_each_others_slot(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, providers=2)
    one, two = [await start(client, shop) for _ in range(2)]
    a, b = shop.provider_ids
    for _ in range(3):
        await asyncio.gather(one.held(at(2, 10), providerId=a), two.held(at(2, 10), providerId=b))
        answers = await asyncio.gather(one.hold(at(2, 10), providerId=b), two.hold(at(2, 10), providerId=a))
        assert {answer["__typename"] for answer in answers} <= {"HoldSlotPayload", "SlotUnavailable"}
        assert len(await live_time(shop)) == 2
        await one.end()
        await two.end()
        assert await live_time(shop) == []
        one, two = [await start(client, shop) for _ in range(2)]


async def test_limits_count_what_is_replaced_once(database_url: str, redis_url: str, http: httpx.AsyncClient) -> None:
    async with serve(make_settings(database_url, redis_url, hold_limit_per_address=2)) as api:
        client = GraphQLClient(http, api.graphql_url)
        shop = await make_shop(api.api.services)
        guest = await start(client, shop)
        await guest.held(at(2, 9))
        await guest.held(at(2, 10))
        await guest.held(at(2, 10))
        await guest.held(at(2, 10, 15))
        assert (await guest.hold(at(2, 12)))["__typename"] == "RateLimited"
        assert len(await live_time(shop)) == 2


async def test_a_price_by_quote_is_not_stopped_by_its_own_hold(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, service={"price_type": "custom", "price_minor": 0})
    guest = await start(client, shop)
    token = await accepted(await colleague(client, shop, Role.STAFF), guest.visitor)
    held = await guest.held(at(2, 10), priceQuoteToken=token)
    again = await guest.held(at(2, 10, 15), priceQuoteToken=token)
    assert again.answer["price"] == held.answer["price"]
    assert await live_time(shop) == [(at(2, 10, 15), at(2, 10, 45), "held")]
    assert (await guest.visitor.book(again))["__typename"] == "CreateBookingPayload"


@pytest.mark.parametrize(
    "wanted",
    [{"durationMinutes": 2**31 - 1}, {"durationMinutes": -(2**31)}, {"partySize": -1}, {"partySize": 2**31 - 1}],
)
async def test_absurd_wishes_are_refused_and_cost_nothing(
    guest: GuestVisit, shop: Shop, wanted: dict[str, Any]
) -> None:
    held = await guest.held(at(2, 10))
    assert (await guest.hold(at(2, 10), **wanted))["__typename"] == "InvalidInput"
    items = [{"serviceId": shop.service_id, "durationMinutes": 2**31 - 1}] * 5
    assert (await guest.hold(at(2, 10), serviceId=None, items=items))["__typename"] == "InvalidInput"
    assert (await guest.held(at(2, 10))).id == held.id
    assert (await guest.hold(datetime(2199, 12, 31, 23, 45, tzinfo=UTC)))["__typename"] == "SlotUnavailable"


# ── by an account ─────────────────────────────────────────────────────────────────────────────────────


async def test_an_account_finds_its_own_hold(client: GraphQLClient, services: Services) -> None:
    shop = await make_shop(services, providers=2)
    eva = await account(client, shop, "eva")
    for named in ({}, {"providerId": shop.provider_ids[1]}):
        held = await eva.held(at(2, 10), **named)
        assert (await eva.held(at(2, 10), **named)).id == held.id
        other = await eva.held(at(2, 10, 15), providerId=held.answer["provider"]["id"])
        assert len(await live_time(shop)) == 1
        await eva.release(other)
    # For two people at the same time, each with somebody: both stay.
    pair = [await eva.held(at(2, 10), providerId=each) for each in shop.provider_ids]
    assert len({hold.id for hold in pair}) == 2
    assert len(await live_time(shop)) == 2


async def test_an_account_at_its_limit_still_has_its_own(client: GraphQLClient, shop: Shop) -> None:
    eva = await account(client, shop, "eva")
    holds = [await eva.held(at(2, hour)) for hour in (9, 10, 11)]
    ways: list[dict[str, Any]] = [{}, {"providerId": shop.provider_id}]
    for named in ways:
        assert (await eva.hold(at(2, 12), **named))["__typename"] == "RateLimited"
        assert (await eva.held(at(2, 10), **named)).id == holds[1].id
    assert (await eva.held(at(2, 10, 15), providerId=shop.provider_id)).id != holds[1].id
    assert len(await live_time(shop)) == 3


async def test_the_desk_holds_for_many(client: GraphQLClient, services: Services) -> None:
    shop = await make_shop(services, providers=2)
    desk = await colleague(client, shop, Role.STAFF)
    one, two = await desk.held(at(2, 10)), await desk.held(at(2, 10))
    assert one.id != two.id
    refused = await desk.hold(at(2, 10))
    assert refused["__typename"] == "SlotUnavailable"


# ── places ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def yoga(services: Services, client: GraphQLClient) -> Class:
    return await make_class(client, services)


async def test_the_number_of_places_changes_without_losing_them(yoga: Class) -> None:
    shop = yoga.shop
    session = (await yoga.at(at(2, 9)))["id"]
    guest = await start(yoga.client, shop)
    held = await yoga.held(session, 4, guestSessionToken=guest.token)
    assert (await yoga.held(session, 4, guestSessionToken=guest.token)).id == held.id
    await yoga.held(session, 5)
    grown = await yoga.held(session, 5, guestSessionToken=guest.token)
    assert grown.id != held.id
    refused = await yoga.hold(session, 6, guestSessionToken=guest.token)
    assert (refused["__typename"], refused["reason"]) == ("SlotUnavailable", "CAPACITY")
    assert (await yoga.held(session, 5, guestSessionToken=guest.token)).id == grown.id
    assert (await yoga.read(session))["capacityRemaining"] == 0
    shrunk = await yoga.held(session, 2, guestSessionToken=guest.token)
    assert (await yoga.read(session))["capacityRemaining"] == 3
    assert (await yoga.guest.book(shrunk, guestSessionToken=guest.token))["__typename"] == "CreateBookingPayload"
    # What is booked is no hold in the way: more places are more.
    await yoga.held(session, 3, guestSessionToken=guest.token)
    assert (await yoga.read(session))["capacityRemaining"] == 0


async def test_strangers_get_no_place_of_a_guest_who_changes_their_mind(yoga: Class) -> None:
    session = (await yoga.at(at(2, 9)))["id"]
    guest = await start(yoga.client, yoga.shop)
    await yoga.held(session, 10, guestSessionToken=guest.token)

    async def changes() -> list[str]:
        sizes = (9, 10, 9, 10)
        return [(await yoga.hold(session, size, guestSessionToken=guest.token))["__typename"] for size in sizes]

    strangers = asyncio.gather(*(yoga.hold(session, 2) for _ in range(12)))
    own, others = await asyncio.gather(changes(), strangers)
    assert own == ["HoldSlotPayload"] * 4
    assert {answer["__typename"] for answer in others} == {"SlotUnavailable"}


async def test_an_account_changes_its_places_too(yoga: Class) -> None:
    session = (await yoga.at(at(2, 9)))["id"]
    eva = (await account(yoga.client, yoga.shop, "eva")).client
    await yoga.held(session, 6, client=eva)
    await yoga.held(session, 7, client=eva)
    assert (await yoga.read(session))["capacityRemaining"] == 3
