"""Subscriptions. Every event carries a cursor; `after` resumes there."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime
from uuid import UUID

import strawberry

from app.core.ids import IdKind
from app.domain.bulk import BulkResult
from app.domain.live import AvailabilityCause
from app.domain.presence import look_of_search
from app.domain.sessions import SessionStatus
from app.resolvers.live_availability import AvailabilityUpdate, EventKind, watch_availability
from app.resolvers.live_booking import BookingUpdate, watch_booking
from app.resolvers.live_bulk import BulkUpdate, watch_bulk_change
from app.resolvers.live_session import SessionUpdate, watch_session
from app.resolvers.live_waitlist import EntryUpdate, watch_entry
from app.resolvers.waitlist import name_entry
from app.schema.availability import AvailabilityInput
from app.schema.booking import Booking
from app.schema.bulk import BulkChange, BulkProgress
from app.schema.ids import public_id, read_id, read_optional_id
from app.schema.info import Ctx
from app.schema.slot import Slot
from app.schema.waitlist import WaitlistEntry

strawberry.enum(EventKind, description="SNAPSHOT begins, CHANGE follows; RESYNC: forget what you had, take this.")


@strawberry.type
class AvailabilityEvent:
    kind: EventKind
    cursor: str
    opened: list[datetime] = strawberry.field(
        description="SNAPSHOT and RESYNC: all free starts. CHANGE: those that became free."
    )
    closed: list[datetime] = strawberry.field(description="CHANGE: starts that are free no more.")
    updated: list[Slot] = strawberry.field(
        description="The slots of `opened`, and those still free whose providers, places or price changed."
    )
    causes: list[AvailabilityCause] = strawberry.field(description="Of a CHANGE, each once.")

    @classmethod
    def from_update(cls, update: AvailabilityUpdate) -> AvailabilityEvent:
        return cls(
            kind=update.kind,
            cursor=update.cursor,
            opened=list(update.opened),
            closed=list(update.closed),
            updated=[Slot.from_domain(slot, update.currency) for slot in update.updated],
            causes=list(update.causes),
        )


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
class Subscription:
    @strawberry.subscription(description="Places of a session as they are taken and come back.")
    async def session(
        self, info: Ctx, id: strawberry.ID, after: str | None = None
    ) -> AsyncGenerator[SessionEvent, None]:
        session_id = read_id(IdKind.SESSION, id, "id")
        async with aclosing(watch_session(info.context, session_id, after)) as updates:
            async for update in updates:
                yield SessionEvent.from_update(update)

    @strawberry.subscription(description="Free slots as they open and close.")
    async def availability(
        self, info: Ctx, input: AvailabilityInput, after: str | None = None
    ) -> AsyncGenerator[AvailabilityEvent, None]:
        search = input.to_search()
        async with aclosing(watch_availability(info.context, search, after)) as updates:
            with info.context.services.presence.looking(look_of_search(search)):
                async for update in updates:
                    yield AvailabilityEvent.from_update(update)

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
