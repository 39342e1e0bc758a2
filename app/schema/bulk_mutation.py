"""Planning, committing and stopping bulk changes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import strawberry

from app.core.ids import IdKind
from app.domain.bulk import BulkAction, BulkRequest, BulkScope
from app.domain.errors import FieldErrors
from app.domain.text import clean_text
from app.resolvers import bulk as resolvers
from app.schema.bulk import BulkChange
from app.schema.errors import IdempotencyConflict, InvalidInput, NotAllowed, NotFound
from app.schema.ids import read_id, read_optional_id
from app.schema.info import Ctx

REASON_LENGTH = 500


@strawberry.input(
    description="The bookings of one provider, one venue or one activity that start from `startsFrom` on and before "
    "`startsBefore` (at most 31 days) and are not over; at most 1000."
)
class PlanBulkChangeInput:
    organization_id: strawberry.ID
    action: BulkAction
    provider_id: strawberry.ID | None = strawberry.field(
        default=None, description="Visits in which they do any service. Sessions belong to their activity."
    )
    venue_id: strawberry.ID | None = strawberry.field(
        default=None, description="Of all its providers, and of all its activities."
    )
    activity_id: strawberry.ID | None = strawberry.field(default=None, description="Of its sessions.")
    starts_from: datetime
    starts_before: datetime
    target_provider_id: strawberry.ID | None = strawberry.field(
        default=None, description="MOVE: who has the bookings afterwards, at the same times."
    )
    reason: str = strawberry.field(description="Kept with each booking.")
    idempotency_key: str | None = None

    def to_request(self) -> BulkRequest:
        """Raises InvalidInput, BadInput."""
        faults = FieldErrors()
        reason = faults.read("input.reason", lambda value: clean_text(value, REASON_LENGTH), self.reason)
        faults.raise_any()
        return BulkRequest(
            action=self.action,
            scope=BulkScope(
                starts_from=self.starts_from,
                starts_before=self.starts_before,
                provider_id=read_optional_id(IdKind.PROVIDER, self.provider_id, "input.providerId"),
                venue_id=read_optional_id(IdKind.VENUE, self.venue_id, "input.venueId"),
                activity_id=read_optional_id(IdKind.ACTIVITY, self.activity_id, "input.activityId"),
            ),
            target_provider_id=read_optional_id(IdKind.PROVIDER, self.target_provider_id, "input.targetProviderId"),
            reason=reason or "",
        )


@strawberry.input
class CommitBulkChangeInput:
    bulk_change_id: strawberry.ID
    include_new: bool = strawberry.field(
        default=False, description="Take in what came into it since it was planned, judged now by the same rules."
    )
    idempotency_key: str | None = None


@strawberry.input
class StopBulkChangeInput:
    bulk_change_id: strawberry.ID
    idempotency_key: str | None = None


@strawberry.type
class PlanBulkChangePayload:
    bulk_change: BulkChange


@strawberry.type
class CommitBulkChangePayload:
    bulk_change: BulkChange


@strawberry.type
class StopBulkChangePayload:
    bulk_change: BulkChange


PlanBulkChangeResult = Annotated[
    PlanBulkChangePayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("PlanBulkChangeResult"),
]
CommitBulkChangeResult = Annotated[
    CommitBulkChangePayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("CommitBulkChangeResult"),
]
StopBulkChangeResult = Annotated[
    StopBulkChangePayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("StopBulkChangeResult"),
]


@strawberry.type
class BulkChangeMutation:
    @strawberry.mutation(
        description="What would become of each booking, and of the money. Nothing changes. Staff; a provider may plan "
        "to cancel their own bookings."
    )
    async def plan_bulk_change(self, info: Ctx, input: PlanBulkChangeInput) -> PlanBulkChangeResult:
        organization_id = read_id(IdKind.ORGANIZATION, input.organization_id, "input.organizationId")
        seen = await resolvers.plan(info.context, organization_id, input.to_request(), input.idempotency_key)
        return PlanBulkChangePayload(bulk_change=BulkChange.from_seen(seen))

    @strawberry.mutation(
        description="Carry a plan out, within an hour. Each booking is changed by itself; one that changed since it "
        "was planned is skipped. Committing twice is as once. Follow it with the subscription `bulkChange`."
    )
    async def commit_bulk_change(self, info: Ctx, input: CommitBulkChangeInput) -> CommitBulkChangeResult:
        change_id = read_id(IdKind.BULK_CHANGE, input.bulk_change_id, "input.bulkChangeId")
        seen = await resolvers.commit(
            info.context, change_id, include_new=input.include_new, idempotency_key=input.idempotency_key
        )
        return CommitBulkChangePayload(bulk_change=BulkChange.from_seen(seen))

    @strawberry.mutation(description="Change nothing more; what was done stays. A plan is given up.")
    async def stop_bulk_change(self, info: Ctx, input: StopBulkChangeInput) -> StopBulkChangeResult:
        change_id = read_id(IdKind.BULK_CHANGE, input.bulk_change_id, "input.bulkChangeId")
        seen = await resolvers.stop(info.context, change_id, input.idempotency_key)
        return StopBulkChangePayload(bulk_change=BulkChange.from_seen(seen))
