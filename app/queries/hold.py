"""Reading and locking holds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from app.core.database import Tx
from app.domain.booking import HoldStatus
from app.domain.errors import NotFound
from app.models import Allocation, Hold, Provider, Service, Venue


@dataclass(frozen=True, slots=True)
class LockedHold:
    """A hold whose allocation row, the one lock of a hold, belongs to this transaction.

    The allocation's columns were read under the lock and decide. `hold` and the rest may have been read just before a
    wait for it; `hold.status` is set from the allocation.
    """

    hold: Hold
    provider: Provider
    service: Service
    time_zone: str
    allocation_status: str
    allocation_expires_at: datetime | None

    def is_live(self, now: datetime) -> bool:
        return (
            self.allocation_status == "held"
            and self.allocation_expires_at is not None
            and self.allocation_expires_at > now
        )


async def lock_hold(tx: Tx, hold_id: UUID) -> LockedHold:
    """One statement. Raises NotFound."""
    row = (
        await tx.execute(
            select(Hold, Provider, Service, Venue.time_zone, Allocation.status, Allocation.expires_at)
            .join(Allocation, Allocation.hold_id == Hold.id)
            .join(Provider, Provider.id == Hold.provider_id)
            .join(Venue, Venue.id == Provider.venue_id)
            .join(Service, Service.id == Hold.service_id)
            .where(Hold.id == hold_id)
            .with_for_update(key_share=True, of=Allocation)
        )
    ).first()
    if row is None:
        raise NotFound
    hold, provider, service, venue_time_zone, status, expires_at = row
    if status == "booked":
        hold.status = HoldStatus.CONSUMED
    elif status == "released" and hold.status == HoldStatus.ACTIVE:
        hold.status = HoldStatus.RELEASED
    tx.expunge(hold)
    return LockedHold(hold, provider, service, provider.time_zone or venue_time_zone, status, expires_at)


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
