"""One booking, live: each event with the booking as it is now, for as long as the viewer may see it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from app.domain.live_codec import Cursor
from app.queries.booking import SeenBooking
from app.queries.event import events_of_subjects, log_state
from app.queries.tenancy import Door
from app.resolvers.booking import read_booking, see_booking
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


@dataclass(frozen=True, slots=True)
class BookingUpdate:
    """`type` names the event: `booking.rescheduled`; of a snapshot: `booking.snapshot`."""

    kind: EventKind
    cursor: str
    type: str
    seen: SeenBooking


def watch_booking(
    context: RequestContext, booking_id: UUID, access_token: str | None, after: str | None
) -> AsyncGenerator[BookingUpdate, None]:
    """Raises BadInput, NotFound; NotFound also ends the stream of one who may not see the booking any more."""
    return personal_stream(context, _BookingSource(context, booking_id, access_token), after)


@dataclass(frozen=True, slots=True)
class _BookingSource:
    context: RequestContext
    booking_id: UUID
    access_token: str | None

    async def keys(self) -> tuple[frozenset[UUID], frozenset[UUID]]:
        return frozenset({self.booking_id}), viewer_keys(self.context)

    async def open(self, resume: Cursor | None, kind: EventKind) -> Opening[BookingUpdate]:
        """All of one snapshot."""
        context, subjects = self.context, {self.booking_id}
        async with context.read(Door.BOOKING, self.booking_id) as (tx, tenancy):
            seen = await see_booking(context, tx, tenancy, self.booking_id, self.access_token)
            log = await log_state(tx)
            resume = resumable(log, resume, context)
            after = log.last_position if resume is None else resume.position
            events = await events_of_subjects(tx, subjects, after, limit=REPLAY_LIMIT + 1)
        again = None if resume is None else replayed(resume, events, context)
        if again is not None:
            place, heard = again
            return Opening(place, self._updates(heard, seen))
        place = place_of_snapshot(log, events)
        return Opening(place, [BookingUpdate(kind, place.cursor(context.now()), "booking.snapshot", seen)])

    async def tell(self, heard: Sequence[Heard]) -> tuple[Sequence[BookingUpdate], bool]:
        own = [one for one in heard if one.event.subject_id == self.booking_id]
        if not own and not any(may_change_rights(one.event) for one in heard):
            return (), False
        seen = await read_booking(self.context, self.booking_id, self.access_token)
        return self._updates(own, seen), False

    @staticmethod
    def _updates(heard: Iterable[Heard], seen: SeenBooking) -> list[BookingUpdate]:
        return [BookingUpdate(EventKind.CHANGE, one.cursor, one.event.type, seen) for one in heard]
