"""A venue with many sessions changes its hours: they follow in the background, and nothing is sold that is gone."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from sqlalchemy import text

from app.commands import session_generation
from app.commands.activity import Taken
from app.commands.session_generation import apply_schedule_at, generate_next
from app.queries.tenancy import bind
from app.resolvers.context import Services
from tests.classes import MORNINGS, Class, faults, make_activity, make_class, publish
from tests.factories import make
from tests.fixtures_api import GraphQLClient
from tests.journey import rows_of
from tests.schema.test_book_session import move
from tests.shop import TEST, at, iso, make_shop
from tests.sql.ground import person


@pytest.fixture
def at_a_large_venue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_generation, "VENUE_AT_ONCE", 5)


async def part(services: Services, yoga: Class) -> bool:
    async with services.database.transaction() as tx:
        await bind(tx, organization_id=yoga.shop.organization_uuid, clock_offset=services.clock.offset)
        return await generate_next(tx, yoga.activity_uuid, services.clock.now())


@pytest.mark.usefixtures("at_a_large_venue")
async def test_what_is_gone_is_not_sold_meanwhile(services: Services, client: GraphQLClient) -> None:
    yoga = await make_class(client, services)
    nine, ten, other = await yoga.at(at(2, 9)), await yoga.at(at(2, 10)), await yoga.at(at(4, 9))
    made, held, moving = await yoga.booked(nine["id"]), await yoga.held(ten["id"]), await yoga.booked(other["id"])
    await yoga.depart(at(2, 0).date(), owner_id=yoga.shop.venue_id)  # the venue is closed that day
    assert (await yoga.read(nine["id"]))["isLegacy"] is False  # not yet
    refused = await yoga.hold(nine["id"])
    assert refused["reason"] == "CLOSED"
    assert iso(at(2, 11)) not in [one["startsAt"] for one in refused["alternatives"]]
    assert len(refused["alternatives"]) == 6
    assert await yoga.sessions(at(2, 0).date()) == []
    assert len(await yoga.sessions(at(3, 0).date())) == 3
    assert (await move(yoga, moving, ten))["reason"] == "CLOSED"
    # A hold is a promise, and what the hours still have is sold.
    assert (await yoga.guest.book(held))["__typename"] == "CreateBookingPayload"
    assert (await yoga.hold((await yoga.at(at(3, 9)))["id"]))["__typename"] == "HoldSlotPayload"
    assert await part(services, yoga)
    assert [(one["status"], one["isLegacy"]) for one in await yoga.everything(at(2, 0).date())] == [
        ("OPEN", True),
        ("OPEN", True),
        ("CANCELLED", False),
    ]
    assert (await yoga.guest.read(made, made.token))["status"] == "CONFIRMED"
    assert await faults(yoga.shop) == []


@pytest.mark.usefixtures("at_a_large_venue")
async def test_a_zone_change_is_done_in_parts(
    services: Services, client: GraphQLClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ending comes first, a part at a time; made is what is missing, when all that is gone has ended."""
    yoga = await make_class(client, services)
    monkeypatch.setattr(session_generation, "RETIRED_AT_ONCE", 8)
    await make(yoga.owner, "updateVenue", venueId=yoga.shop.venue_id, timeZone="Asia/Kolkata")
    assert (await yoga.read((await yoga.at(at(2, 9)))["id"]))["status"] == "OPEN"
    parts = 1
    while not await part(services, yoga):
        parts += 1
    assert parts == 3
    rows = await rows_of(
        yoga.shop,
        "SELECT (starts_at AT TIME ZONE 'Asia/Kolkata')::time::text AS local FROM activity_session"
        " WHERE activity_id = :id AND status = 'open' GROUP BY 1 ORDER BY 1",
        id=yoga.activity_uuid,
    )
    assert [row["local"] for row in rows] == ["09:00:00", "10:00:00", "11:00:00"]
    assert await part(services, yoga)


async def test_what_becomes_too_much_on_the_way_is_left_to_the_job(
    services: Services, client: GraphQLClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = await make_shop(services)
    first, second = [await make_class(client, services, shop=shop, session_horizon_days=2) for _ in range(2)]
    monkeypatch.setattr(session_generation, "VENUE_AT_ONCE", 20)
    async with services.database.transaction() as tx:
        await bind(tx, organization_id=shop.organization_uuid)
        await tx.execute(text("UPDATE activity SET session_horizon_days = 20"))
        now = services.clock.now()
        done = await apply_schedule_at(tx, shop.organization_uuid, shop.venue_uuid, actor=TEST, now=now)
    assert list(done) == [first.activity_uuid]
    rows = await rows_of(shop, "SELECT id FROM activity WHERE NOT sessions_follow")
    assert [row["id"] for row in rows] == [second.activity_uuid]
    assert await part(services, second)
    assert len(await second.everything(at(15, 0).date())) == 3


async def test_a_venue_takes_everybodys_time_in_one_order(services: Services) -> None:
    """A visit of two people waits for a venue's generation, which never waits for the visit in turn."""
    shop = await make_shop(services, providers=2)
    low, high = sorted(shop.provider_uuids)
    for leader in (high, low):
        await publish(shop, (await make_activity(shop, Taken((leader,)))).id, MORNINGS)

    async def visit() -> Any:
        async with services.database.transaction() as tx:
            await bind(tx, organization_id=shop.organization_uuid)
            claims = json.dumps({"claims": [person(low, at(3, 9)), person(high, at(3, 10))], "needs": [], "limits": []})
            query = (
                "SELECT outcome FROM claim_together(:organization, CAST(:wanted AS jsonb), 'held', NULL, NULL,"
                " interval '1 hour', 'HELD')"
            )
            return (await tx.execute(text(query), {"organization": shop.organization_uuid, "wanted": claims})).scalar()

    async with services.database.transaction() as tx:
        await bind(tx, organization_id=shop.organization_uuid)
        await tx.execute(text("UPDATE venue SET time_zone = 'Asia/Kolkata' WHERE id = :id"), {"id": shop.venue_uuid})
        now = services.clock.now()
        done = await apply_schedule_at(tx, shop.organization_uuid, shop.venue_uuid, actor=TEST, now=now)
        waiting = asyncio.create_task(visit())
        await asyncio.wait((waiting,), timeout=0.05)
        again = await apply_schedule_at(tx, shop.organization_uuid, shop.venue_uuid, actor=TEST, now=now)
        await tx.rollback()
    assert all(each.created and each.cancelled for each in done.values())
    assert all(each.counts() == {} for each in again.values())
    assert await waiting == "taken"
