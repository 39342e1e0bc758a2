"""Checking in by the confirmation code."""

from __future__ import annotations

from uuid import UUID

from app.commands.booking_change import Requester, lock_for_change
from app.commands.check_in import CodeCheckIn
from app.commands.check_in import check_in_by_code as command_check_in
from app.core.database import Tx
from app.queries.booking import SeenBooking
from app.queries.tenancy import Door, Tenancy
from app.resolvers.context import RequestContext
from app.resolvers.mutation import Remembered, mutate


async def check_in_by_code(
    context: RequestContext, organization_id: UUID, request: CodeCheckIn, idempotency_key: str | None
) -> SeenBooking:
    """Raises Unauthenticated, IdempotencyConflict, and what the command raises."""
    context.require_viewer()
    tokens = context.services.tokens

    def requester(tenancy: Tenancy) -> Requester:
        return Requester(tenancy, context.user_id, None, context.actor("unknown"))

    async def command(tx: Tx, tenancy: Tenancy) -> SeenBooking:
        return await command_check_in(tx, tokens, request, requester(tenancy), context.now())

    async def again(tx: Tx, tenancy: Tenancy, facts: dict[str, str]) -> SeenBooking:
        return await lock_for_change(tx, tokens, UUID(facts["bookingId"]), requester(tenancy), None)

    return await mutate(
        context,
        "checkInByCode",
        at=(Door.ORGANIZATION, organization_id),
        request=request,
        idempotency_key=idempotency_key,
        command=command,
        remembered=Remembered(facts=lambda seen: {"bookingId": str(seen.booking.id)}, again=again),
    )
