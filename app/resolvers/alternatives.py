"""What to offer instead of a refused slot."""

from __future__ import annotations

from app.domain.errors import Alternatives, SlotSearch
from app.queries.availability_search import nearest_slots
from app.resolvers.context import RequestContext


async def find_alternatives(context: RequestContext, search: SlotSearch) -> Alternatives:
    """The nearest free slots as things stand now, after the refused transaction rolled back."""
    async with context.read_bound(search.organization_id) as tx:
        return await nearest_slots(tx, search, context.now())
