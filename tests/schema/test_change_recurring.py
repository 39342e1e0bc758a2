"""Cancelling and moving several dates of a series: all of those that are meant, or none."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest

from app.domain.instants import resolve_local
from app.resolvers.context import Services
from tests.classes import MORNINGS, Class, make_class
from tests.fixtures_api import GraphQLClient, MovableClock, StatementLog
from tests.journey import Answer, Made, Visitor, live_time, next_change, rows_of
from tests.recurring import Regular, cancel, count_rows, days, local, move, walls, weekly
from tests.shop import Shop, at, iso, make_shop


@pytest.fixture
async def shop(services: Services) -> Shop:
    """Two people, open day and night; 30 minutes at 10.00, cancellable until a day before."""
    service = {"maximum_advance_days": 400, "cancellation_notice_minutes": 1_440}
    return await make_shop(services, providers=2, time_zone="Europe/Berlin", service=service)


@pytest.fixture
async def made(shop: Shop, client: GraphQLClient) -> Answer:
    """Five weeks at 10:00, with the first provider."""
    regular = Regular(client, shop)
    return await regular.made(local(shop, 2, 10), 5_000, **weekly(5), providerId=shop.provider_ids[0])


async def test_cancel_one_the_following_and_all(shop: Shop, client: GraphQLClient, made: Answer) -> None:
    done = await cancel(client, made, "ONE", position=2)
    assert [(one["seriesPosition"], one["status"]) for one in done["cancelled"]] == [(2, "CANCELLED")]
    assert done["series"]["version"] == 2
    done = await cancel(client, made, "THIS_AND_FOLLOWING", position=4, expectedVersion=2)
    assert [one["seriesPosition"] for one in done["cancelled"]] == [4, 5]
    done = await cancel(client, made, "ALL")
    assert [one["seriesPosition"] for one in done["cancelled"]] == [1, 3]
    assert done["series"]["counts"] == [{"status": "CANCELLED", "count": 5}]
    assert await live_time(shop) == []
    assert (await cancel(client, made, "ALL"))["rule"] == "nothing_to_cancel"
    assert len(await rows_of(shop, "SELECT 1 FROM outbox_event WHERE type = 'booking.cancelled'")) == 5
    told = await rows_of(shop, "SELECT after FROM audit_entry WHERE action = 'series.cancelled' ORDER BY id")
    assert [row["after"]["scope"] for row in told] == ["one", "this_and_following", "all"]


async def test_what_may_not_be_cancelled_any_more(
    shop: Shop, client: GraphQLClient, made: Answer, clock: MovableClock
) -> None:
    clock.move_to(local(shop, 2, 9))
    before = await count_rows(shop)
    refused = await cancel(client, made, "ALL", idempotencyKey=str(uuid4()))
    assert refused["__typename"] == "SeriesNotAllowed"
    assert [(one["position"], one["rule"]) for one in refused["refused"]] == [(1, "cancellation_notice")]
    assert await count_rows(shop) == before
    key = str(uuid4())
    done = await cancel(client, made, "ALL", skipNotAllowed=True, idempotencyKey=key)
    assert [one["seriesPosition"] for one in done["cancelled"]] == [2, 3, 4, 5]
    assert done["skipped"] == [{"position": 1, "rule": "cancellation_notice"}]
    assert await cancel(client, made, "ALL", skipNotAllowed=True, idempotencyKey=key) == done
    owner = client.signed_in(shop.owner.token)
    assert [one["seriesPosition"] for one in (await cancel(owner, made, "ALL"))["cancelled"]] == [1]


async def test_move_the_following_by_the_wall_clock(shop: Shop, client: GraphQLClient, made: Answer) -> None:
    plan = await move(client, made, "THIS_AND_FOLLOWING", position=3, localTime="11:30", shiftDays=1, dryRun=True)
    assert (plan["isDryRun"], [one["index"] for one in plan["dates"]]) == (True, [3, 4, 5])
    assert walls(shop, plan["series"]["bookings"]) == {"10:00"}
    done = await move(client, made, "THIS_AND_FOLLOWING", position=3, localTime="11:30", shiftDays=1, reason="Work")
    bookings = done["series"]["bookings"]
    assert (walls(shop, bookings[:2]), walls(shop, bookings[2:])) == ({"10:00"}, {"11:30"})
    was, found = days(shop, made["series"]["bookings"]), days(shop, bookings)
    assert [(new - old).days for old, new in zip(was, found, strict=True)] == [0, 0, 1, 1, 1]
    assert {one["version"] for one in bookings[2:]} == {2}
    assert all(one["items"][0]["startsAt"] == one["startsAt"] for one in bookings)
    assert len(await live_time(shop)) == 5
    # Onto the weeks that the others leave: each gives its time back before any takes it.
    done = await move(client, made, "ALL", shiftDays=7)
    assert done["__typename"] == "RescheduleRecurringBookingPayload", done
    assert [(new - old).days for old, new in zip(found, days(shop, done["series"]["bookings"]), strict=True)] == [7] * 5


async def test_a_conflict_in_the_middle_moves_nothing(shop: Shop, client: GraphQLClient, made: Answer) -> None:
    taken = local(shop, 2 + 14, 12)
    await Visitor(client, shop).booked(taken, hold={"providerId": shop.provider_ids[0]})
    before = await count_rows(shop)
    refused = await move(client, made, "ALL", localTime="12:00", idempotencyKey=str(uuid4()))
    assert [(one["index"], one["reason"]) for one in refused["dates"]] == [(3, "BOOKED")]
    assert len(refused["dates"][0]["alternatives"]) == 3
    assert await count_rows(shop) == before
    done = await move(client, made, "ALL", localTime="12:00", providerId=shop.provider_ids[1])
    assert {one["provider"]["id"] for one in done["series"]["bookings"]} == {shop.provider_ids[1]}
    assert {one["price"]["amountMinor"] for one in done["series"]["bookings"]} == {1_000}


async def test_somebody_else_has_it_at_the_very_same_time(
    shop: Shop, client: GraphQLClient, clock: MovableClock
) -> None:
    """In the second of the two hours that clocks show twice, too."""
    back = next_change("Europe/Berlin", forward=False)
    twice = resolve_local(back, 150, ZoneInfo("Europe/Berlin")) + timedelta(hours=1)
    clock.move_to(twice - timedelta(days=4))
    first, second = shop.provider_ids
    made = await Regular(client, shop).made(twice - timedelta(days=1), 1_000, **weekly(1), providerId=first)
    (one,) = made["series"]["bookings"]
    moved = await Visitor(client, shop).move(Made(one["id"], "", one), twice, accessToken=made["accessToken"])
    assert moved["startsAt"] == iso(twice), moved
    (seen,) = (await move(client, made, "ALL", providerId=second))["series"]["bookings"]
    assert (seen["startsAt"], seen["provider"]["id"]) == (iso(twice), second)


async def test_two_at_once(shop: Shop, client: GraphQLClient, made: Answer) -> None:
    """Each finds the series as the other left it."""
    moved, cancelled = await asyncio.gather(
        move(client, made, "ALL", localTime="15:00", expectedVersion=1),
        cancel(client, made, "ALL", expectedVersion=1),
    )
    names = [moved["__typename"], cancelled["__typename"]]
    assert names.count("StaleVersion") == 1, names
    assert len(await live_time(shop)) == (0 if moved["__typename"] == "StaleVersion" else 5)


@pytest.mark.parametrize(
    ("extra", "path"),
    [
        ({}, "input.localTime"),
        ({"localTime": "24:00"}, "input.localTime"),
        ({"localTime": "10:00"}, "input"),
        ({"shiftDays": 367}, "input.shiftDays"),
        ({"shiftDays": -(2**31)}, "input.shiftDays"),
        ({"shiftDays": 1, "scope": "ONE"}, "input.position"),
        ({"shiftDays": 1, "scope": "ONE", "position": 6}, "input.position"),
        ({"shiftDays": 1, "position": 1}, "input.position"),
    ],
)
async def test_what_cannot_be(client: GraphQLClient, made: Answer, extra: dict[str, Any], path: str) -> None:
    refused = await move(client, made, **{"scope": "ALL", **extra})
    assert refused["__typename"] == "InvalidInput", refused
    assert refused["violations"][0]["path"] == path


async def test_strangers_find_nothing(services: Services, client: GraphQLClient, made: Answer) -> None:
    other = await make_shop(services)
    for somebody in (client, client.signed_in(other.owner.token)):
        extra = {"accessToken": "x"} if somebody is client else {}
        assert (await cancel(somebody, made, "ALL", **extra))["__typename"] == "NotFound"
        assert (await move(somebody, made, "ALL", shiftDays=1, **extra))["__typename"] == "NotFound"


async def test_a_providers_part(shop: Shop, client: GraphQLClient) -> None:
    """A provider changes their own dates; those of another are told."""
    regular, start = Regular(client, shop), local(shop, 2, 10)
    second = {"index": 2, "providerId": shop.provider_ids[1]}
    made = await regular.made(start, 2_000, **weekly(2), providerId=shop.provider_ids[0], dates=[{"index": 1}, second])
    person = await shop.person("one")
    await rows_of(
        shop,
        "UPDATE provider SET user_id = :user WHERE id = :id RETURNING id",
        user=person.user_id,
        id=shop.provider_uuids[0],
    )
    theirs = client.signed_in(person.token)
    refused = await cancel(theirs, made, "ALL")
    assert [(one["position"], one["rule"]) for one in refused["refused"]] == [(2, "other_provider")]
    done = await cancel(theirs, made, "ALL", skipNotAllowed=True)
    assert [one["seriesPosition"] for one in done["cancelled"]] == [1]
    assert len(done["series"]["bookings"]) == 1


async def test_its_budget(client: GraphQLClient, made: Answer, statements: StatementLog) -> None:
    """Two statements for each booking that is moved; as many as a cancellation has for each that is cancelled."""
    target = {"seriesId": made["series"]["id"], "accessToken": made["accessToken"]}
    moving = {**target, "scope": "ALL", "localTime": "15:00", "idempotencyKey": str(uuid4())}
    statements.clear()
    bare = (
        "mutation ($input: RescheduleRecurringBookingInput!) {"
        " rescheduleRecurringBooking(input: $input) { __typename } }"
    )
    assert (await client(bare, {"input": moving}))["__typename"] == "RescheduleRecurringBookingPayload"
    assert len(statements) <= 16 + 2 * 5, statements.statements
    statements.clear()
    bare = "mutation ($input: CancelRecurringBookingInput!) { cancelRecurringBooking(input: $input) { __typename } }"
    cancelling = {**target, "scope": "ALL", "reason": "Ill", "idempotencyKey": str(uuid4())}
    assert (await client(bare, {"input": cancelling}))["__typename"] == "CancelRecurringBookingPayload"
    assert len(statements) <= 8 + 3 * 5, statements.statements


# ── sessions ──────────────────────────────────────────────────────────────────────────────────────────


async def a_class(services: Services, client: GraphQLClient) -> Class:
    """Ten places at 9, 10 and 11 of the coming four weeks."""
    return await make_class(client, services, weekly=MORNINGS, session_horizon_days=30)


async def test_a_series_of_sessions(services: Services, client: GraphQLClient) -> None:
    yoga = await a_class(services, client)
    regular, start = Regular(client, yoga.shop), at(2, 10)
    extra: dict[str, Any] = {**weekly(3), "serviceId": None, "activityId": yoga.activity_id, "partySize": 2}
    plan = await regular.plan(start, **extra)
    assert (plan["freeCount"], plan["total"]["amountMinor"]) == (3, 9_000)
    made = await regular.made(start, 9_000, **extra)
    assert {one["session"]["id"] for one in made["series"]["bookings"]} == {one["sessionId"] for one in plan["dates"]}
    assert (await yoga.at(start))["placesTaken"] == 2
    full = await yoga.at(start + timedelta(days=7, hours=1))
    await yoga.booked(full["id"], 9)
    refused = await move(client, made, "ALL", localTime="11:00")
    assert [(one["index"], one["reason"]) for one in refused["dates"]] == [(2, "CAPACITY")]
    elsewhere = "UPDATE venue SET time_zone = 'Africa/Abidjan' WHERE organization_id = :id RETURNING 1"
    await rows_of(yoga.shop, elsewhere, id=yoga.shop.organization_uuid)
    done = await move(client, made, "ALL", localTime="09:00")
    assert done["__typename"] == "RescheduleRecurringBookingPayload", done
    moved = await rows_of(yoga.shop, "SELECT time_zone FROM booking WHERE series_id IS NOT NULL AND reschedules = 1")
    assert [one["time_zone"] for one in moved] == ["Africa/Abidjan"] * 3
    assert ((await yoga.at(start))["placesTaken"], (await yoga.at(start - timedelta(hours=1)))["placesTaken"]) == (0, 2)
    await cancel(client, made, "ALL")
    assert (await yoga.at(start - timedelta(hours=1)))["placesTaken"] == 0


async def test_sessions_that_are_full_or_not_there(services: Services, client: GraphQLClient) -> None:
    yoga = await a_class(services, client)
    regular, start = Regular(client, yoga.shop), at(2, 10)
    await yoga.booked((await yoga.at(start + timedelta(days=7)))["id"], 10)
    extra: dict[str, Any] = {**weekly(6), "serviceId": None, "activityId": yoga.activity_id}
    plan = await regular.plan(start, **extra)
    assert [one["reason"] for one in plan["dates"]] == [None, "CAPACITY", None, None, None, "CLOSED"]
    nearest = [datetime.fromisoformat(one["startsAt"]) for one in plan["dates"][1]["alternatives"]]
    middle = start + timedelta(days=7)
    assert nearest == [middle - timedelta(hours=1), middle + timedelta(hours=1), middle - timedelta(hours=23)]
    before = await count_rows(yoga.shop)
    refused = await regular.create(start, 4_500, **extra)
    assert [one["index"] for one in refused["dates"]] == [2, 6]
    assert await count_rows(yoga.shop) == before


async def test_two_series_for_the_last_places(services: Services, client: GraphQLClient) -> None:
    """Eight places are left on each date: five and five do not fit, and one of the two gets all."""
    yoga = await a_class(services, client)
    start = at(2, 10)
    for week in range(3):
        await yoga.booked((await yoga.at(start + timedelta(days=7 * week)))["id"], 2)
    regular = Regular(client, yoga.shop)
    extra: dict[str, Any] = {**weekly(3), "serviceId": None, "activityId": yoga.activity_id, "partySize": 5}
    answers = await asyncio.gather(*(regular.create(start, 22_500, **extra) for _ in range(2)))
    assert sorted(one["__typename"] for one in answers) == ["CreateRecurringBookingPayload", "SeriesConflict"]
    for week in range(3):
        assert (await yoga.at(start + timedelta(days=7 * week)))["placesTaken"] == 7
