"""Waiting for a place: joining, leaving, answering an offer, and looking on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from app.commands import waitlist as commands
from app.commands.actor import Actor
from app.commands.booking_insert import CustomerDetails
from app.commands.waitlist import WaitlistRequest
from app.core.database import Tx
from app.core.tokens import TokenSigner
from app.domain.errors import BadInput, NotFound
from app.models import WaitlistEntry
from app.queries.pagination import Page, PageRequest, count_rows, fetch_page
from app.queries.tenancy import Door, Tenancy
from app.queries.waitlist import ENTRY_SORT, EntryFilter, SeenEntry, get_entry, see_entries, select_entries
from app.resolvers.catalogue import role_of
from app.resolvers.context import RequestContext
from app.resolvers.mutation import Remembered, mutate


@dataclass(frozen=True, slots=True)
class NamedEntry:
    """An entry, by its id, its secret, or both."""

    entry_id: UUID
    token: str | None


def name_entry(entry_id: UUID | None, token: str | None, path: str) -> NamedEntry:
    """Raises BadInput, NotFound."""
    if entry_id is None and token is None:
        raise BadInput.at(path, "give an id, an accessToken, or both")
    found = entry_id or TokenSigner.named_by(token or "")
    if found is None:
        raise NotFound
    return NamedEntry(found, token)


async def join_waitlist(
    context: RequestContext, request: WaitlistRequest, customer: CustomerDetails | None, idempotency_key: str | None
) -> SeenEntry:
    """Raises what the command raises, and IdempotencyConflict."""

    async def command(tx: Tx, tenancy: Tenancy) -> SeenEntry:
        made = await commands.join_waitlist(
            tx,
            tenancy,
            request,
            customer,
            actor=context.actor(tenancy.role or "customer"),
            now=context.now(),
            address=context.limit_key,
            address_limit=context.services.policy.waitlist_limit_per_address,
        )
        return await _shown(context, tx, tenancy, made)

    async def again(tx: Tx, tenancy: Tenancy, known: dict[str, Any]) -> SeenEntry:
        return await _shown(context, tx, tenancy, await get_entry(tx, UUID(known["id"])))

    if request.session_id is not None:
        at = (Door.SESSION, request.session_id)
    elif request.activity_id is not None:
        at = (Door.ACTIVITY, request.activity_id)
    else:
        assert request.service_id is not None
        at = (Door.SERVICE, request.service_id)
    return await mutate(
        context,
        "joinWaitlist",
        at=at,
        request=(request, customer),
        idempotency_key=idempotency_key,
        command=command,
        remembered=Remembered(facts=lambda seen: {"id": str(seen.record.id)}, again=again),
    )


async def _shown(context: RequestContext, tx: Tx, tenancy: Tenancy, record: WaitlistEntry) -> SeenEntry:
    """With its secret: for its owner, and for the staff, who may answer for somebody on the telephone."""
    (seen,) = await see_entries(tx, [record], for_staff=tenancy.is_staff)
    return _with_token(context, seen)


async def show_entries(
    context: RequestContext, tx: Tx, tenancy: Tenancy, records: Sequence[WaitlistEntry]
) -> list[SeenEntry]:
    """Those that their owner or the staff may see, with their secrets. Two statements."""
    return [_with_token(context, one) for one in await see_entries(tx, records, for_staff=tenancy.is_staff)]


def _with_token(context: RequestContext, seen: SeenEntry) -> SeenEntry:
    record = seen.record
    return replace(seen, token=context.services.tokens.waitlist_token(record.id, record.access_version))


async def _own(context: RequestContext, tx: Tx, tenancy: Tenancy, named: NamedEntry) -> WaitlistEntry:
    """For the staff, its account, and whoever has its secret. One statement. Raises NotFound for anybody else."""
    record = await get_entry(tx, named.entry_id)
    tokens = context.services.tokens
    if named.token is not None and tokens.is_waitlist_token(named.token, record.id, record.access_version):
        return record
    if tenancy.is_staff or (named.token is None and context.user_id is not None and record.user_id == context.user_id):
        return record
    raise NotFound


async def see_entry(context: RequestContext, tx: Tx, tenancy: Tenancy, named: NamedEntry) -> SeenEntry:
    """In an open transaction. Three statements. Raises NotFound."""
    return await _shown(context, tx, tenancy, await _own(context, tx, tenancy, named))


async def read_entry(context: RequestContext, named: NamedEntry) -> SeenEntry:
    """Raises NotFound for an entry that is none, or none of the viewer's."""
    async with context.read(Door.WAITLIST, named.entry_id) as (tx, tenancy):
        return await see_entry(context, tx, tenancy, named)


@dataclass(frozen=True, slots=True)
class WaitlistPages:
    """Entries of an organization: all for its staff, an account's own for others."""

    context: RequestContext
    organization_id: UUID
    wanted: EntryFilter

    async def page(self, request: PageRequest) -> Page[SeenEntry]:
        """Four statements. Raises Unauthenticated, NotFound."""
        context = self.context
        context.require_viewer()
        async with context.read(Door.ORGANIZATION, self.organization_id) as (tx, tenancy):
            found = await fetch_page(tx, self._select(tenancy), ENTRY_SORT, request)
            seen = await see_entries(tx, [record for record, _ in found.items], for_staff=tenancy.is_staff)
        shown = [_with_token(context, one) for one in seen]
        items = tuple((one, cursor) for one, (_, cursor) in zip(shown, found.items, strict=True))
        return Page(items, found.has_next, found.has_previous)

    async def count(self) -> int:
        async with self.context.read(Door.ORGANIZATION, self.organization_id) as (tx, tenancy):
            return await count_rows(tx, self._select(tenancy))

    def _select(self, tenancy: Tenancy) -> Any:
        return select_entries(self.organization_id, self.wanted, tenancy, self.context.user_id)


# ── answering ─────────────────────────────────────────────────────────────────────────────────────────


async def leave_waitlist(context: RequestContext, named: NamedEntry, idempotency_key: str | None) -> SeenEntry:
    async def command(tx: Tx, actor: Actor) -> WaitlistEntry:
        return await commands.leave_waitlist(tx, named.entry_id, actor)

    return await _change(context, "leaveWaitlist", named, named, idempotency_key, command)


async def decline_offer(
    context: RequestContext, named: NamedEntry, hold_id: UUID, idempotency_key: str | None
) -> SeenEntry:
    async def command(tx: Tx, actor: Actor) -> WaitlistEntry:
        return await commands.decline_offer(tx, named.entry_id, hold_id, actor)

    return await _change(context, "declineWaitlistOffer", named, (named, hold_id), idempotency_key, command)


async def _change(  # noqa: PLR0917 (as all changes: what, then how)
    context: RequestContext,
    operation: str,
    named: NamedEntry,
    request: object,
    idempotency_key: str | None,
    change: Callable[[Tx, Actor], Awaitable[WaitlistEntry]],
) -> SeenEntry:
    """By whoever may see it. Raises NotFound, NotAllowed, IdempotencyConflict."""

    async def command(tx: Tx, tenancy: Tenancy) -> SeenEntry:
        await _own(context, tx, tenancy, named)
        return await _shown(context, tx, tenancy, await change(tx, context.actor(tenancy.role or "customer")))

    async def again(tx: Tx, tenancy: Tenancy, _known: dict[str, Any]) -> SeenEntry:
        return await see_entry(context, tx, tenancy, named)

    return await mutate(
        context,
        operation,
        at=(Door.WAITLIST, named.entry_id),
        request=request,
        idempotency_key=idempotency_key,
        command=command,
        remembered=Remembered(facts=lambda seen: {"version": seen.record.version}, again=again),
    )


async def set_priority(
    context: RequestContext, entry_id: UUID, priority: int, expected_version: int | None, idempotency_key: str | None
) -> SeenEntry:
    """By staff. Raises Unauthenticated, NotFound, NotAllowed, InvalidInput, StaleVersion, IdempotencyConflict."""
    context.require_viewer()
    named = NamedEntry(entry_id, None)

    async def command(tx: Tx, tenancy: Tenancy) -> SeenEntry:
        await _own(context, tx, tenancy, named)  # what is none of theirs is not there at all
        actor = context.actor(role_of(tenancy).value)
        changed = await commands.set_priority(tx, entry_id, priority, expected_version, actor)
        return await _shown(context, tx, tenancy, changed)

    async def again(tx: Tx, tenancy: Tenancy, _known: dict[str, Any]) -> SeenEntry:
        role_of(tenancy)
        return await see_entry(context, tx, tenancy, named)

    return await mutate(
        context,
        "setWaitlistPriority",
        at=(Door.WAITLIST, entry_id),
        request=(entry_id, priority, expected_version),
        idempotency_key=idempotency_key,
        command=command,
        remembered=Remembered(facts=lambda seen: {"version": seen.record.version}, again=again),
    )
