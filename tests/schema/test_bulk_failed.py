"""The last attempt: only the booking that failed is given up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from app.jobs.bulk import BulkJobs
from app.resolvers.context import Services
from tests.bulk import Planner, Worker, a_worker, results
from tests.fixtures_api import GraphQLClient, RunningApi
from tests.journey import Visitor
from tests.shop import at, make_shop


@pytest.fixture
async def worker(database_url: str, running: RunningApi) -> AsyncIterator[Worker]:
    async with a_worker(database_url, running) as made:
        yield made


@pytest.mark.parametrize("is_done", [True, False])
async def test_of_the_last_attempt(
    client: GraphQLClient, services: Services, worker: Worker, monkeypatch: pytest.MonkeyPatch, *, is_done: bool
) -> None:
    """Its transaction fails, or succeeded and only the answer was lost: the next booking has nothing to do with it."""
    shop = await make_shop(services)
    guest = Visitor(client, shop)
    for hour in (9, 10, 11):
        await guest.booked(at(3, hour))
    staff = Planner(client.signed_in(shop.owner.token), shop)
    plan = await staff.planned(at(3, 0), at(4, 0))
    await staff.committed(plan)
    jobs = BulkJobs(worker.checkout)
    step, change, calls = jobs._step, jobs._change, 0

    def fail_first(count: int) -> None:
        if count == 1:
            raise OSError("the connection is gone")

    async def lost(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        answer = await step(*arguments)
        fail_first(calls)
        return answer

    async def failing(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        fail_first(calls)
        return await change(*arguments)

    monkeypatch.setattr(jobs, *(("_step", lost) if is_done else ("_change", failing)))
    (due,) = await worker.due()
    claim = await worker.claim(due)
    await worker.run(replace(claim, attempt=claim.max_attempts), jobs)
    done = await staff.read(plan)
    assert (done["status"], done["progress"]["refused"]) == ("FINISHED", 0 if is_done else 1)
    assert sorted(str(result) for result, _ in results(done).values()) == ["DONE"] * (3 if is_done else 2) + (
        [] if is_done else ["REFUSED"]
    )


async def test_of_an_outage_nobody_is_to_blame(
    client: GraphQLClient, services: Services, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another job goes on with it later."""
    shop = await make_shop(services)
    await Visitor(client, shop).booked(at(3, 9))
    staff = Planner(client.signed_in(shop.owner.token), shop)
    plan = await staff.planned(at(3, 0), at(4, 0))
    await staff.committed(plan)
    jobs = BulkJobs(worker.checkout)

    async def away(*_arguments: Any) -> Any:
        raise OSError("the database is away")

    monkeypatch.setattr(jobs, "_step", away)
    (due,) = await worker.due()
    claim = await worker.claim(due)
    with pytest.raises(OSError, match="away"):
        await worker.run(replace(claim, attempt=claim.max_attempts), jobs)
    assert (await staff.read(plan))["progress"] == {"total": 1, "done": 0, "skipped": 0, "refused": 0}
    await staff.stop(plan)
