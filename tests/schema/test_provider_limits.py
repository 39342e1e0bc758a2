"""How many bookings a provider takes a day and a week: kept when a slot is held."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest

from app.domain.schedule import weekly_hours
from app.resolvers.context import Services
from tests.classes import make_class
from tests.fixtures_api import GraphQLClient, MovableClock
from tests.journey import Visitor, live_time
from tests.rooms import limit_provider
from tests.shop import Shop, at, make_shop


@pytest.fixture
async def shop(services: Services) -> Shop:
    return await make_shop(services, providers=2)


@pytest.fixture
def guest(client: GraphQLClient, shop: Shop) -> Visitor:
    return Visitor(client, shop)


def monday(hour: int, minute: int = 0) -> datetime:
    """A coming week's, so that its days are in one week; not tomorrow's, which may be too soon for notice."""
    return at(9 - at(2, 0).weekday(), hour, minute)


async def test_a_full_day_offers_nothing(guest: Visitor, shop: Shop) -> None:
    await limit_provider(shop, day=2)
    one: dict[str, Any] = {"providerId": shop.provider_ids[0]}
    first = await guest.held(monday(10), **one)
    await guest.booked(monday(12), hold=one)
    refused = await guest.hold(monday(14), **one)
    assert (refused["__typename"], refused["reason"]) == ("SlotUnavailable", "LIMIT")
    assert await guest.starts(monday(0).date(), providerIds=[shop.provider_ids[0]]) == []
    assert (await guest.held(monday(14))).answer["provider"]["id"] == shop.provider_ids[1]
    await guest.release(first)
    await guest.held(monday(14), **one)


async def test_a_week_from_monday_to_sunday(guest: Visitor, shop: Shop) -> None:
    await limit_provider(shop, week=1)
    one: dict[str, Any] = {"providerId": shop.provider_ids[0]}
    await guest.held(monday(23, 30) + timedelta(days=6), **one)
    assert (await guest.hold(monday(0), **one))["reason"] == "LIMIT"
    await guest.held(monday(0) + timedelta(days=7), **one)


async def test_the_day_is_that_of_the_provider(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, time_zone="Pacific/Auckland")
    await limit_provider(shop, day=1)
    guest = Visitor(client, shop)
    await guest.held(monday(10))
    await guest.held(monday(13))
    assert (await guest.hold(monday(14)))["reason"] == "LIMIT"


async def test_a_lapsed_hold_counts_no_more(guest: Visitor, shop: Shop, clock: MovableClock) -> None:
    await limit_provider(shop, day=1)
    one: dict[str, Any] = {"providerId": shop.provider_ids[0]}
    await guest.held(monday(10), **one)
    assert (await guest.hold(monday(12), **one))["reason"] == "LIMIT"
    clock.move(timedelta(minutes=11))
    await guest.held(monday(12), **one)


async def test_a_moved_booking_makes_room_for_itself(guest: Visitor, shop: Shop) -> None:
    await limit_provider(shop, day=1)
    one: dict[str, Any] = {"providerId": shop.provider_ids[0]}
    made = await guest.booked(monday(10), hold=one)
    assert (await guest.move(made, monday(11), accessToken=made.token))["__typename"] == "Booking"
    other = await guest.booked(monday(10) + timedelta(days=1), hold=one)
    refused = await guest.move(other, monday(14), accessToken=other.token)
    assert (refused["__typename"], refused["reason"]) == ("SlotUnavailable", "LIMIT")
    assert len(await live_time(shop)) == 2


async def test_a_visit_counts_once(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, more_services=({},))
    await limit_provider(shop, day=1)
    guest = Visitor(client, shop)
    items = [{"serviceId": service} for service in shop.service_ids]
    await guest.held(monday(10), serviceId=None, items=items)
    assert (await guest.hold(monday(14), serviceId=None, items=items))["reason"] == "LIMIT"


async def test_exact_with_twenty_at_once(guest: Visitor, shop: Shop) -> None:
    await limit_provider(shop, day=4)
    await limit_provider(shop, 1, week=3)
    answers = await asyncio.gather(*(guest.hold(monday(0, 30 * number)) for number in range(20)))
    assert Counter(answer["__typename"] for answer in answers) == {"HoldSlotPayload": 7, "SlotUnavailable": 13}
    people = Counter(answer["hold"]["provider"]["id"] for answer in answers if "hold" in answer)
    assert people == {shop.provider_ids[0]: 4, shop.provider_ids[1]: 3}


async def test_a_session_that_they_lead_counts_and_is_made_all_the_same(
    services: Services, client: GraphQLClient
) -> None:
    yoga = await make_class(client, services, led_by_first=True)
    await limit_provider(yoga.shop, day=1)
    guest = Visitor(client, yoga.shop)
    one: dict[str, Any] = {"providerId": yoga.shop.provider_ids[0]}
    assert await guest.starts(at(3, 0).date(), providerIds=[one["providerId"]]) == []
    assert (await guest.hold(at(3, 20), **one))["reason"] == "LIMIT"
    before = len(await yoga.everything(at(3, 0).date()))
    await yoga.publish(tuple(weekly_hours(day, [(8 * 60, 22 * 60)]) for day in range(7)))
    assert len(await yoga.everything(at(3, 0).date())) > before >= 1
