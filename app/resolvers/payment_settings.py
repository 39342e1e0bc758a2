"""An organization's terms of payment: reading and changing them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from app.commands import payment_settings as commands
from app.core.database import Tx
from app.models import Organization, PaymentSettings
from app.queries.payment_settings import get_payment_settings
from app.queries.rows import get_row
from app.queries.tenancy import Door, Tenancy
from app.resolvers.catalogue import change_as_admin
from app.resolvers.context import RequestContext
from app.resolvers.mutation import Remembered


async def read_payment_settings(context: RequestContext, organization_id: UUID) -> tuple[PaymentSettings, bool]:
    """The terms, and whether the viewer works there. Two statements. Raises NotFound."""
    async with context.read(Door.ORGANIZATION, organization_id) as (tx, tenancy):
        return await get_payment_settings(tx, organization_id), tenancy.is_staff


async def update_payment_settings(
    context: RequestContext, organization_id: UUID, values: Mapping[str, Any], idempotency_key: str | None
) -> Organization:
    """Raises Unauthenticated, InvalidInput, NotFound, NotAllowed, IdempotencyConflict."""
    context.require_viewer()
    facts = commands.FORM.clean(values)

    async def command(tx: Tx, of_organization: UUID, actor: Any) -> Organization:
        await commands.update_payment_settings(tx, of_organization, actor, facts)
        return await get_row(tx, Organization, of_organization)

    async def again(tx: Tx, tenancy: Tenancy, _facts: dict[str, Any]) -> Organization:
        return await get_row(tx, Organization, tenancy.organization_id)

    changed = await change_as_admin(
        context,
        "updatePaymentSettings",
        (Door.ORGANIZATION, organization_id),
        facts,
        idempotency_key=idempotency_key,
        command=command,
        remembered=Remembered(facts=lambda record: {"id": str(record.id)}, again=again),
    )
    context.loaders.prime(changed)
    return changed
