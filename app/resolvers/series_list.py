"""Series, page by page."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from app.domain.policy import ActorKind
from app.models import BookingSeries
from app.queries.pagination import Page, PageRequest, count_rows, fetch_page
from app.queries.series import SeenSeries
from app.queries.series_list import NEWEST_FIRST, select_series
from app.queries.tenancy import Door, Tenancy
from app.resolvers.context import RequestContext


@dataclass(frozen=True, slots=True)
class SeriesList:
    """Of one organization, as the viewer may see them."""

    context: RequestContext
    organization_id: UUID

    async def page(self, request: PageRequest) -> Page[SeenSeries]:
        """Two statements. Raises Unauthenticated, NotFound."""
        self.context.require_viewer()
        async with self.context.read(Door.ORGANIZATION, self.organization_id) as (tx, tenancy):
            page: Page[BookingSeries] = await fetch_page(
                tx, select_series(tenancy, self.context.user_id), NEWEST_FIRST, request
            )
        items = tuple((_seen(tenancy, record), cursor) for record, cursor in page.items)
        return Page(items, page.has_next, page.has_previous)

    async def count(self) -> int:
        async with self.context.read(Door.ORGANIZATION, self.organization_id) as (tx, tenancy):
            return await count_rows(tx, select_series(tenancy, self.context.user_id))


def _seen(tenancy: Tenancy, series: BookingSeries) -> SeenSeries:
    if tenancy.role is not None:
        return SeenSeries(series, ActorKind(tenancy.role))
    if tenancy.provider_id is not None:
        return SeenSeries(series, ActorKind.PROVIDER, tenancy.provider_id)
    return SeenSeries(series, ActorKind.CUSTOMER)
