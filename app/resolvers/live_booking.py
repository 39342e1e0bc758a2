"""One booking, live: each event with the booking as it is now, for as long as the viewer may see it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from uuid import UUID

from app.domain.live_codec import Cursor
from app.queries.booking import SeenBooking
from app.queries.event import Event, events_of_subjects, log_state
from app.queries.tenancy import Door
from app.resolvers.booking import read_booking, see_booking
from app.resolvers.context import RequestContext
from app.resolvers.event_feed import FeedOverflow, Subscription
from app.resolvers.live_availability import LONGEST_WAIT_S, REPLAY_LIMIT, EventKind, can_resume, read_cursor
from app.resolvers.live_place import Place


@dataclass(frozen=True, slots=True)
class BookingUpdate:
    """`type` names the event: `booking.rescheduled`; of a snapshot: `booking.snapshot`."""

    kind: EventKind
    cursor: str
    type: str
    seen: SeenBooking


async def watch_booking(
    context: RequestContext, booking_id: UUID, access_token: str | None, after: str | None
) -> AsyncGenerator[BookingUpdate, None]:
    """Raises BadInput, NotFound; NotFound also ends the stream of one who may not see the booking any more."""
    resume = read_cursor(after)
    snapshot = EventKind.SNAPSHOT if resume is None else EventKind.RESYNC
    while True:
        async with context.services.feed.subscribe({booking_id}) as subscription:
            # First we listen, then we read: what falls between the two comes twice, and positions tell.
            seen, place, missed = await _read(context, booking_id, access_token, resume)
            if missed is None:
                yield BookingUpdate(snapshot, place.cursor(context.now()), "booking.snapshot", seen)
            for event in missed or ():
                if place.is_new(event):
                    yield BookingUpdate(EventKind.CHANGE, place.cursor(context.now()), event.type, seen)
            resume, snapshot = None, EventKind.RESYNC
            try:
                async with aclosing(_follow(place, subscription)) as following:
                    async for event in following:
                        seen = await read_booking(context, booking_id, access_token)
                        yield BookingUpdate(EventKind.CHANGE, place.cursor(context.now()), event.type, seen)
            except FeedOverflow:
                continue


async def _follow(place: Place, subscription: Subscription) -> AsyncGenerator[Event, None]:
    while True:
        for event in await subscription.next(LONGEST_WAIT_S):
            if place.is_new(event):
                yield event


async def _read(
    context: RequestContext, booking_id: UUID, access_token: str | None, resume: Cursor | None
) -> tuple[SeenBooking, Place, list[Event] | None]:
    """All of one snapshot: the booking, where the log stands for it, and what a returning client missed.

    None missed: take the snapshot.
    """
    async with context.read(Door.BOOKING, booking_id) as (tx, tenancy):
        seen = await see_booking(context, tx, tenancy, booking_id, access_token)
        log = await log_state(tx)
        if resume is not None and not can_resume(log, resume, context.now()):
            resume = None
        after = log.last_position if resume is None else resume.position
        events = await events_of_subjects(tx, {booking_id}, after, limit=REPLAY_LIMIT + 1)
    if resume is None or len(events) > REPLAY_LIMIT:
        return seen, Place(log.last_position, {event.id for event in events if event.position is None}), None
    return seen, Place(resume.position, set(resume.seen)), [event for event in events if event.position is not None]
