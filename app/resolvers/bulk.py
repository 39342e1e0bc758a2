"""Bulk changes by staff: planning, committing, stopping and reading them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.commands import bulk as commands
from app.commands.booking import works_here
from app.commands.booking_change import minutes_of
from app.commands.bulk_plan import plan_bulk_change, role_in
from app.core.database import Tx
from app.domain.bulk import BulkAction, BulkRequest, BulkStatus, check_request
from app.domain.errors import NotFound, SlotSearch
from app.domain.plan import Slot
from app.domain.policy import ActorKind
from app.models import Booking, BulkChange, BulkChangeItem
from app.queries.booking import SeenBooking
from app.queries.bulk import (
    NEWEST_FIRST,
    get_bulk_change,
    select_bulk_changes,
)
from app.queries.pagination import Page, PageRequest, count_rows, fetch_page
from app.queries.tenancy import Door, Tenancy
from app.resolvers.alternatives import find_alternatives
from app.resolvers.context import RequestContext
from app.resolvers.mutation import Remembered, mutate


@dataclass(frozen=True, slots=True)
class SeenBulkChange:
    """A bulk change and in what role the one who asks sees it."""

    change: BulkChange
    viewer: ActorKind

    def sees(self, booking: Booking) -> bool:
        """A provider sees their own bookings: not the visits of others in which they do a later service."""
        return self.viewer is not ActorKind.PROVIDER or booking.provider_id == self.change.provider_id


def see(change: BulkChange, tenancy: Tenancy) -> SeenBulkChange:
    return SeenBulkChange(change, role_in(tenancy, BulkAction.CANCEL, change.provider_id))


async def plan(
    context: RequestContext, organization_id: UUID, request: BulkRequest, idempotency_key: str | None
) -> SeenBulkChange:
    """Raises Unauthenticated, InvalidInput, NotFound, IdempotencyConflict."""
    context.require_viewer()
    check_request(request)

    async def command(tx: Tx, tenancy: Tenancy) -> SeenBulkChange:
        actor, now = context.actor("unknown"), context.now()
        return see(await plan_bulk_change(tx, tenancy, request, actor=actor, now=now), tenancy)

    return await _change(
        context, "planBulkChange", (Door.ORGANIZATION, organization_id), request, idempotency_key, command
    )


async def commit(
    context: RequestContext, change_id: UUID, *, include_new: bool, idempotency_key: str | None
) -> SeenBulkChange:
    """Raises Unauthenticated, NotFound, NotAllowed, InvalidInput, IdempotencyConflict."""
    context.require_viewer()

    async def command(tx: Tx, tenancy: Tenancy) -> SeenBulkChange:
        actor, now = context.actor("unknown"), context.now()
        change = await commands.commit_bulk_change(
            tx, tenancy, change_id, include_new=include_new, actor=actor, now=now
        )
        return see(change, tenancy)

    at = (Door.BULK_CHANGE, change_id)
    return await _change(context, "commitBulkChange", at, include_new, idempotency_key, command)


async def stop(context: RequestContext, change_id: UUID, idempotency_key: str | None) -> SeenBulkChange:
    """Raises Unauthenticated, NotFound, IdempotencyConflict."""
    context.require_viewer()

    async def command(tx: Tx, tenancy: Tenancy) -> SeenBulkChange:
        actor, now = context.actor("unknown"), context.now()
        return see(await commands.stop_bulk_change(tx, tenancy, change_id, actor=actor, now=now), tenancy)

    return await _change(context, "stopBulkChange", (Door.BULK_CHANGE, change_id), None, idempotency_key, command)


async def _change(  # noqa: PLR0917 (as all changes: who, what, to what, and how)
    context: RequestContext,
    operation: str,
    at: tuple[Door, UUID],
    request: object,
    idempotency_key: str | None,
    command: Callable[[Tx, Tenancy], Awaitable[SeenBulkChange]],
) -> SeenBulkChange:
    async def again(tx: Tx, tenancy: Tenancy, facts: dict[str, Any]) -> SeenBulkChange:
        return see(await get_bulk_change(tx, UUID(facts["id"]), tenancy), tenancy)

    return await mutate(
        context,
        operation,
        at=at,
        request=request,
        idempotency_key=idempotency_key,
        command=command,
        remembered=Remembered(facts=lambda seen: {"id": str(seen.change.id)}, again=again),
    )


# ── reading ───────────────────────────────────────────────────────────────────────────────────────────


async def read_bulk_change(context: RequestContext, change_id: UUID) -> SeenBulkChange:
    """Raises Unauthenticated, NotFound."""
    context.require_viewer()
    async with context.read(Door.BULK_CHANGE, change_id) as (tx, tenancy):
        return see(await get_bulk_change(tx, change_id, tenancy), tenancy)


@dataclass(frozen=True, slots=True)
class BulkChangeList:
    """Of one organization, newest first, as the viewer may see them. `status` none: all."""

    context: RequestContext
    organization_id: UUID
    status: BulkStatus | None

    async def page(self, request: PageRequest) -> Page[SeenBulkChange]:
        """Two statements. Raises Unauthenticated, NotFound for one who does not work there."""
        self.context.require_viewer()
        async with self._read() as (tx, tenancy):
            query = select_bulk_changes(tenancy, self.status)
            page: Page[BulkChange] = await fetch_page(tx, query, NEWEST_FIRST, request)
        items = tuple((see(record, tenancy), cursor) for record, cursor in page.items)
        return Page(items, page.has_next, page.has_previous)

    async def count(self) -> int:
        async with self._read() as (tx, tenancy):
            return await count_rows(tx, select_bulk_changes(tenancy, self.status))

    @asynccontextmanager
    async def _read(self) -> AsyncIterator[tuple[Tx, Tenancy]]:
        async with self.context.read(Door.ORGANIZATION, self.organization_id) as (tx, tenancy):
            if not works_here(tenancy):
                raise NotFound
            yield tx, tenancy


async def items_of(context: RequestContext, seen: SeenBulkChange) -> list[tuple[BulkChangeItem, SeenBooking]]:
    """Each with its booking as it is now, by its start: those that the viewer may see. One statement for all."""
    found = await context.loaders.items_by_bulk_change_id.load((seen.change.organization_id, seen.change.id))
    return [(item, SeenBooking(booking, seen.viewer)) for item, booking in found if seen.sees(booking)]


async def new_bookings_of(context: RequestContext, seen: SeenBulkChange) -> list[SeenBooking]:
    """Bookings that it would be about if it were planned now; none once it is over. Three statements for all."""
    change = seen.change
    if change.status not in {BulkStatus.PLANNED, BulkStatus.RUNNING}:
        return []
    loaders = context.loaders
    loader = loaders.new_bookings_of_own if seen.viewer is ActorKind.PROVIDER else loaders.new_bookings_of_all
    found = await loader.load((change.organization_id, change.id))
    return [SeenBooking(booking, seen.viewer) for booking in found]


async def alternatives_of(
    context: RequestContext, change: BulkChange, booking: Booking
) -> tuple[tuple[Slot, ...], str]:
    """Of a move that is not possible: times near it, with anybody who gives its service, and their currency."""
    if change.action != BulkAction.MOVE or booking.service_id is None:
        return (), booking.currency
    search = SlotSearch(
        organization_id=booking.organization_id,
        service_id=booking.service_id,
        provider_ids=None,
        around=booking.starts_at,
        duration_minutes=minutes_of(booking),
        party_size=booking.party_size,
        for_staff=True,
    )
    found = await find_alternatives(context, search)
    return found.slots, found.currency
