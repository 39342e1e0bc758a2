"""Sessions that take somebody's time: none is forgotten, none is made without its leaders, nobody waits in a circle."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text

from app.commands import session_generation
from app.commands.activity import Taken
from app.commands.session_generation import generate_next
from app.core.ids import new_id
from app.domain.schedule import weekly_hours
from app.queries.tenancy import bind
from app.resolvers.context import Services
from tests.classes import MORNINGS, Class, change, make_activity, make_class, publish
from tests.facts_guard import let_pass
from tests.fixtures_api import GraphQLClient
from tests.journey import rows_of
from tests.shop import Shop, at, make_shop, set_active
from tests.sql.ground import make_ground, put

HOUR = timedelta(hours=1)


async def parts(services: Services, shop: Shop, yoga: Class) -> int:
    count = 1
    while True:
        async with services.database.transaction() as tx:
            await bind(tx, organization_id=shop.organization_uuid)
            if await generate_next(tx, yoga.activity_uuid, services.clock.now()):
                return count
        count += 1


async def led(shop: Shop, client: GraphQLClient, **values: int) -> Class:
    activity = await make_activity(shop, Taken(tuple(shop.provider_uuids[:1])), **values)
    return Class(shop, activity.id, client)


async def test_starts_that_meet_one_another_end_no_days_work(
    services: Services, client: GraphQLClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An hour's class that may begin every quarter: each part goes on behind the one before."""
    monkeypatch.setattr(session_generation, "LED_AT_ONCE", 6)
    shop = await make_shop(services)
    yoga = await led(shop, client, session_horizon_days=3)
    await publish(shop, yoga.activity_uuid, MORNINGS, interval=15)
    assert await parts(services, shop, yoga) > 1
    for day in (1, 2, 3):
        assert len(await yoga.everything(at(day, 0).date())) == 3


async def test_a_leaders_long_absence_ends_no_days_work(
    services: Services, client: GraphQLClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_generation, "LED_AT_ONCE", 4)
    shop = await make_shop(services)
    yoga = await led(shop, client, session_horizon_days=5)
    async with services.database.transaction() as tx:
        await bind(tx, organization_id=shop.organization_uuid)
        query = (
            "INSERT INTO blocked_time (id, organization_id, subject_id, starts_at, ends_at, kind)"
            " VALUES (:id, :organization, :subject, :start, :end, 'time_off')"
        )
        away = {"subject": shop.provider_uuids[0], "start": at(-1, 0), "end": at(4, 0)}
        await tx.execute(text(query), {"id": new_id(), "organization": shop.organization_uuid, **away})
        await let_pass(tx)
    await publish(shop, yoga.activity_uuid, tuple(weekly_hours(day, [(540, 840)]) for day in range(7)))
    await parts(services, shop, yoga)
    assert len(await yoga.everything(at(0, 0).date(), at(3, 0).date())) == 0
    assert [len(await yoga.everything(at(day, 0).date())) for day in (4, 5)] == [5, 5]


async def test_who_is_switched_off_leads_nothing(services: Services, client: GraphQLClient) -> None:
    """Sessions that are there stand; new ones, and reopened ones, wait until the leader is back or another is named."""
    yoga = await make_class(client, services, led_by_first=True)
    session = await yoga.at(at(3, 9))
    await yoga.staff("cancelSession", session["id"], reason="Ill")
    await set_active(yoga.shop, "provider", yoga.shop.provider_uuids[0], False)
    await yoga.depart(at(3, 0).date(), ("09:00", "10:00"), ("15:00", "16:00"))
    found = await yoga.everything(at(3, 0).date())
    assert [one["startsAt"][11:13] for one in found if one["status"] == "OPEN"] == []
    assert (await yoga.staff("reopenSession", session["id"]))["rule"] == "session_time_taken"
    assert {one["status"] for one in await yoga.everything(at(4, 0).date())} == {"OPEN"}
    await set_active(yoga.shop, "provider", yoga.shop.provider_uuids[0], True)
    assert (await yoga.staff("reopenSession", session["id"]))["session"]["status"] == "OPEN"


async def test_a_reopened_session_can_be_booked_though_it_was_legacy(services: Services, client: GraphQLClient) -> None:
    yoga = await make_class(client, services)
    session = await yoga.at(at(2, 9))
    made = await yoga.booked(session["id"])
    await yoga.publish(tuple(weekly_hours(day, [(14 * 60, 16 * 60)]) for day in range(7)))
    assert (await yoga.read(session["id"]))["isLegacy"]
    answers = [{"bookingId": made.id, "action": "CANCEL"}]
    await yoga.staff("cancelSession", session["id"], reason="Ill", resolutions=answers)
    await yoga.publish(MORNINGS)
    opened = (await yoga.staff("reopenSession", session["id"]))["session"]
    assert (opened["isLegacy"], opened["capacityRemaining"]) == (False, 10)
    assert (await yoga.hold(session["id"]))["__typename"] == "HoldSlotPayload"


async def test_reopening_while_somebody_takes_the_leader(services: Services, client: GraphQLClient) -> None:
    """The claim is not there yet when reopening looks, and there when it writes: a refusal, not a failure."""
    yoga = await make_class(client, services, led_by_first=True)
    session = await yoga.at(at(2, 9))
    await yoga.staff("cancelSession", session["id"], reason="Ill")
    async with services.database.transaction() as tx:
        await bind(tx, organization_id=yoga.shop.organization_uuid)
        query = (
            "SELECT claimed FROM claim_time(:id, :organization, :person, tstzrange(:start, :end, '[)'), :start, :end,"
            " 'held', NULL, NULL, :end, 'HELD')"
        )
        claim = {"person": yoga.shop.provider_uuids[0], "start": at(2, 9), "end": at(2, 10)}
        assert (
            await tx.execute(text(query), {"id": new_id(), "organization": yoga.shop.organization_uuid, **claim})
        ).scalar_one()
        reopening = asyncio.create_task(yoga.owner(change("reopenSession"), {"input": {"sessionId": session["id"]}}))
        waits = "SELECT count(*) AS n FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
        for _ in range(1_000):
            if (await rows_of(yoga.shop, waits))[0]["n"] or reopening.done():
                break
            await asyncio.sleep(0.01)
    assert (await reopening)["rule"] == "session_time_taken"
    assert (await yoga.read(session["id"]))["status"] == "CANCELLED"


async def test_a_lapsed_hold_that_somebody_is_at_counts_as_taken(database_url: str) -> None:
    """They may be waiting for the time of another session that this transaction has made."""
    ground = await make_ground(database_url)
    person, ten = ground.people[0], at(3, 10)
    take = "SELECT take_session_time($1, $2, $3, $4, $5, '[]'::jsonb)"
    async with ground.connect() as setup, ground.connect() as other, ground.connect() as mine:
        await put(setup, ground, person, ten, ten + 2 * HOUR, expires_in=timedelta(minutes=-1))
        async with other.transaction():
            await other.fetch("SELECT FROM allocation WHERE subject_id = $1 FOR NO KEY UPDATE", person)
            assert await mine.fetchval(take, ground.organization, uuid4(), ten - HOUR, ten, [person]) is True
            assert await mine.fetchval(take, ground.organization, uuid4(), ten, ten + HOUR, [person]) is False
        assert await mine.fetchval(take, ground.organization, uuid4(), ten, ten + HOUR, [person]) is True
