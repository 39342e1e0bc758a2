"""What an activity's sessions are made from: its hours, who leads them and what they need."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import case, false, func, select, union_all

from app.core.database import Tx
from app.domain.instants import local_date
from app.domain.plan import Need
from app.domain.session_plan import FutureSession, Takers
from app.domain.sessions import COMING_MAXIMUM, SessionHours, SessionStatus
from app.models import Activity, ActivitySession, Resource, ResourceNeed, ResourceUnit
from app.queries.activity import list_leaders
from app.queries.hours import hours_of_activities
from app.queries.rows import one_of
from app.queries.session import LAPSED

DROPPED_READ = COMING_MAXIMUM
"""Most sessions that the hours dropped before, the soonest ones; later ones are found when they are nearer."""


async def get_session_hours(
    tx: Tx, activity: Activity, tz: ZoneInfo, from_at: datetime, to_at: datetime
) -> SessionHours:
    """Good for starts between two instants. Three statements."""
    first, last = local_date(from_at, tz), local_date(to_at, tz)
    return (await hours_of_activities(tx, (activity.id,), first, last))[activity.id].of_sessions()


async def get_takers(tx: Tx, activity: Activity) -> Takers:
    """Two statements."""
    leaders = await list_leaders(tx, activity.id)
    return Takers(
        leaders=tuple(leader.provider_id for leader in leaders),
        needs=await list_needs(tx, activity.id, activity.venue_id),
        is_able=all(leader.is_active for leader in leaders),
    )


async def starts_in_hours(tx: Tx, activity_id: UUID, tz: ZoneInfo, starts: Sequence[datetime]) -> set[datetime]:
    """Those that the activity's hours have now. Three statements; none for none."""
    if not starts:
        return set()
    first, last = local_date(min(starts), tz), local_date(max(starts), tz)
    return (await hours_of_activities(tx, (activity_id,), first, last))[activity_id].of_sessions().having(starts)


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


async def list_future_sessions(tx: Tx, activity_id: UUID, now: datetime) -> list[FutureSession]:
    """Those that have not begun, by start; of those that the hours dropped at most DROPPED_READ. One statement."""
    of_activity = (
        select(
            ActivitySession.id,
            ActivitySession.starts_at,
            ActivitySession.status,
            ActivitySession.is_legacy,
            ActivitySession.cancelled_reason,
            case((ActivitySession.is_legacy, ActivitySession.taken <= LAPSED), else_=false()),
        )
        .where(ActivitySession.activity_id == activity_id, ActivitySession.starts_at > now)
        .order_by(ActivitySession.starts_at)
    )
    is_dropped = (ActivitySession.status == SessionStatus.CANCELLED.value) & ActivitySession.cancelled_reason.is_(None)
    dropped = of_activity.where(is_dropped).limit(DROPPED_READ).subquery()
    others = of_activity.where(~is_dropped).subquery()
    rows = await tx.execute(union_all(select(others), select(dropped)))
    return sorted((FutureSession(*row) for row in rows), key=lambda row: row.starts_at)


async def list_future_session_ids(tx: Tx, activity_ids: Sequence[UUID], now: datetime, *, most: int) -> list[UUID]:
    """The ids of coming sessions of all these activities together, at most `most`. One statement."""
    query = (
        select(ActivitySession.id)
        .where(one_of(ActivitySession.activity_id, activity_ids), ActivitySession.starts_at > now)
        .limit(most)
    )
    return list((await tx.execute(query)).scalars())
