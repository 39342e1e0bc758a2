"""Rows that the tests of jobs stand on, written by SQL: what is tested here is below the commands that make them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Interval, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP

from app.core.database import Database, Tx
from app.core.ids import new_id
from tests.facts_guard import let_pass

_GROUND = """
INSERT INTO organization (id, slug, name, currency, locale) VALUES (:organization, :slug, 'Shop', 'USD', 'en');
INSERT INTO venue (id, organization_id, name, time_zone, embed_key)
VALUES (:venue, :organization, 'Here', 'UTC', :slug);
INSERT INTO provider (id, organization_id, venue_id, name) VALUES (:provider, :organization, :venue, 'Ana');
INSERT INTO service (id, organization_id, name, category, price_minor, price_type, duration_minutes,
                     buffer_before_minutes, buffer_after_minutes, advance_notice_minutes, maximum_advance_days,
                     cancellation_notice_minutes, requires_approval, max_group_size)
VALUES (:service, :organization, 'Cut', 'hair', 1000, 'fixed', 30, 0, 0, 0, 90, 0, false, 1);
INSERT INTO customer (id, organization_id, name, email) VALUES (:customer, :organization, 'Eve', 'eve@example.com')
"""

_HOLD = text(
    """
    INSERT INTO hold (id, organization_id, status, service_id, provider_id, starts_at, ends_at, buffer_before_minutes,
                      buffer_after_minutes, expires_at, party_size, price_minor, currency)
    VALUES (:hold, :organization, :status, :service, :provider, :starts_at, :ends_at, 0, 0,
            turnero_now() + :expires_in, 1, 1000, 'USD')
    """
).bindparams(bindparam("expires_in", type_=Interval))

_BOOKING = text(
    """
    INSERT INTO booking (id, organization_id, number, confirmation_code, status, starts_at, ends_at, time_zone,
                         party_size, provider_id, service_id, customer_id, hold_id, price_minor, currency,
                         payment_status, payment_method, expires_at, cancellable_until, cancellation_notice_minutes,
                         requires_approval)
    VALUES (:booking, :organization, :number, :number, :status, :starts_at, :ends_at, 'UTC', 1, :provider, :service,
            :customer, :hold, 1000, 'USD', 'unpaid', 'pay_now', turnero_now() + :expires_in, :starts_at, 0, false)
    """
).bindparams(bindparam("expires_in", type_=Interval))

_ALLOCATION = text(
    """
    INSERT INTO allocation (id, organization_id, subject_id, busy, starts_at, ends_at, status, hold_id, booking_id,
                            expires_at)
    VALUES (:allocation, :organization, :provider, tstzrange(:starts_at, :ends_at, '[)'), :starts_at, :ends_at,
            'held', :hold, :booking, turnero_now() + :expires_in)
    """
).bindparams(
    bindparam("expires_in", type_=Interval),
    bindparam("starts_at", type_=TIMESTAMP(timezone=True)),
    bindparam("ends_at", type_=TIMESTAMP(timezone=True)),
)

_EVENT = text(
    "INSERT INTO outbox_event (organization_id, type, subject_id, payload)"
    " VALUES (:organization, :type, :subject, :payload) RETURNING id"
).bindparams(bindparam("payload", type_=JSONB))

LONG_AGO = timedelta(minutes=-1)


@dataclass(frozen=True, slots=True)
class Ground:
    """One organization with one of each."""

    organization: UUID
    venue: UUID
    provider: UUID
    service: UUID
    customer: UUID


@dataclass(frozen=True, slots=True)
class Held:
    hold: UUID
    allocation: UUID
    booking: UUID | None


async def make_ground(database: Database) -> Ground:
    ground = Ground(new_id(), new_id(), new_id(), new_id(), new_id())
    values = {name: getattr(ground, name) for name in Ground.__slots__}
    values["slug"] = f"shop-{ground.organization}"
    async with database.transaction() as tx:
        for statement in _GROUND.split(";"):
            await tx.execute(text(statement), values)
    return ground


async def make_held(
    tx: Tx, ground: Ground, starts_at: datetime, expires_in: timedelta, *, booking_status: str | None = None
) -> Held:
    """A held half hour; with a status, the unpaid booking that it became."""
    held = Held(new_id(), new_id(), None if booking_status is None else new_id())
    values: dict[str, Any] = {name: getattr(ground, name) for name in Ground.__slots__}
    values |= {
        "hold": held.hold,
        "allocation": held.allocation,
        "booking": held.booking,
        "starts_at": starts_at,
        "ends_at": starts_at + timedelta(minutes=30),
        "expires_in": expires_in,
    }
    await tx.execute(_HOLD, values | {"status": "active" if booking_status is None else "consumed"})
    if booking_status is not None:
        await tx.execute(_BOOKING, values | {"number": str(held.booking), "status": booking_status})
    await tx.execute(_ALLOCATION, values)
    return held


async def write_event(tx: Tx, ground: Ground, subject: UUID, number: int, kind: str = "test.happened") -> int:
    """An outbox row whose payload is {"number": number}; its id."""
    values = {"organization": ground.organization, "subject": subject, "type": kind, "payload": {"number": number}}
    event_id: int = (await tx.execute(_EVENT, values)).scalar_one()
    return event_id


async def write_events(database: Database, ground: Ground, subject: UUID, numbers: Sequence[int]) -> None:
    """Each in a transaction of its own."""
    for number in numbers:
        async with database.transaction() as tx:
            await write_event(tx, ground, subject, number)


async def rows(database: Database, query: str, **values: Any) -> list[tuple[Any, ...]]:
    async with database.transaction() as tx:
        found = [tuple(row) for row in await tx.execute(text(query), values)]
        if not query.lstrip().startswith("SELECT"):
            await let_pass(tx)
        return found
