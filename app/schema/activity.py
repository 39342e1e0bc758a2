"""What is booked by the place: activities with sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import strawberry

from app import models
from app.core.ids import IdKind
from app.queries import activity as queries
from app.queries.pagination import page_request
from app.resolvers import activity as resolvers
from app.resolvers.exception import exceptions_of
from app.schema.connection import Connection, connection
from app.schema.ids import public_id, read_id, read_optional_id
from app.schema.info import Ctx, read_wanted
from app.schema.node import Money, Node
from app.schema.provider import Provider
from app.schema.resource import ResourceNeed

if TYPE_CHECKING:  # those know this file
    from app.schema.exception import ScheduleException
    from app.schema.schedule import ScheduleVersion
    from app.schema.venue import Venue

strawberry.enum(queries.ActivitySort)


@strawberry.type(description="What is booked by the place. Its sessions follow from its schedule.")
class Activity(Node):
    name: str
    description: str | None
    category: str | None
    capacity: int = strawberry.field(description="Places of a new session.")
    duration_minutes: int
    advance_notice_minutes: int
    maximum_advance_days: int
    session_horizon_days: int = strawberry.field(description="How far ahead sessions are made by themselves.")
    cancellation_notice_minutes: int
    maximum_reschedules: int | None = strawberry.field(
        description="How often a customer may move a booking. None: without limit."
    )
    reschedule_notice_minutes: int | None = strawberry.field(
        description="Until so long before the start a customer may move it. None: as for cancelling."
    )
    max_party_size: int | None = strawberry.field(description="Most places of one booking. None: all there are.")
    minimum_party_size: int = strawberry.field(description="Fewest people of one booking.")
    tags: list[str]
    is_active: bool
    record: strawberry.Private[models.Activity]

    @strawberry.field(description="Of one place.")
    async def price(self, info: Ctx) -> Money:
        currency = await resolvers.currency_of(info.context, self.record.organization_id)
        return Money.of(self.record.price_minor, currency)

    @strawberry.field(
        description="Of a whole session for a private group (`isPrivate` in holdSlot). None: that of all its places."
    )
    async def private_price(self, info: Ctx) -> Money | None:
        if self.record.private_price_minor is None:
            return None
        currency = await resolvers.currency_of(info.context, self.record.organization_id)
        return Money.of(self.record.private_price_minor, currency)

    @strawberry.field
    async def venue(self, info: Ctx) -> Annotated[Venue, strawberry.lazy("app.schema.venue")]:
        from app.schema.venue import Venue  # noqa: PLC0415

        key = (self.record.organization_id, self.record.venue_id)
        return Venue.from_model(await info.context.loaders.venue_by_id.load(key))

    @strawberry.field(description="The active ones who lead its sessions, by name. A session takes their time.")
    async def providers(self, info: Ctx) -> list[Provider]:
        key = (self.record.organization_id, self.record.id)
        found = await info.context.loaders.providers_by_activity_id.load(key)
        return [Provider.from_model(provider) for provider in found]

    @strawberry.field(description="Rooms, equipment and people that each session takes.")
    async def needs(self, info: Ctx) -> list[ResourceNeed]:
        key = (self.record.organization_id, self.record.id)
        return [ResourceNeed.from_model(need) for need in await info.context.loaders.needs_by_owner_id.load(key)]

    @strawberry.field(description="Weekly hours: in force, planned and past, newest first, at most 200.")
    async def schedules(self, info: Ctx) -> list[Annotated[ScheduleVersion, strawberry.lazy("app.schema.schedule")]]:
        from app.schema.schedule import ScheduleVersion  # noqa: PLC0415

        key = (self.record.organization_id, self.record.id)
        found = await info.context.loaders.schedules_by_owner_id.load(key)
        return [ScheduleVersion.from_model(version) for version in found]

    @strawberry.field(description="Closed days and special hours that are not over, by date, at most 200.")
    async def exceptions(
        self, info: Ctx
    ) -> list[Annotated[ScheduleException, strawberry.lazy("app.schema.exception")]]:
        from app.schema.exception import ScheduleException  # noqa: PLC0415

        found = await exceptions_of(info.context, self.record.organization_id, self.record.id)
        return [ScheduleException.from_seen(seen) for seen in found]

    @classmethod
    def from_model(cls, record: models.Activity) -> Activity:
        return cls(
            id=public_id(IdKind.ACTIVITY, record.id),
            name=record.name,
            description=record.description,
            category=record.category,
            capacity=record.capacity,
            duration_minutes=record.duration_minutes,
            advance_notice_minutes=record.advance_notice_minutes,
            maximum_advance_days=record.maximum_advance_days,
            session_horizon_days=record.session_horizon_days,
            cancellation_notice_minutes=record.cancellation_notice_minutes,
            maximum_reschedules=record.maximum_reschedules,
            reschedule_notice_minutes=record.reschedule_notice_minutes,
            max_party_size=record.max_party_size,
            minimum_party_size=record.minimum_party_size,
            tags=record.tags,
            is_active=record.is_active,
            record=record,
        )


@strawberry.input(description="Each that is given must hold. Texts are compared without case and accents.")
class ActivityFilter:
    venue_id: strawberry.ID | None = None
    provider_id: strawberry.ID | None = strawberry.field(default=None, description="What this provider leads.")
    category: str | None = None
    text: str | None = strawberry.field(default=None, description="A part of the name.")
    tag: str | None = None
    is_active: bool | None = strawberry.field(default=None, description="For staff; others see active ones only.")

    def wanted(self) -> queries.ActivityFilter:
        """Raises BadInput."""
        return queries.ActivityFilter(
            venue_id=read_optional_id(IdKind.VENUE, self.venue_id, "filter.venueId"),
            provider_id=read_optional_id(IdKind.PROVIDER, self.provider_id, "filter.providerId"),
            category=read_wanted(self.category, "filter.category"),
            text=read_wanted(self.text, "filter.text"),
            tag=read_wanted(self.tag, "filter.tag"),
            is_active=self.is_active,
        )


@strawberry.type
class ActivityQuery:
    @strawberry.field
    async def activity(self, info: Ctx, id: strawberry.ID) -> Activity | None:
        activity_id = read_id(IdKind.ACTIVITY, id, "id")
        return Activity.from_model(await resolvers.read_activity(info.context, activity_id))

    @strawberry.field(description="Activities of an organization, page by page.")
    async def activities(
        self,
        info: Ctx,
        *,
        organization_id: strawberry.ID,
        filter: ActivityFilter | None = None,
        sort: queries.ActivitySort | None = queries.ActivitySort.NAME_ASC,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Connection[Activity]:
        found = resolvers.ActivityList(
            info.context,
            read_id(IdKind.ORGANIZATION, organization_id, "organizationId"),
            queries.ActivityFilter() if filter is None else filter.wanted(),
        )
        page = await found.page(sort or queries.ActivitySort.NAME_ASC, page_request(first, after, last, before))
        return connection(page, Activity.from_model, found.count)
