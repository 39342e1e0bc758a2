"""Live availability under every rule of part two: time off, closed days, rooms, limits and visits; and coming back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.factories import make
from tests.fixtures_api import GraphQLClient, RunningApi
from tests.fixtures_live import Guest, search_of, watching
from tests.live_client import OperationFailed, live_socket
from tests.prices import ONE_START, five_times, shop_of_prices, sixfold
from tests.schema import operations as op
from tests.shop import OFFICE, Shop, at, iso, make_shop, set_offer

pytestmark = pytest.mark.usefixtures("relay")

DAY = at(3, 0)
TEN = at(3, 10)
COLOUR = {"duration_minutes": 60, "price_minor": 5_000}


@pytest.fixture
async def shop(running: RunningApi) -> Shop:
    return await make_shop(running.api.services, providers=2, weekly=OFFICE, slot_interval=30, more_services=(COLOUR,))


@pytest.fixture
def guest(client: GraphQLClient, shop: Shop) -> Guest:
    return Guest(client, shop)


async def done(client: GraphQLClient, operation: str, what: str, **values: Any) -> str:
    """Id of what a mutation made or changed."""
    name = operation[0].upper() + operation[1:]
    document = (
        f"mutation ($input: {name}Input!) {{ {operation}(input: $input) "
        f"{{ __typename ... on Error {{ message }} ... on {name}Payload {{ {what} {{ id }} }} }} }}"
    )
    answer = await client(document, {"input": values})
    assert answer["__typename"] == f"{name}Payload", answer
    made: str = answer[what]["id"]
    return made


async def test_time_off_and_closed_days(running: RunningApi, client: GraphQLClient, guest: Guest, shop: Shop) -> None:
    asked = search_of(shop, DAY, providerIds=[shop.provider_id])
    owner = client.signed_in(shop.owner.token)
    async with watching(running.socket_url, asked) as watcher:
        await watcher.next("SNAPSHOT")
        hours = {"startsAt": iso(TEN), "endsAt": iso(TEN + timedelta(hours=1))}
        away = await done(owner, "createTimeOff", "timeOff", providerId=shop.provider_id, reason="Dentist", **hours)
        gone = [iso(TEN), iso(TEN + timedelta(minutes=30))]
        assert await watcher.change("SCHEDULE") == ([], gone)
        watcher.screen.shows(await guest.search(asked))
        await done(owner, "removeTimeOff", "timeOff", timeOffId=away)
        assert await watcher.change("SCHEDULE") == (gone, [])

        day = DAY.date().isoformat()
        closing = {"ownerId": shop.venue_id, "kind": "CLOSED", "from": day, "to": day}
        closed = await done(owner, "createScheduleException", "exception", **closing)
        assert len((await watcher.change("SCHEDULE"))[1]) == 14
        await done(owner, "removeScheduleException", "exception", exceptionId=closed)
        assert len((await watcher.change("SCHEDULE"))[0]) == 14
        watcher.screen.shows(await guest.search(asked))


async def test_one_room_for_two_people(running: RunningApi, client: GraphQLClient, guest: Guest, shop: Shop) -> None:
    owner = client.signed_in(shop.owner.token)
    asked = search_of(shop, DAY)
    async with watching(running.socket_url, asked) as watcher:
        await watcher.next("SNAPSHOT")
        room = await done(owner, "createResource", "resource", venueId=shop.venue_id, name="Room", kind="ROOM")
        await done(owner, "setServiceNeeds", "service", serviceId=shop.service_id, needs=[{"allOf": [room]}])
        event = await watcher.next()
        assert event["causes"] == ["RESOURCE"]
        assert {slot["remaining"] for slot in event["updated"]} == {1}
        # One person takes the room: the other cannot start either.
        held = await guest.hold(TEN, shop.provider_ids[0])
        event = await watcher.next()
        while iso(TEN) not in event["closed"]:  # the person's claim and the room's are two events
            event = await watcher.next()
        watcher.screen.shows(await guest.search(asked))
        cursor = event["cursor"]
    await guest.release(held)
    async with watching(running.socket_url, asked, cursor) as again:
        again.screen = watcher.screen
        opened: list[str] = []
        while iso(TEN) not in opened:
            opened += (await again.change("RELEASED"))[0]
        again.screen.shows(await guest.search(asked))


async def test_a_day_at_its_limit(running: RunningApi, client: GraphQLClient, guest: Guest, shop: Shop) -> None:
    owner = client.signed_in(shop.owner.token)
    await make(owner, "updateProvider", providerId=shop.provider_id, dailyBookingLimit=1)
    asked = search_of(shop, DAY, days=2, providerIds=[shop.provider_id])
    async with watching(running.socket_url, asked) as watcher:
        assert len((await watcher.next("SNAPSHOT"))["opened"]) == 28
        held = await guest.hold(TEN, shop.provider_id)
        assert len((await watcher.change("HELD"))[1]) == 14
        await guest.release(held)
        assert len((await watcher.change("RELEASED"))[0]) == 14
        watcher.screen.shows(await guest.search(asked))


async def test_a_visit_of_two_services(running: RunningApi, guest: Guest, shop: Shop) -> None:
    asked: dict[str, Any] = search_of(shop, DAY, providerIds=[shop.provider_id])
    del asked["serviceId"]
    asked["items"] = [{"serviceId": service_id} for service_id in shop.service_ids]
    async with watching(running.socket_url, asked) as watcher:
        await watcher.next("SNAPSHOT")
        watcher.screen.shows(await guest.search(asked))
        held = await guest.hold(TEN, shop.provider_id)
        _, closed = await watcher.change("HELD")
        assert closed == [iso(TEN - timedelta(minutes=m)) for m in (60, 30, 0)]
        watcher.screen.shows(await guest.search(asked))
        cursor = (await guest.search(asked))["cursor"]
        await guest.release(held)
        assert (await watcher.change("RELEASED"))[0] == closed
    async with watching(running.socket_url, asked, cursor) as again:
        assert (await again.stream.next())["opened"] == closed


async def test_a_visit_of_too_many_prices_ends_the_stream_with_a_reason(running: RunningApi) -> None:
    prices = sixfold(8)
    shop = await shop_of_prices(running.api.services, [*prices, prices[0]], weekly=ONE_START)
    asked: dict[str, Any] = {**search_of(shop, DAY), "items": five_times(shop)}
    del asked["serviceId"]
    async with watching(running.socket_url, asked) as watcher:
        shown = await watcher.next("SNAPSHOT")
        assert shown["opened"] == [iso(TEN)]
        assert len(shown["updated"]) == 792  # choices of 5 out of 8, each as often as one likes
        await set_offer(shop, 8, price_minor=2 * prices[-1])
        with pytest.raises(OperationFailed) as failed:
            await watcher.stream.next()
        assert failed.value.code == "BAD_INPUT"
    async with live_socket(running.socket_url) as socket:
        stream = await socket.subscribe(op.WATCH_AVAILABILITY, input=asked)
        with pytest.raises(OperationFailed, match="too many combinations"):
            await stream.next()
