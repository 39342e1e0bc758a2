"""Subscriptions. Every event carries a cursor; `after` resumes there."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable
from contextlib import aclosing
from datetime import datetime
from uuid import UUID

import strawberry

from app.core.ids import IdKind
from app.domain.bulk import BulkResult
from app.domain.live import AvailabilityCause
from app.domain.sessions import SessionStatus
from app.resolvers.live_availability import AvailabilityUpdate, EventKind
from app.resolvers.live_booking import BookingUpdate, watch_booking
from app.resolvers.live_bulk import BulkUpdate, watch_bulk_change
from app.resolvers.live_channel import LiveStream
from app.resolvers.live_session import SessionUpdate
from app.resolvers.live_waitlist import EntryUpdate, watch_entry
from app.resolvers.waitlist import name_entry
from app.schema.availability import AvailabilityInput
from app.schema.booking import Booking
from app.schema.bulk import BulkChange, BulkProgress
from app.schema.ids import public_id, read_id, read_optional_id
from app.schema.info import Ctx
from app.schema.live_arguments import CAUSES, CLOSED, OPENED, UPDATED, CoalesceMs, free_starts
from app.schema.live_personal import PersonalSubscription
from app.schema.live_venue import VenueSubscription
from app.schema.slot import Slot
from app.schema.waitlist import WaitlistEntry


@strawberry.type
class AvailabilityEvent:
    kind: EventKind
    cursor: str
    opened: list[datetime] = strawberry.field(description=OPENED)
    closed: list[datetime] = strawberry.field(description=CLOSED)
    updated: list[Slot] = strawberry.field(description=UPDATED)
    causes: list[AvailabilityCause] = strawberry.field(description=CAUSES)

    @classmethod
    def from_update(cls, update: AvailabilityUpdate) -> AvailabilityEvent:
        return cls(kind=update.kind, cursor=update.cursor, **free_starts(update))


@strawberry.type
class BookingEvent:
    kind: EventKind
    cursor: str
    type: str = strawberry.field(description='What happened: "booking.confirmed".')
    booking: Booking

    @classmethod
    def from_update(cls, update: BookingUpdate) -> BookingEvent:
        return cls(kind=update.kind, cursor=update.cursor, type=update.type, booking=Booking.from_seen(update.seen))


@strawberry.type
class WaitlistEvent:
    kind: EventKind
    cursor: str
    type: str = strawberry.field(
        description='What happened: "waitlist.offered"; "waitlist.moved": its position is another one.'
    )
    entry: WaitlistEntry

    @classmethod
    def from_update(cls, update: EntryUpdate) -> WaitlistEvent:
        return cls(kind=update.kind, cursor=update.cursor, type=update.type, entry=WaitlistEntry.from_seen(update.seen))


@strawberry.type
class SessionEvent:
    kind: EventKind
    cursor: str
    session_id: strawberry.ID
    capacity_remaining: int = strawberry.field(description="None are left of a session that takes no more bookings.")
    status: SessionStatus
    is_legacy: bool
    cause: AvailabilityCause | None = strawberry.field(description="Of a CHANGE. TIME: holds that ran out.")

    @classmethod
    def from_update(cls, update: SessionUpdate) -> SessionEvent:
        return cls(
            kind=update.kind,
            cursor=update.cursor,
            session_id=public_id(IdKind.SESSION, update.session_id),
            capacity_remaining=update.capacity_remaining,
            status=update.status,
            is_legacy=update.is_legacy,
            cause=update.cause,
        )


@strawberry.type
class BulkChangeEvent:
    kind: EventKind
    cursor: str
    type: str = strawberry.field(
        description='What happened: "bulk.started", "bulk.progressed", "bulk.stopped", "bulk.finished"; at first '
        '"bulk.snapshot".'
    )
    progress: BulkProgress = strawberry.field(description="How far it was then.")
    booking_id: strawberry.ID | None = strawberry.field(description="Of bulk.progressed: whose turn it was.")
    result: BulkResult | None
    rule: str | None
    message: str | None
    bulk_change: BulkChange = strawberry.field(description="As it is now.")

    @classmethod
    def from_update(cls, update: BulkUpdate) -> BulkChangeEvent:
        facts = update.facts
        booking_id, result = facts.get("bookingId"), facts.get("result")
        return cls(
            kind=update.kind,
            cursor=update.cursor,
            type=update.type,
            progress=BulkProgress(
                total=facts["total"], done=facts["done"], skipped=facts["skipped"], refused=facts["refused"]
            ),
            booking_id=None if booking_id is None else public_id(IdKind.BOOKING, UUID(booking_id)),
            result=None if result is None else BulkResult(result),
            rule=facts.get("rule"),
            message=facts.get("message"),
            bulk_change=BulkChange.from_seen(update.seen),
        )


@strawberry.type
class Subscription(PersonalSubscription, VenueSubscription):
    @strawberry.subscription(description="Places of a session as they are taken and come back.")
    async def session(self, info: Ctx, id: strawberry.ID, after: str | None = None) -> AsyncIterable[SessionEvent]:
        channel = await info.context.services.live.session(info.context, read_id(IdKind.SESSION, id, "id"))
        return LiveStream(channel, after, SessionEvent.from_update)

    @strawberry.subscription(description="Free slots as they open and close.")
    async def availability(
        self, info: Ctx, input: AvailabilityInput, after: str | None = None, coalesce_ms: CoalesceMs = 0
    ) -> AsyncIterable[AvailabilityEvent]:
        services = info.context.services
        channel = services.live.availability(services, input.to_search(), coalesce_ms)
        return LiveStream(channel, after, AvailabilityEvent.from_update)

    @strawberry.subscription(description="One booking's changes, for those who may see it.")
    async def booking(
        self, info: Ctx, id: strawberry.ID, access_token: str | None = None, after: str | None = None
    ) -> AsyncGenerator[BookingEvent, None]:
        booking_id = read_id(IdKind.BOOKING, id, "id")
        async with aclosing(watch_booking(info.context, booking_id, access_token, after)) as updates:
            async for update in updates:
                yield BookingEvent.from_update(update)

    @strawberry.subscription(
        description="How far a bulk change is, and what became of each booking, in order. It ends with the change."
    )
    async def bulk_change(
        self, info: Ctx, id: strawberry.ID, after: str | None = None
    ) -> AsyncGenerator[BulkChangeEvent, None]:
        change_id = read_id(IdKind.BULK_CHANGE, id, "id")
        async with aclosing(watch_bulk_change(info.context, change_id, after)) as updates:
            async for update in updates:
                yield BulkChangeEvent.from_update(update)

    @strawberry.subscription(description="One entry of the waitlist: its position, its offer and its end.")
    async def waitlist_entry(
        self, info: Ctx, id: strawberry.ID | None = None, access_token: str | None = None, after: str | None = None
    ) -> AsyncGenerator[WaitlistEvent, None]:
        named = name_entry(read_optional_id(IdKind.WAITLIST, id, "id"), access_token, "id")
        async with aclosing(watch_entry(info.context, named, after)) as updates:
            async for update in updates:
                yield WaitlistEvent.from_update(update)
