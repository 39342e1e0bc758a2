"""The list of providers: found by place, words, price, languages, rating, and by when they are free."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated

import strawberry

from app.core.ids import IdKind
from app.domain import provider_search as domain
from app.domain.errors import BadInput
from app.domain.instants import zone
from app.queries import provider_free
from app.queries.pagination import page_request
from app.queries.provider_rows import FoundProvider, SearchHit
from app.resolvers import provider as resolvers
from app.schema.connection import PageInfo
from app.schema.ids import public_id, read_id, read_optional_id
from app.schema.info import Ctx, read_wanted
from app.schema.node import Money
from app.schema.provider import Provider
from app.schema.scalars import Minor, TimeZone

if TYPE_CHECKING:
    from app.schema.service import Service

strawberry.enum(
    domain.ProviderSort,
    description="RATING_DESC: those without a rating come last. PRICE: by the lowest base price of the services that "
    "are asked for, those without one last. DISTANCE_ASC needs `near`, SOONEST_ASC `availability`, RELEVANCE `text`.",
)


@strawberry.type(description="The first free start of a provider within the time that was asked for.")
class SoonestSlot:
    slot: strawberry.Private[provider_free.SoonestSlot]
    found: strawberry.Private[FoundProvider]

    @strawberry.field
    def starts_at(self) -> datetime:
        return self.slot.starts_at

    @strawberry.field
    def ends_at(self) -> datetime:
        return self.slot.ends_at

    @strawberry.field(description="The service that can start then.")
    def service_id(self) -> strawberry.ID:
        return public_id(IdKind.SERVICE, self.slot.service_id)

    @strawberry.field(
        description="The base price, without rules and added tax: `availability` says those too. None: by quote."
    )
    def price(self) -> Money | None:
        slot = self.slot
        return None if slot.price_minor is None else Money.of(slot.price_minor, slot.currency)

    @strawberry.field
    async def service(self, info: Ctx) -> Annotated[Service, strawberry.lazy("app.schema.service")]:
        from app.schema.service import Service  # noqa: PLC0415

        key = (self.found.organization_id, self.slot.service_id)
        return Service.from_model(await info.context.loaders.service_by_id.load(key))


@strawberry.type
class ProviderEdge:
    hit: strawberry.Private[SearchHit]

    @strawberry.field
    def node(self) -> Provider:
        return Provider.from_found(self.hit.provider)

    @strawberry.field
    def cursor(self) -> str:
        return self.hit.cursor

    @strawberry.field(description="As the crow flies, when asked by `near`.")
    def distance_km(self) -> float | None:
        return self.hit.distance_km

    @strawberry.field(description="When asked by `availability`.")
    def soonest_slot(self) -> SoonestSlot | None:
        slot = self.hit.soonest
        return None if slot is None else SoonestSlot(slot=slot, found=self.hit.provider)


@strawberry.type
class ProviderConnection:
    edges: list[ProviderEdge]
    page_info: PageInfo = strawberry.field(
        description="A page by availability may be shorter than asked for, even empty, and still have a next one."
    )
    count: strawberry.Private[Callable[[], Awaitable[int]]]

    @strawberry.field(
        description="How many there are in all pages. Counted only where it is asked for. None, beside an error that "
        "says why, where the free times of more than 200 would have to be worked out for it: by `availability` on days "
        "beyond the next nine weeks, or with `durationMinutes` (BAD_INPUT); else for a moment only (UNAVAILABLE)."
    )
    async def total_count(self) -> int | None:
        return await self.count()


@strawberry.input(description="A circle on the map.")
class NearInput:
    latitude: float
    longitude: float
    radius_km: float = strawberry.field(description="More than 0, at most 20038.")


@strawberry.input(description="Of base prices, in minor units of the organization's currency, both included.")
class PriceRangeInput:
    minimum_minor: Minor | None = None
    maximum_minor: Minor | None = None


@strawberry.input(description="A slot is free that starts on one of these dates, both included, at most 62.")
class ProviderAvailabilityInput:
    from_: date = strawberry.field(name="from")
    to: date
    time_zone: TimeZone = strawberry.field(description="The customer's, whose dates these are.")
    duration_minutes: int | None = strawberry.field(default=None, description="None: each provider's own length.")
    party_size: int = 1

    def wanted(self) -> domain.FreeTime:
        return domain.FreeTime(self.from_, self.to, zone(self.time_zone), self.duration_minutes, self.party_size)


@strawberry.input(
    description="Each that is given must hold. What concerns services must hold for one and the same service."
)
class ProviderFilter:
    venue_id: strawberry.ID | None = None
    service_id: strawberry.ID | None = strawberry.field(default=None, description="Who offers this service.")
    category: str | None = strawberry.field(default=None, description="Who offers a service of this category.")
    text: str | None = strawberry.field(
        default=None,
        description="Words in the name, the bio, or the names and categories of services. Without case and accents; "
        "parts of words are found, and words with a slip of the pen in them. Punctuation alone is refused.",
    )
    is_active: bool | None = strawberry.field(default=None, description="For staff; others see active ones only.")
    near: NearInput | None = strawberry.field(default=None, description="At a venue in this circle.")
    minimum_rating: float | None = None
    languages: list[str] | None = strawberry.field(
        default=None, description="Who speaks any of these (BCP 47). `es` finds es-AR too; `es-AR` does not find es."
    )
    price: PriceRangeInput | None = strawberry.field(default=None, description="Who offers a service at such a price.")
    availability: ProviderAvailabilityInput | None = strawberry.field(
        default=None, description="Who has a free slot. Never one who has not."
    )

    def wanted(self) -> domain.ProviderWanted:
        """Raises BadInput."""
        near, price = self.near, self.price
        return domain.ProviderWanted(
            venue_id=read_optional_id(IdKind.VENUE, self.venue_id, "filter.venueId"),
            service_id=read_optional_id(IdKind.SERVICE, self.service_id, "filter.serviceId"),
            category=read_wanted(self.category, "filter.category"),
            text=read_wanted(self.text, "filter.text"),
            is_active=self.is_active,
            near=None if near is None else domain.Near(near.latitude, near.longitude, near.radius_km),
            minimum_rating=self.minimum_rating,
            languages=_languages(self.languages),
            minimum_minor=None if price is None else price.minimum_minor,
            maximum_minor=None if price is None else price.maximum_minor,
            free=None if self.availability is None else self.availability.wanted(),
        )


def _languages(values: list[str] | None) -> tuple[str, ...] | None:
    """None where no language is asked for. Raises BadInput."""
    if not values:
        return None
    if len(values) > domain.LANGUAGES_MAXIMUM:
        raise BadInput.at("filter.languages", f"must have at most {domain.LANGUAGES_MAXIMUM} items")
    found: dict[str, None] = {}
    for index, value in enumerate(values):
        try:
            found[domain.language_tag(value)] = None
        except ValueError as fault:
            raise BadInput.at(f"filter.languages.{index}", str(fault)) from None
    return tuple(found)


@strawberry.type
class ProviderSearchQuery:
    @strawberry.field(description="Providers of an organization, page by page.")
    async def providers(
        self,
        info: Ctx,
        *,
        organization_id: strawberry.ID,
        filter: ProviderFilter | None = None,
        sort: domain.ProviderSort | None = domain.ProviderSort.NAME_ASC,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> ProviderConnection:
        found = resolvers.ProviderList(
            info.context,
            read_id(IdKind.ORGANIZATION, organization_id, "organizationId"),
            domain.ProviderWanted() if filter is None else filter.wanted(),
        )
        request = page_request(first, after, last, before)
        page = await found.page(sort or domain.ProviderSort.NAME_ASC, request)
        page_info = PageInfo(
            has_next_page=page.has_next,
            has_previous_page=page.has_previous,
            start_cursor=page.start_cursor,
            end_cursor=page.end_cursor,
        )
        return ProviderConnection(
            edges=[ProviderEdge(hit=hit) for hit in page.hits], page_info=page_info, count=found.count
        )
