"""What becomes of each date of a series of sessions: the session that begins then, by the venue's clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from app.commands.hold_price import Wanted, quote_of_places
from app.commands.series_plan import (
    ChosenDate,
    PlannedDate,
    Planning,
    SeriesPlan,
    SeriesRequest,
    WantedDate,
    count_customer,
    wanted_dates,
)
from app.commands.session_hold import Refusing, check_bookable, new_places_hold
from app.core.database import Tx
from app.domain.errors import FieldErrors, NotFound, SlotUnavailable
from app.domain.instants import zone
from app.domain.plan import Refusal, Slot, UnavailableReason
from app.domain.price_book import PriceBook
from app.domain.search import MAXIMUM_PARTY
from app.domain.series import ALTERNATIVES, REACH, SeriesDate
from app.queries.price_rule import get_price_book
from app.queries.series import get_series_terms, list_sessions_at
from app.queries.session import (
    ActivityAtVenue,
    BookableSession,
    SeenSession,
    get_activity_at_venue,
    list_sessions,
    lock_sessions,
)
from app.queries.session_plan import starts_in_hours
from app.queries.session_price import SessionPrices, get_session_prices
from app.queries.session_search import SESSIONS_AT_ONCE, bookable_between
from app.queries.tenancy import Tenancy

_NOT_THERE = Refusal(UnavailableReason.CLOSED, "No session begins at this time.")
_NO_MORE = Refusal(UnavailableReason.CLOSED, "This session takes no more bookings: the schedule has it no more.")


async def plan_sessions(
    tx: Tx, request: SeriesRequest, chosen: Sequence[ChosenDate] | None, planning: Planning
) -> SeriesPlan:
    """Three statements; one more each for an unknown price book, limits of customers, locks and alternatives; three
    where the activity's sessions have not followed changed hours yet. Raises NotFound, InvalidInput."""
    assert request.activity_id is not None
    tenancy, now = planning.tenancy, planning.now
    place = await get_activity_at_venue(tx, request.activity_id)
    _check(request, chosen, place, tenancy)
    tz = zone(place.venue.time_zone)
    wanted = wanted_dates(request, chosen, tz)
    starts = [one.starts_at for one in wanted]
    organization = place.organization
    terms = await get_series_terms(tx, organization.id)
    count = await count_customer(tx, organization.id, terms.limits, planning.who, starts, tz=tz)
    sessions = await list_sessions_at(tx, place.activity.id, starts)
    if planning.is_final:
        locked = await lock_sessions(tx, [seen.session.id for seen in sessions.values()])
        sessions = {start: SeenSession(locked[seen.session.id], seen.lapsed) for start, seen in sessions.items()}
    had = set(sessions)
    if not place.activity.sessions_follow:
        had = await starts_in_hours(tx, place.activity.id, tz, sorted(sessions))
    book = await get_price_book(tx, organization.id, organization.price_version)
    dates = []
    for one in wanted:
        refusal = one.refusal or count.refusal(one.starts_at)
        dates.append(
            _date(
                one,
                refusal,
                sessions.get(one.starts_at),
                place,
                party_size=request.party_size,
                book=book,
                planning=planning,
                is_had=one.starts_at in had,
            )
        )
        if dates[-1].session is not None:
            count.add(one.starts_at)
    if any(one.session is None for one in dates):
        dates = await _with_alternatives(tx, dates, place, request.party_size, now, for_staff=tenancy.is_staff)
    return SeriesPlan(organization.id, tz.key, organization.currency, tuple(dates), terms, place=place)


def _check(
    request: SeriesRequest, chosen: Sequence[ChosenDate] | None, place: ActivityAtVenue, tenancy: Tenancy
) -> None:
    if not place.is_offered and not tenancy.is_staff:
        raise NotFound
    errors = FieldErrors()
    least, most = place.activity.minimum_party_size, place.activity.max_party_size or MAXIMUM_PARTY
    if not least <= request.party_size <= most:
        errors.add("input.partySize", f"must be {least} to {most} for this activity")
    for at, one in enumerate(chosen or ()):
        if one.provider_id is not None:
            errors.add(f"input.dates.{at}.providerId", "is for appointments; a session has its own people")
    errors.raise_any()


def _date(
    one: WantedDate,
    refusal: Refusal | None,
    seen: SeenSession | None,
    place: ActivityAtVenue,
    *,
    party_size: int,
    book: PriceBook,
    planning: Planning,
    is_had: bool,
) -> PlannedDate:
    ends_at = one.starts_at + timedelta(minutes=place.activity.duration_minutes)
    if refusal is None:
        refusal = why_not_session(
            seen, place, party_size, planning.now, for_staff=planning.tenancy.is_staff, is_had=is_had
        )
    if refusal is not None or seen is None:
        return PlannedDate(SeriesDate(one.index, one.starts_at, ends_at, refusal or _NOT_THERE))
    found = BookableSession(seen.session, place)
    is_member = planning.account is not None
    quote = quote_of_places(
        found,
        book,
        Wanted(party_size, place.activity.price_minor),
        seen.lapsed,
        now=planning.now,
        fees=planning.fees,
        is_member=is_member,
    )
    hold = new_places_hold(seen.session, quote, party_size, user_id=planning.account)
    verdict = SeriesDate(
        one.index, one.starts_at, seen.session.ends_at, session_id=seen.session.id, price_minor=quote.total_minor
    )
    return PlannedDate(verdict, hold, session=found)


def why_not_session(
    seen: SeenSession | None,
    place: ActivityAtVenue,
    party_size: int,
    now: datetime,
    *,
    for_staff: bool,
    is_had: bool,
    freed: int = 0,
) -> Refusal | None:
    """State, hours, notice, horizon and places. `is_had`: do the activity's hours have it? `freed`: places that the
    same change gives back."""
    if seen is None:
        return _NOT_THERE
    found = BookableSession(seen.session, place)
    try:
        check_bookable(found, Refusing.of(found, party_size, for_staff=for_staff), now)
    except SlotUnavailable as refused:
        return Refusal(refused.reason, refused.message)
    if not is_had:
        return _NO_MORE
    left = seen.remaining + freed
    if left < party_size:
        places = "place" if left == 1 else "places"
        return Refusal(UnavailableReason.CAPACITY, f"This session has {left} {places} left.")
    return None


async def _with_alternatives(
    tx: Tx,
    dates: Sequence[PlannedDate],
    place: ActivityAtVenue,
    party_size: int,
    now: datetime,
    *,
    for_staff: bool,
) -> list[PlannedDate]:
    """Other sessions with room within a week of each refused date, nearest first. One statement, and of hours."""
    refused = [one.verdict.starts_at for one in dates if one.session is None]
    earliest, latest = bookable_between(place, now, for_staff=for_staff)
    low, high = max(earliest, min(refused) - REACH), min(latest, max(refused) + REACH)
    near: list[SeenSession] = []
    if place.is_offered and low < high:
        near = await list_sessions(tx, place.activity.id, low, high, limit=SESSIONS_AT_ONCE, with_room_for=party_size)
        if not place.activity.sessions_follow:
            tz = zone(place.venue.time_zone)
            had = await starts_in_hours(tx, place.activity.id, tz, [seen.session.starts_at for seen in near])
            near = [seen for seen in near if seen.session.starts_at in had]
    prices = await get_session_prices(tx, place)
    return [one if one.session is not None else _elsewhere(one, near, prices, now) for one in dates]


def _elsewhere(one: PlannedDate, near: Sequence[SeenSession], prices: SessionPrices, now: datetime) -> PlannedDate:
    around = one.verdict.starts_at
    close = [
        seen for seen in near if 0 < abs((seen.session.starts_at - around).total_seconds()) <= REACH.total_seconds()
    ]
    close.sort(key=lambda seen: (abs(seen.session.starts_at - around), seen.session.starts_at))
    slots = tuple(_slot(seen, prices.of(seen, now)) for seen in close[:ALTERNATIVES])
    return replace(one, verdict=replace(one.verdict, alternatives=slots))


def _slot(seen: SeenSession, price_minor: int) -> Slot:
    session = seen.session
    return Slot(session.starts_at, session.ends_at, (), seen.remaining, price_minor, session.id)
