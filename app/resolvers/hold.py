"""Holding, releasing and extending."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.commands import hold as commands
from app.commands.hold import HoldLimits, HoldRequest
from app.commands.hold_visit import hold_visit
from app.commands.own_hold import hold_again
from app.commands.price_offer import lock_accepted_offer, use_offer
from app.commands.session_hold import extend_places, release_places
from app.core.database import Tx
from app.domain.errors import NotFound
from app.models import Hold
from app.queries.hold import get_hold
from app.queries.tenancy import Door, Tenancy
from app.resolvers.context import RequestContext
from app.resolvers.guest_session import checkout_of, holder_of
from app.resolvers.mutation import Remembered, mutate


@dataclass(frozen=True, slots=True)
class HoldByToken:
    """A hold as its holder names it."""

    hold_id: UUID
    hold_token: str


REMEMBERED_HOLD: Remembered[Hold] = Remembered(
    facts=lambda hold: {"holdId": str(hold.id)},
    again=lambda tx, _tenancy, facts: get_hold(tx, UUID(facts["holdId"])),
)


async def hold_slot(
    context: RequestContext, request: HoldRequest, idempotency_key: str | None, guest_token: str | None = None
) -> tuple[Hold, str]:
    """The hold and its holder's secret: a new one, or the own one of this slot. `guest_token`: of a guest session."""
    policy, tokens = context.services.policy, context.services.tokens
    guest = checkout_of(context, guest_token)

    async def command(tx: Tx, tenancy: Tenancy) -> Hold:
        holder = holder_of(context, tenancy, guest)
        if holder is None:
            return await attempt(tx, tenancy)
        return await hold_again(tx, holder, request, lambda: attempt(tx, tenancy))

    async def attempt(tx: Tx, tenancy: Tenancy) -> Hold:
        now, quote_token = context.now(), request.price_quote_token
        facts: Any = {
            "now": now,
            "ttl": policy.hold_ttl,
            "limits": HoldLimits(policy.hold_limit_per_user, policy.hold_limit_per_address),
            "user_id": context.user_id,
            "address": context.limit_key,
            "fees": policy.platform_fees,
        }
        if request.items:
            return await hold_visit(tx, tenancy, request, **facts)
        if quote_token is None:
            return await commands.hold_slot(tx, tenancy, request, **facts)
        offer = await lock_accepted_offer(tx, tokens, quote_token, request, now)
        hold = await commands.hold_slot(tx, tenancy, request, offer=offer, **facts)
        await use_offer(tx, offer, hold)
        return hold

    hold = await mutate(
        context,
        "holdSlot",
        at=(Door.SERVICE, request.service_id),
        request=request if guest is None else (request, guest),
        idempotency_key=idempotency_key,
        command=command,
        remembered=REMEMBERED_HOLD,
    )
    return hold, tokens.hold_token(hold.id, hold.token_version)


async def read_hold(context: RequestContext, hold_id: UUID) -> Hold:
    """For staff and for the account that holds it. Raises NotFound for anybody else."""
    async with context.read(Door.HOLD, hold_id) as (tx, tenancy):
        hold = await get_hold(tx, hold_id)
    if not tenancy.is_staff and (context.user_id is None or hold.user_id != context.user_id):
        raise NotFound
    return hold


async def release_hold(context: RequestContext, named: HoldByToken) -> Hold:
    async def command(tx: Tx, tenancy: Tenancy) -> Hold:
        tokens, actor = context.services.tokens, context.actor(tenancy.role or "customer")
        try:
            return await commands.release_hold(tx, tokens, named.hold_id, named.hold_token, context.now(), actor=actor)
        except NotFound:  # of time, that is: it may be of places
            return await release_places(tx, tokens, named.hold_id, named.hold_token, actor=actor)

    return await _change(context, "releaseHold", named, command)


async def extend_hold(context: RequestContext, named: HoldByToken) -> Hold:
    async def command(tx: Tx, _tenancy: Tenancy) -> Hold:
        tokens, now, ttl = context.services.tokens, context.now(), context.services.policy.hold_ttl
        try:
            return await commands.extend_hold(tx, tokens, named.hold_id, named.hold_token, now=now, ttl=ttl)
        except NotFound:  # of time, that is: it may be of places
            return await extend_places(tx, tokens, named.hold_id, named.hold_token, now=now, ttl=ttl)

    return await _change(context, "extendHold", named, command)


async def _change(context: RequestContext, operation: str, named: HoldByToken, command: Any) -> Hold:
    return await mutate(
        context,
        operation,
        at=(Door.HOLD, named.hold_id),
        request=named,
        idempotency_key=None,
        command=command,
        remembered=REMEMBERED_HOLD,
    )
