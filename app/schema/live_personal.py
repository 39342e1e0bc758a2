"""Subscriptions of one person: a provider's calendar, and what concerns whoever is signed in."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import date, datetime
from typing import Annotated

import strawberry

from app.core.ids import IdKind
from app.resolvers.live_availability import EventKind
from app.resolvers.live_calendar import CalendarUpdate, watch_calendar
from app.resolvers.live_notifications import NotificationRole, NotificationUpdate, watch_notifications
from app.schema.booking import Booking
from app.schema.ids import public_id, read_id
from app.schema.info import Ctx
from app.schema.series import BookingSeries
from app.schema.waitlist import WaitlistEntry

strawberry.enum(
    NotificationRole,
    description="In what capacity somebody is told: as the one who booked or waits, as the provider of a booking, or "
    "as a member of an organization.",
)


@strawberry.type
class CalendarEvent:
    kind: EventKind
    cursor: str
    type: str = strawberry.field(description='What happened: "booking.rescheduled"; at first "calendar.snapshot".')
    bookings: list[Booking] = strawberry.field(
        description="SNAPSHOT and RESYNC: all that start in these days, whatever their status. CHANGE: what the event "
        "is about, as it is now: put it in the place of what you had."
    )
    gone: list[strawberry.ID] = strawberry.field(
        description="CHANGE: bookings that moved to other days or another provider, or take none of this one's time "
        "any more: drop them, if you have them."
    )

    @classmethod
    def from_update(cls, update: CalendarUpdate) -> CalendarEvent:
        return cls(
            kind=update.kind,
            cursor=update.cursor,
            type=update.type,
            bookings=[Booking.from_seen(seen) for seen in update.bookings],
            gone=[public_id(IdKind.BOOKING, booking_id) for booking_id in update.gone],
        )


@strawberry.type
class NotificationEvent:
    kind: EventKind = strawberry.field(
        description="SNAPSHOT: from here on. RESYNC: something was missed; ask for what you show anew."
    )
    cursor: str
    type: str = strawberry.field(description='What happened: "booking.confirmed"; at first "notifications.snapshot".')
    at: datetime = strawberry.field(description="When it happened.")
    role: NotificationRole | None = strawberry.field(description="Of a CHANGE.")
    organization_id: strawberry.ID | None = strawberry.field(description="Of a CHANGE.")
    booking_id: strawberry.ID | None = strawberry.field(description="Of what is about a booking.")
    booking: Booking | None = strawberry.field(
        description="As it is now. None if it is not about a booking, or the viewer may not see that any more: another "
        "provider has it."
    )
    waitlist_entry: WaitlistEntry | None
    series: BookingSeries | None

    @classmethod
    def from_update(cls, update: NotificationUpdate) -> NotificationEvent:
        organization_id, booking_id = update.organization_id, update.booking_id
        return cls(
            kind=update.kind,
            cursor=update.cursor,
            type=update.type,
            at=update.at,
            role=update.role,
            organization_id=None if organization_id is None else public_id(IdKind.ORGANIZATION, organization_id),
            booking_id=None if booking_id is None else public_id(IdKind.BOOKING, booking_id),
            booking=None if update.booking is None else Booking.from_seen(update.booking),
            waitlist_entry=None if update.entry is None else WaitlistEntry.from_seen(update.entry),
            series=None if update.series is None else BookingSeries.from_seen(update.series),
        )


@strawberry.type
class PersonalSubscription:
    @strawberry.subscription(
        description="A provider's bookings of some days, with visits in which they do a later service and sessions "
        "that they lead: for the provider, and for the staff."
    )
    async def provider_calendar(
        self,
        info: Ctx,
        provider_id: strawberry.ID,
        from_: Annotated[date, strawberry.argument(name="from", description="In the zone of the venue.")],
        to: Annotated[date, strawberry.argument(description="Included; at most 62 days.")],
        after: str | None = None,
    ) -> AsyncGenerator[CalendarEvent, None]:
        provider = read_id(IdKind.PROVIDER, provider_id, "providerId")
        async with aclosing(watch_calendar(info.context, provider, from_, to, after)) as updates:
            async for update in updates:
                yield CalendarEvent.from_update(update)

    @strawberry.subscription(
        description="What concerns whoever is signed in, in all organizations, from now on: their bookings and what is "
        "paid for them, their series and places in line, bookings with them as a provider, and their memberships."
    )
    async def notifications(self, info: Ctx, after: str | None = None) -> AsyncGenerator[NotificationEvent, None]:
        async with aclosing(watch_notifications(info.context, after)) as updates:
            async for update in updates:
                yield NotificationEvent.from_update(update)
