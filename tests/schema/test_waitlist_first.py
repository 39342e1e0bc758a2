"""Places of a session are for those who wait for them, by whichever way others ask; one's own stay one's own."""

from __future__ import annotations

from typing import Any

import pytest

from app.resolvers.context import Services
from tests.classes import Class, faults, make_class
from tests.fixtures_api import GraphQLClient
from tests.groups import change
from tests.guests import start
from tests.journey import Visitor, account, rows_of
from tests.recurring import Regular, move, weekly
from tests.schema import operations as op
from tests.shop import at, iso, make_shop
from tests.waiting import JOIN, READ, waiting, window


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


async def test_who_answered_an_offer_is_in_the_audit(yoga: Class, client: GraphQLClient) -> None:
    session = (await yoga.at(at(3, 9)))["id"]
    made = [await yoga.booked(session, 5) for _ in range(2)]
    first, second = [await waiting(client, sessionId=session, partySize=5) for _ in range(2)]
    for gone in made:
        await yoga.guest.cancel(gone, accessToken=gone.token)
    assert (await first.accept(yoga.shop, await first.offered()))["__typename"] == "CreateBookingPayload"
    held = await second.offered()
    released = await client(op.RELEASE, {"id": held.id, "token": held.token})
    assert released["__typename"] == "Hold", released
    entries = await rows_of(
        yoga.shop, "SELECT action, actor, channel FROM audit_entry WHERE action LIKE 'waitlist.%' ORDER BY id"
    )
    told = [(one["action"], one["actor"], one["channel"]) for one in entries if one["action"] != "waitlist.joined"]
    assert told == [
        ("waitlist.offered", "system", "job"),
        ("waitlist.offered", "system", "job"),
        ("waitlist.accepted", "guest", "api"),
        ("waitlist.declined", "customer", "api"),
    ]


async def test_an_offer_is_not_in_ones_own_way(yoga: Class, client: GraphQLClient) -> None:
    """Who asks for other places of the session has not declined what was offered."""
    session = (await yoga.at(at(3, 9)))["id"]
    made = await yoga.booked(session, 9)
    ana = await account(client, yoga.shop, "ana")
    entry = (await ana.client(JOIN, {"input": {"sessionId": session, "partySize": 3}}))["entry"]
    await yoga.guest.cancel(made, accessToken=made.token)
    answer = await ana.client(op.HOLD, {"input": {"sessionId": session, "partySize": 2}})
    assert answer["__typename"] == "HoldSlotPayload"
    assert (await ana.client(READ, {"id": entry["id"]}))["status"] == "OFFERED"


async def test_a_slot_of_an_offer_is_not_given_back_for_another(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, providers=2)
    ana, guest = await account(client, shop, "ana"), Visitor(client, shop)
    first, second = shop.provider_ids
    made = [await guest.booked(at(3, 10), hold={"providerId": one}) for one in (first, second)]
    wanted = {"serviceId": shop.service_id, "providerIds": [first], "windows": [window(at(3, 10), at(3, 10, 1))]}
    entry = (await ana.client(JOIN, {"input": wanted}))["entry"]
    for gone in made:
        await guest.cancel(gone, accessToken=gone.token)
    asked = {"serviceId": shop.service_id, "startsAt": iso(at(3, 10, 15))}
    answer = await ana.client(op.HOLD, {"input": asked})
    assert answer["__typename"] == "HoldSlotPayload"
    assert (await ana.client(READ, {"id": entry["id"]}))["status"] == "OFFERED"


async def test_many_ahead_whom_the_time_does_not_fit(services: Services, client: GraphQLClient) -> None:
    """Freed time goes past all of them to who can come, before anybody else has it."""
    shop = await make_shop(services)
    guest = Visitor(client, shop)
    made = {start: await guest.booked(start) for start in (at(3, 9), at(3, 9, 30))}
    nine = [window(at(3, 9, 1), at(3, 9, 2))]
    await waiting(client, serviceId=shop.service_id, windows=nine)
    await rows_of(
        shop,
        "INSERT INTO waitlist_entry (service_id, windows, party_size, name, email, id, organization_id)"
        " SELECT e.service_id, e.windows, 1, e.name, e.email, uuidv7(), e.organization_id"
        " FROM waitlist_entry e, generate_series(1, 24) RETURNING 1",
    )
    one = await waiting(client, serviceId=shop.service_id, windows=[window(at(3, 9), at(3, 9, 45))])
    await guest.cancel(made[at(3, 9, 30)], accessToken=made[at(3, 9, 30)].token)
    assert (await one.offered()).answer["startsAt"] == iso(at(3, 9, 30))
