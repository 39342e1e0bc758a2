"""Places of one session as somebody looks at them: the twin of `slot_watch`, a pure fold over the session's events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from app.domain import live_session
from app.domain.instants import day_bounds, local_date
from app.domain.live import AvailabilityCause
from app.domain.live_session import PlacesState
from app.domain.money import MAXIMUM_MINOR
from app.domain.occupancy import places_occupancy_bps
from app.domain.plan import Slot
from app.domain.sessions import SessionStatus, horizon
from app.domain.slot_watch import SlotLook, SlotStatus
from app.domain.start_prices import price_at
from app.domain.tariff import Tariff

_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class WatchedPlaces:
    """What is looked at, apart from claims and time. `time_zone`: the venue's.

    `own`: ids of the viewer's own claims.
    """

    session_id: UUID
    starts_at: datetime
    ends_at: datetime
    party_size: int
    notice: timedelta
    maximum_advance_days: int
    is_offered: bool
    place_minor: int
    time_zone: ZoneInfo
    tariff: Tariff | None
    own: frozenset[UUID] = frozenset()


@dataclass(frozen=True, slots=True)
class PlacesWatch:
    """As of `now`. `booked`: those of the own claims that became a booking."""

    watched: WatchedPlaces
    places: PlacesState
    now: datetime
    booked: frozenset[UUID] = frozenset()

    def has_own(self) -> bool:
        """Does the viewer hold, or have, places of it?"""
        held = (self.places.held.get(claim) for claim in self.watched.own)
        return bool(self.booked) or any(claim is not None and claim.until > self.now for claim in held)

    def held(self) -> int:
        """Places that others hold."""
        return sum(claim.places for claim in self.places.held.values() if claim.until > self.now)


def apply(state: PlacesWatch, payload: Mapping[str, Any]) -> PlacesWatch:
    """The state after an event of the session, at the state's own instant."""
    booked = state.booked
    claim_id = None if payload.get("claimId") is None else UUID(payload["claimId"])
    if claim_id in state.watched.own:
        # An event without numbers says that the claim stands, for longer or for good.
        is_booked = payload.get("taken") is None and payload["heldUntil"] is None
        booked = booked | {claim_id} if is_booked else booked - {claim_id}
    return replace(state, places=live_session.apply(state.places, payload), booked=booked)


def tick(state: PlacesWatch, now: datetime) -> tuple[PlacesWatch, AvailabilityCause]:
    """Time alone, and what to call it: RELEASED where a hold ran out, else TIME."""
    lapsed = any(state.now < claim.until <= now for claim in state.places.held.values())
    later = replace(state, now=max(state.now, now))
    return later, AvailabilityCause.RELEASED if lapsed else AvailabilityCause.TIME


def next_tick(state: PlacesWatch) -> datetime | None:
    """When time alone may change what is seen."""
    watched = state.watched
    found = [state.places.next_lapse(state.now), watched.starts_at - watched.notice + _INSTANT, watched.starts_at]
    if _is_too_far(watched, state.now):
        found.append(day_bounds(local_date(state.now, watched.time_zone), watched.time_zone)[1])
    if watched.tariff is not None:
        found += [watched.starts_at - timedelta(minutes=bound) + _INSTANT for bound in watched.tariff.lead_bounds]
    return min((instant for instant in found if instant is not None and instant > state.now), default=None)


def look(state: PlacesWatch) -> SlotLook:
    """Without alternatives: those are other sessions, which this one knows nothing of."""
    if state.has_own():
        return SlotLook(SlotStatus.YOURS, _slot(state))
    status = _status(state)
    return SlotLook(status, _slot(state) if status is SlotStatus.FREE else None)


def _is_too_far(watched: WatchedPlaces, now: datetime) -> bool:
    """Until one of the venue's midnights."""
    return watched.starts_at >= horizon(now, watched.maximum_advance_days, watched.time_zone)


def _status(state: PlacesWatch) -> SlotStatus:
    watched, places = state.watched, state.places
    if not watched.is_offered or places.is_legacy or places.status is not SessionStatus.OPEN:
        return SlotStatus.CLOSED
    if watched.starts_at <= state.now or watched.starts_at < state.now + watched.notice:
        return SlotStatus.PASSED
    if _is_too_far(watched, state.now):
        return SlotStatus.CLOSED
    free = places.remaining(state.now)
    if free >= watched.party_size:
        return SlotStatus.FREE
    return SlotStatus.HELD if free + state.held() >= watched.party_size else SlotStatus.TAKEN


def _slot(state: PlacesWatch) -> Slot:
    watched = state.watched
    free = state.places.remaining(state.now)
    return Slot(watched.starts_at, watched.ends_at, (), free, _price(state), watched.session_id)


def _price(state: PlacesWatch) -> int:
    """Of one place, with tax where it is added. More than can be charged is told as the most that can be said."""
    watched, places = state.watched, state.places
    if watched.tariff is None:
        return watched.place_minor
    lapsed = sum(claim.places for claim in places.held.values() if claim.until <= state.now)
    fullness = places_occupancy_bps(places.capacity, places.taken - lapsed)
    price = price_at(
        watched.tariff,
        watched.place_minor,
        watched.starts_at,
        watched.time_zone,
        now=state.now,
        occupancy_bps=fullness,
    )
    return MAXIMUM_MINOR if price is None else price
