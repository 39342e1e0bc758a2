"""Bookings that stand on owners' hours, and which of them new hours leave outside."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple, TypeVarTuple
from uuid import UUID

from sqlalchemy import ColumnElement, CompoundSelect, Select, SQLColumnExpression, select, tuple_, union

from app.core.database import Tx
from app.domain.booking import OCCUPYING
from app.domain.plan import UnavailableReason
from app.models import ActivitySession, Allocation, Booking, BookingItem
from app.queries.booking import items_of_bookings
from app.queries.hours import OwnerHours
from app.queries.rows import one_of

COMMITMENTS_PAGE = 200
AFFECTED_LIMIT = 200
"""Most that are shown."""
NIGHT = timedelta(days=2)
"""An opening may last 24 hours, and so may a visit; a repeated hour can add to that."""
_STATES = sorted(OCCUPYING)
_LIVE = ("held", "booked")
_Ts = TypeVarTuple("_Ts")


class Part(NamedTuple):
    """What one owner, or one resource unit, does for a booking, and when."""

    owner_id: UUID
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Commitment:
    """A booking that takes time, and the parts of it that the owners asked about do."""

    booking: Booking
    parts: tuple[Part, ...]
    items: tuple[BookingItem, ...] = ()
    """All services of the visit; none of a session's booking."""


@dataclass(frozen=True, slots=True)
class Affected:
    """A booking that the new hours would not offer its time."""

    booking: Booking
    reason: UnavailableReason
    items: tuple[BookingItem, ...] = ()


@dataclass(frozen=True, slots=True)
class AffectedBookings:
    """All of them, soonest first, with the hours they are outside of, by owner."""

    found: tuple[Affected, ...]
    hours: Mapping[UUID, OwnerHours] = field(default_factory=dict)

    @property
    def shown(self) -> tuple[Affected, ...]:
        return self.found[:AFFECTED_LIMIT]


class Stretch(NamedTuple):
    """Instants: `from_at` <= t < `to_at` (None: for good)."""

    from_at: datetime
    to_at: datetime | None

    def has(self, instant: datetime) -> bool:
        return self.from_at <= instant and (self.to_at is None or instant < self.to_at)

    def around(self, now: datetime) -> Stretch:
        """With the nights on both sides, but nothing that has begun."""
        return Stretch(max(now, self.from_at - NIGHT), None if self.to_at is None else self.to_at + NIGHT)


async def list_outside(
    tx: Tx,
    before: Mapping[UUID, OwnerHours],
    after: Mapping[UUID, OwnerHours],
    ruled: Stretch,
    now: datetime,
    *,
    whatever_was: bool = False,
) -> AffectedBookings:
    """Bookings that fall outside `after` and were inside `before`.

    Those beside `ruled` are asked about too: an opening belongs to the day it begins on, so that a night before a
    border takes the small hours behind it with it, and a visit may reach over midnight into hours that are no more.
    `whatever_was`: those that begin in `ruled` count although they were outside already. Two statements for each
    COMMITMENTS_PAGE bookings.
    """
    if not after:
        return AffectedBookings(())
    found: list[Affected] = []
    reach = ruled.around(now)
    of_sessions = any(hours.session_minutes is not None for hours in after.values())
    commitments = _of_activities if of_sessions else _of_providers
    async with aclosing(commitments(tx, list(after), reach)) as pages:
        async for one in pages:
            reason = _outside(one, before, after, ruled if whatever_was else None)
            if reason is not None:
                found.append(Affected(one.booking, reason, one.items))
    return AffectedBookings(tuple(found), after)


def _outside(
    one: Commitment, before: Mapping[UUID, OwnerHours], after: Mapping[UUID, OwnerHours], ruled: Stretch | None
) -> UnavailableReason | None:
    for part in one.parts:
        reason = after[part.owner_id].refusal(part.starts_at, part.ends_at)
        if reason is None:
            continue
        is_ruled = ruled is not None and ruled.has(part.starts_at)
        if is_ruled or before[part.owner_id].refusal(part.starts_at, part.ends_at) is None:
            return reason
    return None


async def list_affected(tx: Tx, reasons: Mapping[UUID, UnavailableReason]) -> tuple[Affected, ...]:
    """Bookings that were found before, by id, as they are now. Two statements."""
    query = select(Booking).where(one_of(Booking.id, list(reasons))).order_by(Booking.starts_at, Booking.id)
    bookings = (await tx.execute(query)).scalars().all()
    items = await _items_by_booking(tx, bookings)
    return tuple(Affected(one, reasons[one.id], items.get(one.id, ())) for one in bookings)


async def list_meeting(tx: Tx, subject_id: UUID, from_at: datetime, to_at: datetime, now: datetime) -> list[Affected]:
    """Bookings that a provider or a resource unit serves in a time off, themselves or through a session.

    The soonest AFFECTED_LIMIT of those that are not over. Two statements.
    """
    met = (
        Allocation.subject_id == subject_id,
        Allocation.status.in_(_LIVE),
        Allocation.starts_at > max(now, from_at) - NIGHT,
        Allocation.starts_at < to_at,
        Allocation.ends_at > max(now, from_at),
    )
    sessions = select(Allocation.session_id).where(*met, Allocation.session_id.is_not(None))
    ids: CompoundSelect[UUID | None] = union(
        select(Allocation.booking_id).where(*met, Allocation.booking_id.is_not(None)),
        select(Booking.id).where(Booking.session_id.in_(sessions)),
    )
    query = select(Booking).where(Booking.id.in_(ids), Booking.status.in_(_STATES))
    bookings = (await tx.execute(query.order_by(Booking.starts_at, Booking.id).limit(AFFECTED_LIMIT))).scalars().all()
    items = await _items_by_booking(tx, bookings)
    return [Affected(booking, UnavailableReason.TIME_OFF, items.get(booking.id, ())) for booking in bookings]


# ── page by page: which are affected only the hours tell, and it may be the last ones ─────────────────


async def _of_providers(tx: Tx, provider_ids: Sequence[UUID], reach: Stretch) -> AsyncGenerator[Commitment, None]:
    theirs = frozenset(provider_ids)
    last: Booking | None = None
    while True:
        beginning = reach if last is None else reach._replace(from_at=last.starts_at)
        query = select(Booking).where(Booking.id.in_(_ids_of_providers(provider_ids, beginning)))
        page = (await tx.execute(_after(query, last))).scalars().all()
        items = await _items_by_booking(tx, page)
        for booking in page:
            own = items.get(booking.id, ())
            parts = tuple(Part(i.provider_id, i.starts_at, i.ends_at) for i in own if i.provider_id in theirs)
            yield Commitment(booking, parts or _whole(booking), own)
        if len(page) < COMMITMENTS_PAGE:
            return
        last = page[-1]


def _ids_of_providers(provider_ids: Sequence[UUID], reach: Stretch) -> CompoundSelect[UUID | None]:
    """Bookings by the provider of their first service, and visits in which another service is theirs."""
    first = select(Booking.id).where(
        Booking.provider_id.in_(provider_ids), Booking.status.in_(_STATES), *_begins(Booking.starts_at, reach)
    )
    other = select(Allocation.booking_id).where(
        one_of(Allocation.subject_id, provider_ids),
        Allocation.status.in_(_LIVE),
        Allocation.booking_id.is_not(None),
        *_begins(Allocation.starts_at, reach),
    )
    return union(first, other)


def _whole(booking: Booking) -> tuple[Part, ...]:
    assert booking.provider_id is not None  # one of a session has no part in this
    return (Part(booking.provider_id, booking.starts_at, booking.ends_at),)


async def _of_activities(tx: Tx, activity_ids: Sequence[UUID], reach: Stretch) -> AsyncGenerator[Commitment, None]:
    last: Booking | None = None
    while True:
        query = (
            select(Booking, ActivitySession)
            .join(ActivitySession, ActivitySession.id == Booking.session_id)
            .where(one_of(ActivitySession.activity_id, activity_ids), *_begins(ActivitySession.starts_at, reach))
        )
        page = (await tx.execute(_after(query, last))).all()
        for booking, session in page:
            yield Commitment(booking, (Part(session.activity_id, session.starts_at, session.ends_at),))
        if len(page) < COMMITMENTS_PAGE:
            return
        last = page[-1][0]


def _begins(column: SQLColumnExpression[datetime], reach: Stretch) -> tuple[ColumnElement[bool], ...]:
    return (column >= reach.from_at, *(() if reach.to_at is None else (column < reach.to_at,)))


def _after(query: Select[*_Ts], last: Booking | None) -> Select[*_Ts]:
    """The page after a booking, soonest first."""
    query = query.where(Booking.status.in_(_STATES))
    if last is not None:
        query = query.where(tuple_(Booking.starts_at, Booking.id) > (last.starts_at, last.id))
    return query.order_by(Booking.starts_at, Booking.id).limit(COMMITMENTS_PAGE)


async def _items_by_booking(tx: Tx, bookings: Sequence[Booking]) -> dict[UUID, tuple[BookingItem, ...]]:
    found: dict[UUID, list[BookingItem]] = {}
    for item in await items_of_bookings(tx, [booking.id for booking in bookings]) if bookings else ():
        found.setdefault(item.booking_id, []).append(item)
    return {booking_id: tuple(items) for booking_id, items in found.items()}
