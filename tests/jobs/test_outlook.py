"""The worker's outlooks: what makes them unknown, and that what overtakes a calculation is never lost."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from app.commands import outlook as commands
from app.commands.relay import number_events
from app.core.database import Database
from app.core.ids import new_id
from app.domain.outlook import COVERED_DAYS, RENEWED_DAYS
from app.jobs import outlook as job
from app.queries.outlook import days_from, find_outlooks, list_due_offers
from tests.jobs.ground import Ground

_SCHEDULE = """
INSERT INTO schedule_version (id, organization_id, owner_id, number, effective, slot_interval_minutes, weekly)
VALUES (:id, :organization, :provider, 1, '[2026-01-01,)', 30, CAST(:weekly AS jsonb))
"""
WEEKLY = "[" + ", ".join(f'{{"weekday": {day}, "open": [[540, 600]], "breaks": []}}' for day in range(7)) + "]"
TOMORROW = datetime.now(UTC).replace(hour=9, minute=0, second=0, microsecond=0) + timedelta(days=1)


async def execute(database: Database, statement: str, **values: Any) -> list[Any]:
    """As the owner of the tables, who may prepare what no command would do."""
    async with database.transaction() as tx:
        await tx.execute(text("SET LOCAL ROLE NONE"))
        result: Any = await tx.execute(text(statement), values)
        return list(result) if result.returns_rows else []


@pytest.fixture
async def offer(database: Database, ground: Ground) -> Ground:
    """Ana cuts hair from nine to ten, every day."""
    facts = {"organization": ground.organization, "provider": ground.provider}
    await execute(database, _SCHEDULE, id=new_id(), weekly=WEEKLY, **facts)
    await execute(
        database,
        "INSERT INTO offer (provider_id, service_id, organization_id) VALUES (:provider, :service, :organization)",
        service=ground.service,
        **facts,
    )
    return ground


async def outlook(database: Database) -> Any:
    (row,) = await execute(
        database, "SELECT *, known_until > turnero_now() AS is_known, isfinite(known_until) AS ends FROM offer_outlook"
    )
    return row


async def tell(database: Database, ground: Ground, kind: str, subject: UUID, **payload: Any) -> None:
    """An event, numbered as the relay does."""
    async with database.transaction() as tx:
        await tx.execute(
            text(
                "INSERT INTO outbox_event (organization_id, type, subject_id, payload)"
                " VALUES (:organization, :kind, :subject, CAST(:payload AS jsonb))"
            ),
            {"organization": ground.organization, "kind": kind, "subject": subject, "payload": json.dumps(payload)},
        )
    assert (await number_events(database)).count == 1


async def hold(database: Database, ground: Ground, expires_in: timedelta) -> None:
    await execute(
        database,
        "INSERT INTO allocation (id, organization_id, subject_id, busy, starts_at, ends_at, status, expires_at)"
        " SELECT :id, :organization, :provider, tstzrange(s, s + interval '30 minutes', '[)'), s,"
        " s + interval '30 minutes', 'held', turnero_now() + make_interval(secs => :seconds)"
        " FROM (SELECT CAST(:starts AS timestamptz) AS s) t",
        id=new_id(),
        organization=ground.organization,
        provider=ground.provider,
        starts=TOMORROW,
        seconds=expires_in.total_seconds(),
    )


@pytest.mark.usefixtures("offer")
async def test_a_new_offer_is_unknown_then_known(database: Database) -> None:
    assert not (await outlook(database)).is_known
    assert await job.keep_outlooks(database) == 1
    row = await outlook(database)
    assert row.is_known
    assert not row.ends
    assert int(TOMORROW.timestamp()) // 60 in row.firsts
    assert len(row.days) in {COVERED_DAYS - 1, COVERED_DAYS}
    assert set(row.steps) <= {1, 30}
    assert (row.duration_minutes, row.longest_minutes, row.largest_party, row.horizon_days) == (30, 30, 1, 90)
    assert row.covered_to == int(days_from(datetime.now(UTC), COVERED_DAYS).timestamp()) // 60
    assert await job.keep_outlooks(database) == 0  # nothing changed


OVERTAKING = (
    ("allocation.claimed", "provider", True),
    ("schedule.published", "provider", True),
    ("time_off.changed", "provider", True),
    ("service.updated", "service", True),
    ("resource.changed", "service", True),
    ("venue.anything", "venue", True),
    ("booking.confirmed", "customer", False),
)


async def test_events_that_overtake_it(database: Database, offer: Ground) -> None:
    await job.keep_outlooks(database)
    for kind, subject, is_meant in OVERTAKING:
        await tell(database, offer, kind, getattr(offer, subject))
        async with database.transaction() as tx:
            assert await commands.mark_overtaken(tx) == 1
        assert (await outlook(database)).is_known is not is_meant, kind
        assert await job.keep_outlooks(database) == int(is_meant), kind


async def test_an_offer_changes_one_providers_outlook_alone(database: Database, offer: Ground) -> None:
    await job.keep_outlooks(database)
    await tell(database, offer, "offer.updated", offer.service, providerId=str(uuid4()))
    async with database.transaction() as tx:
        await commands.mark_overtaken(tx)
    assert (await outlook(database)).is_known
    await tell(database, offer, "offer.updated", offer.service, providerId=str(offer.provider))
    async with database.transaction() as tx:
        await commands.mark_overtaken(tx)
    assert not (await outlook(database)).is_known


async def make_chair(database: Database, offer: Ground, venue: UUID) -> UUID:
    """A chair, of which the service needs one wherever there are chairs; its unit."""
    resource, unit = new_id(), new_id()
    facts = {"organization": offer.organization, "resource": resource, "unit": unit, "venue": venue}
    facts |= {"service": offer.service, "need": new_id()}
    for statement in (
        "INSERT INTO resource (id, organization_id, venue_id, name, kind, quantity)"
        " VALUES (:resource, :organization, :venue, 'Chair', 'equipment', 1)",
        "INSERT INTO resource_unit (id, organization_id, resource_id, number)"
        " VALUES (:unit, :organization, :resource, 1)",
        "INSERT INTO resource_need (id, organization_id, owner_id, position, quantity, resource_ids)"
        " VALUES (:need, :organization, :service, 1, 1, ARRAY[CAST(:resource AS uuid)])"
        " ON CONFLICT (owner_id, position) DO UPDATE SET"
        " resource_ids = resource_need.resource_ids || excluded.resource_ids",
    ):
        given = {name: value for name, value in facts.items() if f":{name}" in statement}
        await execute(database, statement, **given)
    return unit


async def test_what_a_service_needs_is_followed(database: Database, offer: Ground) -> None:
    """Only where it stands: a chair elsewhere is nothing to them."""
    elsewhere = new_id()
    await execute(
        database,
        "INSERT INTO venue (id, organization_id, name, time_zone, embed_key)"
        " VALUES (:id, :organization, 'There', 'UTC', 'there')",
        id=elsewhere,
        organization=offer.organization,
    )
    here, there = [await make_chair(database, offer, venue) for venue in (offer.venue, elsewhere)]
    await job.keep_outlooks(database)
    await tell(database, offer, "allocation.claimed", there)
    assert await job.keep_outlooks(database) == 0
    await tell(database, offer, "allocation.claimed", here)
    assert await job.keep_outlooks(database) == 1


async def test_it_is_believed_until_a_hold_lapses(database: Database, offer: Ground) -> None:
    await hold(database, offer, timedelta(minutes=5))
    await job.keep_outlooks(database)
    row = await outlook(database)
    assert row.is_known
    assert row.ends
    assert int(TOMORROW.timestamp()) // 60 not in row.firsts
    await execute(database, "UPDATE allocation SET expires_at = turnero_now()")
    await execute(database, "UPDATE offer_outlook SET known_until = turnero_now()")  # five minutes later
    assert await job.keep_outlooks(database) == 1
    assert int(TOMORROW.timestamp()) // 60 in (await outlook(database)).firsts


async def test_what_overtakes_a_calculation_is_not_lost(database: Database, offer: Ground) -> None:
    """A claim commits after the busy times were read, and is marked before the result is written."""
    async with database.transaction() as tx:
        now = datetime.now(UTC)
        found = await find_outlooks(tx, await list_due_offers(tx, now, 10), now)
    await hold(database, offer, timedelta(minutes=5))
    await tell(database, offer, "allocation.claimed", offer.provider)
    async with database.transaction() as tx:
        await commands.mark_overtaken(tx)
    async with database.transaction() as tx:
        await commands.store_outlooks(tx, found)
    assert not (await outlook(database)).is_known
    await job.keep_outlooks(database)
    assert int(TOMORROW.timestamp()) // 60 not in (await outlook(database)).firsts


@pytest.mark.usefixtures("offer")
async def test_days_that_pass_are_made_up_for(database: Database) -> None:
    await job.keep_outlooks(database)
    kept = int(days_from(datetime.now(UTC), RENEWED_DAYS).timestamp()) // 60
    await execute(database, "UPDATE offer_outlook SET covered_to = :kept", kept=kept)
    assert await job.keep_outlooks(database) == 0
    await execute(database, "UPDATE offer_outlook SET covered_to = :kept", kept=kept - 1)
    assert await job.keep_outlooks(database) == 1


@pytest.mark.usefixtures("offer")
async def test_other_rules_and_lost_events_make_all_unknown(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await job.keep_outlooks(database)
    monkeypatch.setattr(job, "RULES", "holidays=99")
    assert await job.keep_outlooks(database) == 1
    assert await job.keep_outlooks(database) == 0
    await execute(database, "UPDATE relay_state SET last_position = 9, purged_position = 5")
    assert await job.keep_outlooks(database) == 1
    assert (await execute(database, "SELECT position FROM outlook_state"))[0][0] == 9
    assert await job.keep_outlooks(database) == 0


@pytest.mark.usefixtures("offer")
async def test_one_worker_at_a_time(database: Database) -> None:
    async with database.transaction() as tx:
        assert await commands.take_turn(tx)
        assert await job.keep_outlooks(database) == 0
    assert await job.keep_outlooks(database) == 1


async def test_many_are_done_in_parts(database: Database, offer: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "OFFERS_AT_ONCE", 2)
    for number in range(4):
        await execute(
            database,
            "WITH p AS (INSERT INTO provider (id, organization_id, venue_id, name)"
            " VALUES (:id, :organization, :venue, :name) RETURNING id)"
            " INSERT INTO offer (provider_id, service_id, organization_id) SELECT id, :service, :organization FROM p",
            id=new_id(),
            organization=offer.organization,
            venue=offer.venue,
            service=offer.service,
            name=f"Provider {number}",
        )
    assert await job.keep_outlooks(database) == 5
    assert await execute(database, "SELECT 1 FROM offer_outlook WHERE known_until <= turnero_now()") == []
