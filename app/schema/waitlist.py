"""Entries of the waitlist as clients see them."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import strawberry

from app.core.ids import IdKind
from app.domain.booking import HoldStatus
from app.domain.waitlist import TimeWindow, WaitlistEnd, WaitlistStatus
from app.queries import waitlist as queries
from app.queries.hold import shown_status
from app.queries.pagination import page_request
from app.queries.waitlist import SeenEntry
from app.resolvers import waitlist as resolvers
from app.resolvers.waitlist import WaitlistPages, name_entry
from app.schema.activity import Activity
from app.schema.connection import Connection, connection
from app.schema.hold import Hold
from app.schema.ids import public_id, read_id, read_optional_id
from app.schema.info import Ctx, read_wanted
from app.schema.node import Node
from app.schema.provider import Provider
from app.schema.service import Service
from app.schema.session import ActivitySession

strawberry.enum(
    WaitlistStatus,
    description="WAITING in line; OFFERED: something is held for it; ACCEPTED: that was booked; LEFT; ENDED by itself.",
)
strawberry.enum(
    WaitlistEnd,
    name="WaitlistEndReason",
    description="PAST: all its times are over. DECLINED, LAPSED: what was offered was all that it waited for, or three"
    " offers lapsed. SESSION_CANCELLED: it does not take place.",
)


@strawberry.type(description="Starts from an instant on, before another.")
class WaitlistWindow:
    from_: datetime = strawberry.field(name="from", description="Included.")
    to: datetime = strawberry.field(description="Excluded.")

    @classmethod
    def from_domain(cls, window: TimeWindow) -> WaitlistWindow:
        return cls(from_=window.from_at, to=window.to_at)


@strawberry.type(
    description="A hold in the name of whoever waited, at the price of the moment. `createBooking` with its id and"
    " token accepts it; it cannot be extended. Others wait behind it."
)
class WaitlistOffer:
    hold_id: strawberry.ID
    hold_token: str = strawberry.field(description="For createBooking.")
    hold: Hold
    expires_at: datetime = strawberry.field(description="Until when it can be accepted; excluded.")


@strawberry.type(description="Somebody who waits for a place that is not free, for its owner and the staff.")
class WaitlistEntry(Node):
    status: WaitlistStatus
    position: int | None = strawberry.field(
        description="In line, among those whose times meet: 1 is next. None where it does not wait."
    )
    priority: int = strawberry.field(description="The higher comes first; then who came first.")
    party_size: int
    windows: list[WaitlistWindow] = strawberry.field(description="When it may start.")
    duration_minutes: int | None = strawberry.field(description="Of an appointment. None: each provider's own length.")
    customer_name: str
    customer_email: str
    customer_phone: str | None
    end_reason: WaitlistEnd | None = strawberry.field(description="Of one that ENDED.")
    version: int
    created_at: datetime
    access_token: str = strawberry.field(description="The secret of whoever waits: it opens this entry, alone.")
    seen: strawberry.Private[SeenEntry]

    @strawberry.field(description="While it can be accepted.")
    def offer(self, info: Ctx) -> WaitlistOffer | None:
        record, hold = self.seen.record, self.seen.offer
        if hold is None or record.status != WaitlistStatus.OFFERED or record.offer_expires_at is None:
            return None
        if shown_status(hold, info.context.now()) is not HoldStatus.ACTIVE:
            return None
        return WaitlistOffer(
            hold_id=public_id(IdKind.HOLD, hold.id),
            hold_token=info.context.services.tokens.hold_token(hold.id, hold.token_version),
            hold=Hold.from_model(hold),
            expires_at=record.offer_expires_at,
        )

    @strawberry.field(description="Where it waits for places.")
    async def activity(self, info: Ctx) -> Activity | None:
        if self.seen.record.activity_id is None:
            return None
        return Activity.from_model(await info.context.loaders.activity_by_id.load(self._key("activity_id")))

    @strawberry.field(description="Where it waits for an appointment.")
    async def service(self, info: Ctx) -> Service | None:
        if self.seen.record.service_id is None:
            return None
        return Service.from_model(await info.context.loaders.service_by_id.load(self._key("service_id")))

    @strawberry.field(description="With whom the appointment may be. Empty: with anybody who offers the service.")
    async def providers(self, info: Ctx) -> list[Provider]:
        record = self.seen.record
        keys = [(record.organization_id, provider_id) for provider_id in record.provider_ids or ()]
        return [Provider.from_model(one) for one in await info.context.loaders.provider_by_id.load_many(keys)]

    @strawberry.field(description="Where it waits for one session alone.")
    async def session(self, info: Ctx) -> ActivitySession | None:
        if self.seen.record.session_id is None:
            return None
        seen = await info.context.loaders.session_by_id.load(self._key("session_id"))
        return ActivitySession.from_seen(seen, of_booking=True)

    def _key(self, column: str) -> tuple[UUID, UUID]:
        return (self.seen.record.organization_id, getattr(self.seen.record, column))

    @classmethod
    def from_seen(cls, seen: SeenEntry) -> WaitlistEntry:
        record = seen.record
        return cls(
            id=public_id(IdKind.WAITLIST, record.id),
            status=WaitlistStatus(record.status),
            position=seen.position,
            priority=record.priority,
            party_size=record.party_size,
            windows=[WaitlistWindow.from_domain(window) for window in seen.windows],
            duration_minutes=record.duration_minutes,
            customer_name=record.name,
            customer_email=record.email,
            customer_phone=record.phone,
            end_reason=None if record.ended_reason is None else WaitlistEnd(record.ended_reason),
            version=record.version,
            created_at=record.created_at,
            access_token=seen.token or "",
            seen=seen,
        )


@strawberry.input
class WaitlistFilter:
    statuses: list[WaitlistStatus] | None = None
    activity_id: strawberry.ID | None = None
    session_id: strawberry.ID | None = None
    service_id: strawberry.ID | None = None
    text: str | None = strawberry.field(default=None, description="A part of the name, or the e-mail address.")

    def wanted(self) -> queries.EntryFilter:
        """Raises BadInput."""
        return queries.EntryFilter(
            statuses=None if self.statuses is None else tuple(self.statuses),
            activity_id=read_optional_id(IdKind.ACTIVITY, self.activity_id, "filter.activityId"),
            session_id=read_optional_id(IdKind.SESSION, self.session_id, "filter.sessionId"),
            service_id=read_optional_id(IdKind.SERVICE, self.service_id, "filter.serviceId"),
            text=read_wanted(self.text, "filter.text"),
        )


@strawberry.type
class WaitlistQuery:
    @strawberry.field(
        description="One entry, for those who may see it: its account, the staff, whoever has its secret."
    )
    async def waitlist_entry(
        self, info: Ctx, id: strawberry.ID | None = None, access_token: str | None = None
    ) -> WaitlistEntry | None:
        named = name_entry(read_optional_id(IdKind.WAITLIST, id, "id"), access_token, "id")
        return WaitlistEntry.from_seen(await resolvers.read_entry(info.context, named))

    @strawberry.field(description="In the order of arrival: all of an organization for its staff, an account's own.")
    async def waitlist(
        self,
        info: Ctx,
        *,
        organization_id: strawberry.ID,
        filter: WaitlistFilter | None = None,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Connection[WaitlistEntry]:
        found = WaitlistPages(
            info.context,
            read_id(IdKind.ORGANIZATION, organization_id, "organizationId"),
            queries.EntryFilter() if filter is None else filter.wanted(),
        )
        page = await found.page(page_request(first, after, last, before))
        return connection(page, WaitlistEntry.from_seen, found.count)
