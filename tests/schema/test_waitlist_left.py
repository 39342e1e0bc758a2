"""What the transaction that frees something does not offer itself, is offered by a job that begins at once."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from app.commands import waitlist_offer
from app.commands.waitlist_offer import OFFER_WHAT_OPENED
from app.core.database import Database
from app.core.ids import IdKind, decode_id
from app.domain.waitlist import OpenedHours, OpenedTime, Opening, read_openings
from app.jobs.waitlist import offer_left
from app.queries.tenancy import bind
from app.resolvers.context import Services
from tests.classes import MORNINGS, make_class
from tests.fixtures_api import GraphQLClient
from tests.journey import Visitor, account, hours, instant, rows_of
from tests.shop import Shop, at
from tests.waiting import waiting, watched_shop, window

EVENING = window(at(3, 20), at(3, 21))
LEFT = "SELECT args FROM job WHERE kind = :kind AND organization_id = :id AND done_at IS NULL ORDER BY id"


shop = pytest.fixture(watched_shop)


async def left(shop: Shop, worker: Database) -> list[Opening]:
    """What jobs are to look at."""
    async with worker.transaction() as tx:
        rows = (await tx.execute(text(LEFT), {"kind": OFFER_WHAT_OPENED, "id": shop.organization_uuid})).all()
    return [opening for row in rows for opening in read_openings(row.args["openings"])]


async def test_hours_that_are_published(client: GraphQLClient, shop: Shop, worker: Database) -> None:
    """Where nobody waits there is no job."""
    staff = Visitor(client.signed_in(shop.owner.token), shop)
    assert (await staff.publish(hours(("09:00", "12:00"))))["__typename"] == "PublishSchedulePayload"
    assert await left(shop, worker) == []
    one = await waiting(client, serviceId=shop.service_id, windows=[EVENING])
    await staff.publish(hours(("20:00", "21:00")))
    assert await left(shop, worker) == [OpenedHours(shop.organization_uuid)]
    await offer_left(worker, await left(shop, worker))
    assert await one.status() == "OFFERED"


@pytest.mark.parametrize("limit", ["LONGEST_S", "OPENINGS_AT_ONCE"])
async def test_more_than_a_transaction_offers(
    client: GraphQLClient, shop: Shop, worker: Database, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    guest = Visitor(client, shop)
    made = await guest.booked(at(3, 9))
    one = await waiting(client, serviceId=shop.service_id, windows=[window(at(3, 9), at(3, 9, 1))])
    monkeypatch.setattr(waitlist_offer, limit, 0)
    assert (await guest.cancel(made, accessToken=made.token))["__typename"] == "Booking"
    assert await one.status() == "WAITING"
    [opening] = await left(shop, worker)
    assert isinstance(opening, OpenedTime)
    monkeypatch.undo()
    await offer_left(worker, [opening])
    assert await one.status() == "OFFERED"


async def test_new_sessions_are_theirs_who_wait_for_any(client: GraphQLClient, services: Services) -> None:
    """Made and offered in one transaction."""
    yoga = await make_class(client, services, weekly=None)
    one = await waiting(client, activityId=yoga.activity_id, windows=[window(at(3, 0), at(4, 0))])
    assert await one.status() == "WAITING"
    await yoga.publish(MORNINGS)
    held = await one.offered()
    assert at(3, 0) <= instant(held.answer["startsAt"]) < at(4, 0)


async def test_offers_are_none_of_ones_own_holds(client: GraphQLClient, shop: Shop) -> None:
    """Whoever is offered something may hold as much as everybody else."""
    guest, ana = Visitor(client, shop), await account(client, shop, "ana")
    made = await guest.booked(at(3, 9))
    one = await waiting(ana.client, serviceId=shop.service_id, windows=[window(at(3, 9), at(3, 9, 1))], customer=None)
    await guest.cancel(made, accessToken=made.token)
    assert await one.status() == "OFFERED"
    for hour in (10, 11, 12):
        await ana.held(at(3, hour))
    assert (await ana.hold(at(3, 13)))["__typename"] == "RateLimited"


async def test_another_offer_is_not_declined_unseen(client: GraphQLClient, shop: Shop) -> None:
    """It was made after the one that is declined was read, and before the entry was locked."""
    guest = Visitor(client, shop)
    made = await guest.booked(at(3, 9))
    one = await waiting(client, serviceId=shop.service_id, windows=[window(at(3, 9), at(3, 9, 1))])
    await guest.cancel(made, accessToken=made.token)
    held = await one.offered()
    decline = "SELECT give_up_waiting(:entry, false, '{}', :hold) AS is_declined"
    entry = decode_id(IdKind.WAITLIST, one.id)
    assert await rows_of(shop, decline, entry=entry, hold=shop.service_uuids[0]) == [{"is_declined": False}]
    assert await one.status() == "OFFERED"
    assert await rows_of(shop, decline, entry=entry, hold=decode_id(IdKind.HOLD, held.id)) == [{"is_declined": True}]


async def test_who_waits_for_any_session_waits_for_no_full_one(client: GraphQLClient, services: Services) -> None:
    """Somebody else is at a full session: it has nothing that joining could find."""
    yoga = await make_class(client, services, capacity=1)
    session, other = [(await yoga.at(at(3, hour)))["id"] for hour in (9, 10)]
    for one in (session, other):
        await yoga.booked(one)
    async with services.database.transaction() as tx:
        await bind(tx, organization_id=yoga.shop.organization_uuid)
        lock = "SELECT FROM activity_session WHERE id = :id FOR NO KEY UPDATE"
        await tx.execute(text(lock), {"id": decode_id(IdKind.SESSION, session)})
        async with asyncio.timeout(30):
            entry = await waiting(client, activityId=yoga.activity_id, windows=[window(at(3, 9), at(3, 10, 1))])
    assert await entry.status() == "WAITING"
