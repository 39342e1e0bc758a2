"""Bulk changes as a test asks for them, and the worker that carries them out when the test says so."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text

from app.checkout.scope import Checkout
from app.commands.bulk import APPLY_BULK_CHANGE
from app.commands.job import Claim, claim_job, finish_job
from app.core.database import SYSTEM_ROLE, Database
from app.core.ids import IdKind, decode_id
from app.jobs.bulk import BulkJobs
from app.jobs.registry import JobRun, JobServices
from app.queries.tenancy import bind
from tests.fixtures_api import GraphQLClient, RunningApi
from tests.journey import Answer, Made, rows_of
from tests.paying import LEASE
from tests.schema.operations import ERRORS
from tests.shop import Shop, iso

CHANGE = """
  id action status reason possible sessionCount expiresAt committedAt endedAt
  progress { total done skipped refused } refund { amountMinor } fee { amountMinor } targetProvider { id }
  items { isPossible rule message result settledAt refund { amountMinor } fee { amountMinor }
    booking { id status version number } alternatives { startsAt providerIds } }
  newBookings { id }
"""


def _document(verb: str, noun: str = "BulkChange") -> str:
    name = f"{verb}{noun}"
    kind = name[0].upper() + name[1:]
    return f"""
mutation ($input: {kind}Input!) {{ {name}(input: $input) {{ __typename
  ... on {kind}Payload {{ bulkChange {{ {CHANGE} }} }} ... on NotAllowed {{ rule }}
  {ERRORS} }} }}
"""


PLAN, COMMIT, STOP = _document("plan"), _document("commit"), _document("stop")
READ = f"query ($id: ID!) {{ bulkChange(id: $id) {{ {CHANGE} }} }}"


@dataclass(frozen=True, slots=True)
class Worker:
    """Its database, and what it is given."""

    database: Database
    checkout: Checkout

    async def due(self) -> list[UUID]:
        """Ids of the jobs of bulk changes that nobody does or did."""
        async with self.database.transaction() as tx:
            found = await tx.execute(_DUE, {"kind": APPLY_BULK_CHANGE})
            return [row.id for row in found]

    async def forget(self) -> None:
        """All jobs of bulk changes."""
        async with self.database.transaction() as tx:
            await tx.execute(text("DELETE FROM job WHERE kind = :kind"), {"kind": APPLY_BULK_CHANGE})

    async def claim(self, job_id: UUID) -> Claim:
        async with self.database.transaction() as tx:
            await bind(tx, clock_offset=self.checkout.clock.offset)
            claim = await claim_job(tx, job_id, LEASE, [APPLY_BULK_CHANGE])
        assert claim is not None
        return claim

    async def run(self, claim: Claim, jobs: BulkJobs | None = None) -> None:
        """One attempt, to its end. Fails with what it fails with."""
        run = JobRun(claim, JobServices(self.database, LEASE, LEASE))
        await (jobs or BulkJobs(self.checkout)).handlers()[claim.kind](run)
        if not run.is_finished:
            async with self.database.transaction() as tx:
                await finish_job(tx, claim)

    async def work(self, jobs: BulkJobs | None = None) -> int:
        """Until nothing is due; how many runs it took."""
        count = 0
        while due := await self.due():
            await self.run(await self.claim(due[0]), jobs)
            count += 1
        return count


_DUE = text(
    "SELECT id FROM job WHERE kind = :kind AND done_at IS NULL AND failed_at IS NULL AND lease_until IS NULL"
    " ORDER BY id"
)


@asynccontextmanager
async def a_worker(database_url: str, running: RunningApi) -> AsyncIterator[Worker]:
    """Beside the API, with its processors and its clock. What others left to be done is not its business."""
    database = Database(database_url, role=SYSTEM_ROLE, pool_size=4)
    known = running.api.services.checkout
    worker = Worker(database, Checkout(database, known.clock, known.gateways, {}, known.return_url))
    await worker.forget()
    try:
        yield worker
    finally:
        await worker.forget()
        await database.dispose()


@dataclass(frozen=True, slots=True)
class Planner:
    """Somebody who changes many bookings. Methods in the past tense insist on success and give the bulk change."""

    client: GraphQLClient
    shop: Shop

    async def plan(self, first: datetime, last: datetime, **extra: Any) -> Answer:
        wanted = {
            "organizationId": self.shop.organization_id,
            "action": "CANCEL",
            "startsFrom": iso(first),
            "startsBefore": iso(last),
            "reason": "The roof leaks.",
            **extra,
        }
        if not {"providerId", "venueId", "activityId"} & wanted.keys():
            wanted["providerId"] = self.shop.provider_id
        answer: Answer = await self.client(PLAN, {"input": wanted})
        return answer

    async def planned(self, first: datetime, last: datetime, **extra: Any) -> Answer:
        return _made(await self.plan(first, last, **extra))

    async def moved(self, first: datetime, last: datetime, **extra: Any) -> Answer:
        """A plan to move what the first provider has to the second."""
        first_provider, second = self.shop.provider_ids[:2]
        target = {"providerId": first_provider, "targetProviderId": second, **extra}
        return await self.planned(first, last, action="MOVE", **target)

    async def commit(self, change: Answer, **extra: Any) -> Answer:
        answer: Answer = await self.client(COMMIT, {"input": {"bulkChangeId": change["id"], **extra}})
        return answer

    async def committed(self, change: Answer, **extra: Any) -> Answer:
        return _made(await self.commit(change, **extra))

    async def stop(self, change: Answer) -> Answer:
        answer: Answer = await self.client(STOP, {"input": {"bulkChangeId": change["id"]}})
        return answer

    async def read(self, change: Answer) -> Answer:
        answer: Answer = await self.client(READ, {"id": change["id"]})
        return answer


def _made(answer: Answer) -> Answer:
    assert answer["__typename"].endswith("BulkChangePayload"), answer
    found: Answer = answer["bulkChange"]
    return found


def item_of(change: Answer, made: Made) -> Answer:
    (found,) = [item for item in change["items"] if item["booking"]["id"] == made.id]
    return dict(found)


def results(change: Answer) -> dict[str, tuple[str | None, str | None]]:
    """Result and rule, by booking."""
    return {item["booking"]["id"]: (item["result"], item["rule"]) for item in change["items"]}


async def steps_of(shop: Shop, made: Made) -> list[dict[str, Any]]:
    """Of its history."""
    return await rows_of(
        shop,
        "SELECT to_status, reason, actor, actor_id, channel FROM booking_transition WHERE booking_id = :id ORDER BY id",
        id=decode_id(IdKind.BOOKING, made.id),
    )
