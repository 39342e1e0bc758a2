"""A service and its people as the SQL function `service_facts` tells of them, made into a ServicePlan."""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache
from uuid import UUID

import msgspec

from app.core.public_holidays import public_holidays
from app.domain.instants import zone
from app.domain.plan import BookingLimits, Need
from app.domain.pricing import PriceType
from app.domain.schedule import DayException, ExceptionKind, Interval, ScheduleVersion, WeeklyHours, weekly_from_json
from app.queries.availability import OfferedBy, ServicePlan

Pairs = list[tuple[int, int]]


class _Version(msgspec.Struct, array_like=True, frozen=True):
    id: UUID
    effective_from: date
    effective_to: date | None
    slot_interval_minutes: int
    weekly: msgspec.Raw


class _Exception(msgspec.Struct, array_like=True, frozen=True):
    kind: ExceptionKind
    first: date
    past: date
    open: Pairs
    breaks: Pairs
    slot_interval_minutes: int | None
    reason: str | None


class _Venue(msgspec.Struct, array_like=True, frozen=True):
    id: UUID
    country: str | None
    region: str | None
    exceptions: list[_Exception] | None
    needs: list[tuple[int, tuple[UUID, ...]]] | None


class _Person(msgspec.Struct, array_like=True, frozen=True):
    id: UUID
    venue_id: UUID
    time_zone: str
    price_minor: int | None
    duration_minutes: int | None
    is_visible: bool
    is_offered: bool
    works_on_holidays: bool
    daily_booking_limit: int | None
    weekly_booking_limit: int | None
    exceptions: list[_Exception] | None
    versions: list[_Version] | None


class _Service(msgspec.Struct, array_like=True, frozen=True):
    id: UUID
    organization_id: UUID
    currency: str
    is_active: bool
    price_type: PriceType
    price_minor: int
    duration_minutes: int
    maximum_duration_minutes: int | None
    buffer_before_minutes: int
    buffer_after_minutes: int
    notice_minutes: int
    maximum_advance_days: int
    cancellation_notice_minutes: int
    requires_approval: bool
    max_group_size: int
    venues: list[_Venue] | None
    people: list[_Person] | None


_decoder = msgspec.json.Decoder(_Service)


class ServiceFacts(msgspec.Struct, frozen=True):
    """`visible`: everyone who was asked for and is active, at an active venue."""

    plan: ServicePlan
    visible: frozenset[UUID]
    holidays_to: date


def read_service_facts(facts: str, holidays_from: date, holidays_to: date) -> ServiceFacts:
    """The plan as it is without its place in the event log. Raises msgspec.DecodeError for what is no such text.

    Public holidays are no facts of the database: those between the two dates are put in here, under whatever names
    they have, for nobody reads these.
    """
    service = _decoder.decode(facts)
    venues = {
        venue.id: (venue, _exceptions(venue.exceptions), tuple(Need(*need) for need in venue.needs or ()))
        for venue in service.venues or ()
    }
    offers: list[OfferedBy] = []
    for person in (service.people or ()) if service.is_active else ():
        if not person.is_offered:
            continue
        venue, closed, needs = venues[person.venue_id]
        exceptions = (*_exceptions(person.exceptions), *closed)
        if venue.country is not None and not person.works_on_holidays:
            exceptions += public_holidays(venue.country, venue.region, holidays_from, holidays_to)
        offers.append(
            OfferedBy(
                provider_id=person.id,
                time_zone=zone(person.time_zone),
                base_price_minor=service.price_minor if person.price_minor is None else person.price_minor,
                duration_minutes=person.duration_minutes or service.duration_minutes,
                versions=tuple(_version(version) for version in person.versions or ()),
                exceptions=exceptions,
                needs=needs,
                limits=BookingLimits(person.daily_booking_limit, person.weekly_booking_limit),
            )
        )
    plan = ServicePlan(
        service_id=service.id,
        organization_id=service.organization_id,
        currency=service.currency,
        is_active=service.is_active,
        price_type=service.price_type,
        duration_minutes=service.duration_minutes,
        maximum_duration_minutes=service.maximum_duration_minutes,
        buffer_before_minutes=service.buffer_before_minutes,
        buffer_after_minutes=service.buffer_after_minutes,
        notice_minutes=service.notice_minutes,
        maximum_advance_days=service.maximum_advance_days,
        cancellation_notice_minutes=service.cancellation_notice_minutes,
        requires_approval=service.requires_approval,
        max_group_size=service.max_group_size,
        offers=tuple(offers),
        position=0,
        unnumbered=(),
    )
    visible = frozenset(one.id for one in service.people or () if one.is_visible)
    return ServiceFacts(plan, visible, holidays_to)


def _exceptions(found: list[_Exception] | None) -> tuple[DayException, ...]:
    return tuple(
        DayException(
            from_date=one.first,
            to_date=one.past - timedelta(days=1),
            kind=one.kind,
            open=tuple(Interval(start, end) for start, end in one.open),
            breaks=tuple(Interval(start, end) for start, end in one.breaks),
            slot_interval_minutes=one.slot_interval_minutes,
            reason=one.reason,
        )
        for one in found or ()
    )


def _version(version: _Version) -> ScheduleVersion:
    return ScheduleVersion(
        id=version.id,
        effective_from=version.effective_from,
        effective_to=version.effective_to,
        slot_interval_minutes=version.slot_interval_minutes,
        weekly=_weekly(bytes(version.weekly)),
    )


@lru_cache(maxsize=1_024)  # many people keep the same hours
def _weekly(text: bytes) -> tuple[WeeklyHours, ...]:
    return weekly_from_json(msgspec.json.decode(text))
