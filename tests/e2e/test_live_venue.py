"""A venue's services, live: one stream and one cursor for all of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from tests.factories import make
from tests.fixtures_api import GraphQLClient, RunningApi
from tests.fixtures_live import Guest, RunningRelay, publish, search_of
from tests.live_client import LiveStream, OperationFailed, Screen, live_socket
from tests.schema.operations import SLOT
from tests.shop import Shop, at, iso, make_shop

DAY = at(3, 0)
TEN = at(3, 10)
WATCH = f"""
subscription ($input: VenueAvailabilityInput!, $after: String, $pace: Int! = 0) {{
  venueAvailability(input: $input, after: $after, coalesceMs: $pace) {{
    kind cursor services {{ serviceId opened closed causes updated {{ {SLOT} }} }}
  }}
}}
"""


@dataclass(slots=True)
class Board:
    """A screen for each service."""

    stream: LiveStream
    screens: dict[str, Screen] = field(default_factory=dict)
    cursor: str = ""

    async def next(self, kind: str = "CHANGE") -> dict[str, list[str]]:
        """Which services the next event is about, and why."""
        event = await self.stream.next()
        assert event["kind"] == kind, event
        self.cursor = event["cursor"]
        for part in event["services"]:
            screen = self.screens.setdefault(part["serviceId"], Screen())
            screen.show({"kind": kind, "cursor": event["cursor"], **part})
        return {part["serviceId"]: part["causes"] for part in event["services"]}

    async def shows(self, guest: Guest) -> None:
        for service_id, screen in self.screens.items():
            screen.shows(await guest.search(search_of(guest.shop, DAY, serviceId=service_id)))


@asynccontextmanager
async def watching(url: str, asked: dict[str, Any], **more: Any) -> AsyncIterator[Board]:
    async with live_socket(url) as socket:
        yield Board(await socket.subscribe(WATCH, input=asked, **more))


def asked_of(shop: Shop, **more: Any) -> dict[str, Any]:
    day = iso(DAY)[:10]
    wanted = {"venueId": shop.venue_id, "serviceIds": shop.service_ids, "from": day, "to": day, "timeZone": "UTC"}
    return {**wanted, **more}


@pytest.fixture
async def shop(running: RunningApi, relay: RunningRelay) -> Shop:
    assert relay is not None
    return await make_shop(running.api.services, providers=2, more_services=({"name": "Long", "duration_minutes": 60},))


@pytest.fixture
def guest(client: GraphQLClient, shop: Shop) -> Guest:
    return Guest(client, shop)


async def test_what_one_service_takes_the_other_loses(
    running: RunningApi, client: GraphQLClient, guest: Guest, shop: Shop
) -> None:
    short, long = shop.service_ids
    async with watching(running.socket_url, asked_of(shop)) as board:
        assert await board.next("SNAPSHOT") == {short: [], long: []}
        await board.shows(guest)
        held = await guest.hold(TEN, service=short, provider=shop.provider_ids[0])
        assert await board.next() == {short: ["HELD"], long: ["HELD"]}
        await board.shows(guest)
        # Hours and people of the venue.
        await publish(client, shop, [])
        assert await board.next() == {short: ["SCHEDULE"], long: ["SCHEDULE"]}
        owner = client.signed_in(shop.owner.token)
        await make(owner, "updateService", serviceId=long, priceMinor=5_000)
        assert await board.next() == {long: ["PRICE"]}
        await board.shows(guest)
        cursor = board.cursor
        await board.stream.nothing(0.1)
        screens = board.screens
    # Away, and back by cursor: of all services at once.
    await guest.hold(TEN, service=long, provider=shop.provider_ids[1])
    await guest.release(held)
    async with watching(running.socket_url, asked_of(shop), after=cursor) as board:
        board.screens = screens
        assert await board.next() == {short: ["HELD"], long: ["HELD"]}
        await board.shows(guest)
        await make(owner, "deactivateService", serviceId=long)
        assert await board.next() == {long: ["SCHEDULE"]}
        assert not board.screens[long].starts
        await make(owner, "deactivateVenue", venueId=shop.venue_id)
        assert await board.next() == {short: ["SCHEDULE"]}
        assert not board.screens[short].starts
        await board.stream.nothing(0.1)
    failed = await refusal(running.socket_url, asked_of(shop))
    assert failed.code == "NOT_FOUND"


async def test_bursts_become_one(running: RunningApi, guest: Guest, shop: Shop, relay: RunningRelay) -> None:
    async with watching(running.socket_url, asked_of(shop), pace=500) as board:
        await board.next("SNAPSHOT")
        await relay.pause()
        for hour in range(4):
            held = await guest.hold(TEN + timedelta(hours=hour))
        await guest.release(held)
        relay.start()
        await board.next()
        assert set(map(tuple, (await board.next()).values())) == {("HELD", "RELEASED")}
        await board.stream.nothing()
        await board.shows(guest)


async def test_only_the_venues_own_people(running: RunningApi, client: GraphQLClient, guest: Guest, shop: Shop) -> None:
    """Someone of another venue who offers the same service is none of its business."""
    owner = client.signed_in(shop.owner.token)
    other = await make(owner, "createVenue", organizationId=shop.organization_id, name="Other", timeZone="UTC")
    made = await make(owner, "createProvider", venueId=other["id"], name="Zoe", serviceIds=[shop.service_ids[0]])
    weekly = [{"weekday": DAY.strftime("%A").upper(), "open": [{"start": "09:00", "end": "12:00"}], "breaks": []}]
    await owner(PUBLISH, {"input": {"ownerId": made["id"], "weekly": weekly}})
    async with watching(running.socket_url, asked_of(shop, venueId=other["id"])) as board:
        await board.next("SNAPSHOT")
        short, long = (board.screens[one] for one in shop.service_ids)
        assert (len(short.starts), len(long.starts)) == (11, 0)
        await guest.hold(TEN, provider=shop.provider_ids[0])
        await board.stream.nothing(0.2)
        await guest.hold(TEN, provider=made["id"])
        assert list(await board.next()) == [shop.service_ids[0]]


PUBLISH = "mutation ($input: PublishScheduleInput!) { publishSchedule(input: $input) { __typename } }"


async def refusal(url: str, asked: dict[str, Any], **more: Any) -> OperationFailed:
    async with watching(url, asked, **more) as board:
        with pytest.raises(OperationFailed) as failed:
            await board.stream.next()
        return failed.value


async def test_what_cannot_be_watched(running: RunningApi, shop: Shop) -> None:
    url, stranger = running.socket_url, await make_shop(running.api.services)
    many = [f"svc_{'0' * 24}{n:02}" for n in range(11)]
    last = iso(DAY + timedelta(days=31))[:10]
    for wrong, code, paths in (
        ({"serviceIds": stranger.service_ids}, "NOT_FOUND", []),
        ({"venueId": stranger.venue_id}, "NOT_FOUND", []),
        ({"venueId": f"ven_{'0' * 25}1"}, "NOT_FOUND", []),
        ({"venueId": shop.provider_id}, "BAD_INPUT", ["input.venueId"]),
        ({"serviceIds": []}, "BAD_INPUT", ["input.serviceIds"]),
        ({"serviceIds": many, "to": last, "partySize": -1}, "BAD_INPUT", ["serviceIds", "to", "partySize"]),
        ({"serviceIds": ["\0", "🙂"]}, "BAD_INPUT", ["input.serviceIds.0"]),
        ({"from": last}, "BAD_INPUT", ["input.to"]),
        ({"partySize": 2}, "BAD_INPUT", ["input.partySize"]),
        ({"partySize": 1_001}, "BAD_INPUT", ["input.partySize"]),
    ):
        failed = await refusal(url, asked_of(shop, **wrong))
        assert failed.code == code, wrong
        violations = failed.errors[0]["extensions"].get("violations", [])
        assert [one["path"].removeprefix("input.") for one in violations] == [
            path.removeprefix("input.") for path in paths
        ], wrong
    for pace in (-1, 501):
        failed = await refusal(url, asked_of(shop), pace=pace)
        assert [one["path"] for one in failed.errors[0]["extensions"]["violations"]] == ["coalesceMs"]
    failed = await refusal(url, asked_of(shop), after="🙂")
    assert [one["path"] for one in failed.errors[0]["extensions"]["violations"]] == ["after"]
