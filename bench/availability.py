"""Seven days of free slots by HTTP: against PostGraphile over the same tables, and with and without caches."""

from __future__ import annotations

import asyncio
import json
import time
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from app.adapters.supervisor import SUPERVISOR_FD
from app.domain import slots as engine
from app.domain.search import AvailabilitySearch
from app.queries.availability_facts import FactsQuestion, ask_facts
from bench.postgraphile import PROVIDER_WITH_BOOKINGS, PostGraphile, postgraphile
from bench.report import Line, median, percentile
from bench.world import FIRST_DAY, Place, World
from tests.faults.stack import Stack, free_port
from tests.plain_http import Connection, connect
from tests.shop import at

DAYS = 7
DAYS_FILLED = 10
ROUNDS, FEWER_ROUNDS, COLD_ROUNDS = 15, 3, 2
"""The cold ones come first and count for nothing: the peer's compiler wants to warm up."""
REQUESTS = 300
"""Of one round: CPU is told in hundredths of a second."""
START_TIMEOUT_S = 60
LIMIT_MS = 50.0
"""The promise, p99 at 100 users."""
SEARCHES_A_HOLD = 10
STARTS = "query ($input: AvailabilityInput!) { availability(input: $input) { cursor days { date starts } } }"
SLOTS = """query ($input: AvailabilityInput!) { availability(input: $input) {
  cursor days { date slots { startsAt endsAt providerIds remaining price { amountMinor currency } } }
} }"""
HOLD = """mutation ($input: HoldSlotInput!) { holdSlot(input: $input) { __typename } }"""


@dataclass(slots=True)
class Asked:
    """One request, and who answers it. `cpu_ms`: of the answering process for one request, a figure for each round."""

    process: psutil.Process
    connection: Connection
    request: bytes
    wall_ms: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)

    async def round(self, *, counts: bool = True) -> None:
        samples, before = [], self._cpu_s()
        for _ in range(REQUESTS):
            began = time.perf_counter()
            await self.connection.exchange(self.request)
            samples.append(1000 * (time.perf_counter() - began))
        if counts:
            self.cpu_ms.append(1000 * (self._cpu_s() - before) / REQUESTS)
            self.wall_ms += samples

    def _cpu_s(self) -> float:
        return sum(self.process.cpu_times()[:2])


async def measure(world: World) -> list[Line]:
    """Raises PeerMissing when PostGraphile cannot be had."""
    place, full = await world.open_place(), await world.open_place()
    async with world.bare(place) as connection:
        await place.half_fill(connection, DAYS_FILLED, half=0)
    async with world.bare(full) as connection:
        for half in (0, 1):
            await full.half_fill(connection, DAYS_FILLED, half=half)
    async with AsyncExitStack() as stack:
        process, port = await stack.enter_async_context(without_caches(world.stack))
        bare = await stack.enter_async_context(connect(port))
        peer = await stack.enter_async_context(postgraphile(world.stack.database_url))
        api = psutil.Process(world.stack.supervisor.pid_of("api"))
        one = {"providerIds": [place.shop.provider_id]}
        theirs = Asked(peer.process, peer.connection, _peers_request(peer, place))
        starts, slots = (Asked(process, bare, week(bare, query, place, **one)) for query in (STARTS, SLOTS))
        await _check(peer, starts, place)
        await in_turn((theirs, starts), ROUNDS)
        # Opened when it is needed: the API closes a connection that asks for nothing.
        kept = await stack.enter_async_context(connect(world.stack.port))
        kept_starts, kept_slots = (Asked(api, kept, week(kept, query, place, **one)) for query in (STARTS, SLOTS))
        anyone, kept_anyone = (Asked(who, by, week(by, STARTS, place)) for who, by in ((process, bare), (api, kept)))
        booked_up = Asked(process, bare, week(bare, STARTS, full))
        await in_turn((slots, kept_starts, kept_slots, anyone, kept_anyone, booked_up), FEWER_ROUNDS)
        hit_rate = await _hit_rate(world, kept)
    engine_ms = await _engine(world, place)
    peer_ms, cpu, p50 = median(theirs.cpu_ms), "CPU of the API", "p50"
    what = f"availability, {DAYS} days of one provider from PostgreSQL"
    return [
        Line(f"{what}, {cpu}", "ms", median(starts.cpu_ms), "PostGraphile 5, provider + bookings", peer_ms, at_most=1),
        Line(
            f"the same with each slot's price and people, {cpu}", "ms", median(slots.cpu_ms), "PostGraphile 5", peer_ms
        ),
        Line(f"the same from the cache, {cpu}", "ms", median(kept_starts.cpu_ms), "uncached", median(starts.cpu_ms)),
        Line(
            f"with price and people from the cache, {cpu}",
            "ms",
            median(kept_slots.cpu_ms),
            "uncached",
            median(slots.cpu_ms),
        ),
        Line(f"{what}, {p50}", "ms", median(starts.wall_ms), "PostGraphile 5", median(theirs.wall_ms)),
        Line("the same, p99", "ms", percentile(starts.wall_ms, 99), "limit", LIMIT_MS),
        Line(f"the same from the cache, {p50}", "ms", median(kept_starts.wall_ms), "uncached", median(starts.wall_ms)),
        Line(f"{DAYS} days of anyone of 4, {cpu}", "ms", median(anyone.cpu_ms), "the slot engine alone", engine_ms),
        Line(f"the same from the cache, {cpu}", "ms", median(kept_anyone.cpu_ms), "uncached", median(anyone.cpu_ms)),
        Line(f"{DAYS} days that are booked up, {p50}", "ms", median(booked_up.wall_ms), "half", median(anyone.wall_ms)),
        Line(
            f"searches that found all as it was, a hold after every {SEARCHES_A_HOLD}th",
            "%",
            100 * hit_rate,
            "nothing new",
            100 - 100 / SEARCHES_A_HOLD,
        ),
    ]


async def in_turn(every: Sequence[Asked], rounds: int) -> None:
    """So that what else the machine does meets them all."""
    for number in range(rounds + COLD_ROUNDS):
        for each in every:
            await each.round(counts=number >= COLD_ROUNDS)


@asynccontextmanager
async def without_caches(stack: Stack) -> AsyncIterator[tuple[psutil.Process, int]]:
    """Another API process beside the stack's own, which keeps nothing of what it reads, and its port."""
    port = free_port()
    own = psutil.Process(stack.supervisor.pid_of("api"))
    env = {**own.environ(), "TURNERO_PORT": str(port)}
    env |= {"TURNERO_FACTS_CACHE_MB": "0", "TURNERO_FACTS_CACHE_SHARED_S": "0"}
    del env[SUPERVISOR_FD]  # it ends with this block
    process = await asyncio.create_subprocess_exec(*own.cmdline(), env=env, stdout=DEVNULL, stderr=DEVNULL)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http, asyncio.timeout(START_TIMEOUT_S):
            while not await _is_ready(http):  # noqa: ASYNC110 (another process)
                await asyncio.sleep(0.1)
        yield psutil.Process(process.pid), port
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _is_ready(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/health/ready")).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def search_of(place: Place) -> AvailabilitySearch:
    """A week of anyone."""
    first = at(FIRST_DAY, 0).date()
    last = first + timedelta(days=DAYS - 1)
    return AvailabilitySearch(place.shop.service_uuids[0], None, first, last, ZoneInfo("UTC"), None, 1)


def week(connection: Connection, query: str, place: Place, **values: Any) -> bytes:
    """The request for it, as it goes over the wire."""
    dates = search_of(place)
    asked = {"from": dates.from_date.isoformat(), "to": dates.to_date.isoformat(), "timeZone": "UTC"}
    return connection.request(query, {"input": {**asked, "serviceId": place.shop.service_id, **values}})


def _peers_request(peer: PostGraphile, place: Place) -> bytes:
    window = search_of(place).window()
    bounds = {"from": window.from_utc.isoformat(), "to": window.to_utc.isoformat()}
    return peer.connection.request(PROVIDER_WITH_BOOKINGS, {"provider": str(place.shop.provider_uuids[0]), **bounds})


async def _check(peer: PostGraphile, ours: Asked, place: Place) -> None:
    """Of every half hour the one is free, the other booked."""
    answer = json.loads(await peer.connection.exchange(_peers_request(peer, place)))
    booked = len(answer["data"]["providerByRowId"]["bookingsByProviderId"]["nodes"])
    days = json.loads(await ours.connection.exchange(ours.request))["data"]["availability"]["days"]
    free = sum(len(day["starts"]) for day in days)
    if (free, booked) != (DAYS * 24, DAYS * 24):
        raise RuntimeError(f"{free} half hours are free and {booked} booked; {DAYS * 24} were to be each")


async def _hit_rate(world: World, kept: Connection) -> float:
    """Everybody looks at one shop's week, and some take what they find."""
    place = await world.open_place()
    request, before = week(kept, STARTS, place), await _lookups(world.stack)
    for number in range(20 * SEARCHES_A_HOLD):
        await kept.exchange(request)
        if number % SEARCHES_A_HOLD == 0:
            person, start = place.start()
            slot = {"serviceId": place.shop.service_id, "providerId": place.shop.provider_ids[person]}
            await kept.post(HOLD, {"input": {**slot, "startsAt": start.isoformat()}})
    after = await _lookups(world.stack)
    return (after["hit"] - before["hit"]) / sum(after[each] - before[each] for each in after)


async def _lookups(stack: Stack) -> dict[str, float]:
    """What the API's own cache was asked until now, by outcome."""
    async with httpx.AsyncClient() as http:
        text = (await http.get(f"{stack.url}/metrics")).text
    found = dict.fromkeys(("hit", "stale", "miss"), 0.0)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == "turnero_facts_lookups_total" and sample.labels["layer"] == "process":
                found[sample.labels["outcome"]] = sample.value
    return found


async def _engine(world: World, place: Place) -> float:
    """Milliseconds for all starts, with everything in memory."""
    search, samples = search_of(place), []
    window = search.window()
    answer = await ask_facts(
        world.services.database, FactsQuestion.of(search.service_id, None, window), search.from_date
    )
    plan = answer.facts.service.plan
    plans, rules = plan.plans(None), plan.rules(at(0, 0))
    for _ in range(2 * REQUESTS):
        began = time.perf_counter()
        engine.free_masks(plans, answer.facts.busy, window, rules)
        samples.append(1000 * (time.perf_counter() - began))
    return median(samples)
