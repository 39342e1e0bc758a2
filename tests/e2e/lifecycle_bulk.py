"""Many bookings changed by one decision: planned, then committed, and carried out by the worker."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from app.domain.bulk import BulkAction, BulkRequest, BulkScope, BulkStatus
from app.jobs.bulk import BulkJobs
from app.jobs.registry import Handlers
from app.resolvers import bulk
from tests.e2e.lifecycle_life import forget, operation, pick
from tests.e2e.lifecycle_promises import MOVED, STEPPED
from tests.e2e.lifecycle_time import Background

SPANS = (timedelta(hours=3), timedelta(days=1), timedelta(days=4))
_ITEMS = """
    SELECT i.booking_id, i.result, c.action, c.status, c.target_provider_id, b.status AS became
    FROM bulk_change_item i JOIN bulk_change c ON c.id = i.bulk_change_id JOIN booking b ON b.id = i.booking_id
    WHERE i.bulk_change_id = $1
"""
_CALLED_OFF = """
    SELECT h.id FROM hold h JOIN activity_session s ON s.id = h.session_id
    WHERE s.status = 'cancelled' AND s.organization_id = $1
"""


@dataclass
class Bulk(Background):
    """The owner, whose provider is ill or whose house is flooded."""

    planned: list[UUID] = field(default_factory=list)
    running: list[UUID] = field(default_factory=list)
    changed: set[tuple[UUID, UUID]] = field(default_factory=set)
    """Change and booking: what was noted once is not noted again."""

    @operation(2, scope=5, span=len(SPANS), move=2)
    async def plan_bulk(self, scope: int, span: int, move: int) -> None:
        """Of a provider, an activity, or all that there is. Nothing changes by it."""
        ground, now = self.ground, self.world.now()
        until = now + SPANS[span]
        scopes = (
            *(BulkScope(now, until, provider_id=one) for one in ground.providers),
            *(BulkScope(now, until, activity_id=one) for one in ground.activities),
            BulkScope(now, until, venue_id=ground.venue),
        )
        chosen = scopes[scope]
        target = ground.providers[1 - scope] if move and chosen.provider_id is not None else None
        action = BulkAction.CANCEL if target is None else BulkAction.MOVE
        seen = await bulk.plan(self.owner, ground.organization, BulkRequest(action, chosen, target, "Ill"), None)
        self.planned.append(seen.change.id)

    @operation(2, needs="planned", instead="plan_bulk", number=2, new=2, at_once=3)
    async def commit_bulk(self, number: int, new: int, at_once: int) -> None:
        """Mostly carried out at once; otherwise when workers come to it."""
        chosen = pick(self.planned, number)
        await bulk.commit(self.owner, chosen, include_new=bool(new), idempotency_key=None)
        forget(self.planned, chosen)
        self.running.append(chosen)
        if at_once:
            self.intent.is_atomic = False
            await self.work()

    @operation(needs="running", instead="plan_bulk", number=2)
    async def stop_bulk(self, number: int) -> None:
        await bulk.stop(self.owner, pick(self.running, number), None)

    def handlers(self) -> Handlers:
        return {**super().handlers(), **BulkJobs(self.world.workers).handlers()}

    async def worked(self) -> None:
        """Only what it says it has changed has changed; all has its result when it is finished."""
        if not self.is_checked:
            return
        raw = self.world.raw
        for change in list(self.running):
            items = await raw.fetch(_ITEMS, change)
            for one in items:
                assert one["result"] is not None or one["status"] != BulkStatus.FINISHED
                if one["result"] == "done" and (change, one["booking_id"]) not in self.changed:
                    self.changed.add((change, one["booking_id"]))
                    self._changed(one["booking_id"], one["target_provider_id"])
                    assert one["target_provider_id"] is not None or one["became"] == "cancelled"
            if await raw.fetchval("SELECT ended_at IS NOT NULL FROM bulk_change WHERE id = $1", change):
                forget(self.running, change)
        self.intent.holds |= {str(row["id"]) for row in await raw.fetch(_CALLED_OFF, self.ground.organization)}

    def _changed(self, booking_id: UUID, provider: UUID | None) -> None:
        self.intent.change(booking_id, STEPPED if provider is None else MOVED)
        if provider is not None and len(self.rows.items.get(str(booking_id), ())) == 1:  # others may do a visit's rest
            self.promise(booking_id, provider_id=provider)
