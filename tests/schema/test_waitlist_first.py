"""Places of a session are for those who wait for them, by whichever way others ask; one's own stay one's own."""

from __future__ import annotations

from typing import Any

import pytest

from app.resolvers.context import Services
from tests.classes import Class, faults, make_class
from tests.fixtures_api import GraphQLClient
from tests.groups import change
from tests.guests import start
from tests.journey import rows_of
from tests.recurring import Regular, move, weekly
from tests.schema import operations as op
from tests.shop import at
from tests.waiting import waiting


@pytest.fixture
async def yoga(services: Services, client: GraphQLClient) -> Class:
    return await make_class(client, services, session_horizon_days=40)


async def _lapse_holds(yoga: Class) -> None:
    """They ran out, and no sweep has come by yet."""
    await rows_of(yoga.shop, "UPDATE place_claim SET expires_at = turnero_now() WHERE status = 'held' RETURNING 1")
    await rows_of(yoga.shop, "UPDATE hold SET expires_at = turnero_now() WHERE status = 'active' RETURNING 1")


def _is_refused(answer: dict[str, Any]) -> bool:
    return (answer["__typename"], answer["reason"]) == ("SlotUnavailable", "CAPACITY") and "who waits" in answer[
        "message"
    ]


async def test_no_private_group_past_who_waits(yoga: Class, client: GraphQLClient) -> None:
    session = (await yoga.at(at(3, 9)))["id"]
    await yoga.held(session, 10)
    one = await waiting(client, sessionId=session, partySize=2)
    await _lapse_holds(yoga)
    assert _is_refused(await yoga.hold(session, 4, isPrivate=True))
    await one.leave()
    assert (await yoga.hold(session, 4, isPrivate=True))["__typename"] == "HoldSlotPayload"
    assert await faults(yoga.shop) == []


async def test_nobody_joins_a_booking_past_who_waits(yoga: Class, client: GraphQLClient) -> None:
    session = (await yoga.at(at(3, 9)))["id"]
    made = await yoga.booked(session, 7)
    await yoga.held(session, 3)
    one = await waiting(client, sessionId=session, partySize=3)
    await _lapse_holds(yoga)
    assert _is_refused(await change(client, "addParticipants", made, unnamed=1))
    await one.leave()
    assert (await change(client, "addParticipants", made, unnamed=1))["partySize"] == 8
    assert await faults(yoga.shop) == []


async def test_a_guest_keeps_the_own_places(yoga: Class, client: GraphQLClient) -> None:
    """Fewer of them are had at once, and who waits gets the rest; more are not, and nothing is lost."""
    session = (await yoga.at(at(3, 9)))["id"]
    visit = await start(client, yoga.shop)
    await yoga.booked(session, 7)

    async def hold(party_size: int, **extra: Any) -> dict[str, Any]:
        wanted = {"sessionId": session, "partySize": party_size, "guestSessionToken": visit.token, **extra}
        answer: dict[str, Any] = await client(op.HOLD, {"input": wanted})
        return answer

    assert (await hold(3))["__typename"] == "HoldSlotPayload"
    pair, single = [await waiting(client, sessionId=session, partySize=size) for size in (2, 1)]
    assert (await hold(4))["__typename"] == "SlotUnavailable"
    kept = await hold(2)
    assert (kept["__typename"], kept["hold"]["partySize"]) == ("HoldSlotPayload", 2)
    assert (await pair.status(), await single.status()) == ("WAITING", "OFFERED")
    assert (await hold(3))["__typename"] == "SlotUnavailable"
    assert (await hold(2))["hold"]["id"] == kept["hold"]["id"]
    assert await faults(yoga.shop) == []


async def test_dates_of_a_series_take_their_own_places(yoga: Class, client: GraphQLClient) -> None:
    """The first date moves into the session that the second leaves, which somebody waits for."""
    await rows_of(yoga.shop, "UPDATE activity SET capacity = 3 RETURNING 1")
    await rows_of(yoga.shop, "UPDATE activity_session SET capacity = 3 RETURNING 1")
    dates: Any = {**weekly(3), "serviceId": None, "activityId": yoga.activity_id, "partySize": 2}
    made = await Regular(client, yoga.shop).made(at(2, 9), 3 * 2 * 1_500, **dates)
    second = (await yoga.at(at(9, 9)))["id"]
    await yoga.booked(second, 1)
    one = await waiting(client, sessionId=second, partySize=2)
    moved = await move(client, made, "ALL", shiftDays=7)
    assert moved["__typename"] == "RescheduleRecurringBookingPayload", moved
    assert await one.status() == "WAITING"
    assert await faults(yoga.shop) == []


@pytest.mark.parametrize("first", [False, True])
async def test_a_whole_session_is_not_some_places(yoga: Class, client: GraphQLClient, *, first: bool) -> None:
    """Going back, a guest gets what was asked for, not what was held before: not the other kind, nor its price."""
    session = (await yoga.at(at(3, 9)))["id"]
    visit = await start(client, yoga.shop)
    wanted = {"sessionId": session, "partySize": 4, "guestSessionToken": visit.token}
    one = await client(op.HOLD, {"input": {**wanted, "isPrivate": first}})
    two = await client(op.HOLD, {"input": {**wanted, "isPrivate": not first}})
    assert one["hold"]["id"] != two["hold"]["id"]
    held = await rows_of(yoga.shop, "SELECT is_private, price_minor FROM hold WHERE status = 'active'")
    assert held == [{"is_private": not first, "price_minor": 6_000 if first else 15_000}]
    assert await faults(yoga.shop) == []
