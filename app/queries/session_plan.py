"""What an activity's sessions are made from: its hours, who leads them and what they need."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import func, select

from app.core.database import Tx
from app.domain.instants import local_date
from app.domain.sessions import SessionStatus
from app.domain.slots import Need
from app.models import Activity, ActivitySession, Resource, ResourceNeed, ResourceUnit
from app.queries.activity import list_leader_ids
from app.queries.hours import OwnerHours, hours_of_activities


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """Good for starts between the two instants it was read for."""

    hours: OwnerHours
    leaders: tuple[UUID, ...]
    needs: tuple[Need, ...]


async def get_session_plan(tx: Tx, activity: Activity, tz: ZoneInfo, from_at: datetime, to_at: datetime) -> SessionPlan:
    """Five statements."""
    first, last = local_date(from_at, tz), local_date(to_at, tz)
    return SessionPlan(
        hours=(await hours_of_activities(tx, (activity.id,), first, last))[activity.id],
        leaders=tuple(await list_leader_ids(tx, activity.id)),
        needs=await list_needs(tx, activity.id, activity.venue_id),
    )


async def list_needs(tx: Tx, owner_id: UUID, venue_id: UUID) -> tuple[Need, ...]:
    """With the units that may serve each need at the venue, in the order they are tried. One statement."""
    query = (
        select(ResourceNeed.position, ResourceNeed.quantity, ResourceUnit.id)
        .outerjoin(
            Resource,
            (Resource.id == func.any(ResourceNeed.resource_ids)) & Resource.is_active & (Resource.venue_id == venue_id),
        )
        .outerjoin(ResourceUnit, (ResourceUnit.resource_id == Resource.id) & ResourceUnit.is_active)
        .where(ResourceNeed.owner_id == owner_id)
        .order_by(ResourceNeed.position, Resource.id, ResourceUnit.number)
    )
    found: dict[int, tuple[int, list[UUID]]] = {}
    for position, quantity, unit_id in await tx.execute(query):
        units_of = found.setdefault(position, (quantity, []))[1]
        if unit_id is not None:
            units_of.append(unit_id)
    return tuple(Need(quantity, tuple(unit_ids)) for quantity, unit_ids in found.values())


class FutureSession(NamedTuple):
    id: UUID
    starts_at: datetime
    status: str
    is_legacy: bool
    cancelled_reason: str | None

    @property
    def is_dropped(self) -> bool:
        """Cancelled for its hours. One that a person called off has a reason, and no schedule brings it back."""
        return self.status == SessionStatus.CANCELLED and self.cancelled_reason is None


async def list_future_sessions(tx: Tx, activity_id: UUID, now: datetime) -> list[FutureSession]:
    """Those that have not begun, by start. One statement."""
    query = (
        select(
            ActivitySession.id,
            ActivitySession.starts_at,
            ActivitySession.status,
            ActivitySession.is_legacy,
            ActivitySession.cancelled_reason,
        )
        .where(ActivitySession.activity_id == activity_id, ActivitySession.starts_at > now)
        .order_by(ActivitySession.starts_at)
    )
    return [FutureSession(*row) for row in await tx.execute(query)]
