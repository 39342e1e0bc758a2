"""holdSlot and createBooking by HTTP against pgbench, at one provider and over a thousand; and a sale of 2,000.

pgbench comes with the embedded PostgreSQL. It sends the same two writes as bare statements, prepared, each
a transaction of its own, as the role that requests have, to the same durable server.
"""

from __future__ import annotations

import asyncio
import os
import re
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg

from app.adapters.embedded_postgres import package_folder
from app.core.database import APP_ROLE
from app.core.ids import IdKind, encode_id
from bench.bookings import BOOK, CLIENTS, CUSTOMER, HOLD
from bench.report import Line, median
from bench.world import FIRST_DAY, World
from tests.plain_http import Connection, connect
from tests.shop import Shop, at, make_shop

ROUNDS = 3
SECONDS = 4
"""Of one round. Both take turns, so that what else the machine does meets both."""
WARM_UP = 10
MANY = 1_000
SHARE = 0.10
"""The promise: of what pgbench does with the same two writes."""
SLOTS = 2_000
ATTEMPTS = 40_000
BUYERS = 32
SELLERS = 4
HALF_HOUR = timedelta(minutes=30)
ROUND_APART = timedelta(days=400)
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"


async def measure(world: World) -> list[Line]:
    lines = []
    for people, name in ((1, "one provider"), (MANY, f"{MANY:,} providers")):
        diary, theirs = await _diary_of(world, people), await _diary_of(world, people)
        ours, bare = [], []
        for number in range(ROUNDS):
            ours.append(await _pairs_by_http(world, diary))
            bare.append(await _pairs_by_pgbench(world, theirs, number))
        what = f"hold and book, {CLIENTS} clients, {name}"
        lines.append(Line(what, "/s", median(ours), "the same two writes by pgbench", median(bare), at_least=SHARE))
    return [*lines, *await _sale(world)]


# ── pairs ─────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Diary:
    """People of one shop, in half hours that are given once. Turns go round: everybody has their next in time."""

    shop: Shop
    people: tuple[UUID, ...]
    turns: Iterator[int]

    def next(self) -> dict[str, Any]:
        number = next(self.turns)
        start = at(FIRST_DAY, 0) + HALF_HOUR * (number // len(self.people))
        provider_id = encode_id(IdKind.PROVIDER, self.people[number % len(self.people)])
        return {"serviceId": self.shop.service_id, "providerId": provider_id, "startsAt": start.isoformat()}


async def _diary_of(world: World, people: int) -> Diary:
    shop = await make_shop(world.services, slot_interval=30, service={"maximum_advance_days": 1_095})
    async with _owner(world) as connection:
        await connection.execute(_MORE_PEOPLE, shop.provider_uuids[0], people - 1)
        await connection.execute("ANALYZE provider, offer, schedule_version")
        rows = await connection.fetch("SELECT id FROM provider WHERE venue_id = $1 ORDER BY id", shop.venue_uuid)
    return Diary(shop, tuple(row["id"] for row in rows), count())


_MORE_PEOPLE = """
    WITH made AS (
        INSERT INTO provider (id, organization_id, venue_id, name)
        SELECT uuidv7(), p.organization_id, p.venue_id, 'Provider ' || n
        FROM provider p, generate_series(1, $2::integer) AS n WHERE p.id = $1
        RETURNING id
    ), offered AS (
        INSERT INTO offer (organization_id, provider_id, service_id)
        SELECT o.organization_id, made.id, o.service_id FROM made, offer o WHERE o.provider_id = $1
    )
    INSERT INTO schedule_version (id, organization_id, owner_id, number, effective, slot_interval_minutes, weekly,
                                  published_at)
    SELECT uuidv7(), v.organization_id, made.id, v.number, v.effective, v.slot_interval_minutes, v.weekly,
           v.published_at
    FROM made, schedule_version v WHERE v.owner_id = $1
"""


@asynccontextmanager
async def _owner(world: World) -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(world.stack.database_url)
    try:
        yield connection
    finally:
        await connection.close()


async def _pairs_by_http(world: World, diary: Diary) -> float:
    """Pairs a second."""
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connect(world.stack.port)) for _ in range(CLIENTS)]
        await asyncio.gather(*(_repeat(client, diary, WARM_UP, None) for client in clients))
        began = time.perf_counter()
        done = await asyncio.gather(*(_repeat(client, diary, None, began + SECONDS) for client in clients))
        return sum(done) / (time.perf_counter() - began)


async def _repeat(client: Connection, diary: Diary, times: int | None, until: float | None) -> int:
    done = 0
    while (times is None or done < times) and (until is None or time.perf_counter() < until):
        held = await client.post(HOLD, {"input": diary.next()})
        booked = await client.post(BOOK, {"input": _booking(held)})
        if booked["__typename"] != "CreateBookingPayload":
            raise RuntimeError(booked)
        done += 1
    return done


def _booking(held: dict[str, Any]) -> dict[str, Any]:
    details = {"holdId": held["hold"]["id"], "holdToken": held["holdToken"], "customer": CUSTOMER}
    return {**details, "paymentMethod": "PAY_ON_ARRIVAL"}


# A number of its own for each client and turn gives it a half hour that nobody else asks for.
_SCRIPT = """
\\set turn :turn + 1
\\set number :turn * {clients} + :client_id
SELECT i.hold, 1 / (h.outcome = 'held')::integer AS held
FROM (SELECT uuidv7() AS hold OFFSET 0) AS i, LATERAL (
    SELECT '{begin}'::timestamptz + (:number / {people}) * interval '30 minutes' AS start) AS s, LATERAL hold_slot(
    i.hold, uuidv7(), '{organization}', '{service}', ('{{{ids}}}'::uuid[])[1 + :number % {people}],
    s.start, s.start + interval '30 minutes', 0, 0, interval '2 hours', 1, 1000, 'USD', NULL, '127.0.0.1', 0, 0,
    NULL, NULL
    ) AS h \\gset
SELECT bench_book(:hold, uuidv7(), uuidv7(), uuidv7());
"""


async def _pairs_by_pgbench(world: World, diary: Diary, number: int) -> float:
    """Pairs a second, in half hours of its own for each number. Raises RuntimeError with what pgbench says."""
    script = _SCRIPT.format(
        clients=CLIENTS,
        people=len(diary.people),
        begin=at(FIRST_DAY, 0) + number * ROUND_APART,
        organization=diary.shop.organization_uuid,
        service=diary.shop.service_uuids[0],
        ids=",".join(map(str, diary.people)),
    )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pair.sql"
        file.write_text(script)
        options = f"-c role={APP_ROLE} -c timezone=UTC -c jit=off -c app.organization_id={diary.shop.organization_uuid}"
        process = await asyncio.create_subprocess_exec(
            str(package_folder() / "pginstall" / "bin" / "pgbench"),
            *("--no-vacuum", "--protocol=prepared", f"--client={CLIENTS}", "--jobs=2", f"--time={SECONDS}"),
            *("--define=turn=0", f"--file={file}", world.stack.database_url),
            env={**os.environ, "PGOPTIONS": options},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said = (await process.communicate())[0].decode()
    found = re.search(r"tps = ([\d.]+)", said)
    if process.returncode or found is None:
        raise RuntimeError(said)
    return float(found[1])


# ── the sale ──────────────────────────────────────────────────────────────────────────────────────────


async def _sale(world: World) -> list[Line]:
    """Many guests at few slots: each slot is sold once, and everybody gets an answer. Raises RuntimeError otherwise."""
    diary = await _diary_of(world, SELLERS)
    slots = [diary.next() for _ in range(SLOTS)]
    turns = count()
    async with _owner(world) as connection, AsyncExitStack() as stack:
        deadlocks = await connection.fetchval(DEADLOCKS)
        clients = [await stack.enter_async_context(connect(world.stack.port)) for _ in range(BUYERS)]
        began = time.perf_counter()
        outcomes = sum(await asyncio.gather(*(_buy(client, slots, turns) for client in clients)), Counter[str]())
        seconds = time.perf_counter() - began
        await asyncio.sleep(1)  # statistics are written once a second
        deadlocks = await connection.fetchval(DEADLOCKS) - deadlocks
        sold = await connection.fetchval(
            "SELECT count(DISTINCT (provider_id, starts_at)) FROM booking WHERE organization_id = $1",
            diary.shop.organization_uuid,
        )
    expected = {"CreateBookingPayload": SLOTS, "SlotUnavailable": ATTEMPTS - SLOTS}
    if outcomes != expected or sold != SLOTS or deadlocks:
        raise RuntimeError(f"{outcomes}, {sold} slots sold, {deadlocks} deadlocks")
    return [
        Line(f"slots sold in {ATTEMPTS:,} attempts, no deadlock, no 5xx", "", sold, "slots there were", SLOTS),
        Line(f"attempts, {BUYERS} clients", "/s", ATTEMPTS / seconds, "slots sold", SLOTS / seconds),
    ]


async def _buy(client: Connection, slots: list[dict[str, Any]], turns: Iterator[int]) -> Counter[str]:
    """Whatever is not a 200 with data raises."""
    outcomes: Counter[str] = Counter()
    while (turn := next(turns)) < ATTEMPTS:
        # Neighbours in time ask for the same slot: the rush is at each of them, not only at the first.
        answer = await client.post(HOLD, {"input": slots[turn * SLOTS // ATTEMPTS]})
        if answer["__typename"] == "HoldSlotPayload":
            answer = await client.post(BOOK, {"input": _booking(answer)})
        outcomes[answer["__typename"]] += 1
    return outcomes
