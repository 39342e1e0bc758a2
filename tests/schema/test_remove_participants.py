"""People leave a booking: their places are free at once, the price follows, somebody stays."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from app.domain.membership import Role
from app.resolvers.context import Services
from tests.classes import Class, faults, make_class
from tests.fixtures_api import GraphQLClient, StatementLog
from tests.groups import ALL, booked_as, change, named, seen
from tests.journey import Made, audit_of, colleague, rows_of
from tests.shop import at

REMOVE = "removeParticipants"
NOBODY = "ptc_01h2xcejqtf2nbrexx3vqjhp41"


@pytest.fixture
async def yoga(services: Services, client: GraphQLClient) -> Class:
    return await make_class(client, services, minimum_party_size=2)


@pytest.fixture
async def made(yoga: Class) -> Made:
    """Five come: Ana, Beto and three others."""
    session = await yoga.at(at(3, 9))
    return await booked_as(yoga, await yoga.held(session["id"], 5), participants=named("Ana", "Beto"))


async def ids(yoga: Class, made: Made) -> list[str]:
    return [one["id"] for one in (await seen(yoga, made))["participants"]]


async def test_places_price_and_history_follow(yoga: Class, made: Made) -> None:
    ana, _ = await ids(yoga, made)
    answer = await change(yoga.client, REMOVE, made, participantIds=[ana, ana], unnamed=1, reason="Ill")
    assert (answer["__typename"], answer["version"], answer["partySize"]) == ("Booking", 2, 3)
    assert [one["name"] for one in answer["participants"]] == ["Beto"]
    assert (answer["price"], answer["amountDue"]) == ({"amountMinor": 4_500}, {"amountMinor": 4_500})
    assert answer["session"]["capacityRemaining"] == 7
    assert await faults(yoga.shop) == []
    everybody = await yoga.client(ALL, {"id": made.id, "token": made.token, "removed": True})
    [gone] = [one for one in everybody["participants"] if one["status"] == "REMOVED"]
    assert (gone["name"], gone["removedAt"] is not None) == ("Ana", True)
    entry = (await audit_of(yoga.shop, made))[-1]
    assert (entry["action"], entry["reason"]) == ("booking.participants_removed", "Ill")
    states = [[one["status"] for one in entry[side]["participants"]] for side in ("before", "after")]
    assert (states, entry["before"]["party_size"]) == ([["expected"], ["removed"]], 5)
    told = await rows_of(yoga.shop, "SELECT type, payload FROM outbox_event ORDER BY id DESC LIMIT 2")
    assert [(one["type"], one["payload"].get("cause")) for one in told] == [
        ("booking.participants_removed", None),
        ("session.places", "CANCELLED"),
    ]


async def test_who_is_added_and_removed_again_leaves_the_price_as_it_was(yoga: Class, made: Made) -> None:
    before = await seen(yoga, made)
    added = await change(yoga.client, "addParticipants", made, participants=named("Caro"), unnamed=2)
    caro = added["participants"][-1]["id"]
    after = await change(yoga.client, REMOVE, made, participantIds=[caro], unnamed=2)
    for name in ("price", "priceLines", "partySize", "amountDue", "participants", "paymentStatus"):
        assert after[name] == before[name], name
    claims = await rows_of(yoga.shop, "SELECT places, status FROM place_claim ORDER BY status")
    assert [(one["places"], one["status"]) for one in claims] == [(5, "booked"), (3, "released")]


async def test_the_rest_is_cancelled_whole(yoga: Class, made: Made) -> None:
    await change(yoga.client, REMOVE, made, unnamed=2)
    await yoga.guest.cancel(made, accessToken=made.token)
    assert (await yoga.at(at(3, 9)))["capacityRemaining"] == 10
    assert await faults(yoga.shop) == []


async def test_somebody_stays(yoga: Class, made: Made) -> None:
    everybody = await ids(yoga, made)
    least = await change(yoga.client, REMOVE, made, participantIds=everybody, unnamed=2)
    assert (least["__typename"], least["rule"]) == ("NotAllowed", "minimum_party_size")
    nobody = await change(yoga.client, REMOVE, made, participantIds=everybody, unnamed=3)
    assert nobody["rule"] == "minimum_party_size"
    # The minimum was raised above what they are: it is not theirs.
    await rows_of(yoga.shop, "UPDATE activity SET minimum_party_size = 7 RETURNING 1")
    assert (await change(yoga.client, REMOVE, made, unnamed=1))["partySize"] == 4
    assert (await change(yoga.client, "addParticipants", made, unnamed=1))["partySize"] == 5


@pytest.mark.parametrize(
    ("extra", "path"),
    [
        ({}, "input.participantIds"),
        ({"unnamed": 4}, "input.unnamed"),
        ({"unnamed": -1}, "input.unnamed"),
        ({"unnamed": -(2**31)}, "input.unnamed"),
        ({"participantIds": [NOBODY]}, "input.participantIds.0"),
        ({"unnamed": 1, "reason": "x" * 501}, "input.reason"),
    ],
)
async def test_what_cannot_be(yoga: Class, made: Made, extra: dict[str, Any], path: str) -> None:
    answer = await change(yoga.client, REMOVE, made, **extra)
    assert (answer["__typename"], answer["violations"][0]["path"]) == ("InvalidInput", path)
    assert (await seen(yoga, made))["version"] == 1


async def test_nobody_leaves_twice_or_with_another_booking(yoga: Class, made: Made) -> None:
    session = await yoga.at(at(3, 10))
    other = await booked_as(yoga, await yoga.held(session["id"], 3), participants=named("Caro"))
    [caro] = await ids(yoga, other)
    assert (await change(yoga.client, REMOVE, made, participantIds=[caro]))["__typename"] == "InvalidInput"
    ana, _ = await ids(yoga, made)
    assert (await change(yoga.client, REMOVE, made, participantIds=[ana]))["partySize"] == 4
    again = await change(yoga.client, REMOVE, made, participantIds=[ana])
    assert again["violations"][0]["path"] == "input.participantIds.0"


async def test_until_when_and_repeats(yoga: Class, made: Made, clock: Any) -> None:
    key = str(uuid4())
    twice = await asyncio.gather(*(change(yoga.client, REMOVE, made, unnamed=1, idempotencyKey=key) for _ in range(2)))
    assert [one["partySize"] for one in twice] == [4, 4]
    stale = await change(yoga.client, REMOVE, made, unnamed=1, expectedVersion=1)
    assert (stale["__typename"], stale["currentVersion"]) == ("StaleVersion", 2)
    clock.move_to(at(2, 10))
    assert (await change(yoga.client, REMOVE, made, unnamed=1))["rule"] == "cancellation_notice"
    staff = (await colleague(yoga.client, yoga.shop, Role.STAFF)).client
    assert (await change(staff, REMOVE, made, unnamed=1, is_staff=True))["partySize"] == 3
    clock.move_to(at(3, 9, 30))
    assert (await change(staff, REMOVE, made, unnamed=1, is_staff=True))["partySize"] == 2


async def test_the_query_budget(yoga: Class, made: Made, statements: StatementLog) -> None:
    ana, _ = await ids(yoga, made)
    statements.clear()
    assert (await change(yoga.client, REMOVE, made, participantIds=[ana]))["__typename"] == "Booking"
    assert 9 < len(statements) <= 19, statements.statements
