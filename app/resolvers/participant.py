"""The people of a booking: changing who comes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from app.commands import group_change, participant_change
from app.commands.booking_change import Requester, lock_for_change
from app.commands.group_change import AddRequest, RemoveRequest
from app.commands.participant_change import MarkRequest, NameRequest, UpdateRequest
from app.core.database import Tx
from app.queries.booking import SeenBooking
from app.queries.tenancy import Door, Tenancy
from app.resolvers.context import RequestContext
from app.resolvers.mutation import Remembered, mutate

GroupRequest: TypeAlias = AddRequest | RemoveRequest | NameRequest | UpdateRequest | MarkRequest


@dataclass(frozen=True, slots=True)
class LinkedRequest:
    """A change together with the secret link it was asked with, if any."""

    request: GroupRequest
    link_token: str | None


_COMMANDS: Mapping[type[Any], tuple[str, Callable[..., Awaitable[SeenBooking]]]] = {
    AddRequest: ("addParticipants", group_change.add_participants),
    RemoveRequest: ("removeParticipants", group_change.remove_participants),
    NameRequest: ("nameParticipants", participant_change.name_participants),
    UpdateRequest: ("updateParticipant", participant_change.update_participant),
    MarkRequest: ("markParticipant", participant_change.mark_participant),
}


async def change_group(
    context: RequestContext, request: GroupRequest, link_token: str | None, idempotency_key: str | None
) -> SeenBooking:
    """The booking as it is afterwards. Raises what the command raises, and IdempotencyConflict."""
    operation, command = _COMMANDS[type(request)]
    tokens = context.services.tokens

    def requester(tenancy: Tenancy) -> Requester:
        return Requester(tenancy, context.user_id, link_token, context.actor("unknown"))

    async def run(tx: Tx, tenancy: Tenancy) -> SeenBooking:
        return await command(tx, tokens, request, requester(tenancy), context.now())

    async def again(tx: Tx, tenancy: Tenancy, _facts: dict[str, Any]) -> SeenBooking:
        return await lock_for_change(tx, tokens, request.booking_id, requester(tenancy), None)

    return await mutate(
        context,
        operation,
        at=(Door.BOOKING, request.booking_id),
        request=LinkedRequest(request, link_token),
        idempotency_key=idempotency_key,
        command=run,
        remembered=Remembered(facts=lambda seen: {"version": seen.booking.version}, again=again),
    )
