"""Schedule versions of an owner."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from uuid import UUID

from sqlalchemy import func, select

from app.core.database import Tx
from app.domain import schedule
from app.domain.errors import NotFound
from app.models import Provider, ScheduleVersion, Venue


async def lock_provider(tx: Tx, provider_id: UUID) -> tuple[Provider, str]:
    """The provider, locked against a second publishing, and its time zone. Raises NotFound."""
    row = (
        await tx.execute(
            select(Provider, Venue.time_zone)
            .join(Venue, Venue.id == Provider.venue_id)
            .where(Provider.id == provider_id)
            .with_for_update(key_share=True, of=Provider)
        )
    ).first()
    if row is None:
        raise NotFound
    return row[0], row[0].time_zone or row[1]


async def list_versions_in_force(tx: Tx, owner_id: UUID) -> list[ScheduleVersion]:
    """Those not superseded, by date."""
    query = (
        select(ScheduleVersion)
        .where(ScheduleVersion.owner_id == owner_id, ScheduleVersion.superseded_at.is_(None))
        .order_by(func.lower(ScheduleVersion.effective))
    )
    return list((await tx.execute(query)).scalars())


async def last_number(tx: Tx, owner_id: UUID) -> int:
    query = select(func.coalesce(func.max(ScheduleVersion.number), 0)).where(ScheduleVersion.owner_id == owner_id)
    return (await tx.execute(query)).scalar_one()


async def get_version(tx: Tx, version_id: UUID) -> ScheduleVersion:
    """Raises NotFound."""
    version = await tx.get(ScheduleVersion, version_id)
    if version is None:
        raise NotFound
    return version


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
