"""Free slots, for a query."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeAlias

from app.core.database import Tx
from app.domain.closed import Reason
from app.domain.search import AvailabilitySearch, check_search
from app.domain.slots import Slot
from app.queries.availability_read import find_free_times, find_next_beyond
from app.queries.availability_search import FoundAvailability
from app.queries.explanation import SlotQuestion, explain_slot
from app.queries.tenancy import Door
from app.queries.visit_search import FoundVisits, Snapshot, find_next_visit_beyond, find_visits
from app.resolvers.context import RequestContext

Found: TypeAlias = FoundAvailability | FoundVisits


async def get_availability(context: RequestContext, search: AvailabilitySearch) -> Found:
    """Raises BadInput, NotFound."""
    check_search(search)
    if search.items:
        return await find_visits(_snapshot(context, search), search, context.now(), context.spend_slots)
    async with context.reading():
        return await find_free_times(
            context.services.facts, search, context.now(), user_id=context.user_id, spend=context.spend_slots
        )


async def get_next_available(context: RequestContext, found: Found) -> Slot | None:
    """The first free slot on or after the first date, within the horizon: read only when the window has none."""
    first = found.times.first()
    if first is not None:
        return first
    if isinstance(found, FoundVisits):
        return await find_next_visit_beyond(_snapshot(context, found.search), found)
    async with context.reading():
        return await find_next_beyond(context.services.facts, found, context.user_id)


def _snapshot(context: RequestContext, search: AvailabilitySearch) -> Snapshot:
    @asynccontextmanager
    async def snapshot() -> AsyncIterator[Tx]:
        async with context.read(Door.SERVICE, search.service_id) as (tx, _):
            yield tx

    return snapshot


async def get_explanation(context: RequestContext, question: SlotQuestion) -> tuple[list[Reason], bool]:
    """Every reason why a slot cannot be had, and whether the viewer may know more. Raises BadInput, NotFound."""
    async with context.read(Door.SERVICE, question.service_id) as (tx, tenancy):
        has_details = tenancy.is_staff or tenancy.provider_id == question.provider_id
        reasons = await explain_slot(tx, question, context.now(), for_staff=tenancy.is_staff, has_details=has_details)
    return reasons, has_details
