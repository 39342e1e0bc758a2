"""The guard of the audit guards: who changes a booking and does not say exactly what, commits nothing."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from app.commands.actor import SYSTEM
from app.commands.journal import Audit, write_journal
from app.core.ids import IdKind, decode_id
from app.queries.tenancy import bind
from app.resolvers.context import Services
from tests.fixtures_api import GraphQLClient
from tests.journey import Visitor, rows_of
from tests.shop import at, make_shop


@pytest.fixture
async def guest(services: Services, client: GraphQLClient) -> Visitor:
    return Visitor(client, await make_shop(services))


async def write(guest: Visitor, booking_id: UUID, sql: str, audit: Audit | None) -> None:
    async with guest.shop.services.database.transaction() as tx:
        await bind(tx, organization_id=guest.shop.organization_uuid)
        await tx.execute(text(sql), {"id": booking_id})
        if audit is not None:
            await write_journal(tx, guest.shop.organization_uuid, SYSTEM, audit=[audit])


BOOKING = "UPDATE booking SET notes = 'x', party_size = 2 WHERE id = :id"
ITEM = "UPDATE booking_item SET starts_at = starts_at - interval '1 minute' WHERE booking_id = :id"
BEFORE, AFTER = {"version": 1, "notes": None, "party_size": 1}, {"version": 2, "notes": "x", "party_size": 2}


@pytest.mark.parametrize(
    ("sql", "before", "after"),
    [
        (BOOKING, None, None),
        (BOOKING, {"notes": None, "party_size": 1}, {"notes": "x", "party_size": 2}),
        (BOOKING, {**BEFORE, "version": 2}, {**AFTER, "version": 3}),
        (BOOKING, {"version": 1, "notes": None}, {"version": 2, "notes": "x"}),
        (BOOKING, {**BEFORE, "party_size": 3}, AFTER),
        (BOOKING, BEFORE, {**AFTER, "notes": "y"}),
        (ITEM, None, None),
        (ITEM, {"version": 1, "items": []}, {"version": 2, "items": []}),
    ],
)
async def test_what_the_audit_does_not_say_is_not_committed(
    guest: Visitor, sql: str, before: dict[str, Any] | None, after: dict[str, Any] | None
) -> None:
    booking_id = decode_id(IdKind.BOOKING, (await guest.booked(at(3, 10))).id)
    audit = None if after is None else Audit("booking.changed", booking_id, before, after)
    with pytest.raises(DBAPIError, match="audit"):
        await write(guest, booking_id, sql, audit)
    assert await rows_of(guest.shop, "SELECT notes, version FROM booking") == [{"notes": None, "version": 1}]


async def test_what_it_says_is(guest: Visitor) -> None:
    booking_id = decode_id(IdKind.BOOKING, (await guest.booked(at(3, 10))).id)
    await write(guest, booking_id, BOOKING, Audit("booking.changed", booking_id, BEFORE, AFTER))
    assert await rows_of(guest.shop, "SELECT notes, version FROM booking") == [{"notes": "x", "version": 2}]
