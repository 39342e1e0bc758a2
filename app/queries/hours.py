"""When owners are open: their versions with what departs from them, in few and bounded statements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import func, literal, select

from app.core.database import Tx
from app.core.public_holidays import public_holidays
from app.domain.instants import MAXIMUM_DATE, MINIMUM_DATE, zone
from app.domain.plan import UNLIMITED, BookingLimits, ProviderPlan, UnavailableReason
from app.domain.refusals import within_hours
from app.domain.schedule import DayException, ScheduleVersion
from app.domain.sessions import SessionHours
from app.models import Activity, Organization, Provider, Venue
from app.queries.exception import exceptions_of
from app.queries.rows import one_of
from app.queries.schedule import Owner, OwnerKind, versions_in_force_of

_SPARE = timedelta(days=2)
"""An opening of the evening before may reach into the first day, and one of the last day into the next."""


@dataclass(frozen=True, slots=True)
class OwnerHours:
    """Hours of one provider or activity, good between the dates they were read for.

    `session_minutes`: how long an activity's sessions last; none: a provider.
    """

    owner_id: UUID
    venue_id: UUID
    time_zone: ZoneInfo
    versions: tuple[ScheduleVersion, ...]
    exceptions: tuple[DayException, ...]
    """Its own, then the venue's, then public holidays: the first that has a day rules it."""
    limits: BookingLimits = UNLIMITED
    session_minutes: int | None = None

    def with_versions(self, versions: tuple[ScheduleVersion, ...]) -> OwnerHours:
        return replace(self, versions=versions)

    def plan(self, duration_minutes: int = 1, buffer_before: int = 0, buffer_after: int = 0) -> ProviderPlan:
        return ProviderPlan(
            self.owner_id,
            self.time_zone,
            self.versions,
            duration_minutes,
            buffer_before=buffer_before,
            buffer_after=buffer_after,
            exceptions=self.exceptions,
            limits=self.limits,
        )

    def of_sessions(self) -> SessionHours:
        """Of an activity. ValueError: it is a provider's."""
        if self.session_minutes is None:
            raise ValueError("providers have no sessions")
        return SessionHours(self.time_zone, self.versions, self.exceptions, self.session_minutes)

    def refusal(self, starts_at: datetime, ends_at: datetime) -> UnavailableReason | None:
        """Why a service, or a session, at this time lies outside; None: the hours have it. No grid binds services."""
        if self.session_minutes is None:
            return within_hours(self.plan(), starts_at, ends_at)
        if self.of_sessions().having((starts_at,)):
            return None
        lasting = timedelta(minutes=self.session_minutes)
        return within_hours(self.plan(), starts_at, starts_at + lasting) or UnavailableReason.CLOSED


async def hours_of(tx: Tx, owner: Owner, from_date: date, to_date: date) -> OwnerHours:
    """Of one provider or activity. Three statements."""
    read = hours_of_providers if owner.kind is OwnerKind.PROVIDER else hours_of_activities
    return (await read(tx, (owner.id,), from_date, to_date))[owner.id]


async def hours_of_activities(
    tx: Tx, activity_ids: Sequence[UUID], from_date: date, to_date: date
) -> dict[UUID, OwnerHours]:
    """Of those that exist, whether or not they are active. Three statements; none for none."""
    query = (
        select(
            Activity.id,
            Activity.venue_id,
            Venue.time_zone,
            literal(False).label("works_on_holidays"),
            literal(None).label("daily_booking_limit"),
            literal(None).label("weekly_booking_limit"),
            Activity.duration_minutes,
            Venue.country,
            Venue.region,
            Organization.locale,
        )
        .join(Venue, Venue.id == Activity.venue_id)
        .join(Organization, Organization.id == Activity.organization_id)
        .where(one_of(Activity.id, activity_ids))
    )
    return await _hours(tx, query, activity_ids, from_date, to_date)


async def hours_of_providers(
    tx: Tx, provider_ids: Sequence[UUID], from_date: date, to_date: date
) -> dict[UUID, OwnerHours]:
    """Of those that exist, whether or not they are active. Three statements; none for none."""
    query = (
        select(
            Provider.id,
            Provider.venue_id,
            func.coalesce(Provider.time_zone, Venue.time_zone).label("time_zone"),
            Provider.works_on_holidays,
            Provider.daily_booking_limit,
            Provider.weekly_booking_limit,
            literal(None).label("duration_minutes"),
            Venue.country,
            Venue.region,
            Organization.locale,
        )
        .join(Venue, Venue.id == Provider.venue_id)
        .join(Organization, Organization.id == Provider.organization_id)
        .where(one_of(Provider.id, provider_ids))
    )
    return await _hours(tx, query, provider_ids, from_date, to_date)


async def _hours(
    tx: Tx, query: Any, owner_ids: Sequence[UUID], from_date: date, to_date: date
) -> dict[UUID, OwnerHours]:
    if not owner_ids:
        return {}
    rows = (await tx.execute(query)).all()
    first, last = _with_nights(from_date, to_date)
    versions = await versions_in_force_of(tx, owner_ids)
    owners_and_venues = list(dict.fromkeys((*owner_ids, *(row.venue_id for row in rows))))
    days = await exceptions_of(tx, owners_and_venues, first, last)
    found: dict[UUID, OwnerHours] = {}
    for row in rows:
        keeps_holidays = row.country is not None and not row.works_on_holidays
        closed = public_holidays(row.country, row.region, first, last, row.locale) if keeps_holidays else ()
        found[row.id] = OwnerHours(
            owner_id=row.id,
            venue_id=row.venue_id,
            time_zone=zone(row.time_zone),
            versions=versions.get(row.id, ()),
            exceptions=(*days.get(row.id, ()), *days.get(row.venue_id, ()), *closed),
            limits=BookingLimits(row.daily_booking_limit, row.weekly_booking_limit),
            session_minutes=row.duration_minutes,
        )
    return found


def _with_nights(from_date: date, to_date: date) -> tuple[date, date]:
    return max(from_date, MINIMUM_DATE + _SPARE) - _SPARE, min(to_date, MAXIMUM_DATE - _SPARE) + _SPARE
