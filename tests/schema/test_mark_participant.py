"""One person of a booking: named later, put right, and marked on the day, each alone."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from app.commands.automatic import take_automatic_steps
from app.core.database import Database
from app.domain.membership import Role
from app.resolvers.context import Services
from tests.classes import Class, make_class
from tests.fees import set_terms
from tests.fixtures_api import GraphQLClient, MovableClock, StatementLog
from tests.groups import booked_as, change, named, seen
from tests.journey import Made, audit_of, colleague
from tests.schema.test_automatic_steps import leave_to_the_clock
from tests.shop import at
from tests.sweeps import sweep

NOBODY = "ptc_01h2xcejqtf2nbrexx3vqjhp41"


@pytest.fixture
async def yoga(services: Services, client: GraphQLClient) -> Class:
    return await make_class(client, services)


@pytest.fixture
async def made(yoga: Class) -> Made:
    """Three come: Ana, Beto and somebody else."""
    session = await yoga.at(at(3, 9))
    return await booked_as(yoga, await yoga.held(session["id"], 3), participants=named("Ana", "Beto"))


@pytest.fixture
async def staff(yoga: Class) -> GraphQLClient:
    return (await colleague(yoga.client, yoga.shop, Role.STAFF)).client


async def people(yoga: Class, made: Made) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in (await seen(yoga, made))["participants"]}


async def mark(client: GraphQLClient, made: Made, person: str, status: str, **extra: Any) -> dict[str, Any]:
    return await change(client, "markParticipant", made, participantId=person, status=status, is_staff=True, **extra)


async def test_one_no_show_is_their_own(yoga: Class, made: Made, staff: GraphQLClient, clock: Any) -> None:
    ana, beto = [one["id"] for one in (await people(yoga, made)).values()]
    early = await mark(staff, made, ana, "CHECKED_IN")
    assert (early["__typename"], early["rule"]) == ("NotAllowed", "service_day")
    clock.move_to(at(3, 8, 50))
    came = await mark(staff, made, ana, "CHECKED_IN")
    assert (came["status"], came["version"]) == ("CHECKED_IN", 3)  # the first takes the booking along
    assert (await mark(staff, made, beto, "NO_SHOW"))["rule"] == "not_started"
    clock.move_to(at(3, 9, 10))
    answer = await mark(staff, made, beto, "NO_SHOW")
    facts = [(one["status"], bool(one["checkedInAt"]), bool(one["noShowAt"])) for one in answer["participants"]]
    assert facts == [("CHECKED_IN", True, False), ("NO_SHOW", False, True)]
    assert (answer["status"], answer["price"], answer["partySize"]) == ("CHECKED_IN", {"amountMinor": 4_500}, 3)
    assert (await mark(staff, made, beto, "NO_SHOW"))["version"] == 4  # nothing differs
    late = await mark(staff, made, beto, "CHECKED_IN")
    assert [bool(one["noShowAt"]) for one in late["participants"]] == [False, False]
    assert [one["status"] for one in (await mark(staff, made, beto, "EXPECTED"))["participants"]] == [
        "CHECKED_IN",
        "EXPECTED",
    ]
    entry = (await audit_of(yoga.shop, made))[-2]
    assert (entry["action"], entry["actor"]) == ("booking.participant_marked", "staff")
    assert [entry[side]["participants"][0]["status"] for side in ("before", "after")] == ["no_show", "checked_in"]


async def test_who_may_mark(yoga: Class, made: Made, staff: GraphQLClient, clock: Any) -> None:
    ana = (await people(yoga, made))["Ana"]["id"]
    clock.move_to(at(3, 9, 10))
    assert (await mark(yoga.client, made, ana, "CHECKED_IN"))["__typename"] == "NotFound"
    assert (await mark(staff, made, NOBODY, "CHECKED_IN"))["__typename"] == "NotFound"
    assert (await mark(staff, made, ana, "REMOVED"))["violations"][0]["path"] == "input.status"
    assert (await mark(staff, made, ana, "NO_SHOW", expectedVersion=9))["currentVersion"] == 1
    clock.move_to(at(4, 0, 1))
    assert (await mark(staff, made, ana, "NO_SHOW"))["rule"] == "service_day_over"
    admin = (await colleague(yoga.client, yoga.shop, Role.ADMIN)).client
    assert (await mark(admin, made, ana, "NO_SHOW"))["__typename"] == "Booking"
    clock.move_to(at(2, 0))
    await yoga.guest.cancel(made, accessToken=made.token)
    assert (await mark(staff, made, ana, "CHECKED_IN"))["rule"] == "not_markable"


async def test_who_owes_something_is_marked_alone(
    yoga: Class, made: Made, staff: GraphQLClient, worker: Database, clock: MovableClock
) -> None:
    """Who is there is written down; the booking is checked in once it is paid. The clock knows that somebody came."""
    owner = await colleague(yoga.client, yoga.shop, Role.ADMIN)
    await leave_to_the_clock(owner, autoNoShowAfterMinutes=15)
    await set_terms(yoga.guest, balance_required_at_check_in=True)
    ana, _ = [one["id"] for one in (await people(yoga, made)).values()]
    clock.move_to(at(3, 8, 50))
    came = await mark(staff, made, ana, "CHECKED_IN")
    assert (came["status"], came["participants"][0]["status"]) == ("CONFIRMED", "CHECKED_IN")
    clock.move_to(at(3, 9, 16))
    await sweep(worker, clock, take_automatic_steps)
    assert (await seen(yoga, made))["status"] == "CONFIRMED"


async def test_the_others_are_named_later(yoga: Class, made: Made, staff: GraphQLClient, clock: Any) -> None:
    many = await change(yoga.client, "nameParticipants", made, participants=named("Caro", "Dario"))
    assert many["violations"] == [{"path": "input.participants", "message": "may name at most 1 person here"}]
    clock.move_to(at(3, 8))
    key = str(uuid4())
    for _ in range(2):
        answer = await change(
            yoga.client, "nameParticipants", made, participants=named("Caro"), expectedVersion=1, idempotencyKey=key
        )
        assert (answer["version"], answer["partySize"]) == (2, 3)
        assert [one["name"] for one in answer["participants"]] == ["Ana", "Beto", "Caro"]
    nobody = await change(yoga.client, "nameParticipants", made, participants=[])
    assert nobody["violations"][0]["path"] == "input.participants"
    clock.move_to(at(3, 9, 10))
    ana = (await people(yoga, made))["Ana"]["id"]
    begun = await change(yoga.client, "updateParticipant", made, participantId=ana, name="Anna")
    assert (begun["__typename"], begun["rule"]) == ("NotAllowed", "service_begun")
    fixed = await change(staff, "updateParticipant", made, participantId=ana, name="Anna", is_staff=True)
    assert fixed["participants"][0]["name"] == "Anna"


async def test_putting_somebody_right(yoga: Class, made: Made) -> None:
    ana = (await people(yoga, made))["Ana"]["id"]
    first = await change(
        yoga.client, "updateParticipant", made, participantId=ana, email="ANA@example.com", phone="+54 11 4321-5678"
    )
    assert first["participants"][0]["email"] == "ana@example.com"
    cleared = await change(yoga.client, "updateParticipant", made, participantId=ana, phone=None)
    one = cleared["participants"][0]
    assert (one["name"], one["email"], one["phone"], cleared["version"]) == ("Ana", "ana@example.com", None, 3)
    same = await change(yoga.client, "updateParticipant", made, participantId=ana, name="Ana")
    assert same["version"] == 3
    entry = (await audit_of(yoga.shop, made))[-1]
    assert [entry[side]["participants"][0]["phone"] for side in ("before", "after")] == ["+541143215678", None]
    for wrong, path in (({"name": None}, "name"), ({"name": " "}, "name"), ({"email": "x"}, "email")):
        refused = await change(yoga.client, "updateParticipant", made, participantId=ana, **wrong)
        assert refused["violations"][0]["path"] == f"input.{path}"
    await change(yoga.client, "removeParticipants", made, participantIds=[ana])
    gone = await change(yoga.client, "updateParticipant", made, participantId=ana, name="Anna")
    assert (gone["__typename"], gone["rule"]) == ("NotAllowed", "participant_removed")


async def test_the_query_budget(
    yoga: Class, made: Made, staff: GraphQLClient, clock: Any, statements: StatementLog
) -> None:
    ana = (await people(yoga, made))["Ana"]["id"]
    clock.move_to(at(3, 9, 10))
    statements.clear()
    assert (await mark(staff, made, ana, "NO_SHOW"))["__typename"] == "Booking"
    # Six of the change; two reads each for the session, who has it, and the people that the answer shows.
    assert 5 < len(statements) <= 15, statements.statements


async def test_a_group_of_which_somebody_came_is_not_missed(
    yoga: Class, made: Made, staff: GraphQLClient, worker: Database, clock: MovableClock
) -> None:
    """Their marks are known to the clock, though the booking itself was never checked in."""
    owner = await colleague(yoga.client, yoga.shop, Role.ADMIN)
    await leave_to_the_clock(owner, autoNoShowAfterMinutes=15, autoCompleteAfterMinutes=60)
    session = await yoga.at(at(3, 9))
    missed = await booked_as(yoga, await yoga.held(session["id"], 2), participants=named("Caro"))
    clock.move_to(at(3, 8, 50))
    ana, _ = [one["id"] for one in (await people(yoga, made)).values()]
    assert (await mark(staff, made, ana, "CHECKED_IN"))["__typename"] == "Booking"
    clock.move_to(at(3, 9, 16))
    await sweep(worker, clock, take_automatic_steps)
    assert [(await seen(yoga, one))["status"] for one in (made, missed)] == ["CHECKED_IN", "NO_SHOW"]
    clock.move_to(at(3, 12))
    await sweep(worker, clock, take_automatic_steps)
    assert (await seen(yoga, made))["status"] == "COMPLETED"
