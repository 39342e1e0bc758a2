"""Holding places of a session."""

from __future__ import annotations

from app.commands import session_hold as commands
from app.commands.hold import HoldLimits
from app.commands.session_hold import PlacesRequest
from app.core.database import Tx
from app.models import Hold
from app.queries.tenancy import Door, Tenancy
from app.resolvers.context import RequestContext
from app.resolvers.hold import REMEMBERED_HOLD
from app.resolvers.mutation import mutate


async def hold_places(context: RequestContext, request: PlacesRequest, idempotency_key: str | None) -> tuple[Hold, str]:
    """The hold and its holder's secret."""
    policy = context.services.policy

    async def command(tx: Tx, tenancy: Tenancy) -> Hold:
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
        request=request,
        idempotency_key=idempotency_key,
        command=command,
        remembered=REMEMBERED_HOLD,
    )
    return hold, context.services.tokens.hold_token(hold.id, hold.token_version)
