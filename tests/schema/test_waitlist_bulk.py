"""What a bulk change calls off is offered to nobody who waits."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from app.checkout.scope import Checkout
from app.commands.waitlist_offer import offer_what_opened
from app.core.database import SYSTEM_ROLE, Database
from app.jobs.bulk import BulkJobs
from app.jobs.waitlist import fill_sessions
from app.resolvers.context import Services
from tests.bulk import Planner, Worker
from tests.classes import Class, faults, make_class
from tests.fixtures_api import GraphQLClient, RunningApi
from tests.shop import at
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
