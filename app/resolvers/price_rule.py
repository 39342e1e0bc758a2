"""Rules of prices: reading and changing them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from app.commands import price_rule as commands
from app.domain.errors import NotFound
from app.models import PriceRule
from app.queries.price_rule import list_price_rules
from app.queries.rows import get_row
from app.queries.tenancy import Door
from app.resolvers.catalogue import change
from app.resolvers.context import RequestContext


async def read_price_rule(context: RequestContext, rule_id: UUID) -> PriceRule:
    """For staff. Raises NotFound for anybody else."""
    async with context.read(Door.PRICE_RULE, rule_id) as (tx, tenancy):
        if not tenancy.is_staff:
            raise NotFound
        return await get_row(tx, PriceRule, rule_id)


async def read_price_rules(
    context: RequestContext, organization_id: UUID, *, is_active: bool | None
) -> list[PriceRule] | None:
    """None for those who do not work there: how prices are made is nobody else's business. Two statements."""
    async with context.read(Door.ORGANIZATION, organization_id) as (tx, tenancy):
        return await list_price_rules(tx, organization_id, is_active=is_active) if tenancy.is_staff else None


async def create_price_rule(
    context: RequestContext, organization_id: UUID, values: Mapping[str, Any], idempotency_key: str | None
) -> PriceRule:
    """Raises Unauthenticated, InvalidInput, NotFound, NotAllowed, IdempotencyConflict; so do the others."""
    context.require_viewer()
    facts = commands.FORM.clean(values)
    return await change(
        context,
        "createPriceRule",
        (Door.ORGANIZATION, organization_id),
        facts,
        idempotency_key=idempotency_key,
        command=lambda tx, organization, actor: commands.create_price_rule(tx, organization, actor, facts),
        model=PriceRule,
    )


async def update_price_rule(
    context: RequestContext, rule_id: UUID, values: Mapping[str, Any], idempotency_key: str | None
) -> PriceRule:
    context.require_viewer()
    facts = commands.FORM.clean(values)
    return await change(
        context,
        "updatePriceRule",
        (Door.PRICE_RULE, rule_id),
        facts,
        idempotency_key=idempotency_key,
        command=lambda tx, organization, actor: commands.update_price_rule(tx, organization, actor, rule_id, facts),
        model=PriceRule,
    )


async def set_price_rule_active(
    context: RequestContext, rule_id: UUID, is_active: bool, idempotency_key: str | None
) -> PriceRule:
    return await change(
        context,
        "reactivatePriceRule" if is_active else "deactivatePriceRule",
        (Door.PRICE_RULE, rule_id),
        {},
        idempotency_key=idempotency_key,
        command=lambda tx, organization, actor: commands.set_price_rule_active(
            tx, organization, actor, rule_id, is_active
        ),
        model=PriceRule,
    )
