"""Sessions follow the schedule: made on publishing and on demand, ended or kept as legacy when the hours change."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from app.commands import session_generation
from app.commands.activity import Taken
from app.commands.resource_need import NeedGiven
from app.commands.session_generation import apply_schedule, generate_next
from app.core.ids import IdKind, decode_id
from app.domain import session_plan
from app.domain.membership import Role
from app.domain.schedule import weekly_hours
from app.queries.tenancy import bind
from app.resolvers.context import Services
from tests.classes import AFTER_NOON, MORNINGS, Class, faults, make_activity, make_class, publish
from tests.factories import make
from tests.fixtures_api import GraphQLClient, StatementLog
from tests.journey import colleague, live_time, rows_of
from tests.shop import TEST, Shop, at, from_today, iso, make_shop

GENERATE = """
mutation ($input: GenerateSessionsInput!) { generateSessions(input: $input) { __typename
  ... on GenerateSessionsPayload {
    createdCount restoredCount legacyCount cancelledCount conflictCount conflicts activity { id } }
  ... on InvalidInput { violations { path message } } ... on NotAllowed { rule } ... on Error { code message } } }
"""
TIME_OFF = "mutation ($input: CreateTimeOffInput!) { createTimeOff(input: $input) { __typename } }"


async def generate(yoga: Class, until: date, client: GraphQLClient | None = None, **extra: Any) -> dict[str, Any]:
    wanted = {"activityId": yoga.activity_id, "until": f"{until}", **extra}
    answer: dict[str, Any] = await (client or yoga.owner)(GENERATE, {"input": wanted})
    return answer


async def states(yoga: Class, day: date) -> list[tuple[str, str, bool]]:
    """Start, status and legacy of all sessions of a day."""
    return [(one["startsAt"], one["status"], one["isLegacy"]) for one in await yoga.everything(day)]


async def follow(shop: Shop, yoga: Class) -> Any:
    async with shop.services.database.transaction() as tx:
        await bind(tx, organization_id=shop.organization_uuid)
        return await apply_schedule(tx, shop.organization_uuid, yoga.activity_uuid, actor=TEST, now=datetime.now(UTC))


async def test_publishing_makes_sessions_to_the_horizon(services: Services, client: GraphQLClient) -> None:
    yoga = await make_class(client, services, session_horizon_days=4)
    found = await yoga.everything(from_today(0, 0).date(), from_today(9, 0).date())
    assert {one["startsAt"][:10] for one in found} - {iso(from_today(0, 0))[:10]} == {
        iso(from_today(n, 0))[:10] for n in (1, 2, 3, 4)
    }
    assert all(datetime.fromisoformat(one["startsAt"]) > datetime.now(UTC) for one in found)
    again = await follow(yoga.shop, yoga)
    assert again.counts() == {}
    events = "SELECT type, subject_id FROM outbox_event WHERE subject_id = :id AND type = 'activity.sessions_changed'"
    assert len(await rows_of(yoga.shop, events, id=yoga.activity_uuid)) == 1


async def test_sessions_that_the_hours_have_no_more(services: Services, client: GraphQLClient) -> None:
    yoga = await make_class(client, services)
    nine, ten = await yoga.at(at(2, 9)), await yoga.at(at(2, 10))
    made, held = await yoga.booked(nine["id"], 2), await yoga.held(ten["id"])
    await yoga.publish(AFTER_NOON)
    day = at(2, 0).date()
    assert await states(yoga, day) == [
        (iso(at(2, 9)), "OPEN", True),
        (iso(at(2, 10)), "OPEN", True),
        (iso(at(2, 11)), "CANCELLED", False),
        (iso(at(2, 14)), "OPEN", False),
        (iso(at(2, 15)), "OPEN", False),
    ]
    assert (await yoga.read(nine["id"]))["capacityRemaining"] == 0
    refused = await yoga.hold(nine["id"])
    assert (refused["reason"], refused["alternatives"][0]["startsAt"]) == ("CLOSED", iso(at(2, 14)))
    assert [one["startsAt"] for one in await yoga.sessions(day)] == [iso(at(2, 14)), iso(at(2, 15))]
    # Commitments stand, the hold as well.
    assert (await yoga.guest.book(held))["__typename"] == "CreateBookingPayload"
    assert (await yoga.guest.read(made, made.token))["status"] == "CONFIRMED"
    # Hours that have them again bring them back: legacy ones, and those that were cancelled for nothing else.
    await yoga.publish(MORNINGS)
    assert await states(yoga, day) == [
        (iso(at(2, 9)), "OPEN", False),
        (iso(at(2, 10)), "OPEN", False),
        (iso(at(2, 11)), "OPEN", False),
        (iso(at(2, 14)), "CANCELLED", False),
        (iso(at(2, 15)), "CANCELLED", False),
    ]
    assert (await yoga.read(nine["id"]))["capacityRemaining"] == 8
    assert await faults(yoga.shop) == []


async def test_a_legacy_session_without_guests_ends(services: Services, client: GraphQLClient, clock: Any) -> None:
    yoga = await make_class(client, services)
    nine, ten = await yoga.at(at(3, 9)), await yoga.at(at(3, 10))
    made = await yoga.booked(nine["id"])
    await yoga.held(ten["id"])
    await yoga.publish(AFTER_NOON)
    await yoga.guest.cancel(made, accessToken=made.token)
    clock.move(timedelta(minutes=11))
    async with services.database.transaction() as tx:
        await bind(tx, organization_id=yoga.shop.organization_uuid, clock_offset=services.clock.offset)
        done = await apply_schedule(
            tx, yoga.shop.organization_uuid, yoga.activity_uuid, actor=TEST, now=services.clock.now()
        )
    assert done.cancelled == (at(3, 9), at(3, 10))
    assert await faults(yoga.shop) == []


async def test_what_a_person_cancelled_no_schedule_brings_back(services: Services, client: GraphQLClient) -> None:
    yoga = await make_class(client, services)
    session = await yoga.at(at(2, 9))
    await yoga.staff("cancelSession", session["id"], reason="Ill")
    await yoga.publish(AFTER_NOON)
    await yoga.publish(MORNINGS)
    assert (await yoga.read(session["id"]))["status"] == "CANCELLED"


async def test_closed_days_of_the_activity_and_of_the_venue(services: Services, client: GraphQLClient) -> None:
    """The sessions follow at once; the one that is booked stands."""
    yoga = await make_class(client, services)
    made = await yoga.booked((await yoga.at(at(2, 9)))["id"])
    await yoga.depart(at(2, 0).date())
    await yoga.depart(at(3, 0).date(), owner_id=yoga.shop.venue_id)
    assert await states(yoga, at(2, 0).date()) == [
        (iso(at(2, 9)), "OPEN", True),
        (iso(at(2, 10)), "CANCELLED", False),
        (iso(at(2, 11)), "CANCELLED", False),
    ]
    assert [status for _, status, _ in await states(yoga, at(3, 0).date())] == ["CANCELLED"] * 3
    assert [status for _, status, _ in await states(yoga, at(4, 0).date())] == ["OPEN"] * 3
    assert (await yoga.guest.read(made, made.token))["status"] == "CONFIRMED"
    assert (await follow(yoga.shop, yoga)).counts() == {}


async def test_public_holidays_of_the_venue(services: Services, client: GraphQLClient) -> None:
    yoga = await make_class(client, services, session_horizon_days=1, maximum_advance_days=365)
    today = from_today(0, 0).date()
    # Of those that are always on the same day, one that is neither too near nor more than a year away.
    holiday = (
        date(today.year + (today.month == 12), 5, 25) if today.month in {1, 2, 3, 12} else date(today.year, 12, 25)
    )
    await generate(yoga, holiday + timedelta(days=1))
    assert [status for _, status, _ in await states(yoga, holiday)] == ["OPEN"] * 3
    # A country is given to the venue: its holidays are closed from that moment on.
    await make(yoga.owner, "updateVenue", venueId=yoga.shop.venue_id, country="AR")
    assert [status for _, status, _ in await states(yoga, holiday)] == ["CANCELLED"] * 3
    assert [status for _, status, _ in await states(yoga, holiday + timedelta(days=1))] == ["OPEN"] * 3
    # Special hours go before a holiday.
    await yoga.depart(holiday, ("10:00", "11:00"))
    assert [status for _, status, _ in await states(yoga, holiday)] == ["CANCELLED", "OPEN", "CANCELLED"]


async def test_a_session_takes_the_time_of_who_leads_it(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services)
    visitor = (await make_class(client, services, shop=shop, weekly=None)).guest
    appointment = await visitor.booked(at(2, 9, 45))
    yoga = await make_class(client, services, shop=shop, led_by_first=True)
    assert [start for start, _, _ in await states(yoga, at(2, 0).date())] == [iso(at(2, 11))]
    assert (await visitor.hold(at(2, 11, 15)))["reason"] == "BOOKED"
    assert at(2, 11) not in await visitor.starts(at(2, 0).date())
    done = await follow(shop, yoga)
    assert done.conflicts == (at(2, 9), at(2, 10))
    assert done.counts() == {"conflicts": 2}
    # When the appointment is gone, the next generation makes them. It never breaks one.
    assert (await visitor.read(appointment, appointment.token))["status"] == "CONFIRMED"
    await visitor.cancel(appointment, accessToken=appointment.token)
    assert (await follow(shop, yoga)).created == (at(2, 9), at(2, 10))
    # Its own time is given back with the session.
    await yoga.publish(AFTER_NOON)
    assert (await visitor.hold(at(2, 9)))["__typename"] == "HoldSlotPayload"
    assert len([1 for start, _, _ in await live_time(shop) if start == at(2, 14)]) == 1


async def test_time_off_and_lapsed_holds(services: Services, client: GraphQLClient, clock: Any) -> None:
    shop = await make_shop(services)
    yoga = await make_class(client, services, shop=shop, weekly=None, led_by_first=True)
    await yoga.guest.held(at(2, 9))
    off = {"providerId": shop.provider_id, "startsAt": iso(at(2, 10, 30)), "endsAt": iso(at(2, 10, 45))}
    assert (await yoga.owner(TIME_OFF, {"input": off}))["__typename"] == "CreateTimeOffPayload"
    clock.move(timedelta(minutes=11))
    await yoga.publish(MORNINGS)
    assert [start for start, _, _ in await states(yoga, at(2, 0).date())] == [iso(at(2, 9)), iso(at(2, 11))]


async def test_rooms_all_or_nothing(services: Services, client: GraphQLClient) -> None:
    """Two rooms and three activities that need one each: at each hour two take place."""
    shop = await make_shop(services)
    owner = client.signed_in(shop.owner.token)
    room = await make(owner, "createResource", venueId=shop.venue_id, name="Hall", kind="ROOM", quantity=2)
    need = NeedGiven((decode_id(IdKind.RESOURCE, room["id"]),), None, 1)
    classes = []
    for number in range(3):
        taken = Taken(tuple(shop.provider_uuids) if number == 2 else (), (need,))
        made = await make_activity(shop, taken, name=f"Class {number}")
        await publish(shop, made.id, MORNINGS)
        classes.append(Class(shop, made.id, client))
    assert [len(await states(each, at(2, 0).date())) for each in classes] == [3, 3, 0]
    # The one without a room has taken nobody's time either.
    assert await live_time(shop) == []
    await classes[0].publish(AFTER_NOON)
    assert len((await follow(shop, classes[2])).created) >= 18
    assert len(await live_time(shop)) >= 18


async def test_on_demand_beyond_the_horizon(services: Services, client: GraphQLClient) -> None:
    yoga = await make_class(client, services, session_horizon_days=3, maximum_advance_days=20)
    until = from_today(20, 0).date()
    key = str(uuid4())
    done = await generate(yoga, until, idempotencyKey=key)
    assert (done["createdCount"], done["restoredCount"], done["conflicts"]) == (17 * 3, 0, [])
    assert await generate(yoga, until, idempotencyKey=key) == done
    assert (await generate(yoga, until))["createdCount"] == 0
    assert (await generate(yoga, until - timedelta(days=1), idempotencyKey=key))["__typename"] == "IdempotencyConflict"
    # What was made on demand stays, though it lies beyond the horizon; and it follows the hours.
    assert (await follow(yoga.shop, yoga)).counts() == {}
    await yoga.publish(AFTER_NOON)
    assert [status for _, status, _ in await states(yoga, until)] == ["CANCELLED"] * 3


async def test_what_cannot_be_generated(
    services: Services, client: GraphQLClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    yoga = await make_class(client, services, session_horizon_days=3, maximum_advance_days=20)
    for until in (from_today(-1, 0).date(), from_today(21, 0).date(), date(2199, 12, 31), date(1970, 1, 1)):
        assert (await generate(yoga, until))["violations"][0]["path"] == "input.until"
    absurd = await yoga.owner.raw(GENERATE, {"input": {"activityId": yoga.activity_id, "until": "9999-12-31"}})
    assert absurd["errors"][0]["extensions"]["code"] == "BAD_INPUT"
    elsewhere = await make_class(client, services, weekly=None)
    assert (await generate(yoga, from_today(4, 0).date(), elsewhere.owner))["__typename"] == "NotFound"
    staff = (await colleague(client, yoga.shop, Role.STAFF)).client
    assert (await generate(yoga, from_today(4, 0).date(), staff))["rule"] == "role"
    monkeypatch.setattr(session_generation, "SESSIONS_AT_ONCE", 20)
    assert (await generate(yoga, from_today(20, 0).date()))["violations"] == [
        {"path": "input.until", "message": "asks for more than 20 sessions at once; take a nearer date first"}
    ]
    await make(yoga.owner, "deactivateActivity", activityId=yoga.activity_id)
    assert (await generate(yoga, from_today(4, 0).date()))["violations"][0]["path"] == "input.activityId"


async def test_the_rest_of_what_is_too_much_for_one_transaction(
    services: Services, client: GraphQLClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The soonest are there at once; the job is told that more are due, and makes them part by part."""
    monkeypatch.setattr(session_generation, "LED_AT_ONCE", 4)
    yoga = await make_class(client, services, weekly=None, led_by_first=True, session_horizon_days=3)
    await make(yoga.owner, "updateActivity", activityId=yoga.activity_id, sessionHorizonDays=4)
    database, now = services.database, datetime.now(UTC)

    async def part() -> bool:
        async with database.transaction() as tx:
            await bind(tx, organization_id=yoga.shop.organization_uuid)
            return await generate_next(tx, yoga.activity_uuid, now)

    assert await part()
    assert await part()  # nothing is due any more
    await yoga.publish(MORNINGS)
    first, last = from_today(0, 0).date(), from_today(4, 0).date()
    soonest = await yoga.everything(first, last)
    assert len(soonest) == 4
    parts = 1
    while not await part():
        parts += 1
    found = await yoga.everything(first, last)
    assert found[:4] == soonest
    assert (
        len(found)
        == len(await yoga.everything(from_today(1, 0).date(), last)) + len(await yoga.everything(first))
        >= 12
    )
    assert parts == -(-len(found) // 4) - 1


async def test_an_activity_has_so_many_coming_sessions_and_no_more(
    services: Services, client: GraphQLClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (session_generation, session_plan):
        monkeypatch.setattr(module, "COMING_MAXIMUM", 10)
    yoga = await make_class(client, services)
    first, last = from_today(0, 0).date(), from_today(9, 0).date()
    assert len(await yoga.everything(first, last)) == 10
    refused = await generate(yoga, last)
    assert refused["violations"] == [
        {"path": "input.until", "message": "asks for more than 10 coming sessions of one activity"}
    ]
    # Hours with fewer of them make room.
    await yoga.publish(tuple(weekly_hours(day, [(9 * 60, 10 * 60)]) for day in range(7)))
    assert (await generate(yoga, last))["createdCount"] > 0
    assert 9 <= [one["status"] for one in await yoga.everything(first, last)].count("OPEN") <= 10


async def test_a_venues_activities_are_locked_before_anybodys_time_is(
    services: Services, client: GraphQLClient, statements: StatementLog
) -> None:
    """Two generations that take the same two activities and one person's time cannot wait for each other."""
    shop = await make_shop(services)
    for name in ("Yoga", "Pilates"):
        await make_class(client, services, shop=shop, led_by_first=True, name=name, weekly=None)
    statements.clear()
    await make(client.signed_in(shop.owner.token), "updateVenue", venueId=shop.venue_id, country="AR")
    locks = [one for one in statements.statements if "FOR NO KEY UPDATE" in one and "FROM activity" in one]
    assert "venue_id" in locks[0]
    assert "ORDER BY" in locks[0]
    assert len(locks) == 3


async def test_the_counter_is_checked_by_the_database(services: Services, client: GraphQLClient) -> None:
    yoga = await make_class(client, services)
    session = decode_id(IdKind.SESSION, (await yoga.at(at(2, 9)))["id"])
    async with services.database.transaction() as tx:
        await bind(tx, organization_id=yoga.shop.organization_uuid)
        refused = []
        for change in ("taken = 11", "taken = -1", "capacity = -1", "status = 'full'", "ends_at = starts_at"):
            try:
                async with tx.begin_nested():
                    await tx.execute(text(f"UPDATE activity_session SET {change} WHERE id = :id"), {"id": session})
            except Exception as error:
                refused.append(type(error).__name__)
    assert refused == ["IntegrityError"] * 5
