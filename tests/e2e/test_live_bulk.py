"""A bulk change, live: what comes, in which order, and that a client which was away misses nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

from app.core.ids import IdKind, encode_id, new_id
from app.jobs.bulk import BulkJobs
from tests.bulk import Planner, Worker, a_worker
from tests.fixtures_api import GraphQLClient, RunningApi
from tests.fixtures_live import RunningRelay
from tests.journey import Answer, Visitor
from tests.live_client import LiveStream, OperationFailed, live_socket
from tests.shop import Shop, at, make_person, make_shop

DAY, NEXT = at(3, 0), at(4, 0)
WATCH = """
subscription ($id: ID!, $after: String) { bulkChange(id: $id, after: $after) {
  kind cursor type bookingId result rule progress { total done skipped refused } bulkChange { status } } }
"""


@pytest.fixture
async def shop(running: RunningApi, relay: RunningRelay) -> Shop:
    assert relay is not None
    return await make_shop(running.api.services)


@pytest.fixture
async def worker(database_url: str, running: RunningApi) -> AsyncIterator[Worker]:
    async with a_worker(database_url, running) as made:
        yield made


@pytest.fixture
def owner(client: GraphQLClient, shop: Shop) -> Planner:
    return Planner(client.signed_in(shop.owner.token), shop)


@pytest.fixture
async def plan(client: GraphQLClient, shop: Shop, owner: Planner) -> Answer:
    """Of four bookings; one has changed since."""
    guest = Visitor(client, shop)
    made = [await guest.booked(at(3, hour)) for hour in (9, 10, 11, 12)]
    plan = await owner.planned(DAY, NEXT)
    await guest.move(made[3], at(3, 15), accessToken=made[3].token)
    return plan


async def rest(stream: LiveStream) -> list[dict[str, Any]]:
    """Up to its end."""
    found = []
    with suppress(StopAsyncIteration):
        while True:
            found.append(await stream.next())
    return found


def counts(event: dict[str, Any]) -> tuple[int, int]:
    return event["progress"]["done"], event["progress"]["skipped"]


async def test_each_step_in_order(running: RunningApi, owner: Planner, worker: Worker, plan: Answer) -> None:
    async with live_socket(running.socket_url, owner.shop.owner.token) as socket:
        stream = await socket.subscribe(WATCH, id=plan["id"])
        snapshot = await stream.next()
        assert (snapshot["kind"], snapshot["type"], counts(snapshot)) == ("SNAPSHOT", "bulk.snapshot", (0, 0))
        await owner.committed(plan)
        assert (await stream.next())["type"] == "bulk.started"
        await worker.work()
        events = await rest(stream)
    assert [one["type"] for one in events] == ["bulk.progressed"] * 4 + ["bulk.finished"]
    assert [sum(counts(one)) for one in events] == [1, 2, 3, 4, 4]
    assert counts(events[-1]) == (3, 1)
    assert {one["bookingId"] for one in events[:4]} == {item["booking"]["id"] for item in plan["items"]}
    assert sorted(one["result"] for one in events[:4]) == ["DONE", "DONE", "DONE", "SKIPPED"]
    assert [one["rule"] for one in events if one["result"] == "SKIPPED"] == ["changed"]


async def test_who_was_away_misses_nothing(
    running: RunningApi, relay: RunningRelay, owner: Planner, worker: Worker, plan: Answer
) -> None:
    token = owner.shop.owner.token
    async with live_socket(running.socket_url, token) as socket:
        stream = await socket.subscribe(WATCH, id=plan["id"])
        await stream.next()
        await owner.committed(plan)
        started = await stream.next()
        (job_id,) = await worker.due()
        await worker.run(await worker.claim(job_id), BulkJobs(worker.checkout, batch=2))
        seen = [await stream.next() for _ in range(2)]
    await worker.work()
    await relay.catch_up()
    for after, missing in ((started, 4), (seen[0], 3), (seen[1], 2)):
        async with live_socket(running.socket_url, token) as socket:
            stream = await socket.subscribe(WATCH, id=plan["id"], after=after["cursor"])
            events = await rest(stream)
        assert all(one["kind"] == "CHANGE" for one in events)
        assert [sum(counts(one)) for one in events] == [*range(5 - missing, 5), 4]
        assert events[-1]["type"] == "bulk.finished"
    async with live_socket(running.socket_url, token) as socket:  # one who has all of it already
        stream = await socket.subscribe(WATCH, id=plan["id"], after=events[-1]["cursor"])
        assert await rest(stream) == []


async def test_one_that_is_over(running: RunningApi, owner: Planner, worker: Worker, plan: Answer) -> None:
    await owner.committed(plan)
    await owner.stop(plan)
    await worker.work()
    async with live_socket(running.socket_url, owner.shop.owner.token) as socket:
        stream = await socket.subscribe(WATCH, id=plan["id"])
        (only,) = await rest(stream)
    assert (only["kind"], only["bulkChange"]["status"], counts(only)) == ("SNAPSHOT", "STOPPED", (0, 0))


async def test_stopping_ends_it(running: RunningApi, owner: Planner, worker: Worker, plan: Answer) -> None:
    async with live_socket(running.socket_url, owner.shop.owner.token) as socket:
        stream = await socket.subscribe(WATCH, id=plan["id"])
        await stream.next()
        await owner.committed(plan)
        await owner.stop(plan)
        await worker.work()
        assert [one["type"] for one in await rest(stream)] == ["bulk.started", "bulk.stopped"]


async def test_who_may_watch(running: RunningApi, owner: Planner, plan: Answer) -> None:
    stranger = await make_person(running.api.services, "stranger")
    elsewhere = (await make_shop(running.api.services)).owner
    for person, id_, code in (
        (None, plan["id"], "UNAUTHENTICATED"),
        (stranger, plan["id"], "NOT_FOUND"),
        (elsewhere, plan["id"], "NOT_FOUND"),
        (owner.shop.owner, encode_id(IdKind.BULK_CHANGE, new_id()), "NOT_FOUND"),
        (owner.shop.owner, owner.shop.provider_id, "BAD_INPUT"),
    ):
        async with live_socket(running.socket_url, person.token if person else None) as socket:
            stream = await socket.subscribe(WATCH, id=id_)
            with pytest.raises(OperationFailed) as failed:
                await stream.next()
            assert failed.value.code == code
