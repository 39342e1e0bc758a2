"""Holding places of a session."""

from __future__ import annotations

from app.commands import session_hold as commands
from app.commands.hold import HoldLimits
from app.commands.own_hold import hold_places_again
from app.commands.session_hold import PlacesRequest
from app.core.database import Tx
from app.models import Hold
from app.queries.tenancy import Door, Tenancy
from app.resolvers.context import RequestContext
from app.resolvers.guest_session import checkout_of, holder_of
from app.resolvers.hold import REMEMBERED_HOLD
from app.resolvers.mutation import mutate


async def hold_places(
    context: RequestContext, request: PlacesRequest, idempotency_key: str | None, guest_token: str | None = None
) -> tuple[Hold, str]:
    """The hold and its holder's secret: a new one, or the own one of as many places."""
    policy = context.services.policy
    guest = checkout_of(context, guest_token)

    async def command(tx: Tx, tenancy: Tenancy) -> Hold:
        holder = holder_of(context, tenancy, guest)
        if holder is None:
            return await attempt(tx, tenancy)
        return await hold_places_again(tx, holder, request, lambda: attempt(tx, tenancy))

    async def attempt(tx: Tx, tenancy: Tenancy) -> Hold:
        return await commands.hold_places(
            tx,
            tenancy,
            request,
            now=context.now(),
            ttl=policy.hold_ttl,
            limits=HoldLimits(policy.hold_limit_per_user, policy.hold_limit_per_address),
            user_id=context.user_id,
            address=context.limit_key,
            fees=policy.platform_fees,
        )

    hold = await mutate(
        context,
        "holdSlot",
        at=(Door.SESSION, request.session_id),
        request=request if guest is None else (request, guest),
        idempotency_key=idempotency_key,
        command=command,
        remembered=REMEMBERED_HOLD,
    )
    return hold, context.services.tokens.hold_token(hold.id, hold.token_version)
