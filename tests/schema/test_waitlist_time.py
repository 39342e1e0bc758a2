"""Waiting for an appointment: the time that comes free is held for the first whom it fits."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from app.commands.expiry import expire_holds
from app.core.database import Database
from app.jobs.waitlist import fill_time, lapse_offers
from app.queries.tenancy import bind
from app.resolvers.context import Services
from tests.fixtures_api import GraphQLClient, StatementLog
from tests.journey import Made, Visitor, rows_of
from tests.shop import Shop, at, iso, make_shop
from tests.waiting import Waiting, join, waiting, watched_shop, window

MORNING = window(at(3, 9), at(3, 12))


shop = pytest.fixture(watched_shop)


async def fill(guest: Visitor) -> dict[datetime, Made]:
    """Everything from 9 to 12 of the third day is booked."""
    made: dict[datetime, Made] = {}
    while True:
        free = [start for start in await guest.starts(at(3, 0).date()) if at(3, 9) <= start < at(3, 12)]
        if not free:
            return made
        made[free[0]] = await guest.booked(free[0])


async def wait_for(client: GraphQLClient, shop: Shop, **extra: Any) -> Waiting:
    return await waiting(client, **{"serviceId": shop.service_id, "windows": [MORNING], **extra})


async def cancel(guest: Visitor, made: Made) -> None:
    assert (await guest.cancel(made, accessToken=made.token))["__typename"] == "Booking"


async def test_freed_time_is_held_for_the_first_in_line(client: GraphQLClient, shop: Shop) -> None:
    guest = Visitor(client, shop)
    where_free = await join(client, serviceId=shop.service_id, windows=[MORNING])
    assert (where_free["__typename"], where_free["rule"]) == ("NotAllowed", "places_free")
    made = await fill(guest)
    start = sorted(made)[1]
    later = await wait_for(client, shop, windows=[window(at(3, 9, 1), at(3, 9, 2))])
    first, second = [await wait_for(client, shop) for _ in range(2)]
    assert (first.answer["position"], second.answer["position"]) == (2, 3)
    await cancel(guest, made[start])
    assert [await one.status() for one in (later, first, second)] == ["WAITING", "OFFERED", "WAITING"]
    held = await first.offered()
    assert held.answer["startsAt"] == iso(start)
    assert start not in await guest.starts(at(3, 0).date())
    assert (await guest.hold(start))["__typename"] == "SlotUnavailable"
    # Declined, the next one has it, and it is not offered to the first again.
    declined = await first.decline(held)
    assert (declined["entry"]["status"], declined["entry"]["position"]) == ("WAITING", 2)
    booked = await second.accept(shop, await second.offered())
    assert booked["__typename"] == "CreateBookingPayload", booked
    assert await second.status() == "ACCEPTED"
    await cancel(guest, Made(booked["booking"]["id"], booked["accessToken"], booked["booking"]))
    assert await first.status() == "WAITING"
    assert start in await guest.starts(at(3, 0).date())


async def test_lapsed_it_goes_to_the_next(client: GraphQLClient, shop: Shop, worker: Database) -> None:
    guest = Visitor(client, shop)
    made = await fill(guest)
    first, second = [await wait_for(client, shop) for _ in range(2)]
    start = min(made)
    await cancel(guest, made[start])
    held = await first.offered()
    for table, column in (("waitlist_entry", "offer_expires_at"), ("hold", "expires_at")):
        await rows_of(
            shop,
            f"UPDATE {table} SET {column} = turnero_now() WHERE organization_id = :id"
            " AND status IN ('offered', 'active') RETURNING id",
            id=shop.organization_uuid,
        )
    assert (await first.accept(shop, held))["__typename"] == "HoldExpired"
    async with worker.transaction() as tx:
        await expire_holds(tx, 200)
    assert start not in await guest.starts(at(3, 0).date())
    assert (await guest.hold(start))["__typename"] == "SlotUnavailable"
    await lapse_offers(worker)
    assert [await one.status() for one in (first, second)] == ["WAITING", "OFFERED"]
    assert (await second.offered()).answer["startsAt"] == iso(start)


async def test_what_else_frees_time(client: GraphQLClient, shop: Shop) -> None:
    """A hold that is released, and a booking that moves away."""
    guest = Visitor(client, shop)
    made = await fill(guest)
    start, other = sorted(made)[:2]
    await cancel(guest, made[start])
    held = await guest.held(start)
    first, second = [await wait_for(client, shop) for _ in range(2)]
    await guest.release(held)
    assert (await first.offered()).answer["startsAt"] == iso(start)
    moved = await guest.move(made[other], (await guest.starts(at(4, 0).date()))[0], accessToken=made[other].token)
    assert moved["__typename"] == "Booking", moved
    assert (await second.offered()).answer["startsAt"] == iso(other)
    left = await second.leave()
    assert left["entry"]["status"] == "LEFT"
    assert other in await guest.starts(at(3, 0).date())


async def test_a_lapsed_hold_is_for_those_who_wait(
    client: GraphQLClient, shop: Shop, services: Services, clock: Any
) -> None:
    """No claim runs over it; the sweep frees it, and offers it in the same transaction."""
    guest = Visitor(client, shop)
    made = await fill(guest)
    start = min(made)
    await cancel(guest, made[start])
    await guest.held(start)
    first = await wait_for(client, shop)
    clock.move(timedelta(minutes=11))
    assert (await guest.hold(start))["__typename"] == "SlotUnavailable"
    assert await first.status() == "WAITING"
    clock.move(timedelta(0))
    await rows_of(
        shop,
        "WITH h AS (UPDATE hold SET expires_at = turnero_now() WHERE organization_id = :id AND status = 'active'"
        " RETURNING id) UPDATE allocation a SET expires_at = turnero_now() FROM h WHERE a.hold_id = h.id RETURNING 1",
        id=shop.organization_uuid,
    )
    async with services.database.transaction() as tx:
        await bind(tx, organization_id=shop.organization_uuid)
        await expire_holds(tx, 200)
    assert (await first.offered()).answer["startsAt"] == iso(start)


async def test_the_job_offers_what_opened_by_itself(client: GraphQLClient, shop: Shop, worker: Database) -> None:
    guest = Visitor(client, shop)
    made = await fill(guest)
    first = await wait_for(client, shop)
    start = min(made)
    # Nothing of ours does this, and so no trigger speaks of it.
    await rows_of(
        shop,
        "UPDATE allocation SET busy = tstzrange(lower(busy) + interval '40 days', upper(busy) + interval '40 days'),"
        " starts_at = starts_at + interval '40 days', ends_at = ends_at + interval '40 days'"
        " WHERE organization_id = :id AND starts_at = :start AND status = 'booked' RETURNING id",
        id=shop.organization_uuid,
        start=start,
    )
    for _ in range(2):
        await fill_time(worker)
    assert (await first.offered()).answer["startsAt"] == iso(start)


@pytest.mark.parametrize(
    ("extra", "path"),
    [
        ({"windows": None}, "input.windows"),
        ({"providerIds": []}, "input.providerIds"),
        ({"durationMinutes": 0}, "input.durationMinutes"),
        ({"durationMinutes": -1}, "input.durationMinutes"),
        ({"partySize": 0}, "input.partySize"),
        ({"partySize": 1_000_000}, "input.partySize"),
        ({"windows": [MORNING] * 11}, "input.windows"),
    ],
)
async def test_what_cannot_be_waited_for(client: GraphQLClient, shop: Shop, extra: dict[str, Any], path: str) -> None:
    answer = await join(client, **{"serviceId": shop.service_id, "windows": [MORNING], **extra})
    assert answer["__typename"] == "InvalidInput", answer
    assert path in [violation["path"] for violation in answer["violations"]]


async def test_people_of_others_are_not_there(client: GraphQLClient, shop: Shop, services: Services) -> None:
    other = await make_shop(services)
    answer = await join(client, serviceId=shop.service_id, windows=[MORNING], providerIds=[other.provider_id])
    assert answer["__typename"] == "NotFound"


async def test_statements(client: GraphQLClient, shop: Shop, statements: StatementLog) -> None:
    """Where nobody waits a cancellation costs what it did."""
    guest = Visitor(client, shop)
    made = await fill(guest)
    first, second = sorted(made)[:2]
    statements.clear()
    await cancel(guest, made[second])
    without = len(statements)
    again = await guest.booked(second)
    assert again.id
    statements.clear()
    await wait_for(client, shop)
    assert len(statements) <= 10
    statements.clear()
    await cancel(guest, made[first])
    # A savepoint and its end, who waits, is it all taken, the entry twice, the clock, the plan, what is taken, the hold
    # and the offer.
    assert len(statements) - without <= 11
