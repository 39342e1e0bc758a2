"""What a bulk change calls off is offered to nobody who waits."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from app.checkout.scope import Checkout
from app.commands.waitlist_offer import OFFER_WHAT_OPENED, offer_what_opened
from app.core.database import SYSTEM_ROLE, Database
from app.domain.waitlist import OpenedHours, read_openings
from app.jobs.bulk import BulkJobs
from app.jobs.waitlist import fill_sessions, offer_left
from app.resolvers.context import Services
from tests.bulk import Planner, Worker
from tests.classes import Class, faults, make_class
from tests.fixtures_api import GraphQLClient, RunningApi
from tests.journey import Visitor
from tests.shop import at, make_shop
from tests.waiting import waiting, window


@pytest.fixture
async def yoga(services: Services, client: GraphQLClient) -> Class:
    return await make_class(client, services, capacity=2)


@pytest.fixture
async def worker(database_url: str, running: RunningApi) -> AsyncIterator[Worker]:
    """As it is in earnest: it offers what it frees."""
    database = Database(database_url, role=SYSTEM_ROLE, pool_size=4, closing=offer_what_opened)
    known = running.api.services.checkout
    worker = Worker(database, Checkout(database, known.clock, known.gateways, {}, known.return_url))
    await worker.forget()
    yield worker
    await worker.forget()
    await database.dispose()


async def test_places_that_are_being_called_off(yoga: Class, client: GraphQLClient, worker: Worker) -> None:
    """Neither while its bookings are cancelled one by one, nor by the job meanwhile; and nobody slips in."""
    session = (await yoga.at(at(3, 9)))["id"]
    for _ in range(2):
        await yoga.booked(session)
    one = await waiting(client, sessionId=session)
    planner = Planner(client.signed_in(yoga.shop.owner.token), yoga.shop)
    plan = await planner.planned(at(3, 0), at(4, 0), activityId=yoga.activity_id)
    await planner.committed(plan)
    step_by_step = BulkJobs(worker.checkout, batch=1)
    [job_id] = await worker.due()
    await worker.run(await worker.claim(job_id), step_by_step)
    assert (await yoga.read(session))["placesTaken"] == 1
    await fill_sessions(worker.database)
    assert await one.status() == "WAITING"
    assert (await yoga.hold(session))["__typename"] == "SlotUnavailable"
    await worker.work(step_by_step)
    assert (await planner.read(plan))["status"] == "FINISHED"
    assert (await yoga.read(session))["status"] == "CANCELLED"
    assert (await one.read())["endReason"] == "SESSION_CANCELLED"
    assert await faults(yoga.shop) == []


async def test_what_is_left_when_it_was_stopped(yoga: Class, client: GraphQLClient, worker: Worker) -> None:
    session = (await yoga.at(at(3, 9)))["id"]
    for _ in range(2):
        await yoga.booked(session)
    one = await waiting(client, activityId=yoga.activity_id, windows=[window(at(3, 8), at(3, 10))])
    planner = Planner(client.signed_in(yoga.shop.owner.token), yoga.shop)
    plan = await planner.planned(at(3, 0), at(4, 0), activityId=yoga.activity_id)
    await planner.committed(plan)
    [job_id] = await worker.due()
    await worker.run(await worker.claim(job_id), BulkJobs(worker.checkout, batch=1))
    await planner.stop(plan)
    await fill_sessions(worker.database)
    assert await one.status() == "OFFERED"


@pytest.mark.parametrize("action", ["CANCEL", "MOVE"])
async def test_a_providers_day(services: Services, client: GraphQLClient, worker: Worker, action: str) -> None:
    """None of it is offered while it is cleared; then it is, since the day is not closed."""
    shop = await make_shop(services, providers=2)
    guest = Visitor(client, shop)
    first = shop.provider_ids[0]
    for hour in (9, 10):
        await guest.booked(at(3, hour), hold={"providerId": first})
    wanted = {"serviceId": shop.service_id, "providerIds": [first]}
    one = await waiting(client, **wanted, windows=[window(at(3, 9), at(3, 9, 1)), window(at(3, 10), at(3, 10, 1))])
    staff = Planner(client.signed_in(shop.owner.token), shop)
    plan = await (staff.planned(at(3, 0), at(4, 0)) if action == "CANCEL" else staff.moved(at(3, 0), at(4, 0)))
    await staff.committed(plan)
    [job_id] = await worker.due()
    await worker.run(await worker.claim(job_id), BulkJobs(worker.checkout, batch=1))
    await offer_left(worker.database, [OpenedHours(shop.organization_uuid)])
    assert await one.status() == "WAITING"
    await worker.work()
    assert (await staff.read(plan))["progress"]["done"] == 2
    assert await one.status() == "WAITING"
    async with worker.database.transaction() as tx:
        left = "SELECT args FROM job WHERE kind = :kind AND organization_id = :id ORDER BY id DESC LIMIT 1"
        args = (await tx.execute(text(left), {"kind": OFFER_WHAT_OPENED, "id": shop.organization_uuid})).scalar_one()
    openings = read_openings(args["openings"])
    assert OpenedHours(shop.organization_uuid) in openings
    await offer_left(worker.database, openings)
    assert await one.status() == "OFFERED"
