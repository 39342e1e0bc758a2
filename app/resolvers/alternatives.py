"""What to offer instead of a refused slot."""

from __future__ import annotations

from app.domain.errors import Alternatives, SessionSearch, SlotSearch
from app.queries.availability_search import nearest_slots
from app.queries.session_search import nearest_sessions
from app.queries.visit_alternatives import nearest_visits
from app.resolvers.context import RequestContext


async def find_alternatives(context: RequestContext, search: SlotSearch | SessionSearch) -> Alternatives:
    """The nearest free slots as things stand now, after the refused transaction rolled back."""
    if isinstance(search, SlotSearch) and search.items:
        return await nearest_visits(lambda: context.read_bound(search.organization_id), search, context.now())
    async with context.read_bound(search.organization_id) as tx:
        if isinstance(search, SessionSearch):
            return await nearest_sessions(tx, search, context.now())
        return await nearest_slots(tx, search, context.now())
