"""Prices that change under the eyes of those who look: by a rule, with time, and with what is booked that day."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from app.domain.price_rule import Between
from tests.fixtures_api import GraphQLClient, MovableClock, RunningApi
from tests.fixtures_live import Guest, before, in_time, search_of, watching
from tests.price_terms import add_rule, change_rule, set_terms, switch_off
from tests.shop import OFFICE, Shop, at, iso, make_shop

pytestmark = pytest.mark.usefixtures("relay")

DAY = at(3, 0)
TEN = at(3, 10)


@pytest.fixture
async def shop(running: RunningApi) -> Shop:
    return await make_shop(
        running.api.services, providers=2, weekly=OFFICE, slot_interval=30, more_services=({"price_minor": 5_000},)
    )


@pytest.fixture
def guest(client: GraphQLClient, shop: Shop) -> Guest:
    return Guest(client, shop)


def told(event: dict[str, Any]) -> dict[str, list[int]]:
    """Prices by start, of what was updated."""
    found: dict[str, list[int]] = {}
    for slot in event["updated"]:
        found.setdefault(slot["startsAt"], []).append(slot["price"]["amountMinor"])
    return found


async def test_a_rule_is_told_as_a_change_of_price(running: RunningApi, guest: Guest, shop: Shop) -> None:
    asked = search_of(shop, DAY)
    async with watching(running.socket_url, asked) as watcher:
        await watcher.next("SNAPSHOT")
        rule = await add_rule(shop, rate_bps=1_000, hours=(10 * 60, 11 * 60))
        event = await watcher.next()
        half_past = iso(TEN + timedelta(minutes=30))
        assert (event["causes"], event["opened"], event["closed"]) == (["PRICE"], [], [])
        assert told(event) == {iso(TEN): [1_100], half_past: [1_100]}
        watcher.screen.shows(await guest.search(asked))
        await change_rule(shop, rule, provider_ids=[shop.provider_uuids[0]])
        assert told(await watcher.next()) == {iso(TEN): [1_000, 1_100], half_past: [1_000, 1_100]}
        await add_rule(shop, rate_bps=1_000, service_ids=[shop.service_uuids[1]])  # changes nothing that is shown here
        await set_terms(shop, tax_bps=1_000)  # included: nothing, too
        await switch_off(shop, rule)
        assert told(await watcher.next()) == {iso(TEN): [1_000], half_past: [1_000]}
        await set_terms(shop, tax_included=False)
        event = await watcher.next()
        assert (event["causes"], len(event["updated"])) == (["PRICE"], 14)
        watcher.screen.shows(await guest.search(asked))


async def test_the_passing_of_time_tells_prices(
    running: RunningApi, client: GraphQLClient, clock: MovableClock
) -> None:
    shop = await make_shop(running.api.services, slot_interval=1)
    await add_rule(shop, "Last minute", rate_bps=-5_000, lead_time=Between(None, 60))
    asked = search_of(shop, at(1, 0))

    async def pass_time(number: int, moment_s: int) -> None:
        # Shortly before eleven minutes past two, tomorrow: what begins at 3:11 costs the whole for that moment.
        hour = 2 + number
        edge = at(1, hour, 11)
        clock.move_to(edge - timedelta(seconds=moment_s))
        async with watching(running.socket_url, asked) as watcher:
            snapshot = await watcher.next("SNAPSHOT")
            before(edge, clock.now())
            prices = told(snapshot)
            assert [prices[iso(at(1, hour + 1, minute))] for minute in (10, 11)] == [[500], [1_000]]
            event = await watcher.next()
            assert (event["causes"], event["opened"]) == (["TIME"], [])
            assert event["closed"] == [iso(edge)]
            assert told(event) == {iso(at(1, hour + 1, 11)): [500]}
            watcher.screen.shows(await Guest(client, shop).search(asked))

    await in_time(pass_time)


async def test_what_is_booked_makes_the_rest_of_the_day_dearer(running: RunningApi, guest: Guest, shop: Shop) -> None:
    """Office hours leave 420 minutes open: the second half an hour makes the day fuller than a tenth."""
    await add_rule(shop, "Busy day", rate_bps=2_000, occupancy=Between(1_000))
    asked = search_of(shop, DAY, days=2, providerIds=[shop.provider_id])
    async with watching(running.socket_url, asked) as watcher:
        await watcher.next("SNAPSHOT")
        await guest.hold(TEN, shop.provider_id)
        event = await watcher.next()
        assert (event["closed"], event["updated"]) == ([iso(TEN)], [])
        cursor = event["cursor"]
        second = await guest.hold(TEN + timedelta(hours=1), shop.provider_id)
        event = await watcher.next()
        assert (event["causes"], event["closed"]) == (["HELD"], [iso(TEN + timedelta(hours=1))])
        prices = told(event)
        assert (len(prices), {price for each in prices.values() for price in each}) == (12, {1_200})
        assert {start[:10] for start in prices} == {DAY.date().isoformat()}
        watcher.screen.shows(await guest.search(asked))
        await guest.release(second)
        event = await watcher.next()
        assert (event["causes"], len(event["opened"]), len(event["updated"])) == (["RELEASED"], 1, 13)
        watcher.screen.shows(await guest.search(asked))
    async with watching(running.socket_url, asked, cursor) as again:
        for opened, closed in ((0, 1), (1, 0)):  # each change as it was told
            event = await again.stream.next()
            assert (len(event["opened"]), len(event["closed"])) == (opened, closed)
            assert len(event["updated"]) == 12 + opened


async def test_coming_back_after_another_price_is_a_resync(running: RunningApi, guest: Guest, shop: Shop) -> None:
    asked = search_of(shop, DAY)
    cursor = (await guest.search(asked))["cursor"]
    await add_rule(shop, rate_bps=1_000)
    async with watching(running.socket_url, asked, cursor) as watcher:
        event = await watcher.next("RESYNC")
        assert {price for each in told(event).values() for price in each} == {1_100}
        watcher.screen.shows(await guest.search(asked))


async def test_a_visit_is_told_too(running: RunningApi, guest: Guest, shop: Shop) -> None:
    asked: dict[str, Any] = search_of(shop, DAY, providerIds=[shop.provider_id])
    del asked["serviceId"]
    asked["items"] = [{"serviceId": service_id} for service_id in shop.service_ids]
    async with watching(running.socket_url, asked) as watcher:
        await watcher.next("SNAPSHOT")
        await add_rule(shop, amount_minor=7, hours=(10 * 60 + 30, 11 * 60))
        event = await watcher.next()
        assert event["causes"] == ["PRICE"]
        assert told(event) == {iso(TEN): [6_007], iso(TEN + timedelta(minutes=30)): [6_007]}
        watcher.screen.shows(await guest.search(asked))
