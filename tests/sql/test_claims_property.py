"""Random small worlds: what the slot engine offers can be claimed when nobody interferes, and nothing else can."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from random import Random
from uuid import UUID, uuid4

import pytest

from app.commands.claim import claim_facts
from app.core.ids import new_id
from app.domain.busy import Busy, BusyKind
from app.domain.claims import Part, together
from app.domain.instants import zone
from app.domain.plan import BookingLimits, Need, ProviderPlan, SlotRules
from app.domain.refusals import why_not
from app.domain.schedule import Interval, ScheduleVersion, WeeklyHours
from app.domain.visits import why_not_visit
from tests.shop import at
from tests.sql.ground import Connection, Ground, add_ground

WORLDS = 120
STARTS = 3
ALWAYS = tuple(WeeklyHours(day, (Interval(0, 1_440),), ()) for day in range(7))
HOURS = (ScheduleVersion(UUID(int=1), date(2020, 1, 1), None, 5, ALWAYS),)
ZONES = ("UTC", "America/New_York", "Pacific/Auckland", "Asia/Kathmandu")
BEGIN = at(3, 0)
MINUTE = timedelta(minutes=1)


@pytest.fixture
async def connection(database_url: str) -> AsyncIterator[Connection]:
    async with Ground(database_url, uuid4(), (), ()).connect() as opened:
        yield opened


@dataclass(frozen=True, slots=True)
class World:
    ground: Ground
    plans: tuple[ProviderPlan, ...]
    busy: dict[UUID, list[Busy]]


def random_world(rng: Random, now: datetime) -> World:
    ground = Ground("", uuid4(), *(tuple(sorted(new_id() for _ in range(rng.randint(1, 3)))) for _ in range(2)))
    plans = tuple(_random_plan(rng, who, ground.units) for who in ground.people)
    subjects = (*ground.people, *ground.units)
    return World(ground, plans, {subject: _random_busy(rng, now) for subject in subjects})


def _random_plan(rng: Random, who: UUID, units: Sequence[UUID]) -> ProviderPlan:
    needs: tuple[Need, ...] = ()
    if rng.random() < 0.7:
        cut = rng.randint(1, len(units))
        parts = (units[:cut], units[cut:]) if rng.random() < 0.5 else (tuple(units), ())
        needs = tuple(Need(rng.randint(1, len(part) + (rng.random() < 0.1)), tuple(part)) for part in parts if part)
    limits = BookingLimits(
        rng.choice((None, None, 1, 2)) if rng.random() < 0.5 else None, rng.choice((None, None, 2, 3))
    )
    return ProviderPlan(
        provider_id=who,
        time_zone=zone(rng.choice(ZONES)),
        versions=HOURS,
        duration_minutes=rng.choice((15, 30, 60)),
        buffer_before=rng.choice((0, 0, 5, 20)),
        buffer_after=rng.choice((0, 0, 10, 45)),
        price_minor=1_000,
        needs=needs,
        limits=limits if rng.random() < 0.6 else BookingLimits(),
    )


def _random_busy(rng: Random, now: datetime) -> list[Busy]:
    """Claims that do not overlap, some lapsed, and times that are blocked, with seconds."""
    found: list[Busy] = []
    at_minute = rng.randint(0, 200)
    while at_minute < 900:
        length, margin = rng.choice((15, 30, 60)), rng.choice((0, 0, 10))
        start = BEGIN + (at_minute + margin) * MINUTE
        end = start + length * MINUTE
        expires_at = rng.choice((None, now + timedelta(hours=1), now - timedelta(hours=1)))
        kind = BusyKind.BOOKED if expires_at is None else BusyKind.HELD
        found.append(Busy(start - margin * MINUTE, end + margin * MINUTE, kind, start, end, expires_at))
        at_minute += length + 2 * margin + rng.randint(0, 200)
    if rng.random() < 0.5:
        start = BEGIN + rng.randint(0, 900) * MINUTE + timedelta(seconds=rng.choice((0, 1, 59)))
        kind = rng.choice((BusyKind.TIME_OFF, BusyKind.EXTERNAL))
        found.append(Busy(start, start + rng.randint(1, 60) * MINUTE, kind))
    return found


async def write(connection: Connection, world: World) -> None:
    await add_ground(connection, world.ground)
    claims = [(subject, one) for subject, found in world.busy.items() for one in found]
    await connection.executemany(
        """
        INSERT INTO allocation (id, organization_id, subject_id, busy, starts_at, ends_at, status, booking_id,
                                expires_at)
        VALUES (gen_random_uuid(), $1, $2, tstzrange($3, $4), $5, $6, $7,
                CASE $7 WHEN 'booked' THEN gen_random_uuid() END, $8)
        """,
        [
            (world.ground.organization, who, c.busy_from, c.busy_to, c.starts_at, c.ends_at, c.kind.value, c.expires_at)
            for who, c in claims
            if c.is_claim
        ],
    )
    await connection.executemany(
        "INSERT INTO blocked_time (id, organization_id, subject_id, starts_at, ends_at, kind, source_id)"
        " VALUES (gen_random_uuid(), $1, $2, $3, $4, $5, CASE $5 WHEN 'external' THEN gen_random_uuid() END)",
        [(world.ground.organization, who, c.busy_from, c.busy_to, c.kind.value) for who, c in claims if not c.is_claim],
    )


async def outcome(connection: Connection, world: World, parts: Sequence[Part]) -> str:
    """Of a claim that is undone again."""
    transaction = connection.transaction()
    await transaction.start()
    found = await connection.fetchval(
        "SELECT outcome FROM claim_together($1, $2::text::jsonb, 'held', gen_random_uuid(), NULL, interval '1 hour',"
        " 'HELD')",
        world.ground.organization,
        claim_facts(together(parts)),
    )
    await transaction.rollback()
    return str(found)


async def test_the_engine_and_the_database_agree(connection: Connection) -> None:
    seen: Counter[str] = Counter()
    for seed in range(WORLDS):
        rng, now = Random(seed), at(0, 0)
        rules = SlotRules(now, 0, 365)
        # Lapsed or not is told by the clock of the database, which is within a day of this instant.
        world = random_world(rng, datetime.now(BEGIN.tzinfo))
        live = {
            who: [one for one in found if one.is_live(datetime.now(BEGIN.tzinfo))] for who, found in world.busy.items()
        }
        live = {who: [replace(one, expires_at=None) for one in found] for who, found in live.items()}
        transaction = connection.transaction()
        await transaction.start()
        await write(connection, world)
        for _ in range(STARTS):
            start = BEGIN + 5 * rng.randint(12, 180) * MINUTE
            plan = rng.choice(world.plans)
            refusal = why_not(plan, start, rules, live)
            found = await outcome(connection, world, [Part(plan, start)])
            assert (refusal is None) is (found == "claimed"), (seed, start, plan, refusal, found)
            seen[found] += 1
            chain = [rng.choice(world.plans) for _ in range(rng.randint(2, 3))]
            starts = [start]
            for one in chain:
                starts.append(starts[-1] + one.duration_minutes * MINUTE)
            refused = why_not_visit([[one] for one in chain], start, rules, live)
            found = await outcome(
                connection, world, [Part(one, when) for one, when in zip(chain, starts, strict=False)]
            )
            assert (refused is None) is (found == "claimed"), (seed, start, chain, refused, found)
            seen[f"visit {found}"] += 1
        await transaction.rollback()
    assert min(seen.values()) > 10, seen  # each way to end is there
    assert set(seen) >= {"claimed", "taken", "resource", "limit", "visit claimed", "visit taken", "visit resource"}
