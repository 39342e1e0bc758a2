"""Looking at new hours before they are published."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from app.domain.membership import Role
from app.resolvers.context import Services
from tests.fixtures_api import GraphQLClient, StatementLog
from tests.journey import Visitor, account, colleague, hours, live_time, rows_of
from tests.schema import operations as op
from tests.shop import at, iso, make_person, make_shop

PREVIEW = """
query ($input: PublishScheduleInput!) {
  schedulePreview(input: $input) {
    previewToken addedMinutesPerWeek removedMinutesPerWeek
    affectedBookings { reason booking { id status version } alternatives { startsAt endsAt price { amountMinor } } }
  }
}
"""
MORNINGS = hours(("09:00", "12:00"))


@pytest.fixture
async def guest(services: Services, client: GraphQLClient) -> Visitor:
    return Visitor(client, await make_shop(services))


@pytest.fixture
async def owner(guest: Visitor, client: GraphQLClient) -> Visitor:
    return Visitor(client.signed_in(guest.shop.owner.token), guest.shop)


def _day(days: int) -> date:
    return at(days, 0).date()


def _input(visitor: Visitor, weekly: list[dict[str, Any]], **extra: Any) -> dict[str, Any]:
    return {"input": {"ownerId": visitor.shop.provider_id, "weekly": weekly, **extra}}


async def _preview(visitor: Visitor, weekly: list[dict[str, Any]], **extra: Any) -> dict[str, Any]:
    found: dict[str, Any] = await visitor.client(PREVIEW, _input(visitor, weekly, **extra))
    return found


async def _error(visitor: Visitor, weekly: list[dict[str, Any]], **extra: Any) -> dict[str, Any]:
    answer = await visitor.client.raw(PREVIEW, _input(visitor, weekly, **extra))
    extensions: dict[str, Any] = answer["errors"][0]["extensions"]
    return extensions


async def test_what_would_be_outside(guest: Visitor, owner: Visitor, statements: StatementLog) -> None:
    """Each booking outside with where it could go under the hours that nobody has published yet."""
    for minutes in (0, 30, 60, 90):
        await guest.booked(at(4, 9, minutes % 60) + timedelta(hours=minutes // 60))
    late = await guest.booked(at(4, 18))
    later = await guest.booked(at(6, 20))
    before = await rows_of(guest.shop, "SELECT id FROM schedule_version")
    taken = await live_time(guest.shop)
    statements.clear()
    found = await _preview(owner, MORNINGS, slotIntervalMinutes=30)
    assert [(one["booking"]["id"], one["reason"]) for one in found["affectedBookings"]] == [
        (late.id, "CLOSED"),
        (later.id, "CLOSED"),
    ]
    near = found["affectedBookings"][0]["alternatives"]
    assert [slot["startsAt"] for slot in near] == [
        iso(at(*when)) for when in ((4, 11, 30), (4, 11), (5, 9), (5, 9, 30), (5, 10), (5, 10, 30))
    ]
    assert near[0]["price"] == {"amountMinor": 1_000}
    assert (found["addedMinutesPerWeek"], found["removedMinutesPerWeek"]) == (0, 7 * 21 * 60)
    # The organization; the provider; hours, versions, exceptions; bookings, items. Then alternatives for all of them.
    assert len(statements) == 7 + 3, statements.statements
    assert await rows_of(guest.shop, "SELECT id FROM schedule_version") == before
    assert await live_time(guest.shop) == taken


async def test_the_statements_do_not_grow_with_the_bookings(
    guest: Visitor, owner: Visitor, statements: StatementLog
) -> None:
    for hour in range(13, 23):
        await guest.booked(at(3, hour))
    statements.clear()
    found = await _preview(owner, MORNINGS)
    assert len(found["affectedBookings"]) == 10
    assert all(len(one["alternatives"]) == 6 for one in found["affectedBookings"])
    assert len(statements) == 10


async def test_minutes_gained_and_lost(owner: Visitor) -> None:
    """Against the hours that rule its first day: moved hours count on both sides, nights wrap round the week."""
    await owner.publish(hours(("09:00", "17:00"), breaks=(("12:00", "13:00"),)))
    found = await _preview(owner, hours(("10:00", "18:00"), breaks=(("12:00", "12:30"),)))
    assert (found["addedMinutesPerWeek"], found["removedMinutesPerWeek"]) == (7 * 90, 7 * 60)
    night = await _preview(owner, hours(("22:00", "02:00"))[6:])
    assert (night["addedMinutesPerWeek"], night["removedMinutesPerWeek"]) == (240, 7 * 7 * 60)
    await owner.publish([], effectiveFrom=_day(20).isoformat())
    later = await _preview(owner, MORNINGS, effectiveFrom=_day(25).isoformat())
    assert (later["addedMinutesPerWeek"], later["removedMinutesPerWeek"]) == (7 * 180, 0)
    same = await _preview(owner, hours(("09:00", "17:00"), breaks=(("12:00", "13:00"),)))
    assert (same["addedMinutesPerWeek"], same["removedMinutesPerWeek"]) == (0, 0)


async def test_alternatives_leave_room_for_the_others(guest: Visitor, owner: Visitor) -> None:
    """Its own time counts as free, those of others and what is held do not."""
    await guest.booked(at(3, 9))
    await guest.held(at(3, 10))
    over = await guest.booked(at(3, 11, 45))  # would end outside
    found = await _preview(owner, MORNINGS)
    [one] = found["affectedBookings"]
    assert one["booking"]["id"] == over.id
    assert [slot["startsAt"] for slot in one["alternatives"]] == [
        iso(at(3, *when)) for when in ((11, 30), (11, 15), (11, 0), (10, 45), (10, 30), (9, 30))
    ]


async def test_no_hours_leave_no_alternatives(guest: Visitor, owner: Visitor) -> None:
    await guest.booked(at(3, 9))
    [one] = (await _preview(owner, []))["affectedBookings"]
    assert one["alternatives"] == []


async def test_far_alternatives_are_found(guest: Visitor, owner: Visitor) -> None:
    """Two weeks hold nothing: the next weeks are looked at."""
    await guest.booked(at(3, 9))
    await owner.publish(hours(("10:00", "11:00")), effectiveFrom=_day(30).isoformat())
    [one] = (await _preview(owner, []))["affectedBookings"]
    assert one["alternatives"][0]["startsAt"] == iso(at(30, 10))


async def test_who_may_look(services: Services, client: GraphQLClient) -> None:
    linked = await make_person(services, "linked")
    shop = await make_shop(services, linked=linked)
    elsewhere = await make_shop(services)
    provider = Visitor(client.signed_in(linked.token), shop)
    for visitor in (provider, await colleague(client, shop, Role.ADMIN)):
        assert (await _preview(visitor, MORNINGS))["previewToken"]
    staff = await colleague(client, shop, Role.STAFF)
    assert (await _error(staff, MORNINGS))["code"] == "FORBIDDEN"
    stranger = await account(client, shop, "stranger")
    foreign = Visitor(client.signed_in(elsewhere.owner.token), shop)
    for visitor in (stranger, foreign):
        assert await _error(visitor, MORNINGS) == {"code": "NOT_FOUND"}
    assert (await _error(Visitor(client, shop), MORNINGS))["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize(
    ("wanted", "path"),
    [
        ({"ownerId": "ven_01h2xcejqtf2nbrexx3vqjhp41"}, "input.ownerId"),
        ({"ownerId": "prv_zzz"}, "input.ownerId"),
        ({"effectiveFrom": "2199-12-31"}, "input.effectiveFrom"),
        ({"effectiveFrom": "1999-01-01"}, "input.effectiveFrom"),
        ({"slotIntervalMinutes": -1}, "input.slotIntervalMinutes"),
        ({"weekly": hours(("12:00", "12:00"))[:1]}, "input.weekly.0.open.0.end"),
        ({"weekly": MORNINGS * 2}, "input.weekly"),
    ],
)
async def test_what_cannot_be(owner: Visitor, wanted: dict[str, Any], path: str) -> None:
    error = await _error(owner, **{"weekly": MORNINGS, **wanted})
    assert (error["code"], [violation["path"] for violation in error["violations"]]) == ("BAD_INPUT", [path])


async def test_a_closed_day_rules_whatever_the_week_says(guest: Visitor, owner: Visitor) -> None:
    """A booking that stands on it is told, and nothing of that day is offered."""
    made = await guest.booked(at(5, 12))
    exception = await owner.client(
        "mutation ($input: CreateScheduleExceptionInput!) { createScheduleException(input: $input) { __typename } }",
        {
            "input": {
                "ownerId": guest.shop.provider_id,
                "kind": "CLOSED",
                "from": _day(5).isoformat(),
                "to": _day(5).isoformat(),
            }
        },
    )
    assert exception["__typename"] == "CreateScheduleExceptionPayload"
    found = await _preview(owner, hours(("00:00", "24:00")))
    assert [one["booking"]["id"] for one in found["affectedBookings"]] == [made.id]
    assert found["affectedBookings"][0]["alternatives"][0]["startsAt"] == iso(at(6, 0))


async def test_a_preview_and_its_publishing(guest: Visitor, owner: Visitor) -> None:
    made = await guest.booked(at(3, 20))
    seen = await _preview(owner, MORNINGS)
    answer = await owner.client(op.PUBLISH, _input(owner, MORNINGS, previewToken=seen["previewToken"]))
    assert answer["__typename"] == "PublishSchedulePayload"
    assert [one["booking"]["id"] for one in answer["affectedBookings"]] == [made.id]
