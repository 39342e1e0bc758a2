"""What reconciliation found of an organization: for its admins and owners."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.commands import reconciliation as commands
from app.commands.actor import Actor
from app.core.database import Tx
from app.models import ReconciliationDifference
from app.queries.reconciliation import LastRun, last_runs, list_open_differences
from app.queries.rows import get_row
from app.queries.tenancy import Door, Tenancy
from app.resolvers.catalogue import change_as_admin, require_admin
from app.resolvers.context import RequestContext
from app.resolvers.mutation import Remembered

MOST_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Overview:
    """`differences`: the open ones, the oldest first."""

    runs: Sequence[LastRun]
    differences: Sequence[ReconciliationDifference]


async def read_reconciliation(context: RequestContext, organization_id: UUID) -> Overview:
    """Three statements. Raises Unauthenticated, NotFound, NotAllowed for staff."""
    context.require_viewer()
    async with context.read(Door.ORGANIZATION, organization_id) as (tx, tenancy):
        require_admin(tenancy)
        runs = await last_runs(tx)
        return Overview(runs, await list_open_differences(tx, tenancy.organization_id, MOST_SHOWN))


async def resolve_difference(
    context: RequestContext, organization_id: UUID, difference_id: UUID, note: str, idempotency_key: str | None
) -> ReconciliationDifference:
    """Raises Unauthenticated, InvalidInput, NotFound, NotAllowed, IdempotencyConflict."""
    context.require_viewer()
    cleaned = commands.clean_note(note)

    async def command(tx: Tx, organization: UUID, actor: Actor) -> ReconciliationDifference:
        return await commands.resolve_difference(tx, organization, actor, difference_id, cleaned)

    async def again(tx: Tx, tenancy: Tenancy, _: dict[str, Any]) -> ReconciliationDifference:
        require_admin(tenancy)
        return await get_row(tx, ReconciliationDifference, difference_id)

    return await change_as_admin(
        context,
        "resolveDifference",
        (Door.ORGANIZATION, organization_id),
        {"difference": str(difference_id), "note": cleaned},
        idempotency_key=idempotency_key,
        command=command,
        remembered=Remembered(facts=lambda made: {"id": str(made.id)}, again=again),
    )
