"""How often, and until when, a customer may move a booking: by the terms it was made under."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest

from app.domain.membership import Role
from app.resolvers.context import Services
from tests.classes import make_class
from tests.fixtures_api import GraphQLClient, MovableClock
from tests.journey import Answer, Made, Visitor, colleague, rows_of
from tests.shop import at, iso, make_shop

SEEN = """query ($id: ID!, $token: String) { booking(id: $id, accessToken: $token) {
  version reschedulesLeft reschedulableUntil } }"""
MOVE = """mutation ($input: RescheduleBookingInput!) { rescheduleBooking(input: $input) { __typename
  ... on Booking { version } ... on NotAllowed { rule allowedFrom allowedUntil } } }"""
LIMITS = """mutation ($input: UpdateServiceInput!) { updateService(input: $input) { __typename
  ... on UpdateServicePayload { service { maximumReschedules rescheduleNoticeMinutes } }
  ... on InvalidInput { violations { path } } } }"""


async def shop_with(services: Services, client: GraphQLClient, **limits: Any) -> Visitor:
    return Visitor(client, await make_shop(services, service=limits))


async def seen(guest: Visitor, made: Made) -> Answer:
    found: Answer = await guest.client(SEEN, {"id": made.id, "token": made.token})
    return found


async def refused(guest: Visitor, made: Made, hour: int) -> Answer:
    wanted = {"bookingId": made.id, "startsAt": iso(at(3, hour)), "accessToken": made.token}
    answer: Answer = await guest.client(MOVE, {"input": wanted})
    return answer


async def test_as_often_as_agreed(services: Services, client: GraphQLClient) -> None:
    guest = await shop_with(services, client, maximum_reschedules=2)
    staff = await colleague(client, guest.shop, Role.STAFF)
    made = await guest.booked(at(3, 8))
    assert (await seen(guest, made))["reschedulesLeft"] == 2
    await guest.move(made, at(3, 9), accessToken=made.token)
    assert (await staff.move(made, at(3, 10)))["version"] == 3  # not counted
    assert (await seen(guest, made))["reschedulesLeft"] == 1
    await guest.move(made, at(3, 11), accessToken=made.token)
    found = await seen(guest, made)
    assert (found["reschedulesLeft"], found["reschedulableUntil"]) == (0, None)
    assert await refused(guest, made, 12) == {
        "__typename": "NotAllowed",
        "rule": "reschedule_limit",
        "allowedFrom": None,
        "allowedUntil": None,
    }
    assert (await staff.move(made, at(3, 13)))["version"] == 5
    assert (await guest.cancel(made, accessToken=made.token))["status"] == "CANCELLED"


async def test_until_a_notice_of_its_own(services: Services, client: GraphQLClient, clock: MovableClock) -> None:
    guest = await shop_with(services, client, reschedule_notice_minutes=60, cancellation_notice_minutes=1_440)
    made = await guest.booked(at(3, 10))
    assert (await seen(guest, made))["reschedulableUntil"] == iso(at(3, 9))
    clock.move_to(at(3, 8, 59))
    assert (await guest.cancel(made, accessToken=made.token))["rule"] == "cancellation_notice"
    assert (await refused(guest, made, 11))["__typename"] == "Booking"
    clock.move_to(at(3, 10, 1))
    late = await refused(guest, made, 15)
    assert (late["rule"], late["allowedUntil"]) == ("reschedule_notice", iso(at(3, 10)))
    assert (await seen(guest, made))["reschedulableUntil"] is None


async def test_frozen_with_the_booking(services: Services, client: GraphQLClient) -> None:
    guest = await shop_with(services, client)
    admin = await colleague(client, guest.shop, Role.ADMIN)
    old = await guest.booked(at(3, 8))
    wanted = {"serviceId": guest.shop.service_id, "maximumReschedules": 0, "rescheduleNoticeMinutes": 120}
    changed = await admin.client(LIMITS, {"input": wanted})
    assert changed["service"] == {"maximumReschedules": 0, "rescheduleNoticeMinutes": 120}
    new = await guest.booked(at(3, 10))
    assert [(await seen(guest, one))["reschedulesLeft"] for one in (old, new)] == [None, 0]
    assert (await refused(guest, old, 9))["__typename"] == "Booking"
    assert (await refused(guest, new, 12))["rule"] == "reschedule_limit"


async def test_the_last_move_of_many_at_once(services: Services, client: GraphQLClient) -> None:
    guest = await shop_with(services, client, maximum_reschedules=1)
    made = await guest.booked(at(3, 8))
    answers = await asyncio.gather(*(refused(guest, made, hour) for hour in range(9, 14)))
    assert Counter(one["__typename"] for one in answers) == {"Booking": 1, "NotAllowed": 4}
    [row] = await rows_of(guest.shop, "SELECT reschedules, version FROM booking")
    assert (row["reschedules"], row["version"]) == (1, 2)


async def test_of_a_visit_the_strictest_counts(services: Services, client: GraphQLClient) -> None:
    limits = ({"maximum_reschedules": 3, "reschedule_notice_minutes": 30}, {"cancellation_notice_minutes": 120})
    shop = await make_shop(services, service={"maximum_reschedules": 5}, more_services=limits)
    guest = Visitor(client, shop)
    items = [{"serviceId": one} for one in shop.service_ids]
    made = await guest.booked(at(3, 10), hold={"serviceId": None, "items": items})
    found = await seen(guest, made)
    assert (found["reschedulesLeft"], found["reschedulableUntil"]) == (3, iso(at(2, 10)))  # 1440 minutes: the first's


async def test_of_a_session(services: Services, client: GraphQLClient) -> None:
    yoga = await make_class(client, services, maximum_reschedules=1)
    first, *others = [(await yoga.at(at(3, hour)))["id"] for hour in (9, 10, 11)]
    made = await yoga.booked(first)
    answers = [await yoga.guest.move(made, sessionId=one, accessToken=made.token) for one in others]
    assert (answers[0]["__typename"], answers[1]["rule"]) == ("Booking", "reschedule_limit")


@pytest.mark.parametrize(
    "wrong", [{"maximumReschedules": -1}, {"maximumReschedules": 1_001}, {"rescheduleNoticeMinutes": -1}]
)
async def test_limits_that_cannot_be(services: Services, client: GraphQLClient, wrong: dict[str, int]) -> None:
    guest = await shop_with(services, client)
    admin = await colleague(client, guest.shop, Role.ADMIN)
    answer = await admin.client(LIMITS, {"input": {"serviceId": guest.shop.service_id, **wrong}})
    assert answer["violations"] == [{"path": f"input.{next(iter(wrong))}"}]
