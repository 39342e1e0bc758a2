"""Reading the event log: numbered rows in their final order, and rows that wait for a number."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import ARRAY, Row, Uuid, any_, bindparam, literal, or_, select, text
from sqlalchemy.dialects.postgresql import JSONB

from app.core.database import Tx
from app.models import OutboxEvent, RelayState

PAGE = 1_000


@dataclass(frozen=True, slots=True)
class Event:
    """Something that was committed. `payload` is shared by all who hear of it: read it, never change it.

    `position` is None until the relay has numbered the row. Positions are contiguous over all organizations.
    `audience`: who is told beside those who follow the subject: accounts, and providers as calendars.
    """

    position: int | None
    id: int
    organization_id: UUID
    type: str
    subject_id: UUID
    payload: dict[str, Any]
    occurred_at: datetime
    audience: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class LogState:
    """Where the event log stands. `published_position`: up to there the stream has had every event once.

    `purged_position`: up to there events may be gone; who stands before it has missed some for good.
    `is_waiting`: a committed event has no position yet (under row-level security: one of the own organization).
    """

    installation_id: UUID
    last_position: int
    published_position: int
    purged_position: int
    is_waiting: bool


_decoder = msgspec.json.Decoder(Event)

BODY = """
    json_build_object('position', e.position, 'id', e.id, 'organization_id', e.organization_id, 'type', e.type,
                      'subject_id', e.subject_id, 'payload', e.payload, 'occurred_at', e.occurred_at,
                      'audience', COALESCE(e.audience, '{}'))::text
"""
"""A row `e` of the log as it travels on the stream. The database writes it: we would only read it to write it again."""


def decode_event(body: bytes) -> Event:
    """Raises msgspec.ValidationError or msgspec.DecodeError for what is no event of ours."""
    return _decoder.decode(body)


async def log_state(tx: Tx) -> LogState:
    """One statement."""
    return LogState(*(await tx.execute(_STATE)).one())


async def last_position(tx: Tx) -> int:
    """Of the newest numbered event; 0 before the first. One statement."""
    return (await tx.execute(select(RelayState.last_position))).scalar_one()


async def events_after(tx: Tx, position: int, limit: int = PAGE) -> list[Event]:
    """Numbered events after `position`, in order, at most `limit`. One statement."""
    query = _EVENTS.where(OutboxEvent.position > position).order_by(OutboxEvent.position).limit(limit)
    return [_event(row) for row in await tx.execute(query)]


async def bodies_after(tx: Tx, position: int, limit: int = PAGE) -> list[tuple[int, bytes]]:
    """The same as they travel on the stream, with their positions. One statement."""
    rows = await tx.execute(_BODIES, {"position": position, "limit": limit})
    return [(row[0], row[1].encode()) for row in rows]


async def events_of_subjects(
    tx: Tx, subject_ids: Collection[UUID], after_position: int, *, limit: int = PAGE
) -> list[Event]:
    """Events of these subjects after a position and those not numbered yet, at most `limit`. One statement.

    Numbered ones come first, by position; the others follow in the order in which they will be numbered.
    """
    query = (
        _EVENTS.where(
            OutboxEvent.subject_id.in_(subject_ids),
            or_(OutboxEvent.position > after_position, OutboxEvent.position.is_(None)),
        )
        .order_by(OutboxEvent.position.asc().nulls_last(), OutboxEvent.id)
        .limit(limit)
    )
    return [_event(row) for row in await tx.execute(query)]


async def events_of_others(tx: Tx, ids: Collection[int], subject_ids: Collection[UUID]) -> set[int]:
    """Those of these ids that are events of the organization, but of other subjects. One statement."""
    query = select(OutboxEvent.id).where(OutboxEvent.id.in_(ids), OutboxEvent.subject_id.not_in(subject_ids))
    return set((await tx.execute(query)).scalars())


async def keys_of_person(tx: Tx) -> frozenset[UUID]:
    """By which the person whom `tx` is bound to is told: their account, and the providers that they act as, in all
    organizations. One statement."""
    return frozenset((await tx.execute(_KEYS)).scalar_one())


async def events_told(tx: Tx, keys: Collection[UUID], after_position: int, *, limit: int = PAGE) -> list[Event]:
    """Numbered events after a position that these are told, by position, at most `limit`. One statement.

    Of the person's own keys, in all organizations; of others, in the bound one.
    """
    values = {"keys": sorted(keys), "after": after_position, "limit": limit}
    return [_event(row) for row in await tx.execute(_TOLD, values)]


async def events_waiting(tx: Tx, organization_id: UUID, key: UUID, *, limit: int = PAGE) -> list[Event]:
    """Of one organization what this one will be told and has no position yet, at most `limit`. One statement."""
    query = (
        _EVENTS.where(
            OutboxEvent.organization_id == organization_id,
            OutboxEvent.position.is_(None),
            literal(key, Uuid) == any_(OutboxEvent.audience.expression),
        )
        .order_by(OutboxEvent.id)
        .limit(limit)
    )
    return [_event(row) for row in await tx.execute(query)]


_BODIES = text(
    f"""
    SELECT e.position, {BODY} FROM outbox_event e WHERE e.position > :position ORDER BY e.position LIMIT :limit
    """  # noqa: S608 (constants)
)
_KEYS = text("SELECT keys_of_person()").columns(keys=ARRAY(Uuid))
_TOLD = (
    text("SELECT * FROM events_told(:keys, :after, :limit)")
    .bindparams(bindparam("keys", type_=ARRAY(Uuid)))
    .columns(payload=JSONB, audience=ARRAY(Uuid))
)

_STATE = select(
    RelayState.installation_id,
    RelayState.last_position,
    RelayState.published_position,
    RelayState.purged_position,
    select(OutboxEvent.id).where(OutboxEvent.position.is_(None)).exists(),
)

_EVENTS = select(
    OutboxEvent.position,
    OutboxEvent.id,
    OutboxEvent.organization_id,
    OutboxEvent.type,
    OutboxEvent.subject_id,
    OutboxEvent.payload,
    OutboxEvent.occurred_at,
    OutboxEvent.audience,
)


def _event(row: Row[Any]) -> Event:
    audience = () if row.audience is None else tuple(row.audience)
    return Event(
        row.position, row.id, row.organization_id, row.type, row.subject_id, row.payload, row.occurred_at, audience
    )
