"""Seven days of free slots among 10,000 providers with 1,000,000 bookings, against the same without them.

On servers of its own, with nothing kept but where a line says so. The plans of the statements go beside the table.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import asyncpg
import psutil

from app.core.database import APP_ROLE
from app.queries.availability import PROVIDER_LIMIT
from app.queries.availability_facts import STATEMENT
from bench.availability import DAYS_FILLED, HOLD, STARTS, Asked, in_turn, week, without_caches
from bench.plans import plans
from bench.report import Findings, Line, Plan, median, tell
from bench.seed import BUSY_PROVIDERS, Seeded, first_day, seed_bookings
from bench.world import PROVIDERS, Place, World, world
from tests.plain_http import Connection, connect

ROUNDS = 4
QUIET_DAY = 8
"""From here on nearly nobody of the seeded is booked."""
CHANGES = 20


async def measure() -> Findings:
    """Two systems side by side, of which one stays small: what else the machine does meets both."""
    async with world() as quiet, world() as here, _owner(here) as owner, AsyncExitStack() as stack:
        small, place = await _shop(quiet), await _shop(here)
        async with _owner(quiet) as quiet_owner:
            few_alike = await _seeded(quiet_owner, PROVIDERS)
        busy = await _seeded(owner, BUSY_PROVIDERS)
        process, bare = await _uncached(quiet, stack)
        alone, alone_any = _weeks(process, bare, small)
        alike = Asked(process, bare, _of_seeded(bare, few_alike, [few_alike.provider_id(1)]))
        process, bare = await _uncached(here, stack)
        one, anyone = _weeks(process, bare, place)
        seeded = Asked(process, bare, _of_seeded(bare, busy, [busy.provider_id(1)]))
        await in_turn((alone, one, alone_any, anyone, alike, seeded), ROUNDS)
        kept = await stack.enter_async_context(connect(here.stack.port))
        whole, changed = await _after_changes(here, kept, busy)
        shown = await _plans(owner, place, busy)
    many, few = f"beside {busy.bookings:,} bookings", "without them"
    return [
        _p50(f"a small shop's week of one provider {many}", one, few, alone),
        Line("the same, CPU of the API", "ms", median(one.cpu_ms), few, median(alone.cpu_ms)),
        _p50(f"its week of anyone of 4 {many}", anyone, few, alone_any),
        _p50(f"a week of one of {busy.providers:,} providers", seeded, f"of {PROVIDERS}, booked alike", alike),
        _p50("the same", seeded, "of the small shop, with more in it", alone),
        Line(
            f"a week of anyone of {PROVIDER_LIMIT} of them after a change of one, CPU of the API",
            *("ms", changed, "read whole", whole),
        ),
        *shown,
    ]


async def _seeded(owner: asyncpg.Connection[Any], providers: int) -> Seeded:
    """Providers booked up for six days. A week of one of them is the same, however many there are."""
    made = await seed_bookings(owner, providers)
    tell(f"  seeded {made.bookings:,} bookings in {made.seconds:.0f} s")
    # Its searches by availability are measured elsewhere: the worker shall not work them out meanwhile.
    await owner.execute("DELETE FROM offer_outlook WHERE organization_id = $1", made.organization_uuid)
    await owner.execute("VACUUM ANALYZE offer_outlook, allocation, outbox_event")
    return made


async def _shop(here: World) -> Place:
    place = await here.open_place()
    async with here.bare(place) as connection:
        await place.half_fill(connection, DAYS_FILLED, half=0)
    return place


async def _uncached(here: World, stack: AsyncExitStack) -> tuple[psutil.Process, Connection]:
    process, port = await stack.enter_async_context(without_caches(here.stack))
    return process, await stack.enter_async_context(connect(port))


def _weeks(process: psutil.Process, bare: Connection, place: Place) -> tuple[Asked, Asked]:
    """Of one provider, and of anyone."""
    one = week(bare, STARTS, place, providerIds=[place.shop.provider_id])
    return Asked(process, bare, one), Asked(process, bare, week(bare, STARTS, place))


def _p50(what: str, ours: Asked, against: str, other: Asked) -> Line:
    return Line(f"{what}, p50", "ms", median(ours.wall_ms), against, median(other.wall_ms), at_most=2)


def _of_seeded(connection: Connection, busy: Seeded, people: list[str] | None, from_day: int = 0) -> bytes:
    first = first_day().date() + timedelta(days=from_day)
    dates = {"from": f"{first}", "to": f"{first + timedelta(days=6)}", "timeZone": "UTC"}
    return connection.request(STARTS, {"input": {**dates, "serviceId": busy.service_id(1), "providerIds": people}})


async def _after_changes(here: World, kept: Connection, busy: Seeded) -> tuple[float, float]:
    """CPU milliseconds of the API with caches: for what it reads whole, and when since then one person was held."""
    api = psutil.Process(here.stack.supervisor.pid_of("api"))

    async def spent(request: bytes) -> float:
        before = sum(api.cpu_times()[:2])
        await kept.exchange(request)
        return 1000 * (sum(api.cpu_times()[:2]) - before)

    day = first_day() + timedelta(days=QUIET_DAY)
    whole = [await spent(_of_seeded(kept, busy, None, QUIET_DAY + 14 * number)) for number in range(1, CHANGES)]
    request, changed = _of_seeded(kept, busy, None, QUIET_DAY), []
    await kept.exchange(request)
    for number in range(CHANGES):
        person = {"serviceId": busy.service_id(1), "providerId": busy.provider_id(1 + 20 * number)}
        held = await kept.post(HOLD, {"input": {**person, "startsAt": f"{day + timedelta(hours=10):%Y-%m-%dT%H:%M}Z"}})
        if held["__typename"] != "HoldSlotPayload":
            raise RuntimeError(f"a slot was not to be had: {json.dumps(held)}")
        changed.append(await spent(request))
    return sum(whole) / len(whole), sum(changed) / len(changed)


@asynccontextmanager
async def _owner(here: World) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(here.stack.database_url)
    try:
        yield connection
    finally:
        await connection.close()


async def _plans(owner: asyncpg.Connection[Any], place: Place, busy: Seeded) -> list[Plan]:
    """Of all that one search runs, as the role that requests have."""
    shop, one = place.shop, [busy.provider_uuid(1)]
    asked = (
        ("A small shop, anyone of 4", shop.service_uuids[0], None),
        (f"One of {busy.providers:,} providers", busy.service_uuid(1), one),
        (f"Anyone: {PROVIDER_LIMIT} of {busy.providers:,}", busy.service_uuid(1), None),
    )
    made: list[Plan] = []
    first = first_day()
    for title, service, people in asked:
        async with plans(owner) as found:
            await owner.execute(f"SET ROLE {APP_ROLE}")
            await owner.fetchrow(
                STATEMENT,
                service,
                people,
                first,
                first + timedelta(days=7),
                None,
                None,
                None,
                None,
                None,
                PROVIDER_LIMIT,
            )
            await owner.execute("RESET ROLE")
        what = f"Free slots: {title[0].lower()}{title[1:]}, beside {busy.bookings:,} bookings"
        made += [Plan(what, plan) for plan in found]
    return made
