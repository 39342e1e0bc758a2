"""A private group takes a whole session, at its own price, and keeps it whole."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from app.core.ids import IdKind, decode_id
from app.domain.membership import Role
from app.resolvers.context import Services
from tests.classes import Class, faults, make_class
from tests.fixtures_api import GraphQLClient, StatementLog
from tests.groups import booked_as, change, named, seen
from tests.journey import colleague, rows_of
from tests.price_terms import add_rule
from tests.schema import operations as op
from tests.shop import at

PRIVATE = "query ($id: ID!) { session(id: $id) { isPrivate capacityTotal capacityRemaining placesTaken } }"
SHOWN = "query ($id: ID!) { activity(id: $id) { minimumPartySize maxPartySize privatePrice { amountMinor } } }"
UPDATE = """
mutation ($input: UpdateActivityInput!) { updateActivity(input: $input) { __typename
  ... on UpdateActivityPayload { activity { minimumPartySize privatePrice { amountMinor } } }
  ... on InvalidInput { violations { path } } } }
"""


@pytest.fixture
async def yoga(services: Services, client: GraphQLClient) -> Class:
    return await make_class(client, services, private_price_minor=9_000, max_party_size=4, minimum_party_size=2)


@pytest.fixture
async def session(yoga: Class) -> dict[str, Any]:
    return await yoga.at(at(3, 9))


async def state(yoga: Class, session: dict[str, Any]) -> tuple[Any, ...]:
    """For the staff: private, places in all, left and taken."""
    return tuple((await yoga.owner(PRIVATE, {"id": session["id"]})).values())


async def test_the_whole_session_at_its_price(yoga: Class, session: dict[str, Any]) -> None:
    held = await yoga.held(session["id"], 6, isPrivate=True)
    assert (held.answer["partySize"], held.answer["price"]["amountMinor"]) == (6, 9_000)
    assert await state(yoga, session) == (True, 10, 0, 10)
    refused = await yoga.hold(session["id"], 2)
    assert (refused["__typename"], refused["reason"]) == ("SlotUnavailable", "CAPACITY")
    made = await booked_as(yoga, held, participants=named("Ana"))
    booking = await seen(yoga, made)
    assert (booking["partySize"], booking["isPrivate"], booking["price"]) == (6, True, {"amountMinor": 9_000})
    assert booking["session"] == {"id": session["id"], "capacityRemaining": 0, "isPrivate": None}
    assert await faults(yoga.shop) == []
    assert (await yoga.guest.cancel(made, accessToken=made.token))["status"] == "CANCELLED"
    assert await state(yoga, session) == (False, 10, 10, 0)


async def test_without_a_price_of_its_own_all_places_are_paid(services: Services, client: GraphQLClient) -> None:
    yoga = await make_class(client, services)
    await add_rule(yoga.shop, rate_bps=1_000)
    held = await yoga.held((await yoga.at(at(3, 9)))["id"], 1, isPrivate=True)
    assert held.answer["price"]["amountMinor"] == 16_500


async def test_it_stays_whole_whatever_its_capacity_becomes(yoga: Class, session: dict[str, Any]) -> None:
    held = await yoga.held(session["id"], 6, isPrivate=True)
    await yoga.staff("changeSessionCapacity", session["id"], capacity=12)
    assert await state(yoga, session) == (True, 12, 0, 12)
    made = await booked_as(yoga, held)
    await yoga.staff("changeSessionCapacity", session["id"], capacity=15)
    assert await state(yoga, session) == (True, 15, 0, 15)
    assert (await yoga.hold(session["id"], 2))["reason"] == "CAPACITY"
    await yoga.staff("changeSessionCapacity", session["id"], capacity=5)
    assert await state(yoga, session) == (True, 5, 0, 15)
    await yoga.staff("changeSessionCapacity", session["id"], capacity=8)
    assert await state(yoga, session) == (True, 8, 0, 15)
    assert await faults(yoga.shop) == []
    assert (await seen(yoga, made))["price"] == {"amountMinor": 9_000}
    await yoga.guest.cancel(made, accessToken=made.token)
    assert await state(yoga, session) == (False, 8, 8, 0)
    assert await faults(yoga.shop) == []


async def test_only_where_nobody_has_places(yoga: Class, session: dict[str, Any], clock: Any) -> None:
    single = await yoga.held(session["id"], 2)
    refused = await yoga.hold(session["id"], 6, isPrivate=True)
    assert (refused["reason"], refused["message"]) == ("CAPACITY", "Others have places of this session.")
    assert session["id"] not in [slot.get("sessionId") for slot in refused["alternatives"]]
    await yoga.guest.release(single)
    first = await yoga.held(session["id"], 6, isPrivate=True)
    assert (await yoga.hold(session["id"], 6, isPrivate=True))["reason"] == "CAPACITY"
    clock.move(timedelta(minutes=11))
    assert await state(yoga, session) == (False, 10, 10, 0)
    assert (await yoga.held(session["id"], 6, isPrivate=True)).id != first.id
    await yoga.staff("closeSession", session["id"])
    assert (await yoga.hold(session["id"], 6, isPrivate=True))["reason"] == "CLOSED"


@pytest.mark.parametrize(
    ("places", "least_most"), [(1, "2 to 10"), (11, "2 to 10"), (0, "2 to 10"), (2**31 - 1, "2 to 10")]
)
async def test_how_many_may_come(yoga: Class, session: dict[str, Any], places: int, least_most: str) -> None:
    refused = await yoga.hold(session["id"], places, isPrivate=True)
    assert refused["violations"] == [{"path": "input.partySize", "message": f"must be {least_most} for this activity"}]
    if places == 1:
        shared = await yoga.hold(session["id"], 1)
        assert shared["violations"][0]["message"] == "must be 2 to 4 for this activity"
        other = await yoga.client(op.HOLD, {"input": {"serviceId": yoga.shop.service_id, "isPrivate": True}})
        assert "input.isPrivate" in [one["path"] for one in other["violations"]]


async def test_people_come_and_go_and_the_price_stays(yoga: Class, session: dict[str, Any]) -> None:
    made = await booked_as(yoga, await yoga.held(session["id"], 6, isPrivate=True))
    more = await change(yoga.client, "addParticipants", made, participants=named("Ana"), unnamed=3)
    assert (more["partySize"], more["price"]) == (10, {"amountMinor": 9_000})
    assert (await change(yoga.client, "addParticipants", made, unnamed=1))["rule"] == "maximum_party_size"
    fewer = await change(yoga.client, "removeParticipants", made, unnamed=8)
    assert (fewer["partySize"], fewer["price"]) == (2, {"amountMinor": 9_000})
    assert (await change(yoga.client, "removeParticipants", made, unnamed=1))["rule"] == "minimum_party_size"
    assert await state(yoga, session) == (True, 10, 0, 10)
    await yoga.staff("changeSessionCapacity", session["id"], capacity=11)
    assert (await change(yoga.client, "addParticipants", made, unnamed=9))["partySize"] == 11
    assert await faults(yoga.shop) == []


async def test_it_moves_to_another_whole_session(yoga: Class, session: dict[str, Any]) -> None:
    taken, free = await yoga.at(at(3, 10)), await yoga.at(at(4, 9))
    await yoga.held(taken["id"], 2)
    made = await booked_as(yoga, await yoga.held(session["id"], 6, isPrivate=True))
    link = {"bookingId": made.id, "accessToken": made.token}
    refused = await yoga.client(op.MOVE, {"input": {**link, "sessionId": taken["id"]}})
    assert (refused["__typename"], refused["reason"]) == ("SlotUnavailable", "CAPACITY")
    assert await state(yoga, session) == (True, 10, 0, 10)
    moved = await yoga.client(op.MOVE, {"input": {**link, "sessionId": free["id"]}})
    assert (moved["__typename"], moved["price"]["amountMinor"]) == ("Booking", 9_000)
    assert (await state(yoga, session), await state(yoga, free)) == ((False, 10, 10, 0), (True, 10, 0, 10))
    assert await faults(yoga.shop) == []


async def test_a_correction_takes_it_back_whole(yoga: Class, session: dict[str, Any], clock: Any) -> None:
    made = await booked_as(yoga, await yoga.held(session["id"], 6, isPrivate=True))
    clock.move_to(at(3, 9, 10))
    owner = await colleague(yoga.client, yoga.shop, Role.ADMIN)
    assert (await owner.step(made, "NO_SHOW"))["status"] == "NO_SHOW"
    assert await state(yoga, session) == (False, 10, 10, 0)
    assert (await owner.step(made, "CHECKED_IN"))["status"] == "CHECKED_IN"
    assert await state(yoga, session) == (True, 10, 0, 10)
    assert await faults(yoga.shop) == []


async def test_what_the_activity_says(yoga: Class) -> None:
    shown = await yoga.client(SHOWN, {"id": yoga.activity_id})
    assert shown == {"minimumPartySize": 2, "maxPartySize": 4, "privatePrice": {"amountMinor": 9_000}}
    wanted = {"activityId": yoga.activity_id, "minimumPartySize": 4, "privatePriceMinor": None}
    changed = await yoga.owner(UPDATE, {"input": wanted})
    assert changed["activity"] == {"minimumPartySize": 4, "privatePrice": None}
    for wrong in ({"minimumPartySize": 5}, {"minimumPartySize": 0}, {"privatePriceMinor": -1}, {"maxPartySize": 3}):
        refused = await yoga.owner(UPDATE, {"input": {"activityId": yoga.activity_id, **wrong}})
        assert refused["__typename"] == "InvalidInput", wrong


async def test_a_capacity_that_no_command_raised(yoga: Class, session: dict[str, Any]) -> None:
    """Whatever the code above does: a statement by hand opens no places of a private session either."""
    await booked_as(yoga, await yoga.held(session["id"], 6, isPrivate=True))
    session_id = decode_id(IdKind.SESSION, session["id"])
    raised = "UPDATE activity_session SET capacity = 40 WHERE id = :id RETURNING taken"
    assert [row["taken"] for row in await rows_of(yoga.shop, raised, id=session_id)] == [40]
    assert await faults(yoga.shop) == []


async def test_the_query_budget(yoga: Class, session: dict[str, Any], statements: StatementLog) -> None:
    statements.clear()
    await yoga.held(session["id"], 6, isPrivate=True)
    assert len(statements) == 3, statements.statements
