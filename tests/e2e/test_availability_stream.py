"""`GET /availability/{providerId}/stream`: the same as the subscription, for clients without GraphQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import httpx
import pytest

from tests.event_reader import Told, told_by
from tests.fixtures_api import GraphQLClient, RunningApi, make_settings, serve
from tests.fixtures_live import Guest, RunningRelay, search_of, watching
from tests.live_client import Screen
from tests.shop import Shop, at, iso, make_shop
from tests.web.graphql_server import until

pytestmark = pytest.mark.usefixtures("relay")

DAY = at(3, 0)
TEN = at(3, 10)


@pytest.fixture
async def shop(running: RunningApi) -> Shop:
    return await make_shop(running.api.services)


@pytest.fixture
def guest(client: GraphQLClient, shop: Shop) -> Guest:
    return Guest(client, shop)


def asked(shop: Shop, **more: Any) -> dict[str, Any]:
    day = iso(DAY)[:10]
    found = {"service": shop.service_id, "from": day, "to": day, "timeZone": "UTC", **more}
    return {name: value for name, value in found.items() if value is not None}


@asynccontextmanager
async def opened(
    running: RunningApi, http: httpx.AsyncClient, shop: Shop, headers: dict[str, str] | None = None, **more: Any
) -> AsyncIterator[Told]:
    url = f"{running.url}/availability/{more.pop('provider', shop.provider_id)}/stream"
    async with http.stream("GET", url, params=asked(shop, **more), headers=headers) as response:
        yield told_by(response)


async def take(told: Told, screen: Screen) -> dict[str, Any]:
    """The next event, shown."""
    found = await told.next()
    assert found is not None
    name, event = found
    assert name == event["kind"].lower()
    assert told.ids[-1] == event["cursor"]
    for slot in event["updated"]:
        assert slot.pop("sessionId") is None, "the tests' subscription does not ask for it"
    screen.show(event)
    return dict(event)


async def test_it_tells_what_the_subscription_tells(
    running: RunningApi, http: httpx.AsyncClient, guest: Guest, shop: Shop
) -> None:
    wanted = search_of(shop, DAY, providerIds=[shop.provider_id])
    screen = Screen()
    async with opened(running, http, shop) as told, watching(running.socket_url, wanted) as watcher:
        assert told.response.headers["content-type"] == "text/event-stream; charset=utf-8"
        plain, subscribed = await take(told, screen), await watcher.next("SNAPSHOT")
        assert {**plain, "cursor": ""} == {**subscribed, "cursor": ""}
        assert told.retries
        held = await guest.hold(TEN)
        assert {**await take(told, screen), "cursor": ""} == {**await watcher.next(), "cursor": ""}
        await guest.release(held)
        assert {**await take(told, screen), "cursor": ""} == {**await watcher.next(), "cursor": ""}
        screen.shows(await guest.search(wanted))


async def test_it_goes_on_where_its_client_stood(
    running: RunningApi, http: httpx.AsyncClient, guest: Guest, shop: Shop
) -> None:
    screen = Screen()
    async with opened(running, http, shop) as told:
        await take(told, screen)
    held = await guest.hold(TEN)
    async with opened(running, http, shop, {"last-event-id": told.ids[-1]}) as told:
        assert (await take(told, screen))["causes"] == ["HELD"]
    await guest.release(held)
    # A browser that comes back by itself has both: what its address says is older.
    async with opened(running, http, shop, {"last-event-id": told.ids[-1]}, lastEventId="of-the-first-time") as told:
        assert (await take(told, screen))["causes"] == ["RELEASED"]
    last = told.ids[-1]
    async with opened(running, http, shop, lastEventId=last) as told:
        assert told.response.status_code == 200
        await guest.hold(TEN + timedelta(hours=1))
        assert (await take(told, screen))["causes"] == ["HELD"]
    assert not screen.complaints


async def test_bursts_are_merged(
    running: RunningApi, http: httpx.AsyncClient, guest: Guest, shop: Shop, relay: RunningRelay
) -> None:
    wanted = search_of(shop, DAY, providerIds=[shop.provider_id])
    screen = Screen()
    async with opened(running, http, shop, coalesceMs=500) as told:
        await take(told, screen)
        await relay.pause()  # so that it is a burst, however slow the machine is
        helds = [await guest.hold(TEN + timedelta(hours=hour)) for hour in range(3)]
        await guest.release(helds[0])
        relay.start()
        seen = 0
        while screen.starts != {one for day in (await guest.search(wanted))["days"] for one in day["starts"]}:
            await take(told, screen)
            seen += 1
        assert seen < 4
        screen.shows(await guest.search(wanted))


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        ({"service": None}, "service"),
        ({"service": ""}, "service"),
        ({"service": "prv_01h2xcejqtf2nbrexx3vqjhp41"}, "service"),
        ({"provider": "svc_01h2xcejqtf2nbrexx3vqjhp41"}, "providerId"),
        ({"provider": "%00"}, "providerId"),
        ({"from": "9999-12-31"}, "from"),
        ({"from": "2026-02-30"}, "from"),
        ({"to": "1999-01-01"}, "to"),
        ({"to": iso(DAY + timedelta(days=90))[:10]}, "to"),
        ({"timeZone": "Europe/../etc/passwd"}, "timeZone"),
        ({"timeZone": "\0"}, "timeZone"),
        ({"duration": "-1"}, "duration"),
        ({"duration": "0"}, "duration"),
        ({"duration": "31"}, "duration"),
        ({"duration": "9007199254740992"}, "duration"),
        ({"duration": "\u0663"}, "duration"),
        ({"partySize": "0"}, "partySize"),
        ({"coalesceMs": "501"}, "coalesceMs"),
        ({"coalesceMs": "1e2"}, "coalesceMs"),
        ({"lastEventId": "nonsense"}, "lastEventId"),
        ({"lastEventId": "\U0001f600"}, "lastEventId"),
        ({"clientId": "a b"}, "clientId"),
        ({"service": ["a", "b"]}, "service"),
    ],
)
async def test_what_cannot_be_is_named(
    running: RunningApi, http: httpx.AsyncClient, shop: Shop, wrong: dict[str, Any], path: str
) -> None:
    async with opened(running, http, shop, **wrong) as told:
        assert told.response.status_code == 400
        await told.response.aread()
        body = told.response.json()
        assert (body["code"], body["violations"][0]["path"]) == ("BAD_INPUT", path)
        assert body["requestId"] == told.response.headers["x-request-id"]
    assert len(running.api.transport.clients) == 0


async def test_what_is_not_there(running: RunningApi, http: httpx.AsyncClient, shop: Shop) -> None:
    other = await make_shop(running.api.services)
    wrongs: list[dict[str, Any]] = [
        {"service": "svc_01h2xcejqtf2nbrexx3vqjhp41"},
        {"provider": "prv_01h2xcejqtf2nbrexx3vqjhp41"},
        {"provider": other.provider_id},
    ]
    for wrong in wrongs:
        async with opened(running, http, shop, **wrong) as told:
            await told.response.aread()
            assert (told.response.status_code, told.response.json()["code"]) == (404, "NOT_FOUND"), wrong
    for path in ("", "/", "/stream", f"/{shop.provider_id}", f"/{shop.provider_id}/stream/more"):
        assert (await http.get(f"{running.url}/availability{path}")).status_code == 404
    for method in ("HEAD", "POST", "DELETE"):
        refused = await http.request(method, f"{running.url}/availability/{shop.provider_id}/stream")
        assert refused.status_code == 405
        assert refused.headers["allow"] == "GET"


async def test_pages_of_other_origins_and_too_many(
    database_url: str, redis_url: str, http: httpx.AsyncClient, shop: Shop
) -> None:
    settings = make_settings(
        database_url, redis_url, allowed_origins=["https://shop.example"], sockets_per_client=1, sockets_per_address=2
    )
    async with serve(settings) as api:
        async with opened(api, http, shop, {"origin": "https://evil.example"}) as told:
            assert told.response.status_code == 403
        async with opened(api, http, shop, {"origin": "https://shop.example"}, clientId="tablet-1") as told:
            assert told.response.headers["access-control-allow-origin"] == "https://shop.example"
            assert (await told.next()) is not None
            async with opened(api, http, shop, clientId="tablet-1") as same:
                assert (same.response.status_code, same.response.headers["retry-after"]) == (429, "5")
                await same.response.aread()
                assert same.response.json()["retryAfterSeconds"] == 5
            async with opened(api, http, shop, clientId="tablet-2") as other:
                assert other.response.status_code == 200
                async with opened(api, http, shop) as third:
                    assert third.response.status_code == 429
        await until(lambda: len(api.api.transport.clients) == 0)
        await until(lambda: not list(api.api.services.live.looks()))
        api.api.transport.clients.is_closing = True
        async with opened(api, http, shop) as refused:
            assert (refused.response.status_code, refused.response.headers["retry-after"]) == (503, "1")


async def test_leaving_before_the_answer_leaves_nothing_behind(
    running: RunningApi, http: httpx.AsyncClient, shop: Shop
) -> None:
    async def leave(after_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(after_s), opened(running, http, shop) as told:
                while True:
                    await told.next()

    await asyncio.gather(*(leave(0.002 * number) for number in range(1, 25)))
    await until(lambda: len(running.api.transport.clients) == 0)
    await until(lambda: not list(running.api.services.live.looks()))
