"""Holds and unpaid bookings that ran out: freed once, told once, and never under somebody's hands."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from app.commands.expiry import expire_bookings, expire_holds, expire_unpaid_bookings
from app.core.database import APP_ROLE, Database
from app.jobs import sweeps
from app.queries.tenancy import bind
from tests.facts_guard import let_pass
from tests.jobs.ground import LONG_AGO, Ground, Held, make_held, rows

DAY = datetime(2031, 3, 3, tzinfo=UTC)
SOON = timedelta(minutes=5)


async def hold_many(
    database: Database, ground: Ground, expires_in: Sequence[timedelta], booking_status: str | None = None
) -> list[Held]:
    async with database.transaction() as tx:
        held = [
            await make_held(tx, ground, DAY + timedelta(hours=hour), after, booking_status=booking_status)
            for hour, after in enumerate(expires_in)
        ]
        await let_pass(tx)
        return held


async def column(database: Database, table: str, name: str, row_id: UUID | None) -> Any:
    ((value,),) = await rows(database, f"SELECT {name} FROM {table} WHERE id = :id", id=row_id)
    return value


async def sweep_holds(database: Database, limit: int = 100) -> int:
    async with database.transaction() as tx:
        return await expire_holds(tx, limit)


async def sweep_bookings(database: Database, limit: int = 100) -> int:
    async with database.transaction() as tx:
        return await expire_unpaid_bookings(tx, limit)


async def told(database: Database, kind: str) -> list[tuple[Any, ...]]:
    return await rows(
        database, "SELECT subject_id, payload FROM outbox_event WHERE type = :kind ORDER BY id", kind=kind
    )


async def test_a_hold_that_ran_out_is_freed_and_told_once(database: Database, ground: Ground) -> None:
    lapsed, live = await hold_many(database, ground, [LONG_AGO, SOON])
    assert await sweep_holds(database) == 1
    assert await sweep_holds(database) == 0
    assert await column(database, "hold", "status", lapsed.hold) == "expired"
    assert await column(database, "hold", "status", live.hold) == "active"
    assert await column(database, "allocation", "status", lapsed.allocation) == "released"
    assert await column(database, "allocation", "released_at IS NOT NULL", lapsed.allocation) is True
    assert await column(database, "allocation", "status", live.allocation) == "held"
    ((subject, payload),) = await told(database, "allocation.released")
    assert subject == ground.provider
    assert (payload["allocationId"], payload["cause"]) == (str(lapsed.allocation), "RELEASED")
    assert datetime.fromisoformat(payload["startsAt"]) == DAY


async def test_sweeps_side_by_side_free_each_hold_once(database: Database, ground: Ground) -> None:
    await hold_many(database, ground, [LONG_AGO] * 60)
    counts = await asyncio.gather(*(sweep_holds(database, 20) for _ in range(12)))
    assert sum(counts) == 60
    assert len(await told(database, "allocation.released")) == 60


async def test_a_hold_that_is_being_confirmed_is_left_alone(database: Database, ground: Ground) -> None:
    (held,) = await hold_many(database, ground, [LONG_AGO])
    async with AsyncExitStack() as stack:
        tx = await stack.enter_async_context(database.transaction())
        await tx.execute(text("SELECT 1 FROM allocation FOR NO KEY UPDATE"))
        async with asyncio.timeout(10):
            assert await sweep_holds(database) == 0
        later = "UPDATE {} SET expires_at = turnero_now() + interval '5 min'"
        await tx.execute(text(later.format("allocation")))
        await tx.execute(text(later.format("hold")))
        await let_pass(tx)
    assert await sweep_holds(database) == 0
    assert await column(database, "hold", "status", held.hold) == "active"


async def test_the_hold_sweep_leaves_bookings_to_the_other(database: Database, ground: Ground) -> None:
    (held,) = await hold_many(database, ground, [LONG_AGO], "pending")
    assert await sweep_holds(database) == 0
    assert await column(database, "allocation", "status", held.allocation) == "held"


@pytest.mark.parametrize("status", ["pending", "payment_failed"])
async def test_an_unpaid_booking_expires_with_its_history(database: Database, ground: Ground, status: str) -> None:
    lapsed, live = await hold_many(database, ground, [LONG_AGO, SOON], status)
    assert await sweep_bookings(database) == 1
    assert await sweep_bookings(database) == 0
    assert await column(database, "booking", "status", lapsed.booking) == "expired"
    assert await column(database, "booking", "version", lapsed.booking) == 2
    assert await column(database, "booking", "status", live.booking) == status
    assert await column(database, "allocation", "status", lapsed.allocation) == "released"
    assert await told(database, "booking.expired") == [(lapsed.booking, {"version": 2, "status": "expired"})]
    ((_, payload),) = await told(database, "allocation.released")
    assert payload["cause"] == "RELEASED"
    steps = "SELECT booking_id, from_status, to_status, actor, channel FROM booking_transition"
    assert await rows(database, steps) == [(lapsed.booking, status, "expired", "system", "job")]
    audit = "SELECT action, subject_id, before, after FROM audit_entry"
    before, after = {"status": status, "version": 1}, {"status": "expired", "version": 2}
    assert await rows(database, audit) == [("booking.expired", lapsed.booking, before, after)]


async def test_other_bookings_never_expire(database: Database, ground: Ground) -> None:
    await hold_many(database, ground, [LONG_AGO], "confirmed")
    assert await sweep_bookings(database) == 0


async def test_booking_sweeps_side_by_side(database: Database, ground: Ground) -> None:
    await hold_many(database, ground, [LONG_AGO] * 30, "pending")
    counts = await asyncio.gather(*(sweep_bookings(database, 10) for _ in range(8)))
    counts.append(await sweep_bookings(database))
    assert sum(counts) == 30
    assert len(await told(database, "booking.expired")) == 30
    assert len(await told(database, "allocation.released")) == 30


async def test_a_claim_ends_the_bookings_that_lost_their_time(
    fresh_database_url: str, database: Database, ground: Ground
) -> None:
    """As in a request: bound to its organization, after `release_lapsed` freed the allocation."""
    (held,) = await hold_many(database, ground, [LONG_AGO], "pending")
    assert held.booking is not None
    requests = Database(fresh_database_url, role=APP_ROLE, pool_size=1)
    async with requests.transaction() as tx:
        await bind(tx, organization_id=ground.organization)
        lapsed = (await tx.execute(text("SELECT release_lapsed(subject_id, busy) FROM allocation"))).scalar_one()
        assert list(lapsed) == [held.booking]
        assert await expire_bookings(tx, lapsed) == []
        assert await expire_bookings(tx, lapsed) == [], "a second time there is nothing left to end"
    await requests.dispose()
    assert await column(database, "booking", "status", held.booking) == "expired"
    assert len(await told(database, "allocation.released")) == 1
    assert len(await told(database, "booking.expired")) == 1


async def test_a_claim_gives_up_where_somebody_is_paying(database: Database, ground: Ground) -> None:
    (held,) = await hold_many(database, ground, [LONG_AGO], "pending")
    assert held.booking is not None
    async with AsyncExitStack() as stack:
        payer = await stack.enter_async_context(database.transaction())
        await payer.execute(text("SELECT 1 FROM booking FOR NO KEY UPDATE"))
        async with asyncio.timeout(10), database.transaction() as tx:
            assert await expire_bookings(tx, [held.booking]) == [held.booking]
        await payer.execute(text("UPDATE booking SET status = 'confirmed'"))
        await let_pass(payer)
    async with database.transaction() as tx:
        assert await expire_bookings(tx, [held.booking]) == [held.booking]
    assert await column(database, "booking", "status", held.booking) == "confirmed"


def test_what_ran_out_is_freed_within_a_minute() -> None:
    """The worker looks more often than that, for holds and for what waits for a payment or an answer."""
    every = {one.name: one.every for one in sweeps.RECURRING}
    for name in ("expire_holds", "expire_unpaid_bookings", "expire_unanswered_bookings"):
        assert every[name] <= timedelta(seconds=30)
