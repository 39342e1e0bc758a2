"""Sessions that can be had: of an activity between two dates, and near one that cannot."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from uuid import UUID

from app.core.database import Tx
from app.domain.errors import Alternatives, BadInput, FieldErrors, NotFound, SessionSearch
from app.domain.instants import day_bounds, zone
from app.domain.search import MAXIMUM_DAYS, MAXIMUM_PARTY
from app.domain.sessions import SessionStatus, horizon
from app.domain.slots import Slot
from app.queries.session import (
    ActivityAtVenue,
    SeenSession,
    get_activity_at_venue,
    list_sessions,
    nearest_with_room,
)
from app.queries.session_plan import starts_in_hours
from app.queries.session_price import SessionPrices, get_session_prices

ALTERNATIVES = 6
MANY = 200
"""Looked through for alternatives where some of them may be gone by now."""
SESSIONS_AT_ONCE = 6_000
"""Most in one answer: 62 days of every quarter of an hour."""


@dataclass(frozen=True, slots=True)
class FoundSessions:
    place: ActivityAtVenue
    sessions: list[SeenSession]
    prices: SessionPrices


def check_dates(from_date: date, to_date: date) -> FieldErrors:
    errors = FieldErrors()
    days = (to_date - from_date).days + 1
    if days < 1:
        errors.add("to", "must not be before `from`")
    elif days > MAXIMUM_DAYS:
        errors.add("to", f"asks for {days} days; at most {MAXIMUM_DAYS} at once")
    return errors


async def find_sessions(
    tx: Tx, activity_id: UUID, from_date: date, to_date: date, *, party_size: int, now: datetime
) -> FoundSessions:
    """Those that can be booked by so many now. Two statements, and those of `_had` and of the price book.

    Raises BadInput, NotFound.
    """
    errors = check_dates(from_date, to_date)
    if not 1 <= party_size <= MAXIMUM_PARTY:
        errors.add("partySize", f"must be 1 to {MAXIMUM_PARTY}")
    if errors.found:
        raise BadInput(errors.found)
    place = await get_activity_at_venue(tx, activity_id)
    if not place.is_offered:
        raise NotFound
    most = place.activity.max_party_size
    if most is not None and party_size > most:
        raise BadInput.at("partySize", f"must be 1 to {most} for this activity")
    prices = await get_session_prices(tx, place)
    earliest, latest = bookable_between(place, now)
    tz = zone(place.venue.time_zone)
    start, end = max(earliest, day_bounds(from_date, tz)[0]), min(latest, day_bounds(to_date, tz)[1])
    if end <= start:
        return FoundSessions(place, [], prices)
    found = await list_sessions(tx, activity_id, start, end, limit=SESSIONS_AT_ONCE + 1, with_room_for=party_size)
    return FoundSessions(place, await _had(tx, place, _all_of(found)), prices)


async def _had(tx: Tx, place: ActivityAtVenue, found: list[SeenSession]) -> list[SeenSession]:
    """Those that the hours have, where sessions have not followed changed hours yet. Three statements, or none."""
    if place.activity.sessions_follow:
        return found
    starts = [seen.session.starts_at for seen in found]
    had = await starts_in_hours(tx, place.activity.id, zone(place.venue.time_zone), starts)
    return [seen for seen in found if seen.session.starts_at in had]


async def find_all_sessions(
    tx: Tx, activity_id: UUID, from_date: date, to_date: date, statuses: tuple[SessionStatus, ...] | None
) -> FoundSessions:
    """For staff: whatever their state, past ones too. Two statements, and that of the price book.

    Raises BadInput, NotFound.
    """
    errors = check_dates(from_date, to_date)
    if errors.found:
        raise BadInput(errors.found)
    place = await get_activity_at_venue(tx, activity_id)
    tz = zone(place.venue.time_zone)
    start, end = day_bounds(from_date, tz)[0], day_bounds(to_date, tz)[1]
    found = await list_sessions(tx, activity_id, start, end, limit=SESSIONS_AT_ONCE + 1, statuses=statuses)
    return FoundSessions(place, _all_of(found), await get_session_prices(tx, place))


def _all_of(found: list[SeenSession]) -> list[SeenSession]:
    if len(found) > SESSIONS_AT_ONCE:
        raise BadInput.at("to", f"asks for more than {SESSIONS_AT_ONCE} sessions: take fewer days")
    return found


def bookable_between(place: ActivityAtVenue, now: datetime, *, for_staff: bool = False) -> tuple[datetime, datetime]:
    """The starts that notice and horizon leave: from the first, before the second. Staff need no notice."""
    notice = timedelta(minutes=0 if for_staff else place.activity.advance_notice_minutes)
    return now + notice, horizon(now, place.activity.maximum_advance_days, zone(place.venue.time_zone))


async def nearest_sessions(tx: Tx, search: SessionSearch, now: datetime) -> Alternatives:
    """The sessions with room nearest to a refused one, as slots with the price of one place, nearest first.

    Three statements, and those of `_had` and of the price book.
    """
    place = await get_activity_at_venue(tx, search.activity_id)
    found: list[SeenSession] = []
    if place.is_offered:
        earliest, latest = bookable_between(place, now, for_staff=search.for_staff)
        found = await nearest_with_room(
            tx,
            search.activity_id,
            around=search.around,
            earliest=earliest,
            latest=latest,
            party_size=search.party_size,
            limit=ALTERNATIVES if place.activity.sessions_follow else MANY,
        )
        found = (await _had(tx, place, found))[:ALTERNATIVES]
    prices = await get_session_prices(tx, place)
    return Alternatives(tuple(_slot(seen, prices.of(seen, now)) for seen in found), place.currency)


def _slot(seen: SeenSession, price_minor: int) -> Slot:
    session = seen.session
    return Slot(session.starts_at, session.ends_at, (), seen.remaining, price_minor, session.id)
