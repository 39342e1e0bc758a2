"""People join a booking: places and price go with them, or nothing does."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from app.domain.membership import Role
from app.resolvers.context import Services
from tests.classes import Class, faults, make_class
from tests.fixtures_api import GraphQLClient, StatementLog
from tests.groups import booked_as, change, named, seen
from tests.journey import Made, Visitor, account, audit_of, colleague, rows_of
from tests.shop import at, make_shop

ADD = "addParticipants"


@pytest.fixture
async def yoga(services: Services, client: GraphQLClient) -> Class:
    return await make_class(client, services, max_party_size=6)


@pytest.fixture
async def session(yoga: Class) -> dict[str, Any]:
    return await yoga.at(at(3, 9))


@pytest.fixture
async def made(yoga: Class, session: dict[str, Any]) -> Made:
    """Three come, one of whom has a name."""
    return await booked_as(yoga, await yoga.held(session["id"], 3), participants=named("Ana"))


async def test_a_booking_is_made_with_its_people(yoga: Class, session: dict[str, Any]) -> None:
    people = [{"name": " Ana ", "email": "Ana@Example.com", "phone": "+54 11 4321-5678"}, {"name": "Beto"}]
    made = await booked_as(yoga, await yoga.held(session["id"], 3), participants=people)
    found = (await seen(yoga, made))["participants"]
    facts = [(one["name"], one["email"], one["phone"], one["status"]) for one in found]
    assert facts == [("Ana", "ana@example.com", "+541143215678", "EXPECTED"), ("Beto", None, None, "EXPECTED")]
    assert all(one["id"].startswith("ptc_") for one in found)
    entry = (await audit_of(yoga.shop, made))[-1]
    assert (entry["action"], [one["name"] for one in entry["after"]["participants"]]) == (
        "booking.participants_named",
        ["Ana", "Beto"],
    )


async def test_places_price_and_history_follow(yoga: Class, made: Made) -> None:
    answer = await change(yoga.client, ADD, made, participants=named("Caro"), unnamed=1)
    assert (answer["__typename"], answer["version"], answer["partySize"]) == ("Booking", 2, 5)
    assert [one["name"] for one in answer["participants"]] == ["Ana", "Caro"]
    assert (answer["price"], answer["amountDue"]) == ({"amountMinor": 7_500}, {"amountMinor": 7_500})
    assert answer["session"]["capacityRemaining"] == 5
    assert await faults(yoga.shop) == []
    entry = (await audit_of(yoga.shop, made))[-1]
    assert (entry["before"]["party_size"], entry["after"]["party_size"]) == (3, 5)
    assert (entry["before"]["price_minor"], entry["after"]["price_minor"]) == (4_500, 7_500)
    told = await rows_of(yoga.shop, "SELECT type, payload FROM outbox_event ORDER BY id DESC LIMIT 2")
    assert [(one["type"], one["payload"].get("capacityRemaining")) for one in told] == [
        ("booking.participants_added", None),
        ("session.places", 5),
    ]
    [claim] = await rows_of(yoga.shop, "SELECT places FROM place_claim WHERE status = 'booked'")
    assert claim["places"] == 5


async def test_it_is_the_price_that_was_locked(yoga: Class, made: Made) -> None:
    await rows_of(yoga.shop, "UPDATE activity SET price_minor = 9_900 RETURNING 1")
    answer = await change(yoga.client, ADD, made, unnamed=1)
    assert answer["price"] == {"amountMinor": 6_000}
    assert [line["kind"] for line in answer["priceLines"]] == ["BASE"]


@pytest.mark.parametrize(
    ("extra", "path"),
    [
        ({}, "input.participants"),
        ({"unnamed": -1}, "input.unnamed"),
        ({"unnamed": 2**31 - 1}, "input.unnamed"),
        ({"participants": [{"name": ""}]}, "input.participants.0.name"),
        ({"participants": [{"name": "A\u0007b"}]}, "input.participants.0.name"),
        ({"participants": [{"name": "x" * 201}]}, "input.participants.0.name"),
        ({"participants": [{"name": "Ana"}, {"name": "Bo", "email": "nobody"}]}, "input.participants.1.email"),
        ({"participants": [{"name": "Ana", "phone": "12"}]}, "input.participants.0.phone"),
        ({"participants": [{"name": "Ana"}] * 201}, "input.participants"),
    ],
)
async def test_what_cannot_be(yoga: Class, made: Made, extra: dict[str, Any], path: str) -> None:
    answer = await change(yoga.client, ADD, made, **extra)
    assert (answer["__typename"], answer["violations"][0]["path"]) == ("InvalidInput", path)
    assert (await seen(yoga, made))["version"] == 1


async def test_more_names_than_places_at_the_booking(yoga: Class, session: dict[str, Any]) -> None:
    held = await yoga.held(session["id"], 2)
    answer = await yoga.guest.book(held, participants=named("Ana", "Beto", "Caro"))
    assert (answer["__typename"], answer["violations"][0]["path"]) == ("InvalidInput", "input.participants")
    assert (await yoga.guest.book(held))["__typename"] == "CreateBookingPayload"


async def test_never_more_than_there_are(yoga: Class, session: dict[str, Any], made: Made) -> None:
    await yoga.held(session["id"], 6)
    full = await change(yoga.client, ADD, made, unnamed=2)
    assert (full["__typename"], full["reason"], full["message"]) == (
        "SlotUnavailable",
        "CAPACITY",
        "This session has 1 place left.",
    )
    large = await change(yoga.client, ADD, made, unnamed=4)
    assert (large["__typename"], large["rule"]) == ("NotAllowed", "maximum_party_size")
    assert (await change(yoga.client, ADD, made, unnamed=1))["partySize"] == 4
    assert (await change(yoga.client, ADD, made, unnamed=1))["reason"] == "CAPACITY"
    assert await faults(yoga.shop) == []


async def test_places_of_a_hold_that_ran_out_are_there(yoga: Class, session: dict[str, Any], clock: Any) -> None:
    await yoga.held(session["id"], 5)
    made = await booked_as(yoga, await yoga.held(session["id"], 5))
    assert (await change(yoga.client, ADD, made, unnamed=1))["reason"] == "CAPACITY"
    clock.move(timedelta(minutes=11))
    assert (await change(yoga.client, ADD, made, unnamed=1))["partySize"] == 6
    assert await faults(yoga.shop) == []


async def test_a_session_that_takes_nobody_more(yoga: Class, session: dict[str, Any], made: Made) -> None:
    await yoga.staff("closeSession", session["id"])
    assert (await change(yoga.client, ADD, made, unnamed=1))["reason"] == "CLOSED"
    await rows_of(yoga.shop, "UPDATE activity SET is_active = false RETURNING 1")
    assert (await change(yoga.client, ADD, made, unnamed=1))["reason"] == "INACTIVE"


async def test_who_may_and_until_when(yoga: Class, client: GraphQLClient, made: Made, clock: Any) -> None:
    stranger = await account(client, yoga.shop, "stranger")
    assert (await change(stranger.client, ADD, made, unnamed=1, is_staff=True))["__typename"] == "NotFound"
    assert (await change(client, ADD, made, unnamed=1, accessToken="wrong"))["__typename"] == "NotFound"
    other = await make_shop(yoga.shop.services)
    outsider = client.signed_in(other.owner.token)
    assert (await change(outsider, ADD, made, unnamed=1, is_staff=True))["__typename"] == "NotFound"
    clock.move_to(at(2, 10))
    late = await change(client, ADD, made, unnamed=1)
    assert (late["__typename"], late["rule"]) == ("NotAllowed", "cancellation_notice")
    staff = (await colleague(client, yoga.shop, Role.STAFF)).client
    assert (await change(staff, ADD, made, unnamed=1, is_staff=True))["partySize"] == 4
    clock.move_to(at(4, 0, 1))
    assert (await change(staff, ADD, made, unnamed=1, is_staff=True))["rule"] == "service_day_over"


async def test_versions_repeats_and_ended_bookings(yoga: Class, made: Made) -> None:
    stale = await change(yoga.client, ADD, made, unnamed=1, expectedVersion=7)
    assert (stale["__typename"], stale["currentVersion"]) == ("StaleVersion", 1)
    key = str(uuid4())
    twice = await asyncio.gather(
        *(change(yoga.client, ADD, made, unnamed=1, expectedVersion=1, idempotencyKey=key) for _ in range(2))
    )
    assert [one["partySize"] for one in twice] == [4, 4]
    other = await change(yoga.client, ADD, made, unnamed=2, idempotencyKey=key)
    assert other["__typename"] == "IdempotencyConflict"
    await yoga.guest.cancel(made, accessToken=made.token)
    assert (await change(yoga.client, ADD, made, unnamed=1))["rule"] == "not_changeable"


async def test_an_appointment_costs_the_same_for_more(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, service={"min_group_size": 2, "max_group_size": 4})
    guest = Visitor(client, shop)
    few = await guest.hold(at(3, 10), partySize=1)
    assert few["violations"] == [{"path": "input.partySize", "message": "must be 2 to 4 for this service"}]
    visit: dict[str, Any] = {"serviceId": None, "items": [{"serviceId": shop.service_id}], "partySize": 1}
    assert (await guest.hold(at(3, 10), **visit))["violations"] == few["violations"]
    assert at(3, 10) in await guest.starts(at(3, 10).date())  # reads for one show the same slots
    made = await guest.booked(at(3, 10), hold={"partySize": 2}, participants=named("Ana", "Beto"))
    more = await change(client, ADD, made, participants=named("Caro"))
    assert (more["partySize"], more["price"], more["version"]) == (3, {"amountMinor": 1_000}, 2)
    assert (await change(client, ADD, made, unnamed=2))["rule"] == "maximum_party_size"
    fewer = await change(client, "removeParticipants", made, participantIds=[more["participants"][0]["id"]])
    assert [one["name"] for one in fewer["participants"]] == ["Beto", "Caro"]
    least = await change(client, "removeParticipants", made, participantIds=[more["participants"][1]["id"]])
    assert (least["__typename"], least["rule"]) == ("NotAllowed", "minimum_party_size")


async def test_the_query_budget(yoga: Class, made: Made, statements: StatementLog) -> None:
    statements.clear()
    assert (await change(yoga.client, ADD, made, participants=named("Beto", "Caro")))["__typename"] == "Booking"
    # Eleven of the change, and two reads each for the session and the people that the answer shows.
    assert 9 < len(statements) <= 19, statements.statements
