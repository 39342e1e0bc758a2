"""Making a series: all its dates, or none."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import TIMESTAMP

from app.queries.tenancy import bind
from app.resolvers.context import Services
from tests.fixtures_api import GraphQLClient, StatementLog
from tests.journey import Visitor, live_time, rows_of
from tests.recurring import Regular, count_rows, days, local, uuid_of_series, walls, weekly
from tests.rooms import limit_customers
from tests.shop import Shop, at, iso, make_shop

UNKNOWN = "01h2xcejqtf2nbrexx3vqjhp41"


@pytest.fixture
async def shop(services: Services) -> Shop:
    """Open day and night in a zone whose clocks change; a cut of 30 minutes at 10.00."""
    return await make_shop(services, time_zone="Europe/Berlin", service={"maximum_advance_days": 400})


async def test_a_year_of_weeks_over_both_changes_of_the_clocks(shop: Shop, client: GraphQLClient) -> None:
    regular, start = Regular(client, shop), local(shop, 2, 10)
    plan = await regular.plan(start, **weekly(52))
    assert (plan["freeCount"], plan["total"]["amountMinor"], plan["timeZone"]) == (52, 52_000, "Europe/Berlin")
    made = await regular.made(start, 52_000, notes="As always", **weekly(52))
    bookings = made["series"]["bookings"]
    assert [one["seriesPosition"] for one in bookings] == list(range(1, 53))
    assert walls(shop, bookings) == {"10:00"}
    assert len({one["startsAt"][11:] for one in bookings}) == 2
    found = days(shop, bookings)
    assert {later - earlier for earlier, later in pairwise(found)} == {timedelta(days=7)}
    assert len({one["number"] for one in bookings}) == len({one["confirmationCode"] for one in bookings}) == 52
    assert [one["number"] for one in bookings] == sorted(one["number"] for one in bookings)
    assert {len(one["items"]) for one in bookings} == {1}
    assert [step["to"] for step in bookings[51]["transitions"]] == ["PENDING", "CONFIRMED"]
    assert made["series"]["counts"] == [{"status": "CONFIRMED", "count": 52}]
    assert (made["series"]["rule"], made["series"]["customer"]["name"]) == ("FREQ=WEEKLY;COUNT=52", "Ana")
    assert len(await live_time(shop)) == 52
    told = await rows_of(
        shop,
        "SELECT payload FROM outbox_event WHERE type = 'series.created' AND subject_id = :id",
        id=uuid_of_series(made),
    )
    assert len(told[0]["payload"]["bookingIds"]) == 52
    assert len(await rows_of(shop, "SELECT 1 FROM audit_entry WHERE action = 'booking.created'")) == 52
    rows = await rows_of(shop, "SELECT quote, policy, hold_id, notes FROM booking")
    assert all(row["quote"] and row["policy"] and row["hold_id"] is None for row in rows)
    assert {row["notes"] for row in rows} == {"As always"}


async def test_a_conflict_at_week_30_leaves_nothing_behind(shop: Shop, client: GraphQLClient) -> None:
    regular, start = Regular(client, shop), local(shop, 2, 10)
    plan = await regular.plan(start, **weekly(52))
    taken = plan["dates"][29]["startsAt"]
    await Visitor(client, shop).booked(local(shop, 2 + 29 * 7, 10), customer={"name": "Eva", "email": "e@example.com"})
    before = await count_rows(shop)
    refused = await regular.create(start, 52_000, **weekly(52), idempotencyKey=str(uuid4()))
    assert refused["__typename"] == "SeriesConflict", refused
    (date,) = refused["dates"]
    assert (date["index"], date["startsAt"], date["reason"]) == (30, taken, "BOOKED")
    assert len(date["alternatives"]) == 3
    assert await count_rows(shop) == before
    # All but that one, which goes to the first of its alternatives.
    chosen = [{"index": one} for one in range(1, 53) if one != 30]
    instead = {"index": 30, "startsAt": date["alternatives"][0]["startsAt"]}
    made = await regular.made(start, 52_000, **weekly(52), dates=[instead, *chosen])
    assert made["series"]["bookings"][29]["startsAt"] == instead["startsAt"]
    assert made["series"]["bookings"][29]["seriesPosition"] == 30


async def test_of_two_at_once_one_wins_wholly(shop: Shop, client: GraphQLClient) -> None:
    start = local(shop, 2, 10)
    one, other = await asyncio.gather(
        Regular(client, shop).create(start, 20_000, **weekly(20)),
        Regular(client, shop).create(local(shop, 9, 10), 20_000, **weekly(20)),
    )
    assert sorted([one["__typename"], other["__typename"]]) == ["CreateRecurringBookingPayload", "SeriesConflict"]
    lost = one if one["__typename"] == "SeriesConflict" else other
    assert len(lost["dates"]) == 19
    assert {date["reason"] for date in lost["dates"]} == {"BOOKED"}
    assert len(await live_time(shop)) == 20
    assert len(await rows_of(shop, "SELECT 1 FROM booking_series")) == 1


async def test_against_single_holds_nobody_gets_half(shop: Shop, client: GraphQLClient) -> None:
    """Holds take no lock: the database decides, date by date, and the series gives all back."""
    guest, regular, start = Visitor(client, shop), Regular(client, shop), local(shop, 2, 10)
    starts = [local(shop, 2 + 7 * week, 10) for week in range(10)]
    answers = await asyncio.gather(
        regular.create(start, 10_000, **weekly(10)), *(guest.hold(one) for one in reversed(starts))
    )
    held = [one for one in answers[1:] if one["__typename"] == "HoldSlotPayload"]
    assert all(len(date["alternatives"]) == 3 for date in answers[0].get("dates", ()))
    is_made = answers[0]["__typename"] == "CreateRecurringBookingPayload"
    assert len(held) == 0 if is_made else len(held) > 0
    assert len(await live_time(shop)) == (10 if is_made else len(held))


async def test_a_time_that_is_lost_after_the_plan(shop: Shop, client: GraphQLClient) -> None:
    """Somebody else's claim of the third week is committed while the series waits for it with the first two."""
    regular, start = Regular(client, shop), local(shop, 2, 10)
    taken = local(shop, 2 + 14, 10)
    async with shop.services.database.transaction() as tx:
        await bind(tx, organization_id=shop.organization_uuid)
        await tx.execute(
            text(
                "SELECT claim_time(uuidv7(), :organization, :provider, tstzrange(:start, :end), :start, :end, 'held',"
                " NULL, NULL, :end, 'HELD')"
            ).bindparams(*(bindparam(name, type_=TIMESTAMP(timezone=True)) for name in ("start", "end"))),
            {
                "organization": shop.organization_uuid,
                "provider": shop.provider_uuids[0],
                "start": taken,
                "end": taken + timedelta(minutes=30),
            },
        )
        creating = asyncio.create_task(regular.create(start, 4_000, **weekly(4)))
        while not await rows_of(shop, "SELECT 1 FROM pg_locks WHERE NOT granted"):
            assert not creating.done()
            await asyncio.sleep(0.02)
    refused = await creating
    assert [(one["index"], one["reason"]) for one in refused["dates"]] == [(3, "HELD")]
    assert len(refused["dates"][0]["alternatives"]) == 3
    assert len(await live_time(shop)) == 1


async def test_a_replay_is_the_same_series(shop: Shop, client: GraphQLClient) -> None:
    regular, start, key = Regular(client, shop), local(shop, 2, 10), str(uuid4())
    first = await regular.made(start, 3_000, **weekly(3), idempotencyKey=key)
    assert await regular.made(start, 3_000, **weekly(3), idempotencyKey=key) == first
    other = await regular.create(start, 4_000, **weekly(4), idempotencyKey=key)
    assert other["__typename"] == "IdempotencyConflict"


async def test_a_changed_price_is_told(shop: Shop, client: GraphQLClient) -> None:
    refused = await Regular(client, shop).create(local(shop, 2, 10), 2_999, **weekly(3))
    assert (refused["__typename"], refused["total"]["amountMinor"]) == ("PriceChanged", 3_000)
    assert await live_time(shop) == []


@pytest.mark.parametrize(
    ("extra", "path"),
    [
        ({"partySize": 0}, "input.partySize"),
        ({"partySize": 2}, "input.partySize"),
        ({"durationMinutes": -1}, "input.durationMinutes"),
        ({"durationMinutes": 2**31 - 1}, "input.durationMinutes"),
        ({"activityId": f"act_{UNKNOWN}"}, "input.serviceId"),
        ({"serviceId": None}, "input.serviceId"),
        ({"dates": []}, "input.dates"),
        ({"dates": [{"index": 0}]}, "input.dates.0.index"),
        ({"dates": [{"index": 1}, {"index": 1}]}, "input.dates.1.index"),
        ({"dates": [{"index": 4}]}, "input.dates.0.index"),
        ({"customer": None}, "input.customer"),
        ({"customer": {"name": " ", "email": "a@example.com"}}, "input.customer.name"),
        ({"notes": "x" * 2_001}, "input.notes"),
        ({"expectedTotalMinor": -1}, "input.expectedTotalMinor"),
        ({"recurrence": {"rrule": "FREQ=SECONDLY;COUNT=3"}}, "input.recurrence.rrule"),
        ({"recurrence": {"rrule": "FREQ=DAILY;UNTIL=99991231"}}, "input.recurrence.rrule"),
        ({"recurrence": {"rrule": "FREQ=DAILY;COUNT=3 🎉"}}, "input.recurrence.rrule"),
        ({"recurrence": {}}, "input.recurrence"),
        (
            {"recurrence": {"rrule": "FREQ=DAILY;COUNT=3", "pattern": {"frequency": "DAILY", "count": 3}}},
            "input.recurrence",
        ),
        ({"recurrence": {"pattern": {"frequency": "DAILY"}}}, "input.recurrence.pattern"),
        ({"recurrence": {"pattern": {"frequency": "DAILY", "count": 105}}}, "input.recurrence.pattern"),
        ({"recurrence": {"pattern": {"frequency": "DAILY", "count": 3, "every": 0}}}, "input.recurrence.pattern"),
        (
            {"recurrence": {"pattern": {"frequency": "MONTHLY", "count": 3, "weekdays": ["MONDAY"]}}},
            "input.recurrence.pattern.weekdays",
        ),
        ({"recurrence": {"pattern": {"frequency": "DAILY", "until": "2199-01-01"}}}, "input.recurrence"),
    ],
)
async def test_what_cannot_be(shop: Shop, client: GraphQLClient, extra: dict[str, Any], path: str) -> None:
    refused = await Regular(client, shop).create(local(shop, 2, 10), 3_000, **{**weekly(3), **extra})
    assert refused["__typename"] == "InvalidInput", refused
    assert refused["violations"][0]["path"] == path


async def test_a_date_may_not_take_the_place_of_another(shop: Shop, client: GraphQLClient) -> None:
    start = local(shop, 2, 10)
    second = {"index": 2, "startsAt": iso(start + timedelta(minutes=15))}
    refused = await Regular(client, shop).create(start, 2_000, **weekly(3), dates=[{"index": 1}, second])
    assert [(one["index"], one["reason"]) for one in refused["dates"]] == [(2, "BOOKED")]


@pytest.mark.parametrize("start", ["1970-01-01T00:00:00Z", "2200-01-01T00:00:00Z"])
async def test_a_date_may_not_go_to_the_end_of_the_world(shop: Shop, client: GraphQLClient, start: str) -> None:
    await limit_customers(shop, day=3, week=3)
    chosen = [{"index": 1}, {"index": 2, "startsAt": start}]
    refused = await Regular(client, shop).create(local(shop, 2, 10), 2_000, **weekly(3), dates=chosen)
    assert [one["index"] for one in refused["dates"]] == [2]


async def test_foreign_ids_are_not_found(shop: Shop, services: Services, client: GraphQLClient) -> None:
    other = await make_shop(services)
    regular = Regular(client, shop)
    start = local(shop, 2, 10)
    refused = await regular.create(start, 3_000, **weekly(3), providerId=other.provider_id)
    assert refused["__typename"] == "NotFound"
    refused = await regular.create(start, 3_000, **weekly(3), serviceId=f"svc_{UNKNOWN}")
    assert refused["__typename"] == "NotFound"


async def test_who_may_see_it(shop: Shop, services: Services, client: GraphQLClient) -> None:
    made = await Regular(client, shop).made(local(shop, 2, 10), 3_000, **weekly(3))
    series_id, token = made["series"]["id"], made["accessToken"]
    guest = Regular(client, shop)
    assert (await guest.read(None, token))["data"]["bookingSeries"]["id"] == series_id
    booking = await rows_of(shop, "SELECT id, access_version FROM booking ORDER BY series_index LIMIT 1")
    link = services.tokens.guest_token(booking[0]["id"], 1)
    assert (await guest.read(series_id, link))["data"]["bookingSeries"]["id"] == series_id
    owner = Regular(client.signed_in(shop.owner.token), shop)
    assert len((await owner.read(series_id))["data"]["bookingSeries"]["bookings"]) == 3
    other = await make_shop(services)
    stranger = Regular(client.signed_in(other.owner.token), other)
    for seen in (await guest.read(series_id), await stranger.read(series_id), await guest.read(series_id, token + "x")):
        assert seen["errors"][0]["extensions"]["code"] == "NOT_FOUND"


async def test_limits_of_customers_count_its_own_dates(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services)
    await limit_customers(shop, week=2)
    start = at(3, 10)
    daily = {"recurrence": {"rrule": "FREQ=DAILY;COUNT=14"}}
    refused = await Regular(client, shop).create(start, 14_000, **daily)
    assert refused["__typename"] == "SeriesConflict"
    assert {one["reason"] for one in refused["dates"]} == {"LIMIT"}
    free = [{"index": one} for one in range(1, 15) if one not in {date["index"] for date in refused["dates"]}]
    assert 4 <= len(free) <= 6
    await Regular(client, shop).made(start, len(free) * 1_000, **daily, dates=free)
    # The second: where the first one is a Sunday, its week has room for another.
    again = await Regular(client, shop).create(start + timedelta(hours=2), 1_000, **daily, dates=[free[1]])
    assert again["dates"][0]["reason"] == "LIMIT"
    owner = Regular(client.signed_in(shop.owner.token), shop)
    await owner.made(start + timedelta(hours=2), 14_000, **daily)


async def test_its_budget(shop: Shop, client: GraphQLClient, statements: StatementLog) -> None:
    """However many dates there are."""
    regular, start = Regular(client, shop), local(shop, 2, 10)
    statements.clear()
    await regular.plan(start, **weekly(52))
    assert len(statements) <= 4, statements.statements
    counts = []
    for hour, count in ((11, 2), (12, 50)):
        statements.clear()
        await regular.made(local(shop, 2, hour), count * 1_000, **weekly(count), idempotencyKey=str(uuid4()))
        counts.append(len(statements))
    assert counts[0] == counts[1] <= 21, statements.statements
