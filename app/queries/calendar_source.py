"""Reading calendars elsewhere that block providers, and what a provider's own calendar shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import DateTime, func, select

from app.core.database import Tx
from app.domain.errors import NotFound
from app.domain.instants import zone
from app.models import CalendarSource, Provider, Venue
from app.queries.rows import list_below, lock_row

_NOW = func.turnero_now(type_=DateTime(timezone=True))


@dataclass(frozen=True, slots=True)
class PollTarget:
    """A calendar that is to be asked, as it stood at `now`. `home`: the provider's zone, else the venue's."""

    source: CalendarSource
    home: ZoneInfo
    now: datetime


async def get_poll_target(tx: Tx, source_id: UUID) -> PollTarget | None:
    """One statement. None: it was disconnected."""
    row = (
        await tx.execute(
            select(CalendarSource, func.coalesce(Provider.time_zone, Venue.time_zone), _NOW)
            .join(Provider, Provider.id == CalendarSource.provider_id)
            .join(Venue, Venue.id == Provider.venue_id)
            .where(CalendarSource.id == source_id, CalendarSource.removed_at.is_(None))
        )
    ).first()
    return None if row is None else PollTarget(row[0], zone(row[1]), row[2])


async def lock_source(tx: Tx, source_id: UUID) -> CalendarSource:
    """As it is once nobody else changes it. One statement. Raises NotFound, also for a disconnected one."""
    source = await lock_row(tx, CalendarSource, source_id)
    if source.removed_at is not None:
        raise NotFound
    return source


async def count_sources(tx: Tx, provider_id: UUID) -> int:
    """The connected ones. One statement."""
    mine = (CalendarSource.provider_id == provider_id, CalendarSource.removed_at.is_(None))
    return (await tx.execute(select(func.count()).select_from(CalendarSource).where(*mine))).scalar_one()


async def list_sources_below(tx: Tx, provider_ids: Sequence[UUID]) -> Mapping[UUID, list[CalendarSource]]:
    """The connected ones of each provider, in the order they came. One statement."""
    mine = CalendarSource.provider_id.in_(provider_ids) & CalendarSource.removed_at.is_(None)
    source = select(CalendarSource).where(mine)
    return await list_below(tx, CalendarSource, CalendarSource.provider_id, source, [CalendarSource.created_at])
