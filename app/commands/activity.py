"""Making and changing activities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete

from app.commands.actor import Actor
from app.commands.changes import change_row, write_created
from app.commands.fields import (
    NOTICE_MAXIMUM_MINUTES,
    RESCHEDULES_MAXIMUM,
    Form,
    line_list,
    name,
    optional_line,
    optional_text,
    required,
    whole_number,
)
from app.commands.journal import Audit, Event, write_journal
from app.commands.resource_need import NeedGiven, set_needs
from app.commands.session_generation import apply_schedule
from app.core.database import Tx
from app.core.ids import new_id
from app.domain.errors import FieldErrors
from app.domain.money import MAXIMUM_MINOR
from app.models import Activity, ActivityProvider, Provider, Venue
from app.queries.activity import list_leaders
from app.queries.rows import get_row, lock_row, require_rows

CATEGORY_MAXIMUM = 100
DAY_MINUTES = 1_440
TAGS_MAXIMUM = 20
TAG_MAXIMUM = 40
CAPACITY_MAXIMUM = 10_000
PRICE_MAXIMUM = MAXIMUM_MINOR // CAPACITY_MAXIMUM
"""Of one place, so that a full session can still be paid."""
ADVANCE_MAXIMUM_DAYS = 1_095

_MAKES_SESSIONS = frozenset({"duration_minutes", "session_horizon_days"})


def _whole(values: Mapping[str, Any], errors: FieldErrors) -> None:
    furthest, horizon = values.get("maximum_advance_days"), values.get("session_horizon_days")
    if furthest is not None and horizon is not None and horizon > furthest:
        errors.add("input.sessionHorizonDays", f"must be at most maximumAdvanceDays, {furthest}")
    capacity, party = values.get("capacity"), values.get("max_party_size")
    if capacity is not None and party is not None and party > capacity:
        errors.add("input.maxPartySize", f"must be at most capacity, {capacity}")
    fewest, most = values.get("minimum_party_size"), [one for one in (capacity, party) if one is not None]
    if fewest is not None and most and fewest > min(most):
        errors.add("input.minimumPartySize", f"must be at most capacity and maxPartySize, {min(most)}")


FORM = Form(
    {
        "name": name(),
        "description": optional_text(),
        "category": optional_line(CATEGORY_MAXIMUM),
        "price_minor": required(whole_number(0, PRICE_MAXIMUM)),
        "capacity": required(whole_number(1, CAPACITY_MAXIMUM)),
        "duration_minutes": required(whole_number(1, DAY_MINUTES, " minutes")),
        "advance_notice_minutes": required(whole_number(0, NOTICE_MAXIMUM_MINUTES, " minutes")),
        "maximum_advance_days": required(whole_number(1, ADVANCE_MAXIMUM_DAYS, " days")),
        "session_horizon_days": required(whole_number(1, ADVANCE_MAXIMUM_DAYS, " days")),
        "maximum_reschedules": whole_number(0, RESCHEDULES_MAXIMUM),
        "reschedule_notice_minutes": whole_number(0, NOTICE_MAXIMUM_MINUTES, " minutes"),
        "cancellation_notice_minutes": required(whole_number(0, NOTICE_MAXIMUM_MINUTES, " minutes")),
        "max_party_size": whole_number(1, CAPACITY_MAXIMUM),
        "minimum_party_size": required(whole_number(1, CAPACITY_MAXIMUM)),
        "private_price_minor": whole_number(0, MAXIMUM_MINOR),
        "tags": line_list(TAGS_MAXIMUM, TAG_MAXIMUM),
    },
    _whole,
)


@dataclass(frozen=True, slots=True)
class Taken:
    """Whose time each session takes, and what it needs. None: as it is (of a new activity: nobody, nothing)."""

    provider_ids: tuple[UUID, ...] | None = None
    needs: tuple[NeedGiven, ...] | None = None


async def create_activity(  # noqa: PLR0917 (as all creations: who and where, then the facts)
    tx: Tx,
    organization_id: UUID,
    actor: Actor,
    venue_id: UUID,
    values: Mapping[str, Any],
    taken: Taken = Taken(),
) -> Activity:
    """`values` as FORM cleans them. No sessions until a schedule is published. Raises NotFound, InvalidInput."""
    await get_row(tx, Venue, venue_id)
    provider_ids = taken.provider_ids or ()
    await require_rows(tx, Provider, provider_ids)
    activity = Activity(id=new_id(), organization_id=organization_id, venue_id=venue_id, is_active=True, **values)
    tx.add(activity)
    await tx.flush()
    await _add_leaders(tx, activity, provider_ids)
    after = {**values, "venue_id": venue_id, "provider_ids": list(provider_ids)}
    events = [activity_updated(activity.id)]
    await write_created(tx, organization_id, actor, "activity", activity.id, after=after, events=events)
    if taken.needs:
        await set_needs(tx, organization_id, actor, activity.id, taken.needs, venue_id)
    return activity


def activity_updated(activity_id: UUID) -> Event:
    return Event("activity.updated", activity_id, {"activityId": activity_id})


async def _add_leaders(tx: Tx, activity: Activity, provider_ids: Sequence[UUID]) -> None:
    tx.add_all(
        ActivityProvider(activity_id=activity.id, provider_id=provider_id, organization_id=activity.organization_id)
        for provider_id in provider_ids
    )
    await tx.flush()


async def update_activity(  # noqa: PLR0917 (as all changes: who and which, then the facts)
    tx: Tx,
    organization_id: UUID,
    actor: Actor,
    activity_id: UUID,
    values: Mapping[str, Any],
    taken: Taken,
    *,
    now: datetime,
) -> Activity:
    """What is not in `values` stays; so do sessions, holds and bookings that exist: only new sessions differ.

    Raises NotFound, InvalidInput.
    """
    activity = await lock_row(tx, Activity, activity_id)
    FORM.check_whole(activity, values)
    is_other = await change_row(
        tx,
        organization_id,
        actor,
        "activity.updated",
        activity,
        subject_id=activity_id,
        values=values,
        events=[activity_updated(activity_id)],
    )
    if taken.provider_ids is not None:
        await _set_leaders(tx, activity, taken.provider_ids, actor)
    if taken.needs is not None:
        await set_needs(tx, organization_id, actor, activity_id, taken.needs, activity.venue_id)
    # Others who lead it may be free where those before them were not.
    if taken != Taken() or (is_other and not _MAKES_SESSIONS.isdisjoint(values)):
        await apply_schedule(tx, organization_id, activity_id, actor=actor, now=now)
    return activity


async def _set_leaders(tx: Tx, activity: Activity, provider_ids: Sequence[UUID], actor: Actor) -> None:
    """Raises NotFound."""
    before = [leader.provider_id for leader in await list_leaders(tx, activity.id)]
    if set(before) == set(provider_ids):
        return
    await require_rows(tx, Provider, provider_ids)
    await tx.execute(delete(ActivityProvider).where(ActivityProvider.activity_id == activity.id))
    await _add_leaders(tx, activity, provider_ids)
    audit = Audit(
        "activity.updated", activity.id, {"provider_ids": before}, {"provider_ids": sorted(provider_ids, key=str)}
    )
    await write_journal(tx, activity.organization_id, actor, audit=[audit], events=[activity_updated(activity.id)])


async def set_activity_active(  # noqa: PLR0917 (as all switches, and when)
    tx: Tx, organization_id: UUID, actor: Actor, activity_id: UUID, is_active: bool, now: datetime
) -> Activity:
    """Sessions and bookings stand; while it is off nobody holds places and no sessions are made. Raises NotFound."""
    activity = await lock_row(tx, Activity, activity_id)
    changed = await change_row(
        tx,
        organization_id,
        actor,
        "activity.reactivated" if is_active else "activity.deactivated",
        activity,
        subject_id=activity_id,
        values={"is_active": is_active},
        events=[activity_updated(activity_id)],
    )
    if changed and is_active:
        await apply_schedule(tx, organization_id, activity_id, actor=actor, now=now)
    return activity
