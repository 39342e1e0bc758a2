"""Which services, and whose, were claimed most lately."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Uuid, bindparam, text

from app.core.database import Tx

LATELY = timedelta(days=7)
HOLDS_COUNTED = 20_000
"""The newest are enough to tell."""

# Ids of holds begin with their time, so that the primary key finds the newest.
_BUSIEST = text(
    """
    WITH lately AS MATERIALIZED (
        SELECT h.service_id, h.provider_id FROM hold h WHERE h.id >= :since ORDER BY h.id DESC LIMIT :counted
    )
    (SELECT l.service_id, NULL AS provider_id, count(*) AS claims FROM lately l
     WHERE l.service_id IS NOT NULL GROUP BY l.service_id ORDER BY claims DESC, l.service_id LIMIT :services)
    UNION ALL
    (SELECT l.service_id, l.provider_id, count(*) AS claims FROM lately l
     WHERE l.service_id IS NOT NULL GROUP BY l.service_id, l.provider_id
     ORDER BY claims DESC, l.service_id, l.provider_id LIMIT :pairs)
    """
).bindparams(bindparam("since", type_=Uuid))


@dataclass(frozen=True, slots=True)
class Busiest:
    """`provider_id` none: of anyone who offers it."""

    service_id: UUID
    provider_id: UUID | None


async def list_busiest(tx: Tx, now: datetime, *, services: int, pairs: int) -> list[Busiest]:
    """Over all organizations: services first, then single providers with a service, each most claimed first.

    One statement, for the worker's role.
    """
    values = {"since": _first_id(now - LATELY), "counted": HOLDS_COUNTED, "services": services, "pairs": pairs}
    return [Busiest(row.service_id, row.provider_id) for row in await tx.execute(_BUSIEST, values)]


def _first_id(instant: datetime) -> UUID:
    """No id made from that instant on is lower."""
    return UUID(int=int(instant.timestamp() * 1000) << 80)
