"""Bookings of a session: from the hold to the day, moved and cancelled."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.core.ids import IdKind, decode_id
from app.domain.membership import Role
from app.resolvers.context import Services
from tests.classes import Class, faults, make_class
from tests.fixtures_api import GraphQLClient
from tests.journey import Made, Visitor, account, audit_of, colleague, instant, rows_of
from tests.rooms import limit_customers
from tests.shop import at, iso

BOOKING = """
query ($id: ID, $token: String) { booking(id: $id, accessToken: $token) {
  id number status version startsAt endsAt timeZone partySize price { amountMinor currency } calendarUrl
  provider { id } service { id } items { startsAt } session { id capacityRemaining isLegacy activity { name } }
  customer { name } allowedTransitions cancellationTerms { freeUntil }
  transitions { from to reason actor } } }
"""
MOVE = """
mutation ($input: RescheduleBookingInput!) { rescheduleBooking(input: $input) { __typename
  ... on Booking { id version startsAt endsAt price { amountMinor } session { id capacityRemaining } }
  ... on SlotUnavailable { reason alternatives { sessionId } } ... on StaleVersion { currentVersion }
  ... on InvalidInput { violations { path message } } ... on NotAllowed { rule } ... on Error { code message } } }
"""
LIST = """
query ($org: ID!, $filter: BookingFilter) { bookings(organizationId: $org, filter: $filter) {
  totalCount edges { node { id session { id } } } } }
"""


@pytest.fixture
async def yoga(services: Services, client: GraphQLClient) -> Class:
    return await make_class(client, services)


async def read(yoga: Class, made: Made) -> dict[str, Any]:
    found: dict[str, Any] = await yoga.client(BOOKING, {"token": made.token})
    return found


async def move(yoga: Class, made: Made, session: dict[str, Any], **extra: Any) -> dict[str, Any]:
    client = extra.pop("client", yoga.client)
    wanted = {"bookingId": made.id, "sessionId": session["id"], "accessToken": made.token, **extra}
    answer: dict[str, Any] = await client(MOVE, {"input": wanted})
    return answer


async def left(yoga: Class, session: dict[str, Any]) -> int:
    remaining: int = (await yoga.read(session["id"]))["capacityRemaining"]
    return remaining


async def test_a_guests_journey(yoga: Class) -> None:
    session = await yoga.at(at(3, 9))
    made = await yoga.booked(session["id"], 2)
    booking = await read(yoga, made)
    assert (booking["status"], booking["partySize"], booking["version"]) == ("CONFIRMED", 2, 1)
    assert booking["price"] == {"amountMinor": 3_000, "currency": "USD"}
    assert (booking["startsAt"], booking["endsAt"], booking["timeZone"]) == (iso(at(3, 9)), iso(at(3, 10)), "UTC")
    assert (booking["provider"], booking["service"], booking["items"]) == (None, None, [])
    assert booking["session"] == {
        "id": session["id"],
        "capacityRemaining": 8,
        "isLegacy": False,
        "activity": {"name": "Yoga"},
    }
    assert booking["cancellationTerms"]["freeUntil"] == iso(at(2, 9))
    assert booking["allowedTransitions"] == ["CANCELLED"]
    assert [step["to"] for step in booking["transitions"]] == ["PENDING", "CONFIRMED"]
    (entry,) = await audit_of(yoga.shop, made)
    assert entry["after"]["session_id"] == str(decode_id(IdKind.SESSION, session["id"]))
    cancelled = await yoga.guest.cancel(made, accessToken=made.token)
    assert (cancelled["status"], await left(yoga, session)) == ("CANCELLED", 10)
    assert (await yoga.guest.book(await yoga.held(session["id"], 10)))["__typename"] == "CreateBookingPayload"
    assert await faults(yoga.shop) == []


async def test_the_same_request_twice_is_one_booking(yoga: Class) -> None:
    held = await yoga.held((await yoga.at(at(3, 9)))["id"])
    key = str(uuid4())
    answers = [await yoga.guest.book(held, idempotencyKey=key) for _ in range(2)]
    assert answers[0]["booking"]["id"] == answers[1]["booking"]["id"]
    assert answers[0]["accessToken"] == answers[1]["accessToken"]
    assert (await yoga.guest.book(held))["__typename"] == "HoldExpired"
    assert (await yoga.guest.book(held, holdToken="wrong"))["__typename"] == "NotFound"


async def test_a_hold_is_a_promise(yoga: Class) -> None:
    """Closed, lowered or become legacy after it was held: its holder still books."""
    nine, ten = await yoga.at(at(3, 9)), await yoga.at(at(3, 10))
    closed, lowered = await yoga.held(nine["id"], 3), await yoga.held(ten["id"], 3)
    await yoga.staff("closeSession", nine["id"])
    await yoga.staff("changeSessionCapacity", ten["id"], capacity=1)
    for held in (closed, lowered):
        assert (await yoga.guest.book(held))["__typename"] == "CreateBookingPayload"
    assert await faults(yoga.shop) == []


async def test_a_calendar_file(yoga: Class, http: httpx.AsyncClient) -> None:
    made = await yoga.booked((await yoga.at(at(3, 9)))["id"])
    url = (await read(yoga, made))["calendarUrl"]
    path = url.partition("/calendar/")[2]
    response = await http.get(f"{yoga.client.url.removesuffix('/graphql')}/calendar/{path}")
    assert response.status_code == 200
    assert "SUMMARY:Yoga" in response.text
    assert f"DTSTART:{at(3, 9):%Y%m%dT%H%M%SZ}" in response.text


async def test_moving_to_another_session(yoga: Class) -> None:
    nine, ten = await yoga.at(at(3, 9)), await yoga.at(at(4, 10))
    made = await yoga.booked(nine["id"], 3)
    moved = await move(yoga, made, ten)
    assert (moved["__typename"], moved["version"], moved["startsAt"]) == ("Booking", 2, iso(at(4, 10)))
    assert moved["session"] == {"id": ten["id"], "capacityRemaining": 7}
    assert moved["price"] == {"amountMinor": 4_500}
    assert await left(yoga, nine) == 10
    assert await faults(yoga.shop) == []
    assert (await audit_of(yoga.shop, made))[-1]["action"] == "booking.rescheduled"


async def test_what_cannot_be_moved(yoga: Class, services: Services, client: GraphQLClient) -> None:
    nine, ten, eleven = [await yoga.at(at(3, hour)) for hour in (9, 10, 11)]
    made = await yoga.booked(nine["id"], 3)
    await yoga.held(ten["id"], 8)
    full = await move(yoga, made, ten)
    assert (full["__typename"], full["reason"]) == ("SlotUnavailable", "CAPACITY")
    assert eleven["id"] in [slot["sessionId"] for slot in full["alternatives"]]
    assert await left(yoga, nine) == 7
    await yoga.staff("closeSession", eleven["id"])
    assert (await move(yoga, made, eleven))["reason"] == "CLOSED"
    assert (await move(yoga, made, nine))["violations"][0]["path"] == "input.sessionId"
    assert (await move(yoga, made, eleven, expectedVersion=7))["currentVersion"] == 1
    other = await make_class(client, services, shop=yoga.shop, name="Pilates")
    elsewhere = await move(yoga, made, await other.at(at(3, 9)))
    assert elsewhere["violations"][0]["message"].startswith("is of another activity")
    foreign = await make_class(client, services)
    assert (await move(yoga, made, await foreign.at(at(3, 9))))["__typename"] == "NotFound"
    timed = await yoga.client(
        MOVE, {"input": {"bookingId": made.id, "accessToken": made.token, "startsAt": iso(at(3, 9))}}
    )
    assert timed["violations"][0]["path"] == "input.sessionId"
    both = await move(yoga, made, ten, startsAt=iso(at(3, 9)))
    assert both["violations"][0]["path"] == "input.sessionId"
    appointment = await yoga.guest.booked(at(3, 15))
    assert (await move(yoga, appointment, ten))["violations"][0]["path"] == "input.sessionId"
    assert await faults(yoga.shop) == []


async def test_two_that_change_places(yoga: Class) -> None:
    """Both sessions are full but for the other's place: neither dies in a deadlock, and nothing is lost."""
    nine, ten = await yoga.at(at(3, 9)), await yoga.at(at(3, 10))
    first, second = await yoga.booked(nine["id"], 5), await yoga.booked(ten["id"], 5)
    answers = await asyncio.gather(move(yoga, first, ten), move(yoga, second, nine))
    assert [answer["__typename"] for answer in answers] == ["Booking", "Booking"]
    assert (await left(yoga, nine), await left(yoga, ten)) == (5, 5)
    assert await faults(yoga.shop) == []


async def test_the_notice_binds_customers_not_staff(yoga: Class, clock: Any) -> None:
    nine, later = await yoga.at(at(3, 9)), await yoga.at(at(4, 9))
    made = await yoga.booked(nine["id"])
    clock.move_to(at(2, 12))
    assert (await move(yoga, made, later))["rule"] == "cancellation_notice"
    assert (await yoga.guest.cancel(made, accessToken=made.token))["rule"] == "cancellation_notice"
    staff = (await colleague(yoga.client, yoga.shop, Role.STAFF)).client
    assert (await move(yoga, made, later, client=staff, accessToken=None))["__typename"] == "Booking"
    # A notice that was lost stays lost.
    assert (await yoga.guest.cancel(made, accessToken=made.token))["rule"] == "cancellation_notice"


async def test_the_day_itself_and_corrections(yoga: Class, clock: Any) -> None:
    session = await yoga.at(at(3, 9))
    made = await yoga.booked(session["id"], 4)
    owner = Visitor(yoga.owner, yoga.shop)
    clock.move_to(at(3, 9, 5))
    await owner.stepped(made, "CHECKED_IN", "IN_PROGRESS", "COMPLETED", "NO_SHOW")
    taken = (await yoga.read(session["id"]))["placesTaken"]
    assert taken == 0
    await owner.stepped(made, "CHECKED_IN")
    assert (await yoga.read(session["id"]))["placesTaken"] == 4
    await owner.stepped(made, "COMPLETED", "NO_SHOW")
    clock.move_to(at(3, 8))
    await yoga.held(session["id"], 7)
    clock.move_to(at(3, 8, 5))
    assert (await owner.step(made, "CHECKED_IN"))["__typename"] == "SlotUnavailable"
    assert await faults(yoga.shop) == []


async def test_lists_and_who_sees_what(yoga: Class) -> None:
    nine, ten = await yoga.at(at(3, 9)), await yoga.at(at(3, 10))
    made, other = await yoga.booked(nine["id"]), await yoga.booked(ten["id"])
    await yoga.guest.booked(at(3, 15))
    ask = {"org": yoga.shop.organization_id}
    found = await yoga.owner(LIST, {**ask, "filter": {"sessionId": nine["id"]}})
    assert found == {"totalCount": 1, "edges": [{"node": {"id": made.id, "session": {"id": nine["id"]}}}]}
    found = await yoga.owner(LIST, {**ask, "filter": {"activityId": yoga.activity_id}})
    assert {edge["node"]["id"] for edge in found["edges"]} == {made.id, other.id}
    stranger = (await account(yoga.client, yoga.shop, "stranger")).client
    assert (await stranger.raw(BOOKING, {"id": made.id}))["errors"][0]["extensions"]["code"] == "NOT_FOUND"
    assert (await stranger(LIST, {**ask, "filter": {"sessionId": nine["id"]}}))["edges"] == []


async def test_signed_in_customers_need_no_details(yoga: Class) -> None:
    ana = await account(yoga.client, yoga.shop, "ana")
    held = await yoga.held((await yoga.at(at(3, 9)))["id"], client=ana.client)
    booked = await ana.book(held, customer=None)
    assert booked["booking"]["customer"]["name"] == "ana"
    moved = await ana.client(
        MOVE, {"input": {"bookingId": booked["booking"]["id"], "sessionId": (await yoga.at(at(4, 9)))["id"]}}
    )
    assert instant(moved["startsAt"]) == at(4, 9)


async def test_the_price_stays_when_the_activitys_changes(yoga: Class, clock: Any) -> None:
    session = await yoga.at(at(3, 9))
    held = await yoga.held(session["id"], 2)
    await rows_of(
        yoga.shop, "UPDATE activity SET price_minor = 9900 WHERE id = :id RETURNING id", id=yoga.activity_uuid
    )
    booked = await yoga.guest.book(held)
    assert booked["booking"]["price"]["amountMinor"] == 3_000
    clock.move(timedelta(seconds=1))
    assert (await yoga.held(session["id"])).answer["price"]["amountMinor"] == 9_900


async def test_a_customers_limits_count_sessions_and_appointments(yoga: Class) -> None:
    await limit_customers(yoga.shop, day=2)
    nine, ten = await yoga.at(at(3, 9)), await yoga.at(at(3, 10))
    await yoga.booked(nine["id"], 3)
    await yoga.guest.booked(at(3, 15))
    held = await yoga.held(ten["id"])
    assert (await yoga.guest.book(held))["rule"] == "customer_daily_limit"
    assert (await Visitor(yoga.owner, yoga.shop).book(held))["__typename"] == "CreateBookingPayload"
    assert await faults(yoga.shop) == []
