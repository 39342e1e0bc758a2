"""Claims of one hold, known by its token alone: what the bearer looks at is then no conflict with it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from uuid import UUID

from sqlalchemy import select

from app.core.database import Tx
from app.models import Allocation, Hold, PlaceClaim
from app.queries.rows import one_of

CLAIMS_LIMIT = 2_000
"""Most that are looked through."""

IsToken = Callable[[UUID, int], bool]
"""Given a hold's id and the version of its secret: is it the token's hold?"""


async def own_allocations(tx: Tx, allocation_ids: Collection[UUID], is_token: IsToken) -> frozenset[UUID]:
    """Those of these allocations that the hold has, or the booking made of it. One statement."""
    if not allocation_ids:
        return frozenset()
    statement = (
        select(Allocation.id, Hold.id, Hold.token_version)
        .join(Hold, Hold.id == Allocation.hold_id)
        .where(one_of(Allocation.id, list(allocation_ids)[:CLAIMS_LIMIT]))
    )
    return frozenset(claim for claim, hold, version in await tx.execute(statement) if is_token(hold, version))


async def own_places(tx: Tx, session_id: UUID, is_token: IsToken) -> frozenset[UUID]:
    """The same for claims of places of a session. One statement."""
    statement = (
        select(PlaceClaim.id, Hold.id, Hold.token_version)
        .join(Hold, Hold.id == PlaceClaim.hold_id)
        .where(PlaceClaim.session_id == session_id, PlaceClaim.status.in_(("held", "booked")))
        .limit(CLAIMS_LIMIT)
    )
    return frozenset(claim for claim, hold, version in await tx.execute(statement) if is_token(hold, version))


async def booked_places(tx: Tx, claim_ids: Collection[UUID]) -> frozenset[UUID]:
    """Those of these claims that are booked. One statement, or none for none."""
    if not claim_ids:
        return frozenset()
    statement = select(PlaceClaim.id).where(one_of(PlaceClaim.id, list(claim_ids)), PlaceClaim.status == "booked")
    return frozenset((await tx.execute(statement)).scalars())
