"""What the slot engine needs to know, in few and bounded statements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from string import Template
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import ARRAY, Date, Row, Text, Uuid, bindparam, text

from app.core.database import Tx
from app.core.public_holidays import public_holidays
from app.domain import instants
from app.domain.errors import FieldErrors, NotFound
from app.domain.plan import UNLIMITED, BookingLimits, Need, ProviderPlan, SlotRules
from app.domain.price_book import PLAIN, PriceBook
from app.domain.pricing import PriceType, price
from app.domain.schedule import DayException, ExceptionKind, Interval, ScheduleVersion, weekly_from_json
from app.domain.search import check_length_and_party
from app.queries.price_rule import get_price_book

PROVIDER_LIMIT = 200
"""Most providers that one search looks at."""
UNNUMBERED_LIMIT = 1_000
"""Waiting events that are looked at. More wait only while no relay runs."""


@dataclass(frozen=True, slots=True)
class OfferedBy:
    """One provider of the service, with what differs there."""

    provider_id: UUID
    time_zone: ZoneInfo
    base_price_minor: int
    duration_minutes: int
    versions: tuple[ScheduleVersion, ...]
    exceptions: tuple[DayException, ...] = ()
    """The provider's, then the venue's, then public holidays: the first that has a day rules it."""
    needs: tuple[Need, ...] = ()
    limits: BookingLimits = UNLIMITED
    is_payee: bool = False
    """The price is theirs and is paid out to them; otherwise the organization keeps it."""


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
    name: str = ""
    min_group_size: int = 1
    """Asked when a slot is held; reads for fewer people show the same slots."""
    price_version: UUID | None = None
    """Of the organization's price book, as `queries.price_rule` has it."""
    book: PriceBook = PLAIN

    @property
    def subjects(self) -> frozenset[UUID]:
        """Whose events change the answer. Those of prices are the organization's."""
        return frozenset((self.service_id, self.organization_id, *self.busy_subjects))

    @property
    def unnumbered_here(self) -> frozenset[int]:
        """Ids of those unnumbered events that change the answer."""
        subjects = self.subjects
        return frozenset(event_id for event_id, subject in self.unnumbered if subject in subjects)

    @property
    def provider_ids(self) -> tuple[UUID, ...]:
        return tuple(offer.provider_id for offer in self.offers)

    @property
    def payees(self) -> frozenset[UUID]:
        """Those of the providers who are paid out."""
        return frozenset(offer.provider_id for offer in self.offers if offer.is_payee)

    @property
    def busy_subjects(self) -> tuple[UUID, ...]:
        """Whose time is taken: the providers', and that of the resource units they may need."""
        units = dict.fromkeys(unit for offer in self.offers for need in offer.needs for unit in need.units)
        return (*self.provider_ids, *units)

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
            exceptions=offer.exceptions,
            needs=offer.needs,
            limits=offer.limits,
            tariff=self.book.tariff_of(self.currency, self.service_id, offer.provider_id),
        )

    def plans(self, duration_minutes: int | None) -> tuple[ProviderPlan, ...]:
        """One plan for each provider who does the wanted length (None: each at their own)."""
        return tuple(
            self.plan_of(offer, duration_minutes) for offer in self.offers if self._does(offer, duration_minutes)
        )

    def _does(self, offer: OfferedBy, minutes: int | None) -> bool:
        shortest, longest = self.lengths_of(offer)
        return minutes is None or shortest <= minutes <= longest

    def faults(self, duration_minutes: int | None, party_size: int, path: str = "input") -> FieldErrors:
        """What the service does not allow at `path`; the caller raises, as BadInput or InvalidInput."""
        own = (self.duration_minutes, self.maximum_duration_minutes or self.duration_minutes)
        lengths = [self.lengths_of(offer) for offer in self.offers] or [own]
        errors = check_length_and_party(
            duration_minutes=duration_minutes,
            shortest=min(shortest for shortest, _ in lengths),
            longest=max(longest for _, longest in lengths),
            party_size=party_size,
            largest_party=self.max_group_size,
            path=path,
        )
        if not errors.found and self.offers and not self.plans(duration_minutes):
            message = "is a length that nobody offers; leave it out for each provider's own"
            errors.add(f"{path}.durationMinutes", message)
        return errors

    def refuse_few(self, party_size: int, errors: FieldErrors) -> None:
        """Fewer people than the service is given to; asked with `faults` when it is held."""
        if 1 <= party_size < self.min_group_size:
            message = f"must be {self.min_group_size} to {self.max_group_size} for this service"
            errors.add("input.partySize", message)

    def rules(self, now: datetime, *, for_staff: bool = False) -> SlotRules:
        """Staff may book at the desk: no notice binds them."""
        return SlotRules(now, 0 if for_staff else self.notice_minutes, self.maximum_advance_days)


# `$place`: which of the wanted services a row is of. People are wanted by an array from a select of its own: row-level
# security takes a bare COALESCE for something that may leak, and PostgreSQL would go through all of the organization's.
_PLAN_SQL = Template(
    """
    SELECT $place AS place, s.id, s.organization_id, s.name, o.currency, o.price_version, s.is_active, s.price_type,
           s.duration_minutes, s.maximum_duration_minutes, s.buffer_before_minutes, s.buffer_after_minutes,
           s.advance_notice_minutes, s.maximum_advance_days, s.cancellation_notice_minutes, s.requires_approval,
           s.max_group_size, s.min_group_size,
           p.id AS provider_id, COALESCE(p.time_zone, v.time_zone) AS time_zone,
           COALESCE(f.price_minor, s.price_minor) AS base_price_minor,
           COALESCE(f.duration_minutes, s.duration_minutes) AS offer_duration_minutes,
           (f.is_active AND p.is_active AND v.is_active) IS TRUE AS is_offered,
           (p.is_active AND v.is_active) IS TRUE AS is_visible,
           hours.versions, exceptional.days, needed.needs, p.works_on_holidays, p.daily_booking_limit,
           p.weekly_booking_limit, v.country, v.region, o.locale,
           EXISTS (SELECT 1 FROM payout_account a WHERE a.provider_id = p.id AND a.is_payee
                   AND a.processor = COALESCE(t.processor, 'stripe')) AS is_payee,
           (SELECT r.last_position FROM relay_state r) AS position,
           (SELECT jsonb_agg(jsonb_build_array(e.id, e.subject_id))
            FROM (SELECT e.id, e.subject_id FROM outbox_event e WHERE e.position IS NULL
                  ORDER BY e.id LIMIT :unnumbered_limit) e) AS unnumbered
    FROM $source
    JOIN organization o ON o.id = s.organization_id
    LEFT JOIN payment_settings t ON t.organization_id = o.id
    LEFT JOIN $people
    LEFT JOIN offer f ON f.service_id = s.id AND f.provider_id = p.id
    LEFT JOIN venue v ON v.id = p.venue_id
    LEFT JOIN LATERAL (
        SELECT jsonb_agg(jsonb_build_array(sv.id, lower(sv.effective), upper(sv.effective),
                                           sv.slot_interval_minutes, sv.weekly) ORDER BY sv.effective) AS versions
        FROM schedule_version sv
        WHERE sv.owner_id = p.id AND sv.superseded_at IS NULL
          AND sv.effective && daterange(:from_date, :to_date, '[]')
    ) hours ON true
    LEFT JOIN LATERAL (
        SELECT jsonb_agg(jsonb_build_array(e.kind, lower(e.days), upper(e.days), e.open, e.breaks,
                                           e.slot_interval_minutes, e.reason)
                         ORDER BY e.owner_id <> p.id, e.days) AS days
        FROM schedule_exception e
        WHERE e.owner_id IN (p.id, v.id) AND e.removed_at IS NULL AND e.days && daterange(:from_date, :to_date, '[]')
    ) exceptional ON true
    LEFT JOIN LATERAL (
        SELECT jsonb_agg(jsonb_build_array(n.quantity, ARRAY(
            SELECT u.id FROM resource r JOIN resource_unit u ON u.resource_id = r.id AND u.is_active
            WHERE r.id = ANY(n.resource_ids) AND r.is_active AND r.venue_id = p.venue_id
            ORDER BY r.id, u.number)) ORDER BY n.position) AS needs
        FROM resource_need n WHERE n.owner_id = s.id
    ) needed ON true
    $end
    """
)
_DATES = (bindparam("from_date", type_=Date), bindparam("to_date", type_=Date))

_PLAN = text(
    _PLAN_SQL.substitute(
        place="1",
        source="service s",
        people="""provider p ON p.id = ANY(CAST((SELECT COALESCE(
            CAST(:provider_ids AS uuid[]),
            ARRAY(SELECT f.provider_id FROM offer f WHERE f.service_id = :service_id AND f.is_active))) AS uuid[]))""",
        end="WHERE s.id = :service_id ORDER BY p.id LIMIT :provider_limit",
    )
).bindparams(bindparam("service_id", type_=Uuid), bindparam("provider_ids", type_=ARRAY(Uuid)), *_DATES)

_PLANS = text(
    _PLAN_SQL.substitute(
        place="w.place",
        # LIMIT, so that PostgreSQL expects no more of them than there are.
        source="""(SELECT * FROM jsonb_to_recordset(CAST(:wanted AS jsonb))
            AS w (place integer, service_id uuid, provider_ids uuid[]) LIMIT :service_limit) AS w
        JOIN service s ON s.id = w.service_id""",
        people="""LATERAL (
            SELECT p.* FROM (SELECT COALESCE(
                w.provider_ids, ARRAY(SELECT f.provider_id FROM offer f WHERE f.service_id = s.id AND f.is_active)
            ) AS ids OFFSET 0) one JOIN provider p ON p.id = ANY(one.ids)
            ORDER BY p.id LIMIT :provider_limit) p ON true""",
        end="ORDER BY w.place, p.id",
    )
).bindparams(bindparam("wanted", type_=Text), *_DATES)


async def get_service_plan(
    tx: Tx,
    service_id: UUID,
    provider_ids: Sequence[UUID] | None,
    from_date: date,
    to_date: date,
    *,
    hidden_is_missing: bool = False,
) -> ServicePlan:
    """The service with its providers and their hours between two dates. One statement, and that of the price book.

    `provider_ids` none: anyone who offers it. One that does not offer it is left out; one that does not exist, like
    the service itself, raises NotFound. With `hidden_is_missing` so does one who is deactivated, or whose venue is.
    """
    wanted = None if provider_ids is None else list(provider_ids)[:PROVIDER_LIMIT]
    values = {"service_id": service_id, "provider_ids": wanted, **_bounds(from_date, to_date)}
    rows = (await tx.execute(_PLAN, values)).all()
    return await _priced(tx, _service_plan(rows, wanted, from_date, to_date, hidden_is_missing=hidden_is_missing))


async def get_service_plans(
    tx: Tx,
    wanted: Sequence[tuple[UUID, Sequence[UUID] | None]],
    from_date: date,
    to_date: date,
    *,
    hidden_is_missing: bool = False,
    unnumbered_limit: int = UNNUMBERED_LIMIT,
) -> list[ServicePlan]:
    """Several services, each with who is wanted for it, in their order. One statement, and that of the price book.

    `unnumbered_limit`: how many unnumbered events are told; 0 where nobody goes on from here by events.
    """
    people = [None if provider_ids is None else list(provider_ids)[:PROVIDER_LIMIT] for _, provider_ids in wanted]
    asked = [
        {"place": place, "service_id": service_id, "provider_ids": people[place]}
        for place, (service_id, _) in enumerate(wanted)
    ]
    values = {
        **_bounds(from_date, to_date),
        "wanted": msgspec.json.encode(asked).decode(),
        "service_limit": len(asked),
        "unnumbered_limit": unnumbered_limit,
    }
    rows: list[list[Row[Any]]] = [[] for _ in wanted]
    for row in await tx.execute(_PLANS, values):
        rows[row.place].append(row)
    return [
        await _priced(tx, _service_plan(of_one, people[place], from_date, to_date, hidden_is_missing=hidden_is_missing))
        for place, of_one in enumerate(rows)
    ]


async def _priced(tx: Tx, plan: ServicePlan) -> ServicePlan:
    """With the organization's price book: no statement without rules and terms, or where they are known."""
    if plan.price_version is None:
        return plan
    return replace(plan, book=await get_price_book(tx, plan.organization_id, plan.price_version))


def _bounds(from_date: date, to_date: date) -> dict[str, Any]:
    return {
        "from_date": max(from_date - timedelta(days=2), instants.MINIMUM_DATE),
        "to_date": min(to_date + timedelta(days=2), instants.MAXIMUM_DATE),
        "provider_limit": PROVIDER_LIMIT,
        "unnumbered_limit": UNNUMBERED_LIMIT,
    }


def _service_plan(
    rows: Sequence[Row[Any]], wanted: Sequence[UUID] | None, from_date: date, to_date: date, *, hidden_is_missing: bool
) -> ServicePlan:
    """Raises NotFound."""
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
        offers=tuple(_offer(row, from_date, to_date) for row in rows if row.is_offered) if service.is_active else (),
        position=service.position,
        unnumbered=tuple((event_id, UUID(subject)) for event_id, subject in service.unnumbered or ()),
        name=service.name,
        min_group_size=service.min_group_size,
        price_version=service.price_version,
    )


def _offer(row: Any, from_date: date, to_date: date) -> OfferedBy:
    return OfferedBy(
        provider_id=row.provider_id,
        time_zone=instants.zone(row.time_zone),
        base_price_minor=row.base_price_minor,
        duration_minutes=row.offer_duration_minutes,
        versions=tuple(_version(version) for version in row.versions or ()),
        exceptions=(*(_exception(day) for day in row.days or ()), *_holidays(row, from_date, to_date)),
        needs=tuple(_need(need) for need in row.needs or ()),
        limits=BookingLimits(row.daily_booking_limit, row.weekly_booking_limit),
        is_payee=row.is_payee,
    )


def _exception(value: list[Any]) -> DayException:
    kind, first, past, opened, breaks, interval, reason = value
    return DayException(
        from_date=date.fromisoformat(first),
        to_date=date.fromisoformat(past) - timedelta(days=1),
        kind=ExceptionKind(kind),
        open=tuple(Interval(start, end) for start, end in opened),
        breaks=tuple(Interval(start, end) for start, end in breaks),
        slot_interval_minutes=interval,
        reason=reason,
    )


def _need(value: list[Any]) -> Need:
    quantity, units = value
    return Need(quantity, tuple(UUID(unit) for unit in units))


def _holidays(row: Any, from_date: date, to_date: date) -> tuple[DayException, ...]:
    """Of the venue's country; a night before the first date may still be open on it, hence a day more on each side."""
    if row.country is None or row.works_on_holidays:
        return ()
    first = max(from_date - timedelta(days=2), instants.MINIMUM_DATE)
    last = min(to_date + timedelta(days=2), instants.MAXIMUM_DATE)
    return public_holidays(row.country, row.region, first, last, row.locale)


def _version(value: list[Any]) -> ScheduleVersion:
    version_id, effective_from, effective_to, interval, weekly = value
    return ScheduleVersion(
        id=UUID(version_id),
        effective_from=date.fromisoformat(effective_from),
        effective_to=None if effective_to is None else date.fromisoformat(effective_to),
        slot_interval_minutes=interval,
        weekly=weekly_from_json(weekly),
    )
