"""Where bookings that new hours leave outside could go: read once for all, whether or not the hours are written."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, bindparam, select, text

from app.core.database import Tx
from app.domain.busy import Busy
from app.domain.instants import MAXIMUM_INSTANT
from app.domain.plan import MAXIMUM_WINDOW_DAYS, Need, ProviderPlan, Slot, SlotRules, Window
from app.domain.sessions import COMING_MAXIMUM, SessionHours, SessionStatus, horizon
from app.domain.slots import nearest
from app.domain.visits import visit_claims_window, visit_slots
from app.models import ActivitySession, Booking, BookingItem
from app.queries.busy import list_busy
from app.queries.commitment import Affected
from app.queries.hours import OwnerHours, hours_of_providers
from app.queries.session import SeenSession, get_activity_at_venue, list_sessions
from app.queries.session_search import bookable_between

ALTERNATIVES = 6
CLOSE_REACH = timedelta(days=3)
"""Where so near enough is free, the rest is not looked at."""
REACH = timedelta(days=14)
FURTHER_REACH = timedelta(days=62)
"""How much further is looked when two weeks on both sides hold nothing."""
SESSIONS_READ = 5_000
FEW = 20
"""So many bookings are looked after in a few milliseconds."""


class Relocations(NamedTuple):
    """The free slots nearest to each booking under the new hours, nearest first, at most six, at the price it has."""

    slots: Mapping[UUID, tuple[Slot, ...]]
    """By booking id."""

    def of(self, booking_id: UUID) -> tuple[Slot, ...]:
        return self.slots.get(booking_id, ())


async def find_relocations(
    tx: Tx, affected: Sequence[Affected], hours: Mapping[UUID, OwnerHours], now: datetime
) -> Relocations:
    """For all at once: two statements, three more where somebody without new hours takes part in a visit.

    `hours` are those of the owners whose hours change, as they will be. Bookings of sessions get other sessions of
    their activity: two statements.
    """
    visits = [one for one in affected if one.booking.session_id is None and one.items]
    sessions = [one.booking for one in affected if one.booking.session_id is not None]
    slots: dict[UUID, tuple[Slot, ...]] = {}
    if visits:
        slots |= await _of_visits(tx, visits, hours, now)
    for activity in hours.values():
        if activity.session_minutes is not None and sessions:
            slots |= await _of_sessions(tx, sessions, activity, now)
    return Relocations(slots)


# ── appointments ──────────────────────────────────────────────────────────────────────────────────────


class _Offered(NamedTuple):
    """A service as one provider gives it now."""

    maximum_advance_days: int
    needs: tuple[Need, ...]


@dataclass(frozen=True, slots=True)
class _Visit:
    """A booking and how its services would be done elsewhere: as booked, under the hours that will be."""

    booking: Booking
    items: tuple[BookingItem, ...]
    plans: tuple[tuple[ProviderPlan], ...]
    rules: SlotRules

    def windows(self) -> tuple[Window, Window, Window]:
        """The days on both sides of it, two weeks on both sides, and what comes after them."""
        now, around = self.rules.now, self.booking.starts_at
        latest = min(now + timedelta(days=MAXIMUM_WINDOW_DAYS), MAXIMUM_INSTANT)
        close, wide = ((max(now, around - reach), min(around + reach, latest)) for reach in (CLOSE_REACH, REACH))
        return Window(*close), Window(*wide), Window(wide[1], min(wide[1] + FURTHER_REACH, latest))

    def slots(self, busy: Mapping[UUID, Collection[Busy]]) -> tuple[Slot, ...]:
        free = self._without_itself(busy)
        here = (self.booking.starts_at, self.booking.ends_at)
        for window, enough in zip(self.windows(), (ALTERNATIVES, 1, 1), strict=True):
            found = visit_slots(self.plans, free, window, self.rules)
            elsewhere = [slot for slot in found if (slot.starts_at, slot.ends_at) != here]
            if len(elsewhere) >= enough:
                return tuple(nearest(elsewhere, self.booking.starts_at, ALTERNATIVES))
        return ()

    def _without_itself(self, busy: Mapping[UUID, Collection[Busy]]) -> Mapping[UUID, Collection[Busy]]:
        """Moving gives its own time back first. No two claims of one subject have the same times."""
        own = {(item.starts_at, item.ends_at) for item in self.items}
        subjects = {subject for (plan,) in self.plans for subject in plan.subjects()}
        return {
            subject: [claim for claim in busy.get(subject, ()) if not (claim.is_claim and claim.service_range() in own)]
            for subject in subjects
        }


async def _of_visits(
    tx: Tx, affected: Sequence[Affected], hours: Mapping[UUID, OwnerHours], now: datetime
) -> dict[UUID, tuple[Slot, ...]]:
    items = [item for one in affected for item in one.items]
    known = dict(hours)
    others = sorted({item.provider_id for item in items} - known.keys())
    if others:
        first, last = min(item.starts_at for item in items), max(item.ends_at for item in items)
        until = last + REACH + FURTHER_REACH
        known |= await hours_of_providers(tx, others, max(now, first - REACH).date(), until.date())
    offered = await _offers(tx, items)
    visits = [visit for visit in (_visit(one, known, offered, now) for one in affected) if visit is not None]
    if not visits:
        return {}
    busy = await _busy(tx, visits)
    if len(visits) <= FEW:
        return _all_slots(visits, busy)
    return await asyncio.to_thread(_all_slots, visits, busy)  # everybody else's requests go on meanwhile


def _all_slots(visits: Sequence[_Visit], busy: Mapping[UUID, Collection[Busy]]) -> dict[UUID, tuple[Slot, ...]]:
    return {visit.booking.id: visit.slots(busy) for visit in visits}


def _visit(
    one: Affected, hours: Mapping[UUID, OwnerHours], offered: Mapping[tuple[UUID, UUID], _Offered], now: datetime
) -> _Visit | None:
    """None where somebody does not give their service any more."""
    offers = [offered.get((item.service_id, item.provider_id)) for item in one.items]
    plans = [
        replace(
            hours[item.provider_id].plan(
                round((item.ends_at - item.starts_at) / timedelta(minutes=1)),
                item.buffer_before_minutes,
                item.buffer_after_minutes,
            ),
            price_minor=item.price_minor,
            needs=offer.needs,
        )
        for item, offer in zip(one.items, offers, strict=True)
        if offer is not None and item.provider_id in hours
    ]
    if len(plans) < len(one.items):
        return None
    days = min(offer.maximum_advance_days for offer in offers if offer is not None)
    return _Visit(one.booking, one.items, tuple((plan,) for plan in plans), SlotRules(now, maximum_advance_days=days))


_OFFERS = text(
    """
    SELECT f.service_id, f.provider_id, s.maximum_advance_days, needed.needs
    FROM offer f
    JOIN service s ON s.id = f.service_id AND s.is_active
    JOIN provider p ON p.id = f.provider_id AND p.is_active
    JOIN venue v ON v.id = p.venue_id AND v.is_active
    CROSS JOIN LATERAL (
        SELECT COALESCE(jsonb_agg(jsonb_build_array(n.quantity, ARRAY(
            SELECT u.id FROM resource r JOIN resource_unit u ON u.resource_id = r.id AND u.is_active
            WHERE r.id = ANY(n.resource_ids) AND r.is_active AND r.venue_id = v.id ORDER BY r.id, u.number
        )) ORDER BY n.position), '[]') AS needs
        FROM resource_need n WHERE n.owner_id = s.id
    ) needed
    WHERE f.is_active AND f.service_id = ANY(:service_ids) AND f.provider_id = ANY(:provider_ids)
    """
).bindparams(bindparam("service_ids", type_=ARRAY(Uuid)), bindparam("provider_ids", type_=ARRAY(Uuid)))


async def _offers(tx: Tx, items: Sequence[BookingItem]) -> dict[tuple[UUID, UUID], _Offered]:
    """By service and provider, those that can be booked now. One statement."""
    rows = await tx.execute(
        _OFFERS,
        {
            "service_ids": sorted({item.service_id for item in items}),
            "provider_ids": sorted({item.provider_id for item in items}),
        },
    )
    return {
        (row.service_id, row.provider_id): _Offered(
            row.maximum_advance_days,
            tuple(Need(quantity, tuple(UUID(unit) for unit in units)) for quantity, units in row.needs),
        )
        for row in rows
    }


async def _busy(tx: Tx, visits: Sequence[_Visit]) -> dict[UUID, Collection[Busy]]:
    """Whatever takes the time of anybody or anything in them. One statement."""
    known = [visit_claims_window(visit.plans, window) for visit in visits for window in visit.windows()]
    subjects = {subject for visit in visits for (plan,) in visit.plans for subject in plan.subjects()}
    busy = await list_busy(
        tx, sorted(subjects), min(window.from_utc for window in known), max(window.to_utc for window in known)
    )
    return {subject: claims.values() for subject, claims in busy.items()}


# ── sessions ──────────────────────────────────────────────────────────────────────────────────────────


async def _of_sessions(
    tx: Tx, bookings: Sequence[Booking], hours: OwnerHours, now: datetime
) -> dict[UUID, tuple[Slot, ...]]:
    """Other sessions that the new hours have: those that are there, and those that will be made."""
    place = await get_activity_at_venue(tx, hours.owner_id)
    earliest, latest = bookable_between(place, now, for_staff=True)
    there = await list_sessions(tx, hours.owner_id, earliest, latest, limit=SESSIONS_READ)
    made_until = horizon(now, place.activity.session_horizon_days, hours.time_zone)
    # Thousands of sessions, looked through for each booking: everybody else's requests go on meanwhile.
    return await asyncio.to_thread(
        _other_sessions, bookings, hours.of_sessions(), there, earliest, made_until, place.activity.capacity
    )


def _other_sessions(  # noqa: PLR0917
    bookings: Sequence[Booking],
    hours: SessionHours,
    there: Sequence[SeenSession],
    earliest: datetime,
    made_until: datetime,
    capacity: int,
) -> dict[UUID, tuple[Slot, ...]]:
    known = {seen.session.starts_at: seen for seen in there}
    room: list[tuple[datetime, datetime, int]] = []
    last = max(made_until, max(known, default=earliest) + timedelta(minutes=1))
    for time in islice(hours.between(earliest, last), COMING_MAXIMUM):  # more of them are never made
        seen = known.get(time.starts_at)
        if seen is not None:
            room.append((seen.session.starts_at, seen.session.ends_at, _places(seen)))
        elif time.starts_at < made_until:
            room.append((time.starts_at, time.ends_at, capacity))
    return {
        booking.id: tuple(
            nearest(
                (
                    Slot(start, end, (), left, booking.price_minor, _session_id(known, start))
                    for start, end, left in room
                    if left >= booking.party_size and start != booking.starts_at
                ),
                booking.starts_at,
                ALTERNATIVES,
            )
        )
        for booking in bookings
    }


def _places(seen: SeenSession) -> int:
    """What is left once the hours have the session again: a legacy one comes back, one that people closed does not."""
    session = seen.session
    is_called_off = session.status == SessionStatus.CANCELLED.value and session.cancelled_reason is None
    if session.status != SessionStatus.OPEN.value and not is_called_off:
        return 0
    return max(0, session.capacity - session.taken + seen.lapsed)


def _session_id(known: Mapping[datetime, SeenSession], start: datetime) -> UUID | None:
    seen = known.get(start)
    return None if seen is None else seen.session.id


async def find_session_at(tx: Tx, activity_id: UUID, starts_at: datetime) -> UUID | None:
    """The activity's session that starts at an instant, whatever its state. One statement."""
    query = select(ActivitySession.id).where(
        ActivitySession.activity_id == activity_id, ActivitySession.starts_at == starts_at
    )
    return (await tx.execute(query)).scalar_one_or_none()
