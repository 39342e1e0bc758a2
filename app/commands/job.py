"""Writing jobs: asking for one, claiming it, finishing it (docs/adr/0006).

A claim raises the job's fence. Every later write names the fence it was claimed with, so that a worker that was paused
past its lease, and whose job somebody else has taken over, can change nothing any more.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import CursorResult, DateTime, Interval, bindparam, func, insert, text, update
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TEXT, TIMESTAMP

from app.core.database import Tx
from app.core.ids import new_id
from app.models import Job

MAX_ERROR_LENGTH = 2_000

_NOW = func.turnero_now(type_=DateTime(timezone=True))


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that is ours until the lease lapses or somebody with a higher fence comes."""

    job_id: UUID
    kind: str
    args: dict[str, Any]
    organization_id: UUID | None
    attempt: int
    max_attempts: int
    fence: int
    run_after: datetime

    @property
    def is_last_attempt(self) -> bool:
        return self.attempt >= self.max_attempts


class LeaseLost(Exception):
    """The job belongs to somebody else by now. Whatever was to be committed with it must not be."""


async def enqueue(
    tx: Tx,
    kind: str,
    args: Mapping[str, Any],
    *,
    organization_id: UUID | None,
    run_after: datetime | None = None,
    max_attempts: int = 10,
) -> UUID:
    """Ask for work, in the transaction that wants it. `args` is JSON. One statement.

    A request's transaction may enqueue for its own organization only (row-level security).
    """
    job_id = new_id()
    values: dict[str, Any] = {
        "id": job_id,
        "kind": kind,
        "args": dict(args),
        "organization_id": organization_id,
        "max_attempts": max_attempts,
    }
    if run_after is not None:
        values["run_after"] = run_after
    await tx.execute(insert(Job).values(**values))
    return job_id


_CLAIM = text(
    """
    UPDATE job SET fence = fence + 1, attempts = attempts + 1, lease_until = turnero_now() + :lease
    WHERE id = :job_id AND done_at IS NULL AND failed_at IS NULL AND run_after <= turnero_now()
      AND (lease_until IS NULL OR lease_until < turnero_now())
      AND attempts < max_attempts AND kind = ANY (:kinds)
    RETURNING id, kind, args, organization_id, attempts, max_attempts, fence, run_after
    """
).bindparams(bindparam("lease", type_=Interval), bindparam("kinds", type_=ARRAY(TEXT)))


async def claim_job(tx: Tx, job_id: UUID, lease: timedelta, kinds: Collection[str]) -> Claim | None:
    """Take the job. None: it is done, not due yet, somebody else's, or of a kind this worker does not know."""
    row = (await tx.execute(_CLAIM, {"job_id": job_id, "lease": lease, "kinds": list(kinds)})).first()
    return None if row is None else Claim(*row)


async def renew_lease(tx: Tx, claim: Claim, lease: timedelta) -> None:
    """Raises LeaseLost."""
    await _write_mine(tx, claim, lease_until=_NOW + lease)


async def finish_job(tx: Tx, claim: Claim) -> None:
    """Done. In the transaction of the work itself, if it has one: then both are done or neither. Raises LeaseLost."""
    await _write_mine(tx, claim, done_at=_NOW, lease_until=None, last_error=None)


async def fail_job(tx: Tx, claim: Claim, error: str, delay: timedelta) -> None:
    """This attempt failed. The next is after `delay`, unless it was the last. Raises LeaseLost."""
    await _write_mine(
        tx,
        claim,
        lease_until=None,
        last_error=error[:MAX_ERROR_LENGTH],
        run_after=_NOW + delay,
        failed_at=_NOW if claim.is_last_attempt else None,
    )


async def give_back_job(tx: Tx, claim: Claim) -> None:
    """This worker ends: somebody else may start at once, and the attempt does not count. Raises LeaseLost."""
    await _write_mine(tx, claim, lease_until=None, attempts=Job.attempts - 1)


async def _write_mine(tx: Tx, claim: Claim, **values: object) -> None:
    result = await tx.execute(
        update(Job)
        .where(Job.id == claim.job_id, Job.fence == claim.fence, Job.done_at.is_(None), Job.failed_at.is_(None))
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    assert isinstance(result, CursorResult)
    if result.rowcount == 0:
        raise LeaseLost(f"job {claim.job_id} was taken over")


_FAIL_EXHAUSTED = text(
    """
    UPDATE job SET failed_at = turnero_now(), fence = fence + 1, lease_until = NULL,
                   last_error = 'its worker died or stood still, ' || attempts || ' times'
    WHERE done_at IS NULL AND failed_at IS NULL AND attempts >= max_attempts
      AND lease_until < (SELECT turnero_now())
    RETURNING id, kind, attempts
    """
)


async def fail_exhausted(tx: Tx) -> list[tuple[UUID, str, int]]:
    """Give up jobs whose last attempt ended without a word. (id, kind, attempts) of each. One statement.

    A job that takes its worker down with it never reports a failure, so nothing else would end it.
    """
    return [tuple(row) for row in await tx.execute(_FAIL_EXHAUSTED)]


_START_SLOT = text(
    """
    WITH slot AS (
        INSERT INTO recurring_run (job, scheduled_for) VALUES (:name, :slot) ON CONFLICT DO NOTHING RETURNING 1
    )
    INSERT INTO job (id, kind, args, max_attempts) SELECT :job_id, :name, :args, :max_attempts FROM slot
    RETURNING (SELECT max(r.scheduled_for) FROM recurring_run r WHERE r.job = :name AND r.scheduled_for < :slot)
    """
).bindparams(
    bindparam("name", type_=TEXT),
    bindparam("slot", type_=TIMESTAMP(timezone=True)),
    bindparam("args", type_=JSONB),
)


@dataclass(frozen=True, slots=True)
class StartedSlot:
    """`previous`: the slot of the last run, None if there is no record of one."""

    job_id: UUID
    previous: datetime | None


async def start_slot(tx: Tx, name: str, slot: datetime, *, max_attempts: int) -> StartedSlot | None:
    """Enqueue a recurring job for a slot, unless any worker has done so. One statement."""
    job_id = new_id()
    values = {
        "name": name,
        "slot": slot,
        "job_id": job_id,
        "args": {"scheduledFor": slot.isoformat()},
        "max_attempts": max_attempts,
    }
    row = (await tx.execute(_START_SLOT, values)).first()
    return None if row is None else StartedSlot(job_id, row[0])


_SEEN = text(
    "INSERT INTO worker_heartbeat (worker, seen_at) VALUES (:worker, clock_timestamp())"
    " ON CONFLICT (worker) DO UPDATE SET seen_at = excluded.seen_at"
)
_LEAVE = text("DELETE FROM worker_heartbeat WHERE worker = :worker")


async def report_alive(tx: Tx, worker: str) -> None:
    """This worker is at work now, by the real clock."""
    await tx.execute(_SEEN, {"worker": worker})


async def report_leaving(tx: Tx, worker: str) -> None:
    """This worker ends."""
    await tx.execute(_LEAVE, {"worker": worker})
