"""Reconciliation: whether our books and the processors' agree."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import strawberry

from app import models
from app.core.ids import IdKind
from app.domain.reconciliation import HEALS_ITSELF, SUGGESTIONS, DifferenceKind
from app.queries.reconciliation import LastRun
from app.resolvers import reconciliation as resolvers
from app.schema.errors import IdempotencyConflict, InvalidInput, NotAllowed, NotFound
from app.schema.ids import public_id, read_id
from app.schema.info import Ctx

strawberry.enum(DifferenceKind, description="What differs; docs/reconciliation.md tells of each.")


@strawberry.type(description="The newest run of a processor; `books`: of the check of our own books.")
class ReconciliationRun:
    processor: str
    started_at: datetime
    finished_at: datetime | None
    outcome: str | None = strawberry.field(description="done, failed, or abandoned. None: it is at work.")
    succeeded_at: datetime | None = strawberry.field(description="When all was last compared.")

    @classmethod
    def from_run(cls, run: LastRun) -> ReconciliationRun:
        return cls(
            processor=run.processor,
            started_at=run.started_at,
            finished_at=run.finished_at,
            outcome=run.outcome,
            succeeded_at=run.succeeded_at,
        )


@strawberry.type(description="One thing that a side says of it.")
class DifferenceFact:
    name: str
    value: str | None


@strawberry.type(description="Something that differs; one of them, however often it was seen.")
class ReconciliationDifference:
    id: strawberry.ID
    processor: str
    kind: DifferenceKind
    subject: str
    booking_id: strawberry.ID | None
    processor_id: str | None = strawberry.field(description="The processor's object.")
    ours: list[DifferenceFact]
    theirs: list[DifferenceFact]
    suggestion: str
    heals_itself: bool = strawberry.field(description="It is put right by the next run, or tried again with each.")
    first_seen_at: datetime
    last_seen_at: datetime
    times_seen: int
    resolved_at: datetime | None
    resolution: str | None = strawberry.field(description="healed, gone, or accepted by a person.")
    note: str | None

    @classmethod
    def from_model(cls, record: models.ReconciliationDifference) -> ReconciliationDifference:
        kind = DifferenceKind(record.kind)
        return cls(
            id=public_id(IdKind.DIFFERENCE, record.id),
            processor=record.processor,
            kind=kind,
            subject=record.subject,
            booking_id=None if record.booking_id is None else public_id(IdKind.BOOKING, record.booking_id),
            processor_id=record.their_id,
            ours=_facts(record.ours),
            theirs=_facts(record.theirs),
            suggestion=SUGGESTIONS[kind],
            heals_itself=kind in HEALS_ITSELF,
            first_seen_at=record.first_seen_at,
            last_seen_at=record.last_seen_at,
            times_seen=record.times_seen,
            resolved_at=record.resolved_at,
            resolution=record.resolution,
            note=record.note,
        )


def _facts(values: dict[str, object]) -> list[DifferenceFact]:
    return [DifferenceFact(name=name, value=None if value is None else str(value)) for name, value in values.items()]


@strawberry.type
class Reconciliation:
    runs: list[ReconciliationRun]
    differences: list[ReconciliationDifference] = strawberry.field(
        description="The open ones, oldest first; 200 at most."
    )


@strawberry.input
class ResolveDifferenceInput:
    organization_id: strawberry.ID
    difference_id: strawberry.ID
    note: str = strawberry.field(description="What was done, or why it is right as it is.")
    idempotency_key: str | None = None


@strawberry.type
class ResolveDifferencePayload:
    difference: ReconciliationDifference


ResolveDifferenceResult = Annotated[
    ResolveDifferencePayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("ResolveDifferenceResult"),
]


@strawberry.type
class ReconciliationQuery:
    @strawberry.field(description="For admins and owners: what differs between these books and the processors'.")
    async def reconciliation(self, info: Ctx, organization_id: strawberry.ID) -> Reconciliation:
        wanted = read_id(IdKind.ORGANIZATION, organization_id, "organizationId")
        found = await resolvers.read_reconciliation(info.context, wanted)
        return Reconciliation(
            runs=[ReconciliationRun.from_run(run) for run in found.runs],
            differences=[ReconciliationDifference.from_model(row) for row in found.differences],
        )


@strawberry.type
class ReconciliationMutation:
    @strawberry.mutation(
        description="An admin has put a difference right, or says that it is right. It comes back once either side "
        "says something else."
    )
    async def resolve_difference(self, info: Ctx, input: ResolveDifferenceInput) -> ResolveDifferenceResult:
        row = await resolvers.resolve_difference(
            info.context,
            read_id(IdKind.ORGANIZATION, input.organization_id, "input.organizationId"),
            read_id(IdKind.DIFFERENCE, input.difference_id, "input.differenceId"),
            input.note,
            input.idempotency_key,
        )
        return ResolveDifferencePayload(difference=ReconciliationDifference.from_model(row))
