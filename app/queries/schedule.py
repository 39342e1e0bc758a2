"""Who has hours, and the versions of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Select, func, literal, select, union_all

from app.core.database import Tx
from app.domain import schedule
from app.domain.errors import NotFound
from app.domain.instants import zone
from app.models import Activity, Provider, ScheduleVersion, Venue
from app.queries.rows import list_below, one_of


class OwnerKind(StrEnum):
    """What may have hours of its own. A venue has exceptions alone, which rule everything there."""

    PROVIDER = "provider"
    ACTIVITY = "activity"
    VENUE = "venue"


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose hours they are. `venue_id` is a venue's own id."""

    kind: OwnerKind
    id: UUID
    organization_id: UUID
    venue_id: UUID
    time_zone: ZoneInfo


async def get_owner(tx: Tx, kind: OwnerKind, owner_id: UUID) -> Owner:
    """One statement. Raises NotFound."""
    return await _owner(tx, kind, owner_id, _select_owner(kind, owner_id))


async def lock_owner(tx: Tx, kind: OwnerKind, owner_id: UUID) -> Owner:
    """The same, locked against a second change of its hours until this transaction ends. Raises NotFound."""
    locked = {OwnerKind.PROVIDER: Provider, OwnerKind.ACTIVITY: Activity, OwnerKind.VENUE: Venue}[kind]
    statement = _select_owner(kind, owner_id).with_for_update(key_share=True, of=locked)
    return await _owner(tx, kind, owner_id, statement)


def _select_owner(kind: OwnerKind, owner_id: UUID) -> Select[UUID, UUID, str]:
    match kind:
        case OwnerKind.PROVIDER:
            own_zone = func.coalesce(Provider.time_zone, Venue.time_zone)
            query = select(Provider.organization_id, Provider.venue_id, own_zone)
            return query.join(Venue, Venue.id == Provider.venue_id).where(Provider.id == owner_id)
        case OwnerKind.ACTIVITY:
            query = select(Activity.organization_id, Activity.venue_id, Venue.time_zone)
            return query.join(Venue, Venue.id == Activity.venue_id).where(Activity.id == owner_id)
        case OwnerKind.VENUE:
            return select(Venue.organization_id, Venue.id, Venue.time_zone).where(Venue.id == owner_id)


async def _owner(tx: Tx, kind: OwnerKind, owner_id: UUID, statement: Select[UUID, UUID, str]) -> Owner:
    row = (await tx.execute(statement)).first()
    if row is None:
        raise NotFound
    organization_id, venue_id, zone_name = row
    return Owner(kind, owner_id, organization_id, venue_id, zone(zone_name))


async def list_versions_in_force(tx: Tx, owner_id: UUID) -> list[ScheduleVersion]:
    """Those not superseded, by date."""
    query = (
        select(ScheduleVersion)
        .where(ScheduleVersion.owner_id == owner_id, ScheduleVersion.superseded_at.is_(None))
        .order_by(func.lower(ScheduleVersion.effective))
    )
    return list((await tx.execute(query)).scalars())


async def versions_in_force_of(tx: Tx, owner_ids: Sequence[UUID]) -> dict[UUID, tuple[schedule.ScheduleVersion, ...]]:
    """The same of several owners, by owner. One statement."""
    query = (
        select(ScheduleVersion)
        .where(one_of(ScheduleVersion.owner_id, owner_ids), ScheduleVersion.superseded_at.is_(None))
        .order_by(func.lower(ScheduleVersion.effective))
    )
    found: dict[UUID, list[ScheduleVersion]] = {}
    for version in (await tx.execute(query)).scalars():
        found.setdefault(version.owner_id, []).append(version)
    return {owner_id: to_domain(versions) for owner_id, versions in found.items()}


async def list_versions_below(tx: Tx, owner_ids: Sequence[UUID]) -> Mapping[UUID, list[ScheduleVersion]]:
    """In force, planned and past ones of each owner, newest first. One statement."""
    source = select(ScheduleVersion).where(one_of(ScheduleVersion.owner_id, owner_ids))
    return await list_below(tx, ScheduleVersion, ScheduleVersion.owner_id, source, [ScheduleVersion.number.desc()])


async def last_number(tx: Tx, owner_id: UUID) -> int:
    query = select(func.coalesce(func.max(ScheduleVersion.number), 0)).where(ScheduleVersion.owner_id == owner_id)
    return (await tx.execute(query)).scalar_one()


async def get_version(tx: Tx, version_id: UUID) -> ScheduleVersion:
    """Raises NotFound."""
    version = await tx.get(ScheduleVersion, version_id)
    if version is None:
        raise NotFound
    return version


async def require_visible_owner(tx: Tx, owner_id: UUID, *, for_staff: bool) -> None:
    """Only staff see what is not active, or whose venue is not. At most one statement. Raises NotFound."""
    if for_staff:
        return
    visible = union_all(
        *(
            select(model.id)
            .join(Venue, Venue.id == model.venue_id)
            .where(model.id == owner_id, model.is_active, Venue.is_active)
            for model in (Provider, Activity)
        ),
        select(Venue.id).where(Venue.id == owner_id, Venue.is_active),
    )
    if (await tx.execute(visible)).first() is None:
        raise NotFound


async def find_owner_kind(tx: Tx, owner_id: UUID) -> OwnerKind:
    """What has this id. One statement. Raises NotFound."""
    kinds = union_all(
        select(literal(OwnerKind.PROVIDER.value)).where(select(Provider.id).where(Provider.id == owner_id).exists()),
        select(literal(OwnerKind.ACTIVITY.value)).where(select(Activity.id).where(Activity.id == owner_id).exists()),
        select(literal(OwnerKind.VENUE.value)).where(select(Venue.id).where(Venue.id == owner_id).exists()),
    )
    found = (await tx.execute(kinds)).scalar()
    if found is None:
        raise NotFound
    return OwnerKind(found)


async def list_activity_ids_at(tx: Tx, venue_id: UUID) -> list[UUID]:
    """Active or not, by id. One statement."""
    return list((await tx.execute(_ids_at(Activity, venue_id))).scalars())


async def list_provider_ids_at(tx: Tx, venue_id: UUID) -> list[UUID]:
    """Active or not, by id. One statement."""
    return list((await tx.execute(_ids_at(Provider, venue_id))).scalars())


def _ids_at(model: type[Activity] | type[Provider], venue_id: UUID) -> Select[UUID]:
    return select(model.id).where(model.venue_id == venue_id).order_by(model.id)


def to_domain(versions: Sequence[ScheduleVersion]) -> tuple[schedule.ScheduleVersion, ...]:
    return tuple(
        schedule.ScheduleVersion(
            id=version.id,
            effective_from=effective_from(version),
            effective_to=version.effective.upper,
            slot_interval_minutes=version.slot_interval_minutes,
            weekly=schedule.weekly_from_json(version.weekly),
        )
        for version in versions
    )


def effective_from(version: ScheduleVersion) -> date:
    assert version.effective.lower is not None  # a check constraint says so
    return version.effective.lower
