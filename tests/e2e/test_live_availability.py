"""Live availability over a real socket: what each change looks like, and that the fold is what the query answers."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.factories import make
from tests.fixtures_api import GraphQLClient, MovableClock, RunningApi, make_settings, serve
from tests.fixtures_live import Guest, RunningRelay, before, in_time, publish, search_of, watching
from tests.journey import instant
from tests.live_client import OperationFailed, live_socket
from tests.schema import operations as op
from tests.shop import ALWAYS, Shop, at, iso, make_shop

pytestmark = pytest.mark.usefixtures("relay")


def around(start: datetime) -> list[str]:
    """The starts that a 30-minute claim takes from a 15-minute grid."""
    return [iso(start + timedelta(minutes=m)) for m in (-15, 0, 15)]


@pytest.fixture
async def shop(running: RunningApi) -> Shop:
    return await make_shop(running.api.services)


@pytest.fixture
def guest(client: GraphQLClient, shop: Shop) -> Guest:
    return Guest(client, shop)


DAY = at(3, 0)
TEN = at(3, 10)


async def test_each_step_of_a_booking(running: RunningApi, guest: Guest, shop: Shop) -> None:
    asked = search_of(shop, DAY)
    async with watching(running.socket_url, asked) as watcher:
        snapshot = await watcher.next("SNAPSHOT")
        assert len(snapshot["opened"]) == 96
        assert (snapshot["closed"], snapshot["causes"]) == ([], [])
        assert snapshot["updated"][0]["price"] == {"amountMinor": 1000, "currency": "USD", "amount": "10.00"}
        watcher.screen.shows(await guest.search(asked))

        held = await guest.hold(TEN)
        assert await watcher.change("HELD") == ([], around(TEN))
        await guest.release(held)
        assert await watcher.change("RELEASED") == (around(TEN), [])

        held = await guest.hold(TEN)
        await watcher.change("HELD")
        booked = await guest.book(held)
        await watcher.stream.nothing()  # held or booked, it is grey

        await guest.move(booked, TEN + timedelta(hours=5))
        assert await watcher.change("RESCHEDULED") == (around(TEN), [])
        assert await watcher.change("RESCHEDULED") == ([], around(TEN + timedelta(hours=5)))
        await guest.cancel(booked)
        assert await watcher.change("CANCELLED") == (around(TEN + timedelta(hours=5)), [])
        watcher.screen.shows(await guest.search(asked))


async def test_two_watch_the_same(running: RunningApi, guest: Guest, shop: Shop) -> None:
    asked = search_of(shop, DAY)
    async with watching(running.socket_url, asked) as one, watching(running.socket_url, asked) as two:
        assert (await one.next("SNAPSHOT"))["opened"] == (await two.next("SNAPSHOT"))["opened"]
        for minute in (0, 45, 90):
            held = await guest.hold(TEN + timedelta(minutes=minute))
            first, second = await one.next(), await two.next()
            assert {**first, "cursor": ""} == {**second, "cursor": ""}
        await guest.release(held)
        await one.change("RELEASED")
        await two.change("RELEASED")
        one.screen.shows(await guest.search(asked))
        two.screen.shows(await guest.search(asked))


async def test_hours_prices_and_people(running: RunningApi, client: GraphQLClient, guest: Guest, shop: Shop) -> None:
    asked = search_of(shop, DAY)
    owner = client.signed_in(shop.owner.token)
    async with watching(running.socket_url, asked) as watcher:
        await watcher.next("SNAPSHOT")
        weekday = DAY.strftime("%A").upper()
        await publish(client, shop, [{"weekday": weekday, "open": [{"start": "09:00", "end": "11:00"}], "breaks": []}])
        opened, closed = await watcher.change("SCHEDULE")
        assert (opened, len(closed), len(watcher.screen.starts)) == ([], 96 - 7, 7)

        await make(owner, "updateService", serviceId=shop.service_id, priceMinor=2_500)
        event = await watcher.next()
        assert (event["opened"], event["closed"], event["causes"]) == ([], [], ["PRICE"])
        assert {slot["price"]["amount"] for slot in event["updated"]} == {"25.00"}
        watcher.screen.shows(await guest.search(asked))

        await make(owner, "deactivateService", serviceId=shop.service_id)
        opened, closed = await watcher.change("SCHEDULE")
        assert (opened, len(closed)) == ([], 7)
        await make(owner, "reactivateService", serviceId=shop.service_id)
        opened, closed = await watcher.change("SCHEDULE")
        assert (len(opened), closed) == (7, [])
        # It listens to the provider again, too.
        await guest.hold(TEN)
        await watcher.change("HELD")

        made = await make(owner, "createProvider", venueId=shop.venue_id, name="New", serviceIds=[shop.service_id])
        provider_id = made["id"]
        hours = [{"weekday": weekday, "open": [{"start": "10:00", "end": "11:00"}], "breaks": []}]
        answer = await owner(op.PUBLISH, {"input": {"ownerId": provider_id, "weekly": hours}})
        assert answer["__typename"] == "PublishSchedulePayload"
        await watcher.change("SCHEDULE")
        watcher.screen.shows(await guest.search(asked))
        await make(owner, "deactivateProvider", providerId=provider_id)
        await watcher.change("SCHEDULE")
        watcher.screen.shows(await guest.search(asked))


async def test_price_and_hours_at_once_are_told_as_schedule(
    running: RunningApi, client: GraphQLClient, shop: Shop, relay: RunningRelay
) -> None:
    owner = client.signed_in(shop.owner.token)
    async with watching(running.socket_url, search_of(shop, DAY)) as watcher:
        await watcher.next("SNAPSHOT")
        await relay.pause()
        await make(owner, "updateService", serviceId=shop.service_id, priceMinor=2_500)
        await publish(client, shop, [])
        relay.start()
        event = await watcher.next()
        assert (event["causes"], len(event["closed"])) == (["SCHEDULE"], 96)
        await watcher.stream.nothing()


async def test_several_providers(running: RunningApi, client: GraphQLClient) -> None:
    """A start that one of two loses stays open, with who is left."""
    shop = await make_shop(running.api.services, providers=2)
    guest = Guest(client, shop)
    asked = search_of(shop, DAY)
    async with watching(running.socket_url, asked) as watcher:
        snapshot = await watcher.next("SNAPSHOT")
        assert {slot["remaining"] for slot in snapshot["updated"]} == {2}
        first = await guest.hold(TEN, provider=shop.provider_ids[0])
        event = await watcher.next()
        assert (event["opened"], event["closed"], event["causes"]) == ([], [], ["HELD"])
        assert [slot["startsAt"] for slot in event["updated"]] == around(TEN)
        assert {tuple(slot["providerIds"]) for slot in event["updated"]} == {(shop.provider_ids[1],)}
        await guest.hold(TEN, provider=shop.provider_ids[1])
        assert await watcher.change("HELD") == ([], around(TEN))
        await guest.release(first)
        assert await watcher.change("RELEASED") == (around(TEN), [])
        watcher.screen.shows(await guest.search(asked))
    only = search_of(shop, DAY, providerIds=[shop.provider_ids[1]])
    async with watching(running.socket_url, only) as watcher:
        await watcher.next("SNAPSHOT")
        await guest.hold(TEN, provider=shop.provider_ids[0])
        await watcher.stream.nothing()  # nobody of this view


async def test_a_hold_that_lapses_opens_the_slot_by_itself(
    database_url: str, redis_url: str, client: GraphQLClient
) -> None:
    """No worker sweeps here."""

    async def lapse(_number: int, ttl_s: int) -> None:
        async with serve(make_settings(database_url, redis_url, hold_ttl_s=ttl_s)) as quick:
            shop = await make_shop(quick.api.services)
            guest = Guest(GraphQLClient(client.http, quick.graphql_url), shop)
            asked = search_of(shop, DAY)
            async with watching(quick.socket_url, asked) as watcher:
                await watcher.next("SNAPSHOT")

                async def hold() -> dict[str, Any]:
                    held = await guest.hold(TEN)
                    event = await watcher.next()
                    before(instant(held["hold"]["expiresAt"]))
                    assert (event["opened"], event["closed"], event["causes"]) == ([], around(TEN), ["HELD"])
                    return held

                async def told_of(expires_at: datetime) -> None:
                    assert await watcher.change("RELEASED") == (around(TEN), [])
                    assert datetime.now(UTC) >= expires_at
                    before(expires_at + timedelta(seconds=0.5))  # at once

                await told_of(instant((await hold())["hold"]["expiresAt"]))
                watcher.screen.shows(await guest.search(asked))

                # An extended one stays until its new expiry.
                held = await hold()
                extended = await guest.extend(held)
                before(instant(held["hold"]["expiresAt"]))
                await told_of(instant(extended["expiresAt"]))

                # Claimed anew over the lapsed one: closed again, by the claim.
                await told_of(instant((await hold())["hold"]["expiresAt"]))
                watcher.screen.shows(await guest.search(asked))

    await in_time(lapse)


async def test_the_passing_of_time_closes_starts(
    running: RunningApi, client: GraphQLClient, clock: MovableClock
) -> None:
    shop = await make_shop(running.api.services, slot_interval=1, service={"advance_notice_minutes": 60})
    asked = search_of(shop, at(1, 0))

    async def pass_time(number: int, moment_s: int) -> None:
        # Shortly before eleven minutes past two, tomorrow: what begins at 3:11 can be booked for that moment.
        edge = at(1, 2 + number, 11)
        clock.move_to(edge - timedelta(seconds=moment_s))
        async with watching(running.socket_url, asked) as watcher:
            snapshot = await watcher.next("SNAPSHOT")
            before(edge, clock.now())
            last = iso(edge + timedelta(hours=1))
            assert snapshot["opened"][0] == last
            assert await watcher.change("TIME") == ([], [last])
            watcher.screen.shows(await Guest(client, shop).search(asked))

    await in_time(pass_time)


async def test_the_horizon_opens_a_day_at_midnight(
    running: RunningApi, client: GraphQLClient, clock: MovableClock
) -> None:
    shop = await make_shop(running.api.services, service={"maximum_advance_days": 2}, weekly=ALWAYS)
    asked = search_of(shop, at(2, 0), days=7)

    async def pass_midnight(number: int, moment_s: int) -> None:
        edge = at(1 + number, 0)
        clock.move_to(edge - timedelta(seconds=moment_s))
        async with watching(running.socket_url, asked) as watcher:
            snapshot = await watcher.next("SNAPSHOT")
            before(edge, clock.now())
            assert snapshot["opened"][-1] == iso(at(2 + number, 23, 45))
            opened, closed = await watcher.change("TIME")
            assert (opened[0], len(opened), closed) == (iso(at(3 + number, 0)), 96, [])
            watcher.screen.shows(await Guest(client, shop).search(asked))

    await in_time(pass_midnight)


async def test_dates_of_another_zone(running: RunningApi, client: GraphQLClient) -> None:
    """A provider in New York seen from Tel Aviv: the day is the customer's."""
    shop = await make_shop(running.api.services, time_zone="America/New_York")
    asked = search_of(shop, DAY, timeZone="Asia/Jerusalem")
    guest = Guest(client, shop)
    async with watching(running.socket_url, asked) as watcher:
        await watcher.next("SNAPSHOT")
        watcher.screen.shows(await guest.search(asked))
        await guest.hold(TEN)
        await watcher.change("HELD")
        await guest.hold(TEN + timedelta(days=1))
        await watcher.stream.nothing()
        watcher.screen.shows(await guest.search(asked))


async def test_many_changes_at_once_keep_their_order(running: RunningApi, guest: Guest, shop: Shop) -> None:
    asked = search_of(shop, DAY)
    async with watching(running.socket_url, asked) as watcher:
        await watcher.next("SNAPSHOT")

        async def hold_and_release(number: int) -> None:
            for _ in range(3):
                await guest.release(await guest.hold(DAY + timedelta(minutes=45 * number)))

        await asyncio.gather(*(hold_and_release(number) for number in range(12)))
        for _ in range(12 * 3 * 2):
            await watcher.next()
        await watcher.stream.nothing()
        watcher.screen.shows(await guest.search(asked))


async def refusal(url: str, **variables: Any) -> OperationFailed:
    async with live_socket(url) as socket:
        stream = await socket.subscribe(op.WATCH_AVAILABILITY, **variables)
        with pytest.raises(OperationFailed) as failed:
            await stream.next()
        return failed.value


async def test_what_cannot_be_watched(running: RunningApi, client: GraphQLClient, shop: Shop) -> None:
    url = running.socket_url
    stranger = await make_shop(running.api.services)
    gone = await make_shop(running.api.services)
    await make(client.signed_in(gone.owner.token), "deactivateService", serviceId=gone.service_id)
    nowhere = f"svc_{'0' * 25}1"
    for asked in (
        search_of(gone, DAY),
        search_of(shop, DAY, serviceId=nowhere),
        search_of(shop, DAY, providerIds=[stranger.provider_id]),
    ):
        failed = await refusal(url, input=asked)
        assert failed.code == "NOT_FOUND"
        assert failed.errors[0]["message"] == (await refusal(url, input=search_of(gone, DAY))).errors[0]["message"]
    assert (await refusal(url, input=search_of(shop, DAY, days=63))).code == "BAD_INPUT"
    assert (await refusal(url, input=search_of(shop, DAY, durationMinutes=31))).code == "BAD_INPUT"
    failed = await refusal(url, input=search_of(shop, DAY, serviceId=shop.provider_id))
    assert failed.code == "BAD_INPUT"
