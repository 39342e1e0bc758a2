"""Writing down what reconciliation does and finds. By a worker's database; a person's note, inside the organization."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import CursorResult, Text, Uuid, bindparam, delete, func, select, text, update
from sqlalchemy.dialects.postgresql import TIMESTAMP

from app.commands.actor import Actor
from app.commands.journal import Audit, Event, write_journal
from app.core.database import Tx
from app.core.ids import new_id
from app.domain.errors import InvalidInput, NotAllowed, NotFound
from app.domain.reconciliation import HEALS_ITSELF, Difference
from app.domain.text import clean_text
from app.models import ReconciliationDifference, ReconciliationRun

LEASE = timedelta(minutes=5)
"""A run that is silent for longer is over."""
KEPT = timedelta(days=90)
"""Runs; differences stay."""
NOTE_LENGTH = 1_000
ERROR_LENGTH = 500
_OPEN = ReconciliationDifference.resolved_at.is_(None)


# ── runs ──────────────────────────────────────────────────────────────────────────────────────────────


class RunLost(Exception):
    """Another run has taken over: this one was silent for too long."""


@dataclass(frozen=True, slots=True)
class RunOrder:
    """`is_regular`: it goes on where the one before it ended. `organization_id`: only of this one."""

    processor: str
    window_start: datetime
    window_end: datetime
    is_regular: bool
    organization_id: UUID | None = None


_BEGIN = text(
    """
    WITH lapsed AS (
        UPDATE reconciliation_run SET finished_at = turnero_now(), outcome = 'abandoned'
        WHERE processor = :processor AND finished_at IS NULL AND lease_until < clock_timestamp()
        RETURNING id
    )
    SELECT count(*) FROM lapsed
    """
)
_INSERT = text(
    """
    INSERT INTO reconciliation_run
        (id, processor, organization_id, is_regular, window_start, window_end, reached, lease_until)
    VALUES (:id, :processor, :organization, :is_regular, :window_start, :window_end, :window_start,
            clock_timestamp() + :lease)
    ON CONFLICT (processor) WHERE finished_at IS NULL DO NOTHING
    RETURNING id
    """
).bindparams(
    bindparam("organization", type_=Uuid),
    bindparam("window_start", type_=TIMESTAMP(timezone=True)),
    bindparam("window_end", type_=TIMESTAMP(timezone=True)),
)


async def begin_run(tx: Tx, order: RunOrder) -> UUID | None:
    """None: another one runs. Two statements."""
    await tx.execute(_BEGIN, {"processor": order.processor})
    values = {
        "id": new_id(),
        "processor": order.processor,
        "organization": order.organization_id,
        "is_regular": order.is_regular,
        "window_start": order.window_start,
        "window_end": order.window_end,
        "lease": LEASE,
    }
    return (await tx.execute(_INSERT, values)).scalar_one_or_none()


@dataclass(slots=True)
class Counts:
    """`compared`: subjects looked at; `found`: differences seen; `healed`: of them, those that are gone again."""

    compared: int = 0
    found: int = 0
    healed: int = 0


async def keep_run(tx: Tx, run_id: UUID, counts: Counts, reached: datetime | None = None) -> None:
    """It lives, and is so far. One statement. Raises RunLost."""
    values: dict[str, Any] = _counted(counts) | {"lease_until": func.clock_timestamp() + LEASE}
    if reached is not None:
        values["reached"] = reached
    await _change_run(tx, run_id, values)


async def finish_run(tx: Tx, run_id: UUID, counts: Counts, error: str | None = None) -> None:
    """How it ended; and old ones go. Two statements. Raises RunLost."""
    ending = {"finished_at": func.turnero_now(), "outcome": "done" if error is None else "failed"}
    await _change_run(tx, run_id, {**_counted(counts), **ending, "error": error and error[:ERROR_LENGTH]})
    await tx.execute(
        delete(ReconciliationRun)
        .where(ReconciliationRun.finished_at < func.turnero_now() - KEPT)
        .execution_options(synchronize_session=False)
    )


def _counted(counts: Counts) -> dict[str, Any]:
    return {"compared": counts.compared, "found": counts.found, "healed": counts.healed}


async def _change_run(tx: Tx, run_id: UUID, values: dict[str, Any]) -> None:
    changed = await tx.execute(
        update(ReconciliationRun)
        .where(ReconciliationRun.id == run_id, ReconciliationRun.finished_at.is_(None))
        .values(**values)
        .execution_options(synchronize_session=False)
    )
    assert isinstance(changed, CursorResult)
    if changed.rowcount == 0:
        raise RunLost


# ── differences ───────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Subject:
    """What was compared as a whole, and whose it is."""

    processor: str
    name: str
    organization_id: UUID | None = None
    booking_id: UUID | None = None


_SEE = text(
    "SELECT see_difference(:id, :processor, :kind, :subject, :organization, :booking, :our_kind, :our_id, :their_id,"
    " CAST(:ours AS jsonb), CAST(:theirs AS jsonb))"
).bindparams(
    bindparam("organization", type_=Uuid),
    bindparam("booking", type_=Uuid),
    bindparam("our_kind", type_=Text),
    bindparam("our_id", type_=Uuid),
    bindparam("their_id", type_=Text),
)


async def note_differences(tx: Tx, subject: Subject, found: Sequence[Difference]) -> list[Difference]:
    """All there is of a subject: what is open and not among it is gone. Gives those that nobody has accepted.

    One statement for each, and one.
    """
    unaccepted = []
    for one in found:
        values = {
            "id": new_id(),
            "processor": subject.processor,
            "kind": one.kind.value,
            "subject": subject.name,
            "organization": subject.organization_id,
            "booking": subject.booking_id,
            "our_kind": one.our_kind,
            "our_id": one.our_id,
            "their_id": one.their_id,
            "ours": msgspec.json.encode(one.ours).decode(),
            "theirs": msgspec.json.encode(one.theirs).decode(),
        }
        if (await tx.execute(_SEE, values)).scalar_one() != "accepted":
            unaccepted.append(one)
    await _close_others(tx, subject, {(one.kind.value, one.their_id) for one in found})
    return unaccepted


async def _close_others(tx: Tx, subject: Subject, seen: Collection[tuple[str, str | None]]) -> None:
    query = (
        select(ReconciliationDifference)
        .where(
            ReconciliationDifference.processor == subject.processor,
            ReconciliationDifference.subject == subject.name,
            _OPEN,
        )
        .execution_options(populate_existing=True)
        .with_for_update()
    )
    for row in (await tx.execute(query)).scalars():
        if (row.kind, row.their_id) not in seen:
            row.resolution = "healed" if row.kind in HEALS_ITSELF else "gone"
            row.resolved_at = func.turnero_now()
    await tx.flush()


def clean_note(value: str) -> str:
    """Raises InvalidInput."""
    try:
        note = clean_text(value, NOTE_LENGTH)
    except ValueError as wrong:
        raise InvalidInput.at("input.note", str(wrong)) from None
    if not note:
        raise InvalidInput.at("input.note", "is needed: what was done, or why it is right as it is")
    return note


async def resolve_difference(
    tx: Tx, organization_id: UUID, actor: Actor, difference_id: UUID, note: str
) -> ReconciliationDifference:
    """A person has put it right, or says that it is right. It comes back once either side says something else.

    Raises NotFound, NotAllowed for one that is resolved already.
    """
    query = (
        select(ReconciliationDifference)
        .where(
            ReconciliationDifference.id == difference_id, ReconciliationDifference.organization_id == organization_id
        )
        .with_for_update()
    )
    row = (await tx.execute(query)).scalar_one_or_none()
    if row is None:
        raise NotFound
    if row.resolved_at is not None:
        raise NotAllowed("resolved", "This difference is resolved already.")
    row.resolution, row.note, row.resolved_at = "accepted", note, func.turnero_now()
    row.resolved_by = msgspec.json.decode(actor.as_json())
    await tx.flush()
    await tx.refresh(row)
    audit = Audit("reconciliation.resolved", row.id, None, {"kind": row.kind, "subject": row.subject}, note)
    await write_journal(
        tx, organization_id, actor, audit=[audit], events=[Event("reconciliation.resolved", row.id, {"kind": row.kind})]
    )
    return row
