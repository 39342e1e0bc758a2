"""Holding places of a session for the time of a checkout."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from app.core.ids import IdKind, decode_id
from app.domain.membership import Role
from app.queries.tenancy import bind
from app.resolvers.context import Services
from tests.classes import Class, faults, make_class
from tests.facts_guard import let_pass
from tests.fixtures_api import GraphQLClient, StatementLog
from tests.journey import account, booking_input, colleague, instant, rows_of
from tests.schema import operations as op
from tests.shop import at, iso, set_active

HOLD = """
mutation ($input: HoldSlotInput!) { holdSlot(input: $input) { __typename
  ... on HoldSlotPayload { holdToken hold { id session { id capacityRemaining } provider { id } } }
  ... on SlotUnavailable { reason alternatives { startsAt remaining providerIds sessionId price { amountMinor } } } } }
"""
BOOK = """
mutation ($input: CreateBookingInput!) { createBooking(input: $input) { __typename
  ... on CreateBookingPayload { accessToken booking { id number status price { amountMinor } } } } }
"""
DAY = at(2, 0).date()
NODE = "query ($id: ID!) { node(id: $id) { ... on Hold { status session { id } } } }"


async def left(yoga: Class, session: dict[str, Any]) -> int:
    remaining: int = (await yoga.read(session["id"]))["capacityRemaining"]
    return remaining


@pytest.fixture
async def yoga(services: Services, client: GraphQLClient) -> Class:
    return await make_class(client, services)


async def test_places_are_kept_at_their_price(yoga: Class) -> None:
    session = await yoga.at(at(2, 9))
    answer = await yoga.client(HOLD, {"input": {"sessionId": session["id"], "partySize": 3}})
    assert answer["hold"]["session"] == {"id": session["id"], "capacityRemaining": 7}
    assert answer["hold"]["provider"] is None
    held = await yoga.held(session["id"], 2)
    assert (held.answer["partySize"], held.answer["price"]["amountMinor"]) == (2, 3_000)
    assert (held.answer["startsAt"], held.answer["endsAt"]) == (iso(at(2, 9)), iso(at(2, 10)))
    assert await left(yoga, session) == 5
    assert await faults(yoga.shop) == []


async def test_what_a_booking_holds_until_it_is_paid_is_no_more_the_holders(yoga: Class) -> None:
    """Neither given back nor kept for longer by who held it, whatever the claim still says."""
    session = await yoga.at(at(2, 9))
    places, time = await yoga.held(session["id"], 2), await yoga.guest.held(at(3, 10))
    for held in (places, time):
        booked = await yoga.guest.book(held)
        async with yoga.shop.services.database.transaction() as tx:
            await bind(tx, organization_id=yoga.shop.organization_uuid)
            for table in ("place_claim", "allocation"):
                await tx.execute(
                    text(
                        f"UPDATE {table} SET status = 'held', expires_at = turnero_now() + interval '1 hour'"
                        " WHERE booking_id = :id AND status = 'booked'"
                    ),
                    {"id": decode_id(IdKind.BOOKING, booked["booking"]["id"])},
                )
            await let_pass(tx)
        for answer in (await yoga.guest.release(held), await yoga.guest.extend(held)):
            assert answer["__typename"] == "HoldExpired"
            assert answer["message"] == "This hold has already become a booking."
    assert (await yoga.read(session["id"]))["placesTaken"] == 2
    rows = await rows_of(yoga.shop, "SELECT status FROM allocation UNION ALL SELECT status FROM place_claim")
    assert [row["status"] for row in rows] == ["held", "held"]
    assert await faults(yoga.shop) == []


async def test_a_full_session_offers_the_nearest_others_with_room(yoga: Class) -> None:
    nine, ten, eleven = [await yoga.at(at(2, hour)) for hour in (9, 10, 11)]
    await yoga.held(nine["id"], 8)
    await yoga.held(ten["id"], 10)
    full = await yoga.client(HOLD, {"input": {"sessionId": ten["id"], "partySize": 3}})
    assert (full["__typename"], full["reason"]) == ("SlotUnavailable", "CAPACITY")
    offered = full["alternatives"]
    assert offered[0] == {
        "startsAt": eleven["startsAt"],
        "remaining": 10,
        "providerIds": [],
        "sessionId": eleven["id"],
        "price": {"amountMinor": 1_500},
    }
    assert len(offered) == 6
    assert nine["id"] not in [slot["sessionId"] for slot in offered]
    distances = [abs(instant(slot["startsAt"]) - at(2, 10)) for slot in offered]
    assert distances == sorted(distances)
    partly = await yoga.hold(nine["id"], 3)
    assert (partly["reason"], partly["message"]) == ("CAPACITY", "This session has 2 places left.")


async def test_what_the_rules_refuse(services: Services, client: GraphQLClient, clock: Any) -> None:
    yoga = await make_class(
        client, services, advance_notice_minutes=1_440, maximum_advance_days=4, session_horizon_days=4
    )
    soon, far = await yoga.at(at(1, 9)), await yoga.at(at(4, 9))
    clock.move_to(at(0, 23))
    assert (await yoga.hold(soon["id"]))["reason"] == "NOTICE"
    staff = (await colleague(client, yoga.shop, Role.STAFF)).client
    assert (await yoga.hold(soon["id"], client=staff))["__typename"] == "HoldSlotPayload"
    clock.move_to(at(1, 10))
    past = await yoga.hold(soon["id"], client=staff)
    assert (past["reason"], past["message"]) == ("NOTICE", "This session has begun.")
    clock.move_to(at(-2, 23))
    assert (await yoga.hold(far["id"]))["reason"] == "HORIZON"


async def test_what_is_closed_or_off(yoga: Class) -> None:
    session = await yoga.at(at(2, 9))
    await yoga.staff("closeSession", session["id"])
    assert (await yoga.hold(session["id"]))["reason"] == "CLOSED"
    await yoga.staff("cancelSession", (await yoga.at(at(2, 10)))["id"], reason="Ill")
    refused = await yoga.hold((await yoga.at(at(2, 10)))["id"])
    assert refused["reason"] == "INACTIVE"
    assert refused["alternatives"][0]["startsAt"] == iso(at(2, 11))
    await set_active(yoga.shop, "venue", yoga.shop.venue_uuid, False)
    eleven = await yoga.at(at(2, 11))
    assert (await yoga.hold(eleven["id"]))["__typename"] == "NotFound"
    assert (await yoga.hold(eleven["id"], client=yoga.owner))["reason"] == "INACTIVE"


@pytest.mark.parametrize(
    ("extra", "path"),
    [
        ({"partySize": 0}, "input.partySize"),
        ({"partySize": -1}, "input.partySize"),
        ({"partySize": 10**9}, "input.partySize"),
        ({"partySize": 2**31 - 1}, "input.partySize"),
        ({"partySize": 5}, "input.partySize"),
        ({"startsAt": iso(at(2, 9))}, "input.startsAt"),
        ({"serviceId": "svc_01h2xcejqtf2nbrexx3vqjhp41"}, "input.serviceId"),
        ({"providerId": "prv_01h2xcejqtf2nbrexx3vqjhp41"}, "input.providerId"),
        ({"durationMinutes": 30}, "input.durationMinutes"),
    ],
)
async def test_what_cannot_be_asked(
    services: Services, client: GraphQLClient, extra: dict[str, Any], path: str
) -> None:
    yoga = await make_class(client, services, max_party_size=4)
    session = await yoga.at(at(2, 9))
    answer = await client(op.HOLD, {"input": {"sessionId": session["id"], **extra}})
    assert answer["__typename"] == "InvalidInput", answer
    assert [violation["path"] for violation in answer["violations"]] == [path]


async def test_sessions_that_are_none(yoga: Class, client: GraphQLClient) -> None:
    missing = await client(op.HOLD, {"input": {"sessionId": "ses_01h2xcejqtf2nbrexx3vqjhp41"}})
    assert missing["__typename"] == "NotFound"
    for wrong in (yoga.activity_id, yoga.shop.provider_ids[0], "", "ses_", "ses_😀", "ses_\0", "9" * 10_000):
        answer = await client.raw(op.HOLD, {"input": {"sessionId": wrong}})
        assert answer["errors"][0]["extensions"]["code"] == "BAD_INPUT", answer


async def test_who_works_elsewhere_is_a_guest_here(yoga: Class, services: Services, client: GraphQLClient) -> None:
    """A session's id is public; being staff of another organization gives nothing."""
    other = await make_class(client, services, weekly=None)
    session = await yoga.at(at(2, 9))
    await rows_of(
        yoga.shop,
        "UPDATE activity SET advance_notice_minutes = 525600 WHERE id = :id RETURNING id",
        id=yoga.activity_uuid,
    )
    refused = await yoga.hold(session["id"], client=other.owner)
    assert (refused["reason"], refused["alternatives"]) == ("NOTICE", [])
    assert (await yoga.hold(session["id"], client=yoga.owner))["__typename"] == "HoldSlotPayload"


async def test_releasing_and_extending(yoga: Class) -> None:
    session = await yoga.at(at(2, 9))
    held = await yoga.held(session["id"], 4)
    assert (await yoga.guest.release(held, token="wrong"))["__typename"] == "NotFound"
    assert (await yoga.guest.extend(held, token="wrong"))["__typename"] == "NotFound"
    extended = await yoga.guest.extend(held)
    assert instant(extended["expiresAt"]) - instant(held.answer["expiresAt"]) == timedelta(minutes=10)
    assert (await yoga.guest.extend(held))["rule"] == "hold_extended_once"
    assert await left(yoga, session) == 6
    for _ in range(2):
        assert (await yoga.guest.release(held))["status"] == "RELEASED"
    assert await left(yoga, session) == 10
    gone = await yoga.guest.book(held)
    assert gone["__typename"] == "HoldExpired"
    assert len(gone["alternatives"]) == 6
    assert (await yoga.owner(NODE, {"id": held.id})) == {"status": "RELEASED", "session": {"id": session["id"]}}
    assert await faults(yoga.shop) == []


async def test_a_hold_that_ran_out_is_in_nobodys_way(yoga: Class, clock: Any) -> None:
    session = await yoga.at(at(2, 9))
    first = await yoga.held(session["id"], 10)
    clock.move(timedelta(minutes=10, seconds=5))
    second = await yoga.held(session["id"], 9)
    assert await left(yoga, session) == 1
    assert (await yoga.owner(NODE, {"id": first.id}))["status"] == "EXPIRED"
    for answer in (await yoga.guest.book(first), await yoga.guest.extend(first), await yoga.guest.release(first)):
        assert answer["__typename"] == "HoldExpired"
    assert (await yoga.guest.book(second))["__typename"] == "CreateBookingPayload"
    assert await faults(yoga.shop) == []


async def test_the_limit_of_holds_counts_places_and_slots_together(yoga: Class) -> None:
    """The settings of the tests allow three to an account."""
    ana = await account(yoga.client, yoga.shop, "ana")
    sessions = await yoga.sessions(DAY)
    assert (await ana.hold(at(2, 15)))["__typename"] == "HoldSlotPayload"
    answers = [await yoga.hold(sessions[n % 3]["id"], client=ana.client) for n in range(3)]
    assert [answer["__typename"] for answer in answers] == ["HoldSlotPayload", "HoldSlotPayload", "RateLimited"]
    assert 0 < answers[2]["retryAfterSeconds"] <= 600
    assert (await ana.hold(at(2, 16)))["__typename"] == "RateLimited"


async def test_the_same_request_twice(yoga: Class) -> None:
    session = await yoga.at(at(2, 9))
    key = str(uuid4())
    answers = [await yoga.hold(session["id"], 2, idempotencyKey=key) for _ in range(2)]
    assert answers[0]["hold"]["id"] == answers[1]["hold"]["id"]
    assert answers[0]["holdToken"] == answers[1]["holdToken"]
    assert await left(yoga, session) == 8
    assert (await yoga.hold(session["id"], 3, idempotencyKey=key))["__typename"] == "IdempotencyConflict"


async def test_many_at_once_never_more_than_there_are(yoga: Class) -> None:
    session = await yoga.at(at(2, 9))
    answers = await asyncio.gather(*(yoga.hold(session["id"], 1 + n % 3) for n in range(16)))
    sold = sum(answer["hold"]["partySize"] for answer in answers if answer["__typename"] == "HoldSlotPayload")
    assert 8 <= sold <= 10
    assert Counter(answer.get("reason") for answer in answers)["CAPACITY"] > 0
    assert await left(yoga, session) == 10 - sold
    assert await faults(yoga.shop) == []


async def test_the_query_budget(yoga: Class, statements: StatementLog) -> None:
    session = await yoga.at(at(2, 9))
    statements.clear()
    held = await yoga.held(session["id"], idempotencyKey=str(uuid4()))
    assert len(statements) <= 8, statements.statements
    statements.clear()
    wanted = booking_input(held, idempotencyKey=str(uuid4()))
    booked = await yoga.client(BOOK, {"input": wanted})
    assert booked["booking"]["status"] == "CONFIRMED"
    assert len(statements) <= 8, statements.statements
