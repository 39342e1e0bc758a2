"""Free slots, for a query."""

from __future__ import annotations

from app.domain.search import AvailabilitySearch, check_search
from app.queries.availability_search import FoundAvailability, find_availability
from app.queries.tenancy import Door
from app.resolvers.context import RequestContext


async def get_availability(context: RequestContext, search: AvailabilitySearch) -> FoundAvailability:
    """Raises BadInput, NotFound."""
    check_search(search)
    async with context.read(Door.SERVICE, search.service_id) as (tx, _):
        return await find_availability(tx, search, context.now(), context.spend_slots)
