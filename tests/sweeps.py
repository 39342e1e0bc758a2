"""Running a sweep as a worker does, at the time that a test says."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from app.core.database import Database, Tx
from app.queries.tenancy import bind
from tests.fixtures_api import MovableClock

BATCH = 25


async def sweep(worker: Database, clock: MovableClock, step: Callable[[Tx, int], Awaitable[int]]) -> int:
    """Until nothing is left, other tests' bookings included; how many it were."""
    total = 0
    while True:
        async with worker.transaction() as tx:
            await bind(tx, clock_offset=clock.offset)
            count = await step(tx, BATCH)
        total += count
        if count < BATCH:
            return total


UPDATE_ORGANIZATION = """mutation ($input: UpdateOrganizationInput!) {
  updateOrganization(input: $input) { __typename
    ... on UpdateOrganizationPayload { organization {
      approvalHours autoCompleteAfterMinutes autoNoShowAfterMinutes } }
    ... on InvalidInput { violations { path message } } ... on NotAllowed { rule } }
}"""
