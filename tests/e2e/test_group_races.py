"""Groups at once: a private group against forty others, two who join for the last place, joining against cancelling."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.resolvers.context import Services
from tests.classes import WRONG_COUNTS, make_class
from tests.e2e.crowd import Question, kinds, strangers
from tests.fixtures_api import GraphQLClient, RunningApi
from tests.fixtures_live import booking_input
from tests.groups import change
from tests.journey import Made
from tests.schema import operations as op
from tests.shop import at

WRONG_CLAIMS = """
    SELECT count(*) FROM booking b JOIN LATERAL (
        SELECT COALESCE(sum(CASE WHEN c.is_private THEN b.party_size ELSE c.places END), 0) AS people FROM place_claim c
        WHERE c.booking_id = b.id AND c.status IN ('held', 'booked')) claimed ON true
    WHERE b.session_id IS NOT NULL AND b.status IN ('confirmed', 'cancelled')
      AND claimed.people <> CASE b.status WHEN 'confirmed' THEN b.party_size ELSE 0 END
"""
"""Bookings of sessions whose places are not those of their party."""
SHARED_AND_PRIVATE = """
    SELECT count(*) FROM place_claim p JOIN place_claim c USING (session_id)
    WHERE p.is_private AND p.id <> c.id AND p.status <> 'released' AND c.status <> 'released'
"""


@pytest.fixture
async def sold(count: Question, sound: None) -> AsyncIterator[None]:
    """After the test: counters are what claims add up to, claims are of their parties, private sessions are private.

    Other tests may have written rows by hand: what matters is that no more went wrong.
    """
    asked = (f"SELECT count(*) FROM ({WRONG_COUNTS}) AS wrong", WRONG_CLAIMS, SHARED_AND_PRIVATE)
    before = [await count(one) for one in asked]
    yield sound
    assert [await count(one) for one in asked] == before


@pytest.fixture
def services(running: RunningApi) -> Services:
    return running.api.services


async def take(client: GraphQLClient, session: dict[str, Any], **wanted: Any) -> dict[str, Any]:
    """Hold, and book what was held: the last answer."""
    held: dict[str, Any] = await client(op.HOLD, {"input": {"sessionId": session["id"], **wanted}})
    if held["__typename"] != "HoldSlotPayload":
        return held
    booked: dict[str, Any] = await client(op.BOOK, {"input": booking_input(held)})
    return booked


def made_of(answer: dict[str, Any]) -> Made:
    return Made(answer["booking"]["id"], answer["accessToken"], answer)


@pytest.mark.usefixtures("sold")
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_private_group_against_forty_others(
    running: RunningApi, services: Services, client: GraphQLClient, seed: int
) -> None:
    """Either the private group has it, or the others do."""
    yoga = await make_class(client, services)
    session = await yoga.at(at(3, 9))
    async with strangers(running.graphql_url, 41) as guests:
        wishes: list[dict[str, Any]] = [{"partySize": 1}] * 40
        wishes.insert(random.Random(seed).randint(0, 3), {"partySize": 8, "isPrivate": True})
        answers = await asyncio.gather(
            *(take(guest, session, **wish) for guest, wish in zip(guests, wishes, strict=True))
        )
    place = next(index for index, wish in enumerate(wishes) if "isPrivate" in wish)
    has_it = answers[place]["__typename"] == "CreateBookingPayload"
    assert kinds(answers)["CreateBookingPayload"] == (1 if has_it else 10)
    seen = await yoga.read(session["id"])
    assert (seen["placesTaken"], seen["capacityRemaining"]) == (10, 0)


@pytest.mark.usefixtures("sold")
async def test_private_groups_and_a_capacity_that_rises(
    running: RunningApi, services: Services, client: GraphQLClient
) -> None:
    yoga = await make_class(client, services)
    session = await yoga.at(at(3, 9))

    async def raise_it() -> None:
        for capacity in range(11, 17):
            await yoga.staff("changeSessionCapacity", session["id"], capacity=capacity)

    async with strangers(running.graphql_url, 24) as guests:
        wishes = [{"partySize": 2, "isPrivate": number % 2 == 0} for number in range(24)]
        rises = asyncio.create_task(raise_it())
        await asyncio.gather(*(take(guest, session, **wish) for guest, wish in zip(guests, wishes, strict=True)))
        await rises


@pytest.mark.usefixtures("sold")
async def test_two_join_for_the_last_place(running: RunningApi, services: Services, client: GraphQLClient) -> None:
    yoga = await make_class(client, services)
    session = await yoga.at(at(3, 9))
    parties = [made_of(await take(client, session, partySize=3)) for _ in range(3)]
    async with strangers(running.graphql_url, 9) as guests:
        joins = [
            change(guest, "addParticipants", parties[number % 3], unnamed=1) for number, guest in enumerate(guests)
        ]
        answers = await asyncio.gather(*joins)
    assert kinds(answers) == {"Booking": 1, "SlotUnavailable": 8}
    assert (await yoga.read(session["id"]))["placesTaken"] == 10


@pytest.mark.usefixtures("sold")
async def test_joining_leaving_and_cancelling_at_once(
    running: RunningApi, services: Services, client: GraphQLClient
) -> None:
    yoga = await make_class(client, services, capacity=30)
    session = await yoga.at(at(3, 9))
    parties = [made_of(await take(client, session, partySize=3)) for _ in range(6)]

    async def wander(guest: GraphQLClient, number: int) -> str:
        chance = random.Random(number)
        made = parties[number % len(parties)]
        if chance.random() < 0.15:
            answer = await guest(
                op.CANCEL, {"input": {"bookingId": made.id, "accessToken": made.token, "reason": "Ill"}}
            )
        else:
            operation = chance.choice(["addParticipants", "removeParticipants"])
            answer = await change(guest, operation, made, unnamed=chance.randint(1, 2))
        kind: str = answer["__typename"]
        return kind

    async with strangers(running.graphql_url, 36) as guests:
        answers = await asyncio.gather(*(wander(guest, number) for number, guest in enumerate(guests)))
    assert set(answers) <= {"Booking", "NotAllowed", "SlotUnavailable", "IllegalTransition", "InvalidInput"}
    assert answers.count("Booking") > 10
