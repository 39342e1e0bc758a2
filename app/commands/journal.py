"""What every change leaves behind, in one round trip: transitions, an audit entry and events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import text

from app.commands.actor import Actor
from app.core.database import Tx


@dataclass(frozen=True, slots=True)
class Transition:
    booking_id: UUID
    from_status: str | None
    to_status: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Audit:
    """`before` and `after` hold only what changed."""

    action: str
    subject_id: UUID
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """`type` is past tense: `booking.confirmed`. `subject_id` is what a subscriber follows.

    `audience`: who else is told: accounts, and providers whose calendar it changes; none: as the database finds out,
    of bookings (with what is told of their money) and of series. `former`: providers and sessions that had the booking
    until now.
    """

    type: str
    subject_id: UUID
    payload: dict[str, Any]
    audience: Sequence[UUID] | None = None
    former: Sequence[UUID] = ()


_JOURNAL = text(
    "SELECT journal(:organization_id, CAST(:actor AS jsonb), CAST(:transitions AS jsonb),"
    " CAST(:audit AS jsonb), CAST(:events AS jsonb))"
)


async def write_journal(
    tx: Tx,
    organization_id: UUID,
    actor: Actor,
    *,
    transitions: Sequence[Transition] = (),
    audit: Sequence[Audit] = (),
    events: Sequence[Event] = (),
) -> None:
    """Append to the history and to the outbox, in the transaction of the change itself. One statement."""
    await tx.execute(
        _JOURNAL,
        {
            "organization_id": organization_id,
            "actor": actor.as_json(),
            "transitions": _json(transitions),
            "audit": _json(audit),
            "events": _json(events),
        },
    )


def _json(rows: Sequence[Any]) -> str:
    return msgspec.json.encode(list(rows)).decode()
