"""What the slot engine needs to know, in few and bounded statements."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import ARRAY, Date, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import TIMESTAMP

from app.core.database import Tx
from app.domain import instants
from app.domain.busy import Busy, BusyKind
from app.domain.errors import FieldErrors, NotFound
from app.domain.pricing import PriceType, price
from app.domain.schedule import ScheduleVersion, weekly_from_json
from app.domain.search import check_length_and_party
from app.domain.slots import ProviderPlan, SlotRules

PROVIDER_LIMIT = 200
"""Most providers that one search looks at."""
UNNUMBERED_LIMIT = 1_000
"""Waiting events that are looked at. More wait only while no relay runs."""
REACH = timedelta(days=4)
"""No claim reaches further from its own start: a day of service and a day of buffer on each side, and one to spare."""


@dataclass(frozen=True, slots=True)
class OfferedBy:
    """One provider of the service, with what differs there."""

    provider_id: UUID
    time_zone: ZoneInfo
    base_price_minor: int
    duration_minutes: int
    versions: tuple[ScheduleVersion, ...]


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """A service as the slot engine and the commands see it, and where the event log stood in the same snapshot.

    `unnumbered` are (outbox id, subject) of the organization's events that are committed and visible but not numbered
    yet, at most UNNUMBERED_LIMIT.
    """

    service_id: UUID
    organization_id: UUID
    currency: str
    is_active: bool
    price_type: PriceType
    duration_minutes: int
    maximum_duration_minutes: int | None
    buffer_before_minutes: int
    buffer_after_minutes: int
    notice_minutes: int
    maximum_advance_days: int
    cancellation_notice_minutes: int
    requires_approval: bool
    max_group_size: int
    offers: tuple[OfferedBy, ...]
    position: int
    unnumbered: tuple[tuple[int, UUID], ...]

    @property
    def subjects(self) -> frozenset[UUID]:
        """Whose events change the answer."""
        return frozenset((self.service_id, *self.provider_ids))

    @property
    def unnumbered_here(self) -> frozenset[int]:
        """Ids of those unnumbered events that change the answer."""
        subjects = self.subjects
        return frozenset(event_id for event_id, subject in self.unnumbered if subject in subjects)

    @property
    def provider_ids(self) -> tuple[UUID, ...]:
        return tuple(offer.provider_id for offer in self.offers)

    def lengths_of(self, offer: OfferedBy) -> tuple[int, int]:
        """The shortest and the longest that this provider does, in minutes: from their own length on."""
        return offer.duration_minutes, max(offer.duration_minutes, self.maximum_duration_minutes or 0)

    def plan_of(self, offer: OfferedBy, duration_minutes: int | None) -> ProviderPlan:
        minutes = duration_minutes or offer.duration_minutes
        return ProviderPlan(
            provider_id=offer.provider_id,
            time_zone=offer.time_zone,
            versions=offer.versions,
            duration_minutes=minutes,
            buffer_before=self.buffer_before_minutes,
            buffer_after=self.buffer_after_minutes,
            price_minor=price(self.price_type, offer.base_price_minor, minutes),
        )

    def plans(self, duration_minutes: int | None) -> tuple[ProviderPlan, ...]:
        """One plan for each provider who does the wanted length (None: each at their own)."""
        return tuple(
            self.plan_of(offer, duration_minutes) for offer in self.offers if self._does(offer, duration_minutes)
        )

    def _does(self, offer: OfferedBy, minutes: int | None) -> bool:
        shortest, longest = self.lengths_of(offer)
        return minutes is None or shortest <= minutes <= longest

    def faults(self, duration_minutes: int | None, party_size: int) -> FieldErrors:
        """What the service does not allow; the caller raises, as BadInput or InvalidInput."""
        own = (self.duration_minutes, self.maximum_duration_minutes or self.duration_minutes)
        lengths = [self.lengths_of(offer) for offer in self.offers] or [own]
        errors = check_length_and_party(
            duration_minutes=duration_minutes,
            shortest=min(shortest for shortest, _ in lengths),
            longest=max(longest for _, longest in lengths),
            party_size=party_size,
            largest_party=self.max_group_size,
        )
        if not errors.found and self.offers and not self.plans(duration_minutes):
            errors.add("input.durationMinutes", "is a length that nobody offers; leave it out for each provider's own")
        return errors

    def rules(self, now: datetime, *, for_staff: bool = False) -> SlotRules:
        """Staff may book at the desk: no notice binds them."""
        return SlotRules(now, 0 if for_staff else self.notice_minutes, self.maximum_advance_days)


_PLAN = text(
    """
    SELECT s.id, s.organization_id, o.currency, s.is_active, s.price_type, s.duration_minutes,
           s.maximum_duration_minutes, s.buffer_before_minutes, s.buffer_after_minutes, s.advance_notice_minutes,
           s.maximum_advance_days, s.cancellation_notice_minutes, s.requires_approval, s.max_group_size,
           p.id AS provider_id, COALESCE(p.time_zone, v.time_zone) AS time_zone,
           COALESCE(f.price_minor, s.price_minor) AS base_price_minor,
           COALESCE(f.duration_minutes, s.duration_minutes) AS offer_duration_minutes,
           (f.is_active AND p.is_active AND v.is_active) IS TRUE AS is_offered,
           (p.is_active AND v.is_active) IS TRUE AS is_visible,
           hours.versions,
           (SELECT r.last_position FROM relay_state r) AS position,
           (SELECT jsonb_agg(jsonb_build_array(e.id, e.subject_id))
            FROM (SELECT e.id, e.subject_id FROM outbox_event e WHERE e.position IS NULL
                  ORDER BY e.id LIMIT :unnumbered_limit) e) AS unnumbered
    FROM service s
    JOIN organization o ON o.id = s.organization_id
    LEFT JOIN provider p ON p.id = ANY(COALESCE(
        CAST(:provider_ids AS uuid[]),
        ARRAY(SELECT f.provider_id FROM offer f WHERE f.service_id = :service_id AND f.is_active)))
    LEFT JOIN offer f ON f.service_id = s.id AND f.provider_id = p.id
    LEFT JOIN venue v ON v.id = p.venue_id
    LEFT JOIN LATERAL (
        SELECT jsonb_agg(jsonb_build_array(sv.id, lower(sv.effective), upper(sv.effective),
                                           sv.slot_interval_minutes, sv.weekly) ORDER BY sv.effective) AS versions
        FROM schedule_version sv
        WHERE sv.owner_id = p.id AND sv.superseded_at IS NULL
          AND sv.effective && daterange(:from_date, :to_date, '[]')
    ) hours ON true
    WHERE s.id = :service_id
    ORDER BY p.id
    LIMIT :provider_limit
    """
).bindparams(
    bindparam("service_id", type_=Uuid),
    bindparam("provider_ids", type_=ARRAY(Uuid)),
    bindparam("from_date", type_=Date),
    bindparam("to_date", type_=Date),
)


async def get_service_plan(
    tx: Tx,
    service_id: UUID,
    provider_ids: Sequence[UUID] | None,
    from_date: date,
    to_date: date,
    *,
    hidden_is_missing: bool = False,
) -> ServicePlan:
    """The service with its providers and their hours between two dates. One statement.

    `provider_ids` none: anyone who offers it. One that does not offer it is left out; one that does not exist, like
    the service itself, raises NotFound. With `hidden_is_missing` so does one who is deactivated, or whose venue is.
    """
    wanted = None if provider_ids is None else list(provider_ids)[:PROVIDER_LIMIT]
    rows = (
        await tx.execute(
            _PLAN,
            {
                "service_id": service_id,
                "provider_ids": wanted,
                "from_date": max(from_date - timedelta(days=2), instants.MINIMUM_DATE),
                "to_date": min(to_date + timedelta(days=2), instants.MAXIMUM_DATE),
                "provider_limit": PROVIDER_LIMIT,
                "unnumbered_limit": UNNUMBERED_LIMIT,
            },
        )
    ).all()
    there = {row.provider_id for row in rows if row.is_visible or not hidden_is_missing}
    if not rows or (wanted is not None and not there.issuperset(wanted)):
        raise NotFound
    service = rows[0]
    return ServicePlan(
        service_id=service.id,
        organization_id=service.organization_id,
        currency=service.currency,
        is_active=service.is_active,
        price_type=PriceType(service.price_type),
        duration_minutes=service.duration_minutes,
        maximum_duration_minutes=service.maximum_duration_minutes,
        buffer_before_minutes=service.buffer_before_minutes,
        buffer_after_minutes=service.buffer_after_minutes,
        notice_minutes=service.advance_notice_minutes,
        maximum_advance_days=service.maximum_advance_days,
        cancellation_notice_minutes=service.cancellation_notice_minutes,
        requires_approval=service.requires_approval,
        max_group_size=service.max_group_size,
        offers=tuple(_offer(row) for row in rows if row.is_offered) if service.is_active else (),
        position=service.position,
        unnumbered=tuple((event_id, UUID(subject)) for event_id, subject in service.unnumbered or ()),
    )


def _offer(row: Any) -> OfferedBy:
    return OfferedBy(
        provider_id=row.provider_id,
        time_zone=instants.zone(row.time_zone),
        base_price_minor=row.base_price_minor,
        duration_minutes=row.offer_duration_minutes,
        versions=tuple(_version(version) for version in row.versions or ()),
    )


def _version(value: list[Any]) -> ScheduleVersion:
    version_id, effective_from, effective_to, interval, weekly = value
    return ScheduleVersion(
        id=UUID(version_id),
        effective_from=date.fromisoformat(effective_from),
        effective_to=None if effective_to is None else date.fromisoformat(effective_to),
        slot_interval_minutes=interval,
        weekly=weekly_from_json(weekly),
    )


# `starts_at` bounds the btree scan; the range test is exact.
_BUSY = text(
    """
    SELECT a.subject_id, a.id, lower(a.busy) AS busy_from, upper(a.busy) AS busy_to, a.status, a.starts_at, a.ends_at,
           a.expires_at
    FROM allocation a
    WHERE a.subject_id = ANY(:subject_ids) AND a.status IN ('held', 'booked')
      AND a.starts_at > :scan_from AND a.starts_at < :scan_to
      AND a.busy && tstzrange(:from_at, :to_at, '[)')
    """
).bindparams(
    bindparam("subject_ids", type_=ARRAY(Uuid)),
    bindparam("scan_from", type_=TIMESTAMP(timezone=True)),
    bindparam("scan_to", type_=TIMESTAMP(timezone=True)),
    bindparam("from_at", type_=TIMESTAMP(timezone=True)),
    bindparam("to_at", type_=TIMESTAMP(timezone=True)),
)

BusyByProvider = dict[UUID, dict[UUID, Busy]]
"""Claims by provider and allocation id."""


async def list_busy(tx: Tx, subject_ids: Iterable[UUID], from_at: datetime, to_at: datetime) -> BusyByProvider:
    """Live and lapsed claims that may touch a service which starts between the two instants. One statement."""
    low, high = from_at - REACH, to_at + REACH
    rows = await tx.execute(
        _BUSY,
        {
            "subject_ids": list(subject_ids),
            "scan_from": low - REACH,
            "scan_to": high + REACH,
            "from_at": low,
            "to_at": high,
        },
    )
    busy: BusyByProvider = {}
    for row in rows:
        busy.setdefault(row.subject_id, {})[row.id] = Busy(
            busy_from=row.busy_from,
            busy_to=row.busy_to,
            kind=BusyKind(row.status),
            starts_at=row.starts_at,
            ends_at=row.ends_at,
            expires_at=row.expires_at,
        )
    return busy
