"""Closed days, time off and holidays reach every open screen."""

from __future__ import annotations

import pytest

from tests.factories import make
from tests.fixtures_api import GraphQLClient, RunningApi
from tests.fixtures_live import Guest, search_of, watching
from tests.schema import test_schedule_exception as exception
from tests.schema import test_time_off as time_off
from tests.shop import at, iso, make_shop

pytestmark = pytest.mark.usefixtures("relay")
DAY = at(3, 0)


async def test_days_and_hours_that_close(running: RunningApi, client: GraphQLClient) -> None:
    shop = await make_shop(running.api.services)
    guest, owner = Guest(client, shop), client.signed_in(shop.owner.token)
    asked = search_of(shop, DAY)
    async with watching(running.socket_url, asked) as watcher:
        assert len((await watcher.next("SNAPSHOT"))["opened"]) == 96
        day = f"{DAY.date()}"
        closed = await owner(
            exception.CREATE, {"input": {"ownerId": shop.venue_id, "kind": "CLOSED", "from": day, "to": day}}
        )
        opened, gone = await watcher.change("SCHEDULE")
        assert (opened, len(gone)) == ([], 96)
        await owner(exception.REMOVE, {"input": {"exceptionId": closed["exception"]["id"]}})
        opened, gone = await watcher.change("SCHEDULE")
        assert (len(opened), gone) == (96, [])

        times = {"startsAt": iso(at(3, 10)), "endsAt": iso(at(3, 11))}
        away = await owner(time_off.CREATE, {"input": {"providerId": shop.provider_id, **times}})
        opened, gone = await watcher.change("SCHEDULE")
        assert (opened, gone) == ([], [iso(at(3, *when)) for when in ((9, 45), (10, 0), (10, 15), (10, 30), (10, 45))])
        watcher.screen.shows(await guest.search(asked))
        await owner(time_off.REMOVE, {"input": {"timeOffId": away["timeOff"]["id"]}})
        assert (await watcher.change("SCHEDULE"))[0] == gone

        await make(owner, "updateProvider", providerId=shop.provider_id, dailyBookingLimit=1)
        held = await guest.hold(at(3, 12))
        assert len((await watcher.next())["closed"]) == 96  # the day has all it may
        await guest.release(held)
        assert len((await watcher.next())["opened"]) == 96
        watcher.screen.shows(await guest.search(asked))
