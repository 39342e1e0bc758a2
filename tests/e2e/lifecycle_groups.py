"""People join bookings of places and leave them; private groups have a whole session."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from app.commands.group_change import AddRequest, RemoveRequest
from app.commands.participant_change import MarkRequest
from app.commands.session_hold import PlacesRequest
from app.domain.participant import ParticipantDetails, ParticipantStatus
from app.resolvers import participant
from app.resolvers import session_hold as places
from tests.e2e.lifecycle_guests import BOOKINGS, METHODS, PARTIES, SESSIONS, Guests
from tests.e2e.lifecycle_invariants import invariant
from tests.e2e.lifecycle_life import Made, operation, pick
from tests.e2e.lifecycle_promises import STEPPED
from tests.e2e.lifecycle_rows import LIVE, Rows

GROWN = STEPPED | {"party_size", "price_minor", "quote", "group_quote"}
MARKS = (ParticipantStatus.CHECKED_IN, ParticipantStatus.NO_SHOW, ParticipantStatus.EXPECTED)
BEA = ParticipantDetails("Bea", None, None)


@dataclass
class Groups(Guests):
    """Customers who bring others."""

    @operation(3, needs="placed", instead="book_places", booking=BOOKINGS, more=2, named=2, who=2)
    async def bring(self, booking: int, more: int, named: int, who: int) -> None:
        chosen = pick(self.placed, booking)
        context, link = self.asking(chosen, who)
        people = (BEA,) * named
        request = AddRequest(chosen.booking_id, people, more + 1 - named, None)
        self.intent.change(chosen.booking_id, GROWN)
        await participant.change_group(context, request, link, None)
        self._grown(chosen, more + 1)

    @operation(3, needs="placed", instead="book_places", booking=BOOKINGS, fewer=2, who=2)
    async def leave(self, booking: int, fewer: int, who: int) -> None:
        """Those who have no name; or one who has."""
        chosen = pick(self.placed, booking)
        context, link = self.asking(chosen, who)
        people = [one["id"] for one in self.rows.participants.get(chosen.key, ()) if one["removed_at"] is None]
        named = tuple(UUID(one) for one in people[:fewer])
        request = RemoveRequest(chosen.booking_id, named, 1, "Ill", None)
        self.intent.change(chosen.booking_id, GROWN)
        await participant.change_group(context, request, link, None)
        self._grown(chosen, -1 - len(named))

    def _grown(self, made: Made, by: int) -> None:
        """Each of them costs what each cost before; a private group has one price."""
        old = self.row_of(made)
        size = old["party_size"] + by
        self.promise(made.booking_id, party_size=size)
        if not old["is_private"]:
            self.promise(made.booking_id, price_minor=old["price_minor"] // old["party_size"] * size)

    @operation(needs="placed", instead="book_places", booking=BOOKINGS, person=2, mark=len(MARKS))
    async def mark(self, booking: int, person: int, mark: int) -> None:
        """Whether somebody came."""
        chosen = pick(self.placed, booking)
        one = pick(list(self.rows.participants.get(chosen.key, ())), person)
        self.intent.change(chosen.booking_id, STEPPED)
        request = MarkRequest(chosen.booking_id, UUID(one["id"]), MARKS[mark], None)
        await participant.change_group(self.owner, request, None, None)

    @operation(2, session=SESSIONS, party=PARTIES, method=METHODS)
    async def book_whole_session(self, session: int, party: int, method: int) -> None:
        request = PlacesRequest(self.session(session), party + 1, is_private=True)
        held = self._keep(*await places.hold_places(self.world.context(None), request, None), None)
        await self._book(held, method)


@invariant
def groups_are_whole(rows: Rows) -> Iterator[str]:
    """No more names than people; a private group is alone, and has all places that there were."""
    for key, booking in rows.bookings.items():
        named = [one for one in rows.participants.get(key, ()) if one["removed_at"] is None]
        if len(named) > booking["party_size"]:
            yield f"booking {key}: {len(named)} names for {booking['party_size']} people"
    for key in rows.sessions:
        live = [one for one in rows.claims if one["session_id"] == key and one["status"] in LIVE]
        if any(one["is_private"] for one in live) and len(live) > 1:
            yield f"session {key}: a private group is not alone"
