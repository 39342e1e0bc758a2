"""Sessions: an activity at one time, with places."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated

import strawberry

from app.core.ids import IdKind
from app.domain.sessions import SessionStatus
from app.queries.session import SeenSession
from app.resolvers import session as resolvers
from app.schema.activity import Activity
from app.schema.ids import public_id, read_id
from app.schema.info import Ctx
from app.schema.node import Money, Node

strawberry.enum(
    SessionStatus, description="CLOSED: takes no more bookings; those made stand. CANCELLED: it does not take place."
)


@strawberry.type(description="An activity at one time, with places.")
class ActivitySession(Node):
    starts_at: datetime
    ends_at: datetime
    capacity_total: int
    capacity_remaining: int = strawberry.field(
        description="Places that can still be had: none of a session that is legacy, closed or cancelled."
    )
    status: SessionStatus
    is_legacy: bool = strawberry.field(
        description="The schedule has it no more: bookings stand, no new ones are taken."
    )
    version: int = strawberry.field(description="Rises with each change but those of the places that are left.")
    seen: strawberry.Private[SeenSession]
    of_booking: strawberry.Private[bool] = False

    @strawberry.field
    async def activity(self, info: Ctx) -> Activity:
        session = self.seen.session
        key = (session.organization_id, session.activity_id)
        return Activity.from_model(await info.context.loaders.activity_by_id.load(key))

    @strawberry.field(
        description="Of one place now, with tax where it is added: what holding one locks. Rules may change it with "
        "time, and with the places that are left."
    )
    async def price(self, info: Ctx) -> Money:
        return Money.of(*await resolvers.price_of_place(info.context, self.seen))

    @strawberry.field(description="Held and booked places. For staff only.")
    async def places_taken(self, info: Ctx) -> int | None:
        return await resolvers.places_taken(info.context, self.seen)

    @strawberry.field(description="A private group has it to itself. For staff only.")
    async def is_private(self, info: Ctx) -> bool | None:
        return await resolvers.is_private(info.context, self.seen)

    @strawberry.field(
        description="Why it was called off. For staff, who leads it, and customers with a booking in it; else None."
    )
    async def cancelled_reason(self, info: Ctx) -> str | None:
        if self.of_booking:
            return self.seen.session.cancelled_reason
        return await resolvers.cancelled_reason(info.context, self.seen)

    @classmethod
    def from_seen(cls, seen: SeenSession, *, of_booking: bool = False) -> ActivitySession:
        """`of_booking`: reached from a booking that the viewer may see, by its link perhaps."""
        record = seen.session
        return cls(
            id=public_id(IdKind.SESSION, record.id),
            starts_at=record.starts_at,
            ends_at=record.ends_at,
            capacity_total=record.capacity,
            capacity_remaining=seen.remaining,
            status=SessionStatus(record.status),
            is_legacy=record.is_legacy,
            version=record.version,
            seen=seen,
            of_booking=of_booking,
        )


@strawberry.type
class SessionQuery:
    @strawberry.field(description="One session, whatever its state.")
    async def session(self, info: Ctx, id: strawberry.ID) -> ActivitySession | None:
        session_id = read_id(IdKind.SESSION, id, "id")
        return ActivitySession.from_seen(await resolvers.read_session(info.context, session_id))

    @strawberry.field(
        description="Sessions that can be booked now by so many, by start. Dates are the venue's, both included, at "
        "most 62 days; days with more than 6000 sessions in all are refused."
    )
    async def sessions(
        self,
        info: Ctx,
        activity_id: strawberry.ID,
        from_: Annotated[date, strawberry.argument(name="from")],
        to: date,
        party_size: int = 1,
    ) -> list[ActivitySession]:
        found = await resolvers.bookable_sessions(
            info.context, read_id(IdKind.ACTIVITY, activity_id, "activityId"), from_, to, party_size
        )
        return [ActivitySession.from_seen(seen) for seen in found]

    @strawberry.field(
        description="All sessions of an activity, for staff: full, closed, cancelled, legacy and past ones too, by "
        "start. Dates are the venue's, both included, at most 62 days; days with more than 6000 sessions in all are "
        "refused."
    )
    async def all_sessions(
        self,
        info: Ctx,
        activity_id: strawberry.ID,
        from_: Annotated[date, strawberry.argument(name="from")],
        to: date,
        statuses: list[SessionStatus] | None = None,
    ) -> list[ActivitySession]:
        found = await resolvers.all_sessions(
            info.context,
            read_id(IdKind.ACTIVITY, activity_id, "activityId"),
            from_,
            to,
            None if statuses is None else tuple(statuses),
        )
        return [ActivitySession.from_seen(seen) for seen in found]
