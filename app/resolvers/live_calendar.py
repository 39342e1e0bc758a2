"""A provider's bookings of some days, live: all of them at first, then those that each event concerns."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

from app.core.database import Tx
from app.domain.errors import BadInput, NotFound
from app.domain.live_codec import Cursor
from app.domain.policy import ActorKind
from app.models import Booking
from app.queries.booking import SeenBooking
from app.queries.event import Event, events_told, events_waiting, log_state
from app.queries.provider_bookings import (
    BOOKINGS_AT_ONCE,
    CalendarDays,
    get_venue_zone,
    list_bookings_of_days,
    list_those_in_days,
)
from app.queries.session_search import check_dates
from app.queries.tenancy import Door, Tenancy
from app.resolvers.context import RequestContext
from app.resolvers.live_availability import REPLAY_LIMIT, EventKind
from app.resolvers.live_person import (
    Heard,
    Opening,
    may_change_rights,
    personal_stream,
    place_of_snapshot,
    replayed,
    resumable,
    viewer_keys,
)

TOLD_OF_BOOKINGS = ("booking.", "payment.", "refund.", "fee.")
"""Events whose subject is a booking."""


@dataclass(frozen=True, slots=True)
class CalendarUpdate:
    """`type` names the event: `booking.rescheduled`; of a snapshot: `calendar.snapshot`. `gone`: bookings that the
    days, or the provider, have no more."""

    kind: EventKind
    cursor: str
    type: str
    bookings: tuple[SeenBooking, ...]
    gone: tuple[UUID, ...] = ()


def watch_calendar(
    context: RequestContext, provider_id: UUID, from_date: date, to_date: date, after: str | None
) -> AsyncGenerator[CalendarUpdate, None]:
    """For the provider and the staff. Raises BadInput, Unauthenticated, NotFound; NotFound also ends the stream of one
    who is neither any more."""
    errors = check_dates(from_date, to_date)
    if errors.found:
        raise BadInput(errors.found)
    return personal_stream(context, _CalendarSource(context, provider_id, from_date, to_date), after)


@dataclass(slots=True)
class _CalendarSource:
    """`shown`: what a client that has followed has in its days."""

    context: RequestContext
    provider_id: UUID
    from_date: date
    to_date: date
    shown: set[UUID] = field(default_factory=set)

    async def keys(self) -> tuple[frozenset[UUID], frozenset[UUID]]:
        self.context.require_viewer()
        return frozenset(), viewer_keys(self.context) | {self.provider_id}

    async def open(self, resume: Cursor | None, kind: EventKind) -> Opening[CalendarUpdate]:
        """All of one snapshot."""
        context, provider_id = self.context, self.provider_id
        async with context.read(Door.PROVIDER, provider_id) as (tx, tenancy):
            days = await self._days(tx, tenancy)
            found = await list_bookings_of_days(tx, days)
            if len(found) > BOOKINGS_AT_ONCE:
                raise BadInput.at("to", f"these days have more than {BOOKINGS_AT_ONCE} bookings: ask for fewer")
            log = await log_state(tx)
            resume = resumable(log, resume, context)
            if resume is None:
                waiting = await events_waiting(tx, tenancy.organization_id, provider_id, limit=REPLAY_LIMIT)
                again = None
            else:
                waiting = []
                missed = await events_told(tx, {provider_id}, resume.position, limit=REPLAY_LIMIT + 1)
                again = replayed(resume, missed, context)
        by_id = {booking.id: booking for booking in found}
        self.shown = set(by_id)
        if again is not None:
            place, heard = again
            return Opening(place, self._changes(heard, by_id, tenancy))
        place = place_of_snapshot(log, waiting)
        bookings = tuple(_see(booking, tenancy) for booking in found)
        snapshot = CalendarUpdate(kind, place.cursor(context.now()), "calendar.snapshot", bookings)
        return Opening(place, [snapshot])

    async def tell(self, heard: Sequence[Heard]) -> tuple[Sequence[CalendarUpdate], bool]:
        about = [one for one in heard if self._is_about(one.event)]
        if not about and not any(may_change_rights(one.event) for one in heard):
            return (), False
        async with self.context.read(Door.PROVIDER, self.provider_id) as (tx, tenancy):
            days = await self._days(tx, tenancy)
            ids = list(dict.fromkeys(one.event.subject_id for one in about))
            by_id = await list_those_in_days(tx, days, ids) if ids else {}
        # What was never in these days is none of this client's business.
        left = self.shown.difference(by_id).intersection(ids)
        told = [one for one in about if one.event.subject_id in by_id or one.event.subject_id in left]
        self.shown -= left
        self.shown |= by_id.keys()
        return self._changes(told, by_id, tenancy), False

    async def _days(self, tx: Tx, tenancy: Tenancy) -> CalendarDays:
        """One statement. Raises NotFound for one who may not look."""
        if not tenancy.is_staff and tenancy.provider_id != self.provider_id:
            raise NotFound
        return CalendarDays(self.provider_id, self.from_date, self.to_date, await get_venue_zone(tx, self.provider_id))

    def _is_about(self, event: Event) -> bool:
        return self.provider_id in event.audience and event.type.startswith(TOLD_OF_BOOKINGS)

    def _changes(self, heard: Iterable[Heard], by_id: Mapping[UUID, Booking], tenancy: Tenancy) -> list[CalendarUpdate]:
        """Each event with its booking as it is now. One that is not in these days is told to be gone, once."""
        updates: list[CalendarUpdate] = []
        gone: set[UUID] = set()
        for one in heard:
            event, booking = one.event, by_id.get(one.event.subject_id)
            if not self._is_about(event) or event.subject_id in gone:
                continue
            if booking is not None:
                seen = (_see(booking, tenancy),)
                updates.append(CalendarUpdate(EventKind.CHANGE, one.cursor, event.type, seen))
            else:
                gone.add(event.subject_id)
                updates.append(CalendarUpdate(EventKind.CHANGE, one.cursor, event.type, (), (event.subject_id,)))
        return updates


def _see(booking: Booking, tenancy: Tenancy) -> SeenBooking:
    """A provider looks on at what is others': a visit in which they do a later service, or their session's bookings."""
    if tenancy.role is not None:
        return SeenBooking(booking, ActorKind(tenancy.role))
    return SeenBooking(booking, ActorKind.PROVIDER, is_onlooker=booking.provider_id != tenancy.provider_id)
