"""Guest sessions: a guest who comes back finds what they held, gave and booked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from app.commands.guest_session import purge_guest_sessions
from app.core.database import SYSTEM_ROLE, Database
from app.resolvers.context import Services
from tests.fixtures_api import GraphQLClient, MovableClock, StatementLog, make_settings, serve
from tests.guests import END, START, GuestVisit, read, start
from tests.journey import account, instant, live_time, rows_of
from tests.schema.test_booking_link import CLAIM, RENEW
from tests.shop import Shop, at, make_shop

DAY = timedelta(days=1)
KEY = "0b9f1a52-6f6e-4a0e-9c0e-3f1f6a6c8f02"


@pytest.fixture
async def shop(services: Services) -> Shop:
    return await make_shop(services, providers=2)


@pytest.fixture
async def guest(client: GraphQLClient, shop: Shop) -> GuestVisit:
    return await start(client, shop)


async def test_a_guest_who_comes_back_finds_everything(guest: GuestVisit) -> None:
    one = await guest.held(at(3, 10))
    two = await guest.held(at(2, 10), partySize=1)
    given = {"name": "Ana", "email": "Ana@Example.com", "phone": "+54 11 4321-5678", "locale": "es-AR"}
    booked = await guest.visitor.book(one, guestSessionToken=guest.token, customer=given)
    found = await guest.read()
    assert found is not None
    assert [(one["hold"]["id"], one["holdToken"], one["hold"]["status"]) for one in found["holds"]] == [
        (two.id, two.token, "ACTIVE")
    ]
    [kept] = found["bookings"]
    assert (kept["accessToken"], kept["booking"]["id"]) == (booked["accessToken"], booked["booking"]["id"])
    details = {"name": "Ana", "email": "ana@example.com", "phone": "+541143215678", "locale": "es-AR"}
    assert found["details"] == details
    # A later booking that says less takes nothing away.
    await guest.visitor.book(two, guestSessionToken=guest.token, customer={"name": "Ana B", "email": "b@example.com"})
    found = await guest.read()
    assert found is not None
    assert (found["holds"], len(found["bookings"])) == ([], 2)
    assert found["details"] == {**details, "name": "Ana B", "email": "b@example.com"}


async def test_a_hold_from_before_is_booked_in_the_session(guest: GuestVisit) -> None:
    held = await guest.visitor.held(at(2, 10))
    booked = await guest.visitor.book(held, guestSessionToken=guest.token)
    found = await guest.read()
    assert found is not None
    assert [one["booking"]["id"] for one in found["bookings"]] == [booked["booking"]["id"]]


async def test_use_renews_it_up_to_a_week(guest: GuestVisit, clock: MovableClock) -> None:
    begun = instant(guest.expires_at) - DAY
    assert abs(begun - datetime.now(UTC)) < timedelta(seconds=5)
    clock.move(timedelta(hours=20))
    found = await guest.read()
    assert found is not None
    assert instant(found["expiresAt"]) == begun + DAY  # looking is no use
    for uses in range(2, 10):
        await guest.hold(at(20, 10))
        found = await guest.read()
        assert found is not None
        assert instant(found["expiresAt"]) <= begun + 7 * DAY
        clock.move(uses * timedelta(hours=20))
    assert instant(found["expiresAt"]) == begun + 7 * DAY
    clock.move(7 * DAY + timedelta(minutes=1))
    assert (await guest.hold(at(20, 10)))["__typename"] == "NotFound"


async def test_one_that_is_over_looks_like_none(
    guest: GuestVisit, client: GraphQLClient, clock: MovableClock, services: Services
) -> None:
    ended = await start(client, guest.visitor.shop)
    held = await ended.held(at(2, 10))
    assert (await ended.end())["__typename"] == "EndGuestSessionPayload"
    assert await live_time(guest.visitor.shop) == []
    assert (await ended.visitor.extend(held))["__typename"] == "HoldExpired"
    free = await guest.visitor.held(at(2, 12))
    other = await make_shop(services)
    foreign = await start(client, other)
    strange = (ended.token, guest.token[:-1], guest.token + "x", "", "x.y", "\U0001f600", foreign.token)
    answers = [await guest.visitor.hold(at(2, 10), guestSessionToken=token) for token in strange]
    answers += [await guest.visitor.book(free, guestSessionToken=token) for token in strange]
    answers += [await client(END, {"input": {"guestSessionToken": token}}) for token in strange[:-1]]
    assert {answer["__typename"] for answer in answers} == {"NotFound"}
    assert all(answer == answers[0] for answer in answers)
    assert [await read(client, token) for token in strange[:-1]] == [None] * 6
    clock.move(DAY + timedelta(minutes=1))
    assert await guest.read() is None
    assert (await guest.end())["__typename"] == "NotFound"
    assert (await guest.hold(at(3, 10))) == answers[0]
    [kept] = await rows_of(guest.visitor.shop, "SELECT details FROM guest_session WHERE ended_at IS NOT NULL")
    assert kept["details"] == {}


async def test_what_others_have_by_now_is_not_shown(guest: GuestVisit, client: GraphQLClient) -> None:
    shop = guest.visitor.shop
    made = [await guest.visitor.book(await guest.held(at(2, hour)), guestSessionToken=guest.token) for hour in (9, 11)]
    renew = {"bookingId": made[0]["booking"]["id"], "accessToken": made[0]["accessToken"]}
    assert (await client(RENEW, {"input": renew}))["__typename"] == "RenewBookingLinkPayload"
    eva = await account(client, shop, "eva")
    claimed = await eva.client(CLAIM, {"input": {"accessToken": made[1]["accessToken"]}})
    assert claimed["__typename"] == "ClaimBookingPayload"
    found = await guest.read()
    assert found is not None
    assert found["bookings"] == []
    hers = await read(eva.client, guest.token)
    assert hers is not None
    assert [one["booking"]["id"] for one in hers["bookings"]] == [made[1]["booking"]["id"]]


async def test_the_same_start_twice_is_one_session(client: GraphQLClient, shop: Shop) -> None:
    first = await start(client, shop, idempotencyKey=KEY)
    assert await start(client, shop, idempotencyKey=KEY) == first
    unknown = {"organizationId": shop.organization_id[:-1] + ("0" if shop.organization_id[-1] != "0" else "1")}
    assert (await client(START, {"input": unknown}))["__typename"] == "NotFound"


async def test_starts_are_limited(database_url: str, redis_url: str, http: httpx.AsyncClient) -> None:
    async with serve(make_settings(database_url, redis_url, guest_session_limit_per_address=2)) as api:
        client = GraphQLClient(http, api.graphql_url)
        shop = await make_shop(api.api.services)
        wanted = {"input": {"organizationId": shop.organization_id}}
        kinds = [(await client(START, wanted))["__typename"] for _ in range(3)]
        assert kinds == ["StartGuestSessionPayload"] * 2 + ["RateLimited"]


async def test_what_ran_out_is_deleted(guest: GuestVisit, database_url: str) -> None:
    held = await guest.held(at(2, 10))
    other = await start(guest.visitor.client, guest.visitor.shop)
    await rows_of(
        guest.visitor.shop,
        "UPDATE guest_session SET expires_at = turnero_now() WHERE id IN (SELECT guest_session_id FROM guest_hold)"
        " RETURNING id",
    )
    system = Database(database_url, role=SYSTEM_ROLE, pool_size=1)
    try:
        async with system.transaction() as tx:
            assert await purge_guest_sessions(tx, 5_000) >= 1
    finally:
        await system.dispose()
    assert await guest.read() is None
    assert await other.read() is not None
    assert (await guest.visitor.book(held))["__typename"] == "CreateBookingPayload"


async def test_budgets(guest: GuestVisit, statements: StatementLog) -> None:
    statements.clear()
    held = await guest.held(at(2, 10))
    assert len(statements) <= 8, statements.statements
    statements.clear()
    assert (await guest.held(at(2, 10))).id == held.id
    assert len(statements) <= 5, statements.statements
    statements.clear()
    again = await guest.held(at(2, 10, 15), providerId=held.answer["provider"]["id"])
    assert len(statements) <= 8, statements.statements
    statements.clear()
    assert (await guest.visitor.book(again, guestSessionToken=guest.token))["__typename"] == "CreateBookingPayload"
    assert len(statements) <= 8, statements.statements
    statements.clear()
    await guest.read()
    assert len(statements) <= 5, statements.statements
