"""What is booked by the place: activities, and who leads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Select, Text, and_, func, or_, select

from app.core.database import Tx
from app.domain.errors import NotFound
from app.domain.instants import zone
from app.domain.sessions import generation_day
from app.models import Activity, ActivityProvider, Provider, Venue
from app.queries.pagination import SortKey
from app.queries.rows import list_below, one_of
from app.queries.text_search import contains_text, folded, same_text


@dataclass(frozen=True, slots=True)
class ActivityFilter:
    """Each that is given must hold. `text`: a part of the name. `provider_id`: who leads it."""

    venue_id: UUID | None = None
    provider_id: UUID | None = None
    category: str | None = None
    text: str | None = None
    tag: str | None = None
    is_active: bool | None = None


class ActivitySort(StrEnum):
    NAME_ASC = "name_asc"
    PRICE_ASC = "price_asc"
    PRICE_DESC = "price_desc"
    CREATED_ASC = "created_asc"


ACTIVITY_SORTS: Mapping[ActivitySort, SortKey] = MappingProxyType(
    {
        ActivitySort.NAME_ASC: SortKey("name", folded(Activity.name), Activity.id, str),
        ActivitySort.PRICE_ASC: SortKey("price", Activity.price_minor, Activity.id, int),
        ActivitySort.PRICE_DESC: SortKey("price", Activity.price_minor, Activity.id, int, descending=True),
        ActivitySort.CREATED_ASC: SortKey("created", Activity.created_at, Activity.id, datetime),
    }
)


def select_activities(organization_id: UUID, wanted: ActivityFilter, *, for_staff: bool) -> Select[Activity]:
    """Those of a list. Only staff see activities that are not active, or whose venue is not."""
    statement = select(Activity).where(Activity.organization_id == organization_id)
    if not for_staff:
        statement = statement.where(Activity.is_active, _at_active_venue())
    if wanted.is_active is not None:
        statement = statement.where(Activity.is_active.is_(wanted.is_active))
    if wanted.venue_id is not None:
        statement = statement.where(Activity.venue_id == wanted.venue_id)
    if wanted.category is not None:
        statement = statement.where(same_text(func.coalesce(Activity.category, ""), wanted.category))
    if wanted.text is not None:
        statement = statement.where(contains_text(Activity.name, wanted.text))
    if wanted.tag is not None:
        each = func.unnest(Activity.tags, type_=Text).column_valued("tag")
        statement = statement.where(select(each).where(same_text(each, wanted.tag)).exists())
    if wanted.provider_id is not None:
        led = select(1).where(
            ActivityProvider.activity_id == Activity.id, ActivityProvider.provider_id == wanted.provider_id
        )
        statement = statement.where(led.exists())
    return statement


def _at_active_venue() -> Any:
    return select(Venue.id).where(Venue.id == Activity.venue_id, Venue.is_active).exists()


async def get_activity(tx: Tx, activity_id: UUID, *, for_staff: bool) -> Activity:
    """Only staff see one that is not active, or whose venue is not. One statement. Raises NotFound."""
    statement = select(Activity).where(Activity.id == activity_id)
    if not for_staff:
        statement = statement.where(Activity.is_active, _at_active_venue())
    activity = (await tx.execute(statement)).scalar_one_or_none()
    if activity is None:
        raise NotFound
    return activity


async def lock_activity(tx: Tx, activity_id: UUID) -> tuple[Activity, str]:
    """The activity, locked against a second generation of its sessions, and its zone: its venue's. Raises NotFound."""
    row = (
        await tx.execute(
            select(Activity, Venue.time_zone)
            .join(Venue, Venue.id == Activity.venue_id)
            .where(Activity.id == activity_id)
            .with_for_update(key_share=True, of=Activity)
            .execution_options(populate_existing=True)
        )
    ).first()
    if row is None:
        raise NotFound
    return row[0], row[1]


async def list_activities_below_venues(tx: Tx, venue_ids: Sequence[UUID]) -> Mapping[UUID, list[Activity]]:
    """The active ones of each active venue, by name. One statement."""
    source = select(Activity).where(one_of(Activity.venue_id, venue_ids), Activity.is_active, _at_active_venue())
    return await list_below(tx, Activity, Activity.venue_id, source, [folded(Activity.name)])


async def list_providers_below_activities(tx: Tx, activity_ids: Sequence[UUID]) -> Mapping[UUID, list[Provider]]:
    """The active ones who lead each activity, by name. One statement."""
    source = (
        select(Provider)
        .join(ActivityProvider, ActivityProvider.provider_id == Provider.id)
        .where(one_of(ActivityProvider.activity_id, activity_ids), Provider.is_active)
    )
    return await list_below(tx, Provider, ActivityProvider.activity_id, source, [folded(Provider.name)])


class Leader(NamedTuple):
    provider_id: UUID
    is_active: bool


async def list_leaders(tx: Tx, activity_id: UUID) -> list[Leader]:
    """All who lead it, by id, also who is switched off. One statement."""
    query = (
        select(Provider.id, Provider.is_active)
        .join(ActivityProvider, ActivityProvider.provider_id == Provider.id)
        .where(ActivityProvider.activity_id == activity_id)
        .order_by(Provider.id)
    )
    return [Leader(*row) for row in await tx.execute(query)]


async def lock_active_activity_ids(tx: Tx, venue_id: UUID) -> list[UUID]:
    """Of one venue, by id, all locked against a second generation before the first is begun. One statement."""
    query = select(Activity.id).where(Activity.venue_id == venue_id, Activity.is_active).order_by(Activity.id)
    return list((await tx.execute(query.with_for_update(key_share=True))).scalars())


async def list_due_activity_ids(tx: Tx, now: datetime, *, after: UUID | None, limit: int) -> list[UUID]:
    """Active ones, at active venues, whose daily generation is due or whose hours have changed, by id after `after`.

    Two statements.
    """
    zones = (
        await tx.execute(select(Venue.time_zone).join(Activity, Activity.venue_id == Venue.id).distinct())
    ).scalars()
    due = [(name, generation_day(now, zone(name))) for name in zones]
    not_done = or_(
        Activity.sessions_follow.is_(False),
        *(
            and_(
                Venue.time_zone == name,
                or_(Activity.sessions_generated_on.is_(None), Activity.sessions_generated_on < day),
            )
            for name, day in due
        ),
    )
    query = (
        select(Activity.id)
        .join(Venue, Venue.id == Activity.venue_id)
        .where(Activity.is_active, Venue.is_active, not_done, *(() if after is None else (Activity.id > after,)))
        .order_by(Activity.id)
        .limit(limit)
    )
    return list((await tx.execute(query)).scalars())
