"""Every night at two: sessions made ahead, once, whatever happens to the workers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import text

from app.adapters.valkey import Valkey
from app.commands import session_generation
from app.commands.session_purge import purge_sessions
from app.core.database import Database
from app.core.ids import new_id
from app.jobs.recurring import Recurring, Ticker
from app.jobs.registry import JobServices
from app.jobs.runner import Runner
from app.jobs.sessions import GENERATE, HANDLERS, PURGE, RECURRING, generate_due
from app.models import Activity, ScheduleVersion, Venue
from tests.classes import WRONG_COUNTS
from tests.facts_guard import let_pass
from tests.jobs.ground import Ground, rows
from tests.jobs.test_recurring import HandClock

NEW_YORK = "America/New_York"
NIGHTLY = [{"weekday": day, "open": [[0, 300]], "breaks": []} for day in range(7)]
MARCH_7 = datetime(2026, 3, 7, tzinfo=UTC)


async def make_activity(database: Database, ground: Ground, zone: str, horizon: int = 2) -> UUID:
    """With sessions every hour from midnight to five, of a venue of its own."""
    venue_id, activity_id = new_id(), new_id()
    async with database.transaction() as tx:
        organization = {"organization_id": ground.organization}
        tx.add(Venue(id=venue_id, name="There", time_zone=zone, embed_key=str(venue_id), **organization))
        await tx.flush()
        tx.add(
            Activity(
                id=activity_id,
                venue_id=venue_id,
                name="Night class",
                price_minor=100,
                capacity=5,
                duration_minutes=60,
                session_horizon_days=horizon,
                **organization,
            )
        )
        await tx.flush()
        await tx.execute(
            text(
                "INSERT INTO schedule_version (id, organization_id, owner_id, number, effective, slot_interval_minutes,"
                " weekly) VALUES (:id, :organization, :owner, 1, '[2026-01-01,)', 60, CAST(:weekly AS jsonb))"
            ),
            {
                "id": new_id(),
                "organization": ground.organization,
                "owner": activity_id,
                "weekly": str(NIGHTLY).replace("'", '"'),
            },
        )
        await let_pass(tx)
    assert ScheduleVersion.__tablename__ == "schedule_version"
    return activity_id


async def nights(database: Database, activity_id: UUID, zone: str) -> dict[date, int]:
    """How many sessions each local day has."""
    query = (
        "SELECT (starts_at AT TIME ZONE :zone)::date, count(*) FROM activity_session WHERE activity_id = :id"
        " GROUP BY 1 ORDER BY 1"
    )
    return {row[0]: row[1] for row in await rows(database, query, id=activity_id, zone=zone)}


async def generated_on(database: Database, activity_id: UUID) -> date | None:
    ((day,),) = await rows(database, "SELECT sessions_generated_on FROM activity WHERE id = :id", id=activity_id)
    found: date | None = day
    return found


async def test_at_two_of_the_venues_clocks(database: Database, ground: Ground) -> None:
    there = await make_activity(database, ground, NEW_YORK)
    here = await make_activity(database, ground, "UTC")
    # The first look makes up for all nights before it.
    assert await generate_due(database, MARCH_7 + timedelta(hours=6, minutes=59)) == 2
    assert (await generated_on(database, there), await generated_on(database, here)) == (
        date(2026, 3, 6),
        date(2026, 3, 7),
    )
    assert await generate_due(database, MARCH_7 + timedelta(hours=6, minutes=59)) == 0
    # 7:00 UTC is 2:00 in New York; in London's zone it struck two long ago.
    assert await generate_due(database, MARCH_7 + timedelta(hours=7)) == 1
    assert await generated_on(database, there) == date(2026, 3, 7)


async def test_the_night_when_clocks_go_forward(database: Database, ground: Ground) -> None:
    """March 8 has no 2:00 in New York: it is done when it strikes three, and that day has a session less."""
    there = await make_activity(database, ground, NEW_YORK)
    assert await generate_due(database, MARCH_7 + timedelta(hours=12)) == 1
    assert await nights(database, there, NEW_YORK) == {date(2026, 3, 8): 4, date(2026, 3, 9): 5}
    eighth = MARCH_7 + timedelta(days=1)
    assert await generate_due(database, eighth + timedelta(hours=6, minutes=59)) == 0
    assert await generate_due(database, eighth + timedelta(hours=7)) == 1
    assert (await nights(database, there, NEW_YORK))[date(2026, 3, 10)] == 5


async def test_the_night_when_clocks_go_back(database: Database, ground: Ground) -> None:
    there = await make_activity(database, ground, NEW_YORK, horizon=1)
    night = datetime(2026, 11, 1, tzinfo=UTC)
    counts = [await generate_due(database, night + timedelta(minutes=15 * step)) for step in range(16, 40)]
    assert sum(counts) == 2  # at the first look for the day before, then once at two
    assert counts[12] == 1  # 7:00 UTC
    assert (await nights(database, there, NEW_YORK))[date(2026, 11, 2)] == 5


async def test_nights_without_a_worker_are_made_good(database: Database, ground: Ground) -> None:
    there = await make_activity(database, ground, NEW_YORK)
    await generate_due(database, MARCH_7)
    later = MARCH_7 + timedelta(days=20, hours=1)
    assert await generate_due(database, later) == 1
    found = await nights(database, there, NEW_YORK)
    assert max(found) == date(2026, 3, 28)
    assert await generate_due(database, later) == 0


async def test_many_workers_at_once(database: Database, ground: Ground) -> None:
    made = [await make_activity(database, ground, NEW_YORK, horizon=5) for _ in range(4)]
    await asyncio.gather(*(generate_due(database, MARCH_7 + timedelta(hours=12)) for _ in range(6)))
    for activity_id in made:
        assert sum((await nights(database, activity_id, NEW_YORK)).values()) == 5 * 5 - 1
    created = await rows(database, "SELECT count(*) FROM outbox_event WHERE type = 'session.created'")
    assert created == [(4 * 24,)]
    told = await rows(database, "SELECT count(*) FROM audit_entry WHERE action = 'activity.sessions_changed'")
    assert told == [(4,)]
    assert await rows(database, WRONG_COUNTS) == []


async def test_a_worker_that_dies_in_the_middle(
    database: Database, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it had finished stays, what it was at is undone, and the next one goes on from there."""
    first, second = sorted([await make_activity(database, ground, "UTC") for _ in range(2)])
    tell = session_generation._tell
    calls = 0

    async def die(*arguments: object) -> None:
        nonlocal calls
        calls += 1
        await tell(*arguments)  # type: ignore[arg-type]
        if calls == 2:
            raise asyncio.CancelledError

    monkeypatch.setattr(session_generation, "_tell", die)
    with pytest.raises(asyncio.CancelledError):
        await generate_due(database, MARCH_7 + timedelta(hours=6))
    monkeypatch.undo()
    assert (await generated_on(database, first), await generated_on(database, second)) == (date(2026, 3, 7), None)
    assert await nights(database, second, "UTC") == {}
    assert await generate_due(database, MARCH_7 + timedelta(hours=6)) == 1
    assert await nights(database, second, "UTC") == {date(2026, 3, 8): 5, date(2026, 3, 9): 5}


async def test_one_that_fails_holds_up_no_other(
    database: Database, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = sorted([await make_activity(database, ground, "UTC") for _ in range(2)])
    follow = session_generation._follow_schedule

    async def fail(tx: object, activity: Activity, *arguments: object, **facts: object) -> object:
        if activity.id == bad:
            raise RuntimeError("no")
        return await follow(tx, activity, *arguments, **facts)  # type: ignore[arg-type]

    monkeypatch.setattr(session_generation, "_follow_schedule", fail)
    assert await generate_due(database, MARCH_7 + timedelta(hours=6)) == 1
    assert await generated_on(database, good) == date(2026, 3, 7)
    monkeypatch.undo()
    assert await generate_due(database, MARCH_7 + timedelta(hours=6)) == 1


async def test_more_than_one_transaction_makes(
    database: Database, ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_generation, "SESSIONS_AT_ONCE", 7)
    activity_id = await make_activity(database, ground, "UTC", horizon=5)
    assert await generate_due(database, MARCH_7 + timedelta(hours=6)) == 1
    assert sum((await nights(database, activity_id, "UTC")).values()) == 25


async def test_sessions_that_were_never_anybodys_are_deleted(database: Database, ground: Ground) -> None:
    """Of those that the hours dropped; called off by a person, or once held, they are history."""
    activity_id = await make_activity(database, ground, "UTC")
    await generate_due(database, MARCH_7)
    ids = [row[0] for row in await rows(database, "SELECT id FROM activity_session ORDER BY starts_at")]
    async with database.transaction() as tx:
        await tx.execute(
            text(
                "UPDATE activity_session SET status = 'cancelled',"
                " cancelled_reason = CASE WHEN id = :ill THEN 'Ill' END WHERE id <> :open"
            ),
            {"ill": ids[0], "open": ids[1]},
        )
        await tx.execute(
            text(
                "INSERT INTO place_claim (id, organization_id, session_id, places, status)"
                " VALUES (:id, :organization, :session, 1, 'released')"
            ),
            {"id": new_id(), "organization": ground.organization, "session": ids[2]},
        )
        await tx.execute(
            text(
                "INSERT INTO allocation (id, organization_id, subject_id, busy, starts_at, ends_at, status, session_id)"
                " SELECT :id, organization_id, :subject, tstzrange(starts_at, ends_at), starts_at, ends_at, 'released',"
                " id FROM activity_session WHERE id = :session"
            ),
            {"id": new_id(), "subject": ground.provider, "session": ids[3]},
        )
        await let_pass(tx)
    async with database.transaction() as tx:
        assert await purge_sessions(tx, 2) == 2
    async with database.transaction() as tx:
        assert await purge_sessions(tx, 1_000) == len(ids) - 5
    left = await rows(database, "SELECT id FROM activity_session ORDER BY starts_at")
    assert [row[0] for row in left] == ids[:3]
    await generate_due(database, MARCH_7 + timedelta(days=1))
    assert sum((await nights(database, activity_id, "UTC")).values()) >= 10


async def test_what_is_off_makes_none(database: Database, ground: Ground) -> None:
    activity_id = await make_activity(database, ground, "UTC")
    for change in ("UPDATE activity SET is_active = false", "UPDATE activity SET is_active = true"):
        await rows(database, f"{change} RETURNING id")
        count = await generate_due(database, MARCH_7)
        assert count == (0 if "false" in change else 1)
    assert sum((await nights(database, activity_id, "UTC")).values()) == 14


async def test_the_ticker_starts_it_and_the_runner_does_it(database: Database, ground: Ground, valkey: Valkey) -> None:
    activity_id = await make_activity(database, ground, "UTC")
    assert [one.name for one in RECURRING] == [GENERATE, PURGE] == list(HANDLERS)
    definitions: Sequence[Recurring] = RECURRING[:1]
    ticker = Ticker(database, valkey.job_queue(), HandClock(datetime.now(UTC)), definitions)
    assert await ticker.tick() == 1
    ((job_id,),) = await rows(database, "SELECT id FROM job WHERE kind = :kind", kind=GENERATE)
    services = JobServices(database, timedelta(hours=1), timedelta(hours=1))
    runner = Runner(database, services, HANDLERS)
    await runner.start(job_id)
    await runner.stop(10)
    assert await rows(database, "SELECT done_at IS NOT NULL FROM job") == [(True,)]
    assert len(await nights(database, activity_id, "UTC")) >= 2
