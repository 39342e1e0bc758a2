"""Places of one session, live, for whoever is looking at them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from app.domain import place_watch
from app.domain.errors import BadInput, SessionSearch
from app.domain.live import AvailabilityCause
from app.domain.live_codec import Cursor
from app.domain.place_watch import PlacesWatch, WatchedPlaces
from app.domain.presence import Look
from app.domain.search import MAXIMUM_PARTY
from app.domain.slot_watch import ALTERNATIVES, SlotLook, SlotStatus
from app.queries.event import Event, events_of_subjects, log_state
from app.queries.own_claims import IsToken, booked_places, own_places
from app.queries.session import get_bookable, get_places, get_session
from app.queries.session_price import get_session_prices
from app.queries.session_search import nearest_sessions
from app.queries.tenancy import Door
from app.resolvers.context import RequestContext
from app.resolvers.live_availability import REPLAY_LIMIT, can_resume
from app.resolvers.live_place import Place
from app.resolvers.slot_fold import Reading, Reconfigured, SlotFold, place_of, reading_of

_CONFIGURATION_EVENTS = frozenset({"activity.updated", "venue.updated", "prices.changed"})


@dataclass(frozen=True, slots=True)
class PlacesWanted:
    """So many places of one session."""

    session_id: UUID
    party_size: int


@dataclass(slots=True)
class _Fold(SlotFold):
    """A SlotFold over claims of places."""

    state: PlacesWatch
    place: Place
    currency: str

    @property
    def now(self) -> datetime:
        return self.state.now

    @property
    def people(self) -> int:
        return 0

    def look(self) -> SlotLook:
        return place_watch.look(self.state)

    def looked_at(self) -> Look | None:
        """Sessions are nobody's day."""
        return None

    def take(self, event: Event) -> AvailabilityCause | None:
        if event.subject_id != self.state.watched.session_id:
            if event.type in _CONFIGURATION_EVENTS:
                raise Reconfigured(None)
            return None
        self.state = place_watch.apply(self.state, event.payload)
        return AvailabilityCause[event.payload["cause"]]

    def pass_time(self, now: datetime) -> AvailabilityCause:
        self.state, cause = place_watch.tick(self.state, now)
        return cause

    def next_tick(self) -> datetime | None:
        return place_watch.next_tick(self.state)


@dataclass(frozen=True, slots=True)
class SlotOfSession:
    """A SlotSource: of places of a session. `own`: the viewer's own claims."""

    context: RequestContext
    wanted: PlacesWanted
    own: frozenset[UUID] = frozenset()

    async def read(self, resume: Cursor | None) -> Reading:
        session_id = self.wanted.session_id
        async with self.context.read(Door.SESSION, session_id) as (tx, _):
            found = await get_bookable(tx, session_id)
            activity, venue = found.activity, found.place.venue
            subjects = frozenset((session_id, activity.id, venue.id, activity.organization_id))
            prices = await get_session_prices(tx, found.place)
            places = await get_places(tx, session_id, for_staff=True)
            booked = await booked_places(tx, self.own - places.held.keys())
            log = await log_state(tx)
            after = log.last_position if resume is None else resume.position
            events = await events_of_subjects(tx, subjects, after, limit=REPLAY_LIMIT + 1)
            resumes = resume is not None and can_resume(log, resume, self.context.now())
        now = self.context.now()
        watched = WatchedPlaces(
            session_id=session_id,
            starts_at=found.session.starts_at,
            ends_at=found.session.ends_at,
            party_size=self.wanted.party_size,
            notice=timedelta(minutes=activity.advance_notice_minutes),
            maximum_advance_days=activity.maximum_advance_days,
            is_offered=found.place.is_offered,
            place_minor=prices.place_minor,
            time_zone=prices.time_zone,
            tariff=prices.tariff,
            own=self.own,
        )
        unnumbered = frozenset(event.id for event in events if event.position is None)
        place, at, missed = Place(log.last_position, set(unnumbered)), now, None
        if resume is not None and resumes and _saw_all(events, resume):
            place, at, missed = place_of(resume, events), resume.at, events
        state = PlacesWatch(watched, places, at, booked)
        return reading_of(_Fold(state, place, prices.currency), subjects, log.last_position, missed, resume)

    async def complete(self, look: SlotLook) -> SlotLook:
        """With the nearest sessions that have room, as they are when it is told."""
        if look.status in {SlotStatus.FREE, SlotStatus.YOURS}:
            return look
        async with self.context.read(Door.SESSION, self.wanted.session_id) as (tx, tenancy):
            session = (await get_bookable(tx, self.wanted.session_id)).session
            search = SessionSearch(
                tenancy.organization_id, session.activity_id, session.starts_at, self.wanted.party_size
            )
            found = await nearest_sessions(tx, search, self.context.now())
        others = [slot for slot in found.slots if slot.session_id != self.wanted.session_id]
        return replace(look, alternatives=tuple(others[:ALTERNATIVES]))

    def reason(self, before: SlotFold, after: SlotFold) -> AvailabilityCause:
        slots = before.look().slot, after.look().slot
        return AvailabilityCause.SCHEDULE if None in slots else AvailabilityCause.PRICE


def _saw_all(events: Sequence[Event], resume: Cursor) -> bool:
    """Has nothing happened since? The past of a session is not kept: who missed something takes it as it is now."""
    return all(event.id in resume.seen for event in events)


async def open_session(context: RequestContext, wanted: PlacesWanted, is_token: IsToken | None) -> frozenset[UUID]:
    """May it be looked at? The bearer's own claims of its places. Raises BadInput, NotFound."""
    if not 1 <= wanted.party_size <= MAXIMUM_PARTY:
        raise BadInput.at("input.partySize", f"must be 1 to {MAXIMUM_PARTY}")
    async with context.read(Door.SESSION, wanted.session_id) as (tx, _):
        await get_session(tx, wanted.session_id, for_staff=False)
        found = await get_bookable(tx, wanted.session_id)
        most = found.activity.max_party_size
        if most is not None and wanted.party_size > most:
            raise BadInput.at("input.partySize", f"must be 1 to {most} for this activity")
        return frozenset() if is_token is None else await own_places(tx, wanted.session_id, is_token)
