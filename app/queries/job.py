"""Reading jobs: which are due, and whether anyone is there to do them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import or_, select, text

from app.core.database import Tx
from app.models import Job

POLL_LIMIT = 100

ALIVE_WITHIN_S = 15
"""A worker that was not seen for longer counts as gone. Workers report every 5 s."""


@dataclass(frozen=True, slots=True)
class DueJob:
    """A job that may be claimed now. `fence` names the attempt: a job that is taken over has a higher one."""

    id: UUID
    fence: int


async def due_jobs(tx: Tx, kinds: Collection[str], limit: int = POLL_LIMIT) -> list[DueJob]:
    """Jobs of these kinds whose time has come or whose lease lapsed, longest due first. One statement."""
    now = select(text("turnero_now()")).scalar_subquery()  # once, so that the index can be used
    query = (
        select(Job.id, Job.fence)
        .where(
            Job.done_at.is_(None),
            Job.failed_at.is_(None),
            Job.run_after <= now,
            or_(Job.lease_until.is_(None), Job.lease_until < now),
            Job.kind.in_(kinds),
        )
        .order_by(Job.run_after)
        .limit(limit)
    )
    return [DueJob(*row) for row in await tx.execute(query)]


# The real clock: a shifted one says nothing about who is running.
_ALIVE = text(
    "SELECT EXISTS (SELECT FROM worker_heartbeat WHERE seen_at > clock_timestamp() - make_interval(secs => :within_s))"
)


async def workers_alive(tx: Tx) -> bool:
    """Was any worker seen in the last 15 s? One statement."""
    return bool((await tx.execute(_ALIVE, {"within_s": ALIVE_WITHIN_S})).scalar_one())
