"""Committing and stopping a bulk change, and the steps of the job that carries it out.

Each booking is changed in a transaction of its own, which also notes its result: a worker that dies leaves every one
either as it was, to be gone on with, or done. The change's own row is locked first, by everybody, so that no two
workers are at it at the same time, and so that nothing more is changed once it was stopped.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CursorResult, Text, bindparam, text

from app.commands.actor import Actor
from app.commands.bulk_plan import judge, put_items, role_in
from app.commands.job import enqueue
from app.commands.journal import Audit, Event, write_journal
from app.core.database import Tx
from app.core.ids import IdKind, encode_id
from app.domain.bulk import BOOKINGS_MAXIMUM, BulkAction, BulkResult, BulkStatus, Outcome, Totals
from app.domain.errors import InvalidInput, NotAllowed
from app.domain.policy import ActorKind
from app.models import BulkChange
from app.queries.bulk import list_bookings_in, lock_bulk_change, scope_of
from app.queries.tenancy import Tenancy

APPLY_BULK_CHANGE = "apply_bulk_change"
CHANNEL = "bulk"
"""Through which each of its bookings is changed."""


# ── commit and stop ───────────────────────────────────────────────────────────────────────────────────


async def commit_bulk_change(
    tx: Tx, tenancy: Tenancy, change_id: UUID, *, include_new: bool, actor: Actor, now: datetime
) -> BulkChange:
    """Begin with it: a worker goes on. Committing twice is as once.

    What cannot be done is refused at once, as the plan says. With `include_new` bookings that were made since are
    judged and taken in. Raises NotFound, NotAllowed, InvalidInput.
    """
    change = await lock_bulk_change(tx, change_id, tenancy)
    role = role_in(tenancy, BulkAction(change.action), change.provider_id)
    if change.status in {BulkStatus.RUNNING, BulkStatus.FINISHED}:
        return change
    if change.status == BulkStatus.STOPPED:
        raise NotAllowed("stopped", "This was stopped. Plan what is left anew.")
    if change.expires_at <= now:
        raise NotAllowed("plan_expired", "This plan is older than an hour. Plan it anew, and look at it again.")
    if include_new:
        await _take_in_new(tx, change, role, now)
    by = replace(actor, name=role.value)
    change.status = BulkStatus.RUNNING.value
    change.committed_by = by.as_dict()
    change.committed_at = now
    change.refused_count = change.item_count - change.possible_count
    await tx.flush()
    await tx.execute(_REFUSE_IMPOSSIBLE, {"change": change.id})
    await enqueue_bulk(tx, change.id, change.organization_id)
    await _tell(tx, change, by, "bulk.started", reason=change.reason)
    return change


async def _take_in_new(tx: Tx, change: BulkChange, role: ActorKind, now: datetime) -> None:
    room = BOOKINGS_MAXIMUM - change.item_count
    found = await list_bookings_in(
        tx,
        change.organization_id,
        scope_of(change),
        besides=change.id,
        limit=room + 1,
        is_own=role is ActorKind.PROVIDER,
    )
    if len(found) > room:
        raise InvalidInput.at("input.includeNew", f"makes it more than {BOOKINGS_MAXIMUM} bookings: plan less time")
    verdicts = await judge(tx, BulkAction(change.action), change.target_provider_id, found, role, now)
    totals = Totals.of(verdicts)
    change.includes_new = True
    change.item_count += totals.count
    change.possible_count += totals.possible
    change.refund_minor += totals.refund_minor
    change.fee_minor += totals.fee_minor
    await tx.flush()
    await put_items(tx, change, verdicts)


_REFUSE_IMPOSSIBLE = text(
    "UPDATE bulk_change_item SET result = 'refused', rule = refused_by, message = refused_because,"
    " settled_at = turnero_now() WHERE bulk_change_id = :change AND refused_by IS NOT NULL AND result IS NULL"
)


async def enqueue_bulk(tx: Tx, change_id: UUID, organization_id: UUID) -> None:
    """A worker begins, or goes on, with it."""
    await enqueue(tx, APPLY_BULK_CHANGE, {"bulkChangeId": str(change_id)}, organization_id=organization_id)


async def stop_bulk_change(tx: Tx, tenancy: Tenancy, change_id: UUID, *, actor: Actor, now: datetime) -> BulkChange:
    """Nothing more is changed from now on; what was done stays. A plan is given up. Stopping twice is as once.

    Raises NotFound.
    """
    change = await lock_bulk_change(tx, change_id, tenancy)
    role = role_in(tenancy, BulkAction(change.action), change.provider_id)
    if change.status in {BulkStatus.STOPPED, BulkStatus.FINISHED}:
        return change
    change.status, change.ended_at = BulkStatus.STOPPED.value, now
    await tx.flush()
    await _tell(tx, change, replace(actor, name=role.value), "bulk.stopped")
    return change


async def _tell(tx: Tx, change: BulkChange, actor: Actor, action: str, reason: str | None = None) -> None:
    payload = _progress(change)
    audit = Audit(action, change.id, None, {"action": change.action, **payload}, reason)
    await write_journal(tx, change.organization_id, actor, audit=[audit], events=[Event(action, change.id, payload)])


def _progress(change: Any) -> dict[str, Any]:
    """How far it is."""
    return {
        "status": change.status,
        "total": change.item_count,
        "done": change.done_count,
        "skipped": change.skipped_count,
        "refused": change.refused_count,
    }


# ── the worker's steps ────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Running:
    """A bulk change whose row this transaction has, and the next of its bookings; none: all have their results.

    `is_ending`: the booking's payment was to be ended before; what changed its version was that.
    """

    id: UUID
    organization_id: UUID
    action: BulkAction
    target_provider_id: UUID | None
    reason: str
    actor: Actor
    booking_id: UUID | None
    booking_version: int
    is_ending: bool


_LOCK = text("SELECT * FROM bulk_change WHERE id = :change AND status = 'running' FOR NO KEY UPDATE")
_NEXT = text(
    "SELECT booking_id, booking_version, is_ending FROM bulk_change_item"
    " WHERE bulk_change_id = :change AND result IS NULL ORDER BY booking_id LIMIT 1"
)


async def lock_running(tx: Tx, change_id: UUID) -> Running | None:
    """None: it is over, or was stopped. Two statements."""
    change = (await tx.execute(_LOCK, {"change": change_id})).first()
    if change is None:
        return None
    item = (await tx.execute(_NEXT, {"change": change_id})).first()
    committed_by = Actor.from_dict(change.committed_by)
    return Running(
        id=change.id,
        organization_id=change.organization_id,
        action=BulkAction(change.action),
        target_provider_id=change.target_provider_id,
        reason=change.reason,
        actor=replace(committed_by, channel=CHANNEL, request_id=encode_id(IdKind.BULK_CHANGE, change.id)),
        booking_id=None if item is None else item.booking_id,
        booking_version=0 if item is None else item.booking_version,
        is_ending=False if item is None else item.is_ending,
    )


_IS_ENDING = text(
    "UPDATE bulk_change_item SET is_ending = true WHERE bulk_change_id = :change AND booking_id = :booking"
)


async def note_ending(tx: Tx, running: Running) -> None:
    """Before its payment is ended: whoever goes on knows why the version is another one. One statement."""
    await tx.execute(_IS_ENDING, {"change": running.id, "booking": running.booking_id})


# The columns of the counts are named by the results.
_SETTLE = text(
    """
    WITH item AS (
        UPDATE bulk_change_item SET result = :result, rule = :rule, message = :message, settled_at = turnero_now()
        WHERE bulk_change_id = :change AND booking_id = :booking AND result IS NULL
        RETURNING result
    )
    UPDATE bulk_change c
    SET done_count = done_count + (item.result = 'done')::int,
        skipped_count = skipped_count + (item.result = 'skipped')::int,
        refused_count = refused_count + (item.result = 'refused')::int
    FROM item WHERE c.id = :change
    RETURNING c.status, c.item_count, c.done_count, c.skipped_count, c.refused_count
    """
).bindparams(bindparam("rule", type_=Text), bindparam("message", type_=Text))


async def settle_item(tx: Tx, running: Running, outcome: Outcome) -> None:
    """Note what became of the booking, in the transaction that changed it. Two statements."""
    values = {"change": running.id, "booking": running.booking_id}
    told = {"result": outcome.result.value, "rule": outcome.rule, "message": outcome.message}
    counts = (await tx.execute(_SETTLE, {**values, **told})).one()
    payload = {**_progress(counts), "bookingId": running.booking_id, **told}
    await write_journal(
        tx, running.organization_id, running.actor, events=[Event("bulk.progressed", running.id, payload)]
    )


_FINISH = text(
    "UPDATE bulk_change SET status = 'finished', ended_at = turnero_now() WHERE id = :change"
    " RETURNING action, status, item_count, done_count, skipped_count, refused_count"
)


async def finish_bulk_change(tx: Tx, running: Running) -> None:
    """All have their results. Two statements."""
    row = (await tx.execute(_FINISH, {"change": running.id})).one()
    payload = _progress(row)
    audit = Audit("bulk.finished", running.id, None, {"action": row.action, **payload})
    await write_journal(
        tx,
        running.organization_id,
        running.actor,
        audit=[audit],
        events=[Event("bulk.finished", running.id, payload)],
    )


_WITHOUT_A_JOB = text(
    """
    SELECT c.id, c.organization_id FROM bulk_change c
    WHERE c.status = 'running' AND NOT EXISTS (
        SELECT 1 FROM job j WHERE j.kind = :kind AND j.done_at IS NULL AND j.failed_at IS NULL
          AND j.args ->> 'bulkChangeId' = c.id::text)
    ORDER BY c.id
    """
)


async def resume_bulk_changes(tx: Tx) -> int:
    """A new job for those that nobody works on; how many. One statement, and one for each."""
    rows = (await tx.execute(_WITHOUT_A_JOB, {"kind": APPLY_BULK_CHANGE})).all()
    for row in rows:
        await enqueue_bulk(tx, row.id, row.organization_id)
    return len(rows)


_PURGE = text(
    """
    WITH old AS (
        SELECT id FROM bulk_change
        WHERE status = 'planned' AND expires_at < turnero_now() - interval '1 day' ORDER BY expires_at LIMIT :most
    ), items AS (
        DELETE FROM bulk_change_item i USING old WHERE i.bulk_change_id = old.id
    )
    DELETE FROM bulk_change c USING old WHERE c.id = old.id
    """
)


async def purge_plans(tx: Tx, batch: int) -> int:
    """Delete plans that nobody committed, a day after their end; how many. One statement."""
    result = await tx.execute(_PURGE, {"most": batch})
    assert isinstance(result, CursorResult)
    return result.rowcount


def refused_for_good() -> Outcome:
    """Of a booking whose change failed again and again in a way that nobody foresaw."""
    message = "This booking could not be changed. Look at it by itself."
    return Outcome(BulkResult.REFUSED, "failed", message)
