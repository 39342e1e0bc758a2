"""One booking, live: each event with the booking as it is now, for as long as the viewer may see it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from app.domain.live_codec import Cursor
from app.queries.booking import SeenBooking
from app.queries.tenancy import Door
from app.resolvers.booking import read_booking, see_booking
from app.resolvers.context import RequestContext
from app.resolvers.live_availability import EventKind
from app.resolvers.live_person import Heard, Opening, may_change_rights, personal_stream, read_missed, viewer_keys


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
        context = self.context
        async with context.read(Door.BOOKING, self.booking_id) as (tx, tenancy):
            seen = await see_booking(context, tx, tenancy, self.booking_id, self.access_token)
            missed = await read_missed(tx, context, {self.booking_id}, resume)
        place = missed.place
        if missed.heard is not None:
            return Opening(place, self._updates(missed.heard, seen))
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
