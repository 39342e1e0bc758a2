"""Who looks at which slot: one channel for all who look at the same one, and one for each holder of it."""

from __future__ import annotations

from functools import partial
from typing import TypeAlias
from uuid import UUID

from app.resolvers.context import RequestContext
from app.resolvers.live_slot import SlotOfTime, SlotRequest, open_slot
from app.resolvers.live_slot_session import PlacesWanted, SlotOfSession, open_session
from app.resolvers.slot_channel import SlotChannel
from app.resolvers.slot_fold import SlotSource

Wanted: TypeAlias = SlotRequest | PlacesWanted


async def slot_channel(context: RequestContext, wanted: Wanted, hold_token: str | None) -> SlotChannel:
    """Raises BadInput, NotFound. `hold_token`: its claims are the viewer's own; one that opens nothing is no fault."""
    is_token = None if hold_token is None else partial(_is_hold_of, context, hold_token)
    if isinstance(wanted, SlotRequest):
        own = await open_slot(context, wanted, is_token)
    else:
        own = await open_session(context, wanted, is_token)
    channels, key = context.services.slot_channels, (wanted, own)
    channel = channels.get(key)
    if channel is None:
        channel = channels[key] = SlotChannel(
            _source(context, wanted, own), context.services.feed, context.now, context.services.presence
        )
    return channel


def _source(context: RequestContext, wanted: Wanted, own: frozenset[UUID]) -> SlotSource:
    # Read as nobody: what is told to all must not depend on who came first.
    nobody = context.services.live.reader(context.services)
    if isinstance(wanted, SlotRequest):
        return SlotOfTime(nobody, wanted, own)
    return SlotOfSession(nobody, wanted, own)


def _is_hold_of(context: RequestContext, token: str, hold_id: UUID, version: int) -> bool:
    return context.services.tokens.is_hold_token(token, hold_id, version)
