"""Calendars elsewhere that block a provider, and the provider's own feed."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import strawberry

from app import models
from app.core.ids import IdKind
from app.domain.busy_calendar import SourceStatus
from app.domain.feed_url import masked_url
from app.resolvers import calendar_source as resolvers
from app.schema.errors import IdempotencyConflict, InvalidInput, NotAllowed, NotFound, RateLimited
from app.schema.ids import public_id, read_id
from app.schema.info import Ctx, given
from app.schema.node import Node
from app.schema.provider import Provider

strawberry.enum(
    SourceStatus,
    name="CalendarSourceStatus",
    description="WAITING: not asked yet. FAILING: it may mend by itself. REFUSED: it will not. Of both, the busy times "
    "that were read last still block.",
)


@strawberry.type(description="A calendar elsewhere (an iCalendar feed) whose busy times block a provider.")
class CalendarSource(Node):
    name: str
    url: str = strawberry.field(description="Its host alone: the rest is a secret, and is never shown again.")
    status: SourceStatus
    last_polled_at: datetime | None
    last_success_at: datetime | None
    next_poll_at: datetime
    last_error: str | None = strawberry.field(
        description="Why it could not be had or was refused; of an active one, what of it could not be read."
    )
    event_count: int = strawberry.field(description="Busy times taken from it, those that touch joined.")
    created_at: datetime
    record: strawberry.Private[models.CalendarSource]

    @strawberry.field(description="Whose time it blocks.")
    async def provider(self, info: Ctx) -> Provider:
        key = (self.record.organization_id, self.record.provider_id)
        return Provider.from_model(await info.context.loaders.provider_by_id.load(key))

    @classmethod
    def from_model(cls, record: models.CalendarSource) -> CalendarSource:
        return cls(
            id=public_id(IdKind.CALENDAR_SOURCE, record.id),
            name=record.name,
            url=masked_url(record.url),
            status=SourceStatus(record.status),
            last_polled_at=record.last_polled_at,
            last_success_at=record.last_success_at,
            next_poll_at=record.next_poll_at,
            last_error=record.last_error,
            event_count=record.event_count,
            created_at=record.created_at,
            record=record,
        )


@strawberry.input
class ConnectCalendarInput:
    provider_id: strawberry.ID
    url: str = strawberry.field(description="Of an iCalendar feed: https:// or webcal://.")
    name: str | None = strawberry.field(default=None, description="None: the address's host.")
    idempotency_key: str | None = None


@strawberry.input
class DisconnectCalendarInput:
    calendar_source_id: strawberry.ID
    idempotency_key: str | None = None


@strawberry.input
class RefreshCalendarInput:
    calendar_source_id: strawberry.ID
    idempotency_key: str | None = None


@strawberry.input
class RevokeCalendarFeedInput:
    provider_id: strawberry.ID
    idempotency_key: str | None = None


@strawberry.type
class ConnectCalendarPayload:
    calendar_source: CalendarSource


@strawberry.type
class DisconnectCalendarPayload:
    provider: Provider


@strawberry.type
class RefreshCalendarPayload:
    calendar_source: CalendarSource


@strawberry.type
class RevokeCalendarFeedPayload:
    provider: Provider


ConnectCalendarResult = Annotated[
    ConnectCalendarPayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("ConnectCalendarResult"),
]
DisconnectCalendarResult = Annotated[
    DisconnectCalendarPayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("DisconnectCalendarResult"),
]
RefreshCalendarResult = Annotated[
    RefreshCalendarPayload | InvalidInput | NotFound | NotAllowed | RateLimited | IdempotencyConflict,
    strawberry.union("RefreshCalendarResult"),
]
RevokeCalendarFeedResult = Annotated[
    RevokeCalendarFeedPayload | InvalidInput | NotFound | NotAllowed | IdempotencyConflict,
    strawberry.union("RevokeCalendarFeedResult"),
]


@strawberry.type
class CalendarMutation:
    @strawberry.mutation(
        description="Let the busy times of a calendar elsewhere block a provider; it is read in the background. "
        "For the provider's own account, admins and owners, as are the others."
    )
    async def connect_calendar(self, info: Ctx, input: ConnectCalendarInput) -> ConnectCalendarResult:
        provider_id = read_id(IdKind.PROVIDER, input.provider_id, "input.providerId")
        values = given(input, without={"provider_id"})
        made = await resolvers.connect_calendar(info.context, provider_id, values, input.idempotency_key)
        return ConnectCalendarPayload(calendar_source=CalendarSource.from_model(made))

    @strawberry.mutation(description="Its busy times block no longer, at once.")
    async def disconnect_calendar(self, info: Ctx, input: DisconnectCalendarInput) -> DisconnectCalendarResult:
        source_id = read_id(IdKind.CALENDAR_SOURCE, input.calendar_source_id, "input.calendarSourceId")
        provider = await resolvers.disconnect_calendar(info.context, source_id, input.idempotency_key)
        return DisconnectCalendarPayload(provider=Provider.from_model(provider))

    @strawberry.mutation(description="Read a calendar now, in the background; at most once a minute.")
    async def refresh_calendar(self, info: Ctx, input: RefreshCalendarInput) -> RefreshCalendarResult:
        source_id = read_id(IdKind.CALENDAR_SOURCE, input.calendar_source_id, "input.calendarSourceId")
        source = await resolvers.refresh_calendar(info.context, source_id, input.idempotency_key)
        return RefreshCalendarPayload(calendar_source=CalendarSource.from_model(source))

    @strawberry.mutation(description="Give the provider's feed a new address; the old one opens nothing any more.")
    async def revoke_calendar_feed(self, info: Ctx, input: RevokeCalendarFeedInput) -> RevokeCalendarFeedResult:
        provider_id = read_id(IdKind.PROVIDER, input.provider_id, "input.providerId")
        provider = await resolvers.revoke_calendar_feed(info.context, provider_id, input.idempotency_key)
        return RevokeCalendarFeedPayload(provider=Provider.from_model(provider))
