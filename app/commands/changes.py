"""Making and changing single rows, with what the audit and the event log say of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from app.commands.actor import Actor
from app.commands.journal import Audit, Event, write_journal
from app.core.database import Tx, violated_constraint
from app.domain.errors import DomainError
from app.models.base import Base


@contextmanager
def refused_as(refusals: Mapping[str, DomainError]) -> Iterator[None]:
    """Raises the refusal that stands for a violated constraint, by the constraint's name. Others go on as they are."""
    try:
        yield
    except IntegrityError as error:
        refusal = refusals.get(violated_constraint(error) or "")
        if refusal is None:
            raise
        raise refusal from None


async def write_created(
    tx: Tx,
    organization_id: UUID,
    actor: Actor,
    noun: str,
    subject_id: UUID,
    *,
    after: Mapping[str, Any],
    events: Sequence[Event] = (),
) -> None:
    """The journal of something new; without other events there is one of its own: `service.created`. One statement."""
    audit = Audit(f"{noun}.created", subject_id, None, dict(after))
    await write_journal(tx, organization_id, actor, audit=[audit], events=events or [_told(audit)])


def _told(audit: Audit) -> Event:
    """What changed is in the audit, for those who may read it: an event says that it did."""
    return Event(audit.action, audit.subject_id, {})


async def change_row(
    tx: Tx,
    organization_id: UUID,
    actor: Actor,
    action: str,
    record: Base,
    *,
    subject_id: UUID,
    values: Mapping[str, Any],
    events: Sequence[Event] | None = None,
) -> bool:
    """Set what differs and write the journal, with what it was and is. Two statements; none when nothing differs.

    `record` is locked. `events`: none: one of the action's own name. Says whether anything changed.
    """
    after = {name: value for name, value in values.items() if getattr(record, name) != value}
    if not after:
        return False
    before = {name: getattr(record, name) for name in after}
    for name, value in after.items():
        setattr(record, name, value)
    await tx.flush()
    audit = Audit(action, subject_id, before, after)
    told = [_told(audit)] if events is None else events
    await write_journal(tx, organization_id, actor, audit=[audit], events=told)
    return True
