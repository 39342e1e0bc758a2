"""Checking in whoever shows the confirmation code."""

from __future__ import annotations

from typing import Annotated

import strawberry

from app.commands.check_in import CodeCheckIn, read_code
from app.core.ids import IdKind
from app.resolvers import check_in as resolvers
from app.schema.booking import Booking
from app.schema.errors import (
    AlreadyCheckedIn,
    IdempotencyConflict,
    IllegalTransition,
    InvalidInput,
    NotAllowed,
    NotFound,
    StaleVersion,
)
from app.schema.ids import read_id
from app.schema.info import Ctx


@strawberry.input
class CheckInByCodeInput:
    organization_id: strawberry.ID
    code: str = strawberry.field(description="As it was typed or scanned: case, spaces and hyphens do not matter.")
    expected_version: int | None = None
    idempotency_key: str | None = None


CheckInByCodeResult = Annotated[
    Booking
    | AlreadyCheckedIn
    | NotFound
    | NotAllowed
    | IllegalTransition
    | StaleVersion
    | InvalidInput
    | IdempotencyConflict,
    strawberry.union("CheckInByCodeResult"),
]


@strawberry.type
class CheckInMutation:
    @strawberry.mutation(
        description="For staff, and for providers with their own bookings: CHECKED_IN, on the day of the service. Too"
        " early and too late are NotAllowed with allowedFrom and allowedUntil. A code that does not exist, and one of"
        " a booking that is not theirs, are NotFound alike."
    )
    async def check_in_by_code(self, info: Ctx, input: CheckInByCodeInput) -> CheckInByCodeResult:
        organization_id = read_id(IdKind.ORGANIZATION, input.organization_id, "input.organizationId")
        request = CodeCheckIn(read_code(input.code), input.expected_version)
        seen = await resolvers.check_in_by_code(info.context, organization_id, request, input.idempotency_key)
        return Booking.from_seen(seen)
