"""Reading and locking holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import case, literal_column, select
from sqlalchemy.dialects.postgresql import JSONB

from app.core.database import Tx
from app.domain.booking import HoldStatus
from app.domain.customer_limit import CustomerLimits
from app.domain.errors import NotFound
from app.models import Allocation, Hold, Organization, PaymentSettings, Provider, Service, Venue
from app.queries.payment_terms import PaymentTerms, terms_of_settings


@dataclass(frozen=True, slots=True)
class LockedHold:
    """A hold whose allocation rows, which are the lock of a hold, belong to this transaction.

    The allocations' columns were read under the lock and decide. `hold` and the rest may have been read just before a
    wait for it; `hold.status` is set from the allocations. Provider and service are those of a visit's first item.
    """

    hold: Hold
    provider: Provider
    service: Service
    time_zone: str
    customer_limits: CustomerLimits
    payment_terms: PaymentTerms
    approval_hours: int
    is_whole: bool
    """Is everything that was held still held?"""
    held_until: datetime
    areas: Sequence[dict[str, Any] | None]
    """Of each provider who comes to the customer, where to (none: anywhere). Empty: nobody does."""

    def is_live(self, now: datetime) -> bool:
        return self.is_whole and self.held_until > now


# Of a visit, whose provider and service joined here are those of its first item.
_AREAS = literal_column(
    """
    CASE WHEN hold.items IS NOT NULL THEN (
        SELECT jsonb_agg(p.service_area) FROM jsonb_array_elements(hold.items) AS i (item)
        JOIN service s ON s.id = (i.item ->> 'serviceId')::uuid AND s.is_at_customers
        JOIN provider p ON p.id = (i.item ->> 'providerId')::uuid) END
    """,
    JSONB,
)


async def lock_hold(tx: Tx, hold_id: UUID) -> LockedHold:
    """One statement. Raises NotFound, for places of a session too."""
    rows = (
        await tx.execute(
            select(
                Hold,
                Provider,
                Service,
                Venue.time_zone,
                Organization.customer_daily_limit,
                Organization.customer_weekly_limit,
                Organization.bookings_per_hour_limit,
                PaymentSettings,
                Organization.approval_hours,
                # What is held for a booking that is not paid yet is the booking's: the hold is used up.
                case((Allocation.booking_id.is_(None), Allocation.status), else_="booked").label("status"),
                Allocation.expires_at,
                Allocation.booking_id,
                _AREAS.label("areas"),
            )
            .join(Allocation, Allocation.hold_id == Hold.id)
            .join(Provider, Provider.id == Hold.provider_id)
            .join(Venue, Venue.id == Provider.venue_id)
            .join(Service, Service.id == Hold.service_id)
            .join(Organization, Organization.id == Hold.organization_id)
            .outerjoin(PaymentSettings, PaymentSettings.organization_id == Hold.organization_id)
            .where(Hold.id == hold_id)
            .order_by(Allocation.id)
            .with_for_update(key_share=True, of=Allocation)
        )
    ).all()
    if not rows:
        raise NotFound
    hold, provider, service, venue_time_zone, per_day, per_week, per_hour, *others = rows[0]
    payment_settings, approval_hours = others[:2]
    statuses = {row.status for row in rows}
    is_used = any(row.booking_id is not None for row in rows)  # booked, or held until it is paid
    if is_used:
        hold.status = HoldStatus.CONSUMED
    elif "held" not in statuses and hold.status == HoldStatus.ACTIVE:
        hold.status = HoldStatus.RELEASED
    until = min((row.expires_at for row in rows if row.expires_at is not None), default=hold.expires_at)
    if hold.waitlist_entry_id is not None:
        until = min(until, hold.expires_at)  # the claim of an offer runs on until its own job ends it
    tx.expunge(hold)
    return LockedHold(
        hold=hold,
        provider=provider,
        service=service,
        time_zone=provider.time_zone or venue_time_zone,
        customer_limits=CustomerLimits(per_day, per_week, per_hour),
        payment_terms=terms_of_settings(payment_settings),
        approval_hours=approval_hours,
        is_whole=statuses == {"held"} and not is_used,
        held_until=until,
        areas=(rows[0].areas or []) if hold.items else [provider.service_area] if service.is_at_customers else [],
    )


async def get_hold(tx: Tx, hold_id: UUID) -> Hold:
    """Raises NotFound."""
    hold = await tx.get(Hold, hold_id)
    if hold is None:
        raise NotFound
    return hold


def shown_status(hold: Hold, now: datetime) -> HoldStatus:
    """A hold that ran out reads as EXPIRED whether or not the sweep has come by."""
    if hold.status == HoldStatus.ACTIVE and hold.expires_at <= now:
        return HoldStatus.EXPIRED
    return HoldStatus(hold.status)
