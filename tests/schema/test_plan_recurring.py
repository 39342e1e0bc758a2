"""The plan of a series: a verdict, a price and alternatives for each date, and the same when it is made."""

from __future__ import annotations

from datetime import datetime, timedelta
from random import Random
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest

from app.core.ids import IdKind, encode_id
from app.domain.instants import resolve_local
from app.resolvers.context import Services
from tests.fixtures_api import GraphQLClient, MovableClock
from tests.journey import Visitor, account, next_change, rows_of
from tests.price_terms import add_rule
from tests.recurring import Regular, local, walls, weekly
from tests.rooms import limit_customers, make_room, need_any
from tests.shop import OFFICE, Shop, at, iso, make_shop

BERLIN = "Europe/Berlin"
EXCEPT = "mutation ($input: CreateScheduleExceptionInput!) { createScheduleException(input: $input) { __typename } }"


@pytest.fixture
async def shop(services: Services) -> Shop:
    return await make_shop(services, providers=2, time_zone=BERLIN, service={"maximum_advance_days": 400})


async def test_a_time_that_the_clocks_skip(shop: Shop, client: GraphQLClient, clock: MovableClock) -> None:
    """2:30 of the day when clocks go forward is told, with what is free that day; when they go back it is the first."""
    tz, regular = ZoneInfo(BERLIN), Regular(client, shop)
    daily = {"recurrence": {"rrule": "FREQ=DAILY;COUNT=3"}}
    forward = next_change(BERLIN, forward=True)
    start = resolve_local(forward - timedelta(days=1), 150, tz)
    clock.move_to(start - timedelta(days=2))
    plan = await regular.plan(start, **daily)
    assert [one["isFree"] for one in plan["dates"]] == [True, False, True]
    assert (plan["dates"][1]["reason"], "02:30" in plan["dates"][1]["message"]) == ("CLOSED", True)
    nearest = {datetime.fromisoformat(one["startsAt"]) for one in plan["dates"][1]["alternatives"]}
    gone_forward = resolve_local(forward, 180, tz)
    assert nearest == {gone_forward + timedelta(minutes=minutes) for minutes in (-30, -15, 15)}
    refused = await regular.create(start, 3_000, **daily)
    assert [one["index"] for one in refused["dates"]] == [2]
    instead = [{"index": 1}, {"index": 2, "startsAt": plan["dates"][1]["alternatives"][0]["startsAt"]}, {"index": 3}]
    await regular.made(start, 3_000, **daily, dates=instead)


async def test_a_time_that_comes_twice_is_the_first(shop: Shop, client: GraphQLClient, clock: MovableClock) -> None:
    tz, back = ZoneInfo(BERLIN), next_change(BERLIN, forward=False)
    start = resolve_local(back - timedelta(days=1), 150, tz)
    clock.move_to(start - timedelta(days=2))
    plan = await Regular(client, shop).plan(start, recurrence={"rrule": "FREQ=DAILY;COUNT=3"})
    assert plan["freeCount"] == 3
    assert plan["dates"][1]["startsAt"] == iso(datetime(back.year, back.month, back.day, 0, 30, tzinfo=start.tzinfo))


async def test_each_date_has_its_own_price(shop: Shop, client: GraphQLClient) -> None:
    start = local(shop, 2, 10)
    weekday = start.astimezone(ZoneInfo(BERLIN)).weekday()
    await add_rule(shop, rate_bps=5_000, weekdays=[weekday])
    plan = await Regular(client, shop).plan(start, recurrence={"rrule": "FREQ=DAILY;COUNT=8"})
    prices = [one["price"]["amountMinor"] for one in plan["dates"]]
    assert prices == [1_500, *[1_000] * 6, 1_500]
    assert plan["total"]["amountMinor"] == sum(prices)
    made = await Regular(client, shop).made(start, sum(prices), recurrence={"rrule": "FREQ=DAILY;COUNT=8"})
    assert [one["price"]["amountMinor"] for one in made["series"]["bookings"]] == prices


async def test_anyone_is_one_person_as_long_as_that_works(shop: Shop, client: GraphQLClient) -> None:
    start = local(shop, 2, 10)
    for week in (0, 2):
        await Visitor(client, shop).booked(
            local(shop, 2 + 7 * week, 10), hold={"providerId": shop.provider_ids[week // 2]}
        )
    plan = await Regular(client, shop).plan(start, **weekly(5))
    one, other = shop.provider_ids
    assert [date["providerId"] for date in plan["dates"]] == [other, other, one, other, other]
    await Visitor(client, shop).booked(local(shop, 9, 10), hold={"providerId": other})
    plan = await Regular(client, shop).plan(start, **weekly(5))
    assert [date["providerId"] for date in plan["dates"]] == [other, one, one, one, one]


async def test_hours_notice_and_horizon(services: Services, client: GraphQLClient) -> None:
    service = {"maximum_advance_days": 10, "advance_notice_minutes": 3 * 1_440}
    shop = await make_shop(services, time_zone=BERLIN, weekly=OFFICE, service=service)
    plan = await Regular(client, shop).plan(local(shop, 2, 12), recurrence={"rrule": "FREQ=DAILY;COUNT=2"})
    assert {one["reason"] for one in plan["dates"]} == {"BREAK"}
    plan = await Regular(client, shop).plan(local(shop, 2, 10), recurrence={"rrule": "FREQ=DAILY;COUNT=10"})
    reasons = [one["reason"] for one in plan["dates"]]
    assert (reasons[0], reasons[2:9], reasons[9]) == ("NOTICE", [None] * 7, "HORIZON")
    assert walls(shop, plan["dates"]) == {"10:00"}


async def test_what_it_needs_and_what_others_may_have(shop: Shop, client: GraphQLClient) -> None:
    room = await make_room(shop)
    await need_any(shop, room)
    start = local(shop, 2, 10)
    await Visitor(client, shop).booked(local(shop, 9, 10), hold={"providerId": shop.provider_ids[0]})
    plan = await Regular(client, shop).plan(start, **weekly(3), providerId=shop.provider_ids[1])
    assert [one["reason"] for one in plan["dates"]] == [None, "RESOURCE", None]
    made = await Regular(client, shop).made(
        start, 2_000, **weekly(3), providerId=shop.provider_ids[1], dates=[{"index": 1}, {"index": 3}]
    )
    assert [one["seriesPosition"] for one in made["series"]["bookings"]] == [1, 3]
    taken = await rows_of(
        shop, "SELECT 1 FROM allocation WHERE subject_id = :room AND status = 'booked'", room=room.units[0]
    )
    assert len(taken) == 3


async def test_limits_of_whom_is_signed_in(shop: Shop, client: GraphQLClient) -> None:
    await limit_customers(shop, day=1)
    somebody = await account(client, shop, "ana")
    start = at(3, 10)
    await somebody.booked(start + timedelta(days=1, hours=2), customer=None)
    daily = {"recurrence": {"rrule": "FREQ=DAILY;COUNT=3"}}
    plan = await Regular(somebody.client, shop).plan(start, **daily)
    assert [one["reason"] for one in plan["dates"]] == [None, "LIMIT", None]
    assert (await Regular(client, shop).plan(start, **daily))["freeCount"] == 3


async def test_what_is_not_found(shop: Shop, client: GraphQLClient) -> None:
    regular, start = Regular(client, shop), local(shop, 2, 10)
    unknown = encode_id(IdKind.PROVIDER, uuid4())
    assert "Nothing that you can see" in await regular.refused_plan(start, **weekly(3), providerId=unknown)
    text = await regular.refused_plan(start, recurrence={"rrule": "FREQ=WEEKLY;COUNT=3;BYDAY=MO,TU,WE;BYSETPOS=9"})
    assert "none of the dates" in text


async def test_the_plan_and_the_database_agree(services: Services, client: GraphQLClient) -> None:
    """What the plan calls free can be had, all at once; what it does not is refused, date for date."""
    service = {"buffer_before_minutes": 10, "buffer_after_minutes": 20}
    shop = await make_shop(services, providers=2, time_zone=BERLIN, service=service)
    await need_any(shop, await make_room(shop))
    rng, guest, regular = Random(11), Visitor(client, shop), Regular(client, shop)
    for _ in range(24):
        start = local(shop, rng.randrange(2, 22), rng.choice([9, 10, 11]), rng.choice([0, 15, 30, 45]))
        await guest.hold(start, providerId=rng.choice(shop.provider_ids))
    start, daily = local(shop, 2, 10), {"recurrence": {"rrule": "FREQ=DAILY;COUNT=20"}}
    plan = await regular.plan(start, **daily)
    refused = [one for one in plan["dates"] if not one["isFree"]]
    assert 3 <= len(refused) <= 17
    answer = await regular.create(start, 20_000, **daily)
    assert [(one["index"], one["reason"]) for one in answer["dates"]] == [
        (one["index"], one["reason"]) for one in refused
    ]
    free = [{"index": one["index"]} for one in plan["dates"] if one["isFree"]]
    moved = [{"index": one["index"], "startsAt": one["alternatives"][0]["startsAt"]} for one in refused]
    made = await regular.made(start, 20_000, **daily, dates=[*free, *moved])
    assert len(made["series"]["bookings"]) == 20


@pytest.mark.parametrize("day", [20, 50])
async def test_a_date_elsewhere_keeps_to_the_hours_of_then(shop: Shop, client: GraphQLClient, day: int) -> None:
    """Long before the first date, or after the last: a closed day is closed."""
    start, there = local(shop, 30, 10), local(shop, day, 10)
    closed, last = [one.astimezone(ZoneInfo(BERLIN)).date().isoformat() for one in (there, start + timedelta(days=1))]
    exception = {"ownerId": shop.provider_id, "kind": "CLOSED", "from": closed, "to": closed}
    made = await client.signed_in(shop.owner.token)(EXCEPT, {"input": exception})
    assert made["__typename"] == "CreateScheduleExceptionPayload"
    rule = {"recurrence": {"pattern": {"frequency": "DAILY", "until": last}}, "providerId": shop.provider_id}
    chosen = [{"index": 1, "startsAt": iso(there)}, {"index": 2}]
    refused = await Regular(client, shop).create(start, 2_000, **rule, dates=chosen)
    assert refused["__typename"] == "SeriesConflict", refused
    assert [(one["index"], one["reason"]) for one in refused["dates"]] == [(1, "CLOSED")]
