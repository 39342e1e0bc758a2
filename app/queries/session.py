"""Sessions, with the places that can still be had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Integer, Select, func, select, text

from app.core.database import Tx
from app.domain.errors import NotFound
from app.domain.live_session import HeldPlaces, PlacesState
from app.domain.sessions import SessionStatus, places_left
from app.models import (
    Activity,
    ActivityProvider,
    ActivitySession,
    Booking,
    Customer,
    Organization,
    PlaceClaim,
    Provider,
    Venue,
)
from app.queries.rows import one_of


@dataclass(frozen=True, slots=True)
class SeenSession:
    """A session, and the places of its holds that ran out and were not swept up yet."""

    session: ActivitySession
    lapsed: int

    @property
    def remaining(self) -> int:
        session = self.session
        status = SessionStatus(session.status)
        return places_left(session.capacity, session.taken, self.lapsed, status, is_legacy=session.is_legacy)


@dataclass(frozen=True, slots=True)
class BookableSession:
    """A session with all that decides whether it can be had, and for how much."""

    session: ActivitySession
    place: ActivityAtVenue

    @property
    def activity(self) -> Activity:
        return self.place.activity


@dataclass(frozen=True, slots=True)
class ActivityAtVenue:
    activity: Activity
    venue: Venue
    organization: Organization

    @property
    def currency(self) -> str:
        return self.organization.currency

    @property
    def is_offered(self) -> bool:
        return self.activity.is_active and self.venue.is_active


_NOW = select(text("turnero_now()")).scalar_subquery()

LAPSED: ColumnElement[int] = (
    select(func.coalesce(func.sum(PlaceClaim.places), 0).cast(Integer))
    .where(
        PlaceClaim.session_id == ActivitySession.id,
        PlaceClaim.status == "held",
        PlaceClaim.expires_at <= _NOW,
    )
    .scalar_subquery()
)
"""Places of a session's holds that ran out and were not swept up yet."""


def _seen() -> Select[ActivitySession, int]:
    return select(ActivitySession, LAPSED)


async def get_session(tx: Tx, session_id: UUID, *, for_staff: bool) -> SeenSession:
    """Only staff see those of an activity or a venue that is off. One statement. Raises NotFound."""
    statement = _seen().where(ActivitySession.id == session_id)
    if not for_staff:
        statement = statement.where(_is_offered())
    row = (await tx.execute(statement)).first()
    if row is None:
        raise NotFound
    return SeenSession(*row)


def _is_offered() -> ColumnElement[bool]:
    return (
        select(Activity.id)
        .join(Venue, Venue.id == Activity.venue_id)
        .where(Activity.id == ActivitySession.activity_id, Activity.is_active, Venue.is_active)
        .exists()
    )


async def get_places(tx: Tx, session_id: UUID, *, for_staff: bool) -> PlacesState:
    """What a stream of the session begins with. Two statements. Raises NotFound."""
    session = (await get_session(tx, session_id, for_staff=for_staff)).session
    held = await tx.execute(
        select(PlaceClaim.id, PlaceClaim.places, PlaceClaim.expires_at).where(
            PlaceClaim.session_id == session_id, PlaceClaim.status == "held"
        )
    )
    return PlacesState(
        capacity=session.capacity,
        taken=session.taken,
        status=SessionStatus(session.status),
        is_legacy=session.is_legacy,
        held={row.id: HeldPlaces(row.places, row.expires_at) for row in held},
    )


async def get_whereabouts(tx: Tx, session_id: UUID) -> tuple[UUID, UUID]:
    """Its activity and its venue. One statement. Raises NotFound."""
    row = (
        await tx.execute(
            select(Activity.id, Activity.venue_id)
            .join(ActivitySession, ActivitySession.activity_id == Activity.id)
            .where(ActivitySession.id == session_id)
        )
    ).first()
    if row is None:
        raise NotFound
    return row.id, row.venue_id


async def list_seen_sessions(tx: Tx, session_ids: Sequence[UUID]) -> Mapping[UUID, SeenSession]:
    """By id, whoever asks: for what points at them. One statement."""
    rows = await tx.execute(_seen().where(one_of(ActivitySession.id, session_ids)))
    return {session.id: SeenSession(session, lapsed) for session, lapsed in rows}


async def list_sessions_with(tx: Tx, session_ids: Sequence[UUID], user_id: UUID) -> Mapping[UUID, bool]:
    """Those among them that this person leads, or has or had a booking in. One statement."""
    leads = (
        select(ActivityProvider.activity_id)
        .join(Provider, Provider.id == ActivityProvider.provider_id)
        .where(ActivityProvider.activity_id == ActivitySession.activity_id)
        .where(Provider.user_id == user_id, Provider.is_active)
    )
    goes = (
        select(PlaceClaim.id)
        .join(Booking, Booking.id == PlaceClaim.booking_id)
        .join(Customer, Customer.id == Booking.customer_id)
        .where(PlaceClaim.session_id == ActivitySession.id, Customer.user_id == user_id)
    )
    query = select(ActivitySession.id).where(one_of(ActivitySession.id, session_ids), leads.exists() | goes.exists())
    return dict.fromkeys((await tx.execute(query)).scalars(), True)


async def list_sessions(
    tx: Tx,
    activity_id: UUID,
    from_at: datetime,
    to_at: datetime,
    *,
    limit: int,
    statuses: Sequence[SessionStatus] | None = None,
    with_room_for: int | None = None,
) -> list[SeenSession]:
    """Those that start between two instants, by start, at most `limit`. One statement.

    `with_room_for` so many: only those that can be booked by so many.
    """
    statement = _seen().where(
        ActivitySession.activity_id == activity_id,
        ActivitySession.starts_at >= from_at,
        ActivitySession.starts_at < to_at,
    )
    if statuses is not None:
        statement = statement.where(ActivitySession.status.in_([status.value for status in statuses]))
    if with_room_for is not None:
        statement = statement.where(*_has_room(with_room_for))
    rows = await tx.execute(statement.order_by(ActivitySession.starts_at).limit(limit))
    return [SeenSession(*row) for row in rows]


def _has_room(party_size: int) -> tuple[ColumnElement[bool], ...]:
    return (
        ActivitySession.status == SessionStatus.OPEN.value,
        ActivitySession.is_legacy.is_(False),
        ActivitySession.capacity - ActivitySession.taken + LAPSED >= party_size,
    )


async def nearest_with_room(
    tx: Tx,
    activity_id: UUID,
    *,
    around: datetime,
    earliest: datetime,
    latest: datetime,
    party_size: int,
    limit: int,
) -> list[SeenSession]:
    """The sessions nearest to an instant that start between two others, nearest first. Two statements."""
    found: list[SeenSession] = []
    for bounds, order in (
        ((ActivitySession.starts_at >= around,), ActivitySession.starts_at.asc()),
        ((ActivitySession.starts_at < around,), ActivitySession.starts_at.desc()),
    ):
        statement = _seen().where(
            ActivitySession.activity_id == activity_id,
            ActivitySession.starts_at >= earliest,
            ActivitySession.starts_at < latest,
            *bounds,
            *_has_room(party_size),
        )
        found += [SeenSession(*row) for row in await tx.execute(statement.order_by(order).limit(limit))]
    found.sort(key=lambda seen: (abs(seen.session.starts_at - around), seen.session.starts_at))
    return found[:limit]


# ── with what decides ─────────────────────────────────────────────────────────────────────────────────


async def get_activity_at_venue(tx: Tx, activity_id: UUID) -> ActivityAtVenue:
    """One statement. Raises NotFound."""
    row = (await tx.execute(_at_venue(select(Activity, Venue, Organization), activity_id))).first()
    if row is None:
        raise NotFound
    return ActivityAtVenue(*row)


def _at_venue(statement: Any, activity_id: UUID) -> Any:
    return (
        statement.join(Venue, Venue.id == Activity.venue_id)
        .join(Organization, Organization.id == Activity.organization_id)
        .where(Activity.id == activity_id)
    )


async def get_bookable(tx: Tx, session_id: UUID) -> BookableSession:
    """Whatever its state. One statement. Raises NotFound."""
    row = (
        await tx.execute(
            select(ActivitySession, Activity, Venue, Organization)
            .join(Activity, Activity.id == ActivitySession.activity_id)
            .join(Venue, Venue.id == Activity.venue_id)
            .join(Organization, Organization.id == ActivitySession.organization_id)
            .where(ActivitySession.id == session_id)
        )
    ).first()
    if row is None:
        raise NotFound
    return BookableSession(row[0], ActivityAtVenue(row[1], row[2], row[3]))


async def get_lapsed_places(tx: Tx, session_id: UUID) -> int:
    """Places of holds that ran out and are still counted as taken. One statement."""
    return (await tx.execute(select(LAPSED).where(ActivitySession.id == session_id))).scalar_one()


async def lock_sessions(tx: Tx, session_ids: Sequence[UUID]) -> dict[UUID, ActivitySession]:
    """Those that exist, by id, as they are once nobody else changes them. In id order. One statement."""
    statement = (
        select(ActivitySession)
        .where(one_of(ActivitySession.id, session_ids))
        .order_by(ActivitySession.id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    return {session.id: session for session in (await tx.execute(statement)).scalars()}
