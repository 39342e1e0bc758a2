"""kill -9 of every part, again and again, in the middle of bookings. Run by `make faults`; it takes some minutes.

FAULT_SEED   draws the same kills as a run before
FAULT_KILLS  kills of each part (20); with fewer, no result is written
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import asyncpg
import httpx
import pytest

from app.core.database import SYSTEM_ROLE, Database
from app.queries.event import Event
from tests.faults.killer import Killer, LogMonitor
from tests.faults.report import Report
from tests.faults.scene import DAYS, beside, numbered, open_shop, say
from tests.faults.stack import Stack, running_stack
from tests.faults.traffic import Traffic, starts_of
from tests.faults.verdict import broken_invariants, holds_by_status, stored_bookings
from tests.faults.witness import Expectation, FeedWitness, SocketWitness, whole_log
from tests.fixtures_api import GraphQLClient
from tests.fixtures_live import search_of
from tests.schema import operations as op
from tests.shop import at

KILLS = 20
LONGEST_S = 11 * 60.0
QUIET_S = 3.0


@pytest.mark.faults
async def test_nothing_is_lost_when_everything_is_killed() -> None:
    seed = int(os.environ.get("FAULT_SEED") or random.SystemRandom().randrange(10**6))
    count = int(os.environ.get("FAULT_KILLS") or KILLS)
    say(f"\nFAULT_SEED={seed} FAULT_KILLS={count}")
    report = Report(seed)
    async with asyncio.timeout(LONGEST_S), running_stack() as stack:
        await _run(stack, report, count)
    say(report.markdown())
    if count >= KILLS:
        say(f"Written to bench/results/{report.write().name}")


async def _run(stack: Stack, report: Report, count: int) -> None:
    system = Database(stack.database_url, role=SYSTEM_ROLE, pool_size=1)
    shop, expectation = await open_shop(stack, system)
    graphql_url = f"{stack.url}/graphql"
    asked = search_of(shop, at(5, 0), days=DAYS)
    traffic = Traffic(stack.port, shop, starts_of(at(5, 0), DAYS), report.seed)
    on_socket = SocketWitness(f"ws{graphql_url.removeprefix('http')}", asked)
    on_feed = FeedWitness.of(stack.database_url, stack.redis_url, expectation.subjects)
    log = LogMonitor(stack.database_url)
    killer = Killer(stack, traffic, log, random.Random(report.seed))
    is_listening = asyncio.Event()
    async with beside(stack.keep_running(), on_feed.watch(is_listening), on_socket.watch(), log.watch()):
        await is_listening.wait()
        await on_socket.has_begun.wait()
        began = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(traffic.run())
            await killer.run(count)
            traffic.stop()
        report.duration_s = time.monotonic() - began
        await system.dispose()  # its connection died with the server
        await _settle(system, on_socket, on_feed)
        async with httpx.AsyncClient(timeout=30) as http:
            found = await GraphQLClient(http, graphql_url)(op.AVAILABILITY, {"input": asked})
    report.kills = [replace(kill, unanswered=len(kill.in_flight & traffic.unanswered)) for kill in killer.kills]
    report.traffic = _traffic_facts(traffic)
    try:
        log_of_all = await whole_log(system, expectation.position)
    finally:
        await system.dispose()
    await _judge_bookings(stack, report, traffic)
    _judge_delivery(report, expectation, log_of_all, on_socket, on_feed)
    on_socket.screen.shows(found)


async def _settle(system: Database, on_socket: SocketWitness, on_feed: FeedWitness) -> None:
    """Until nothing more comes."""
    await numbered(system)
    seen = (-1, -1)
    while seen != (len(on_socket.told), len(on_feed.positions)):
        seen = (len(on_socket.told), len(on_feed.positions))
        await asyncio.sleep(QUIET_S)


async def _judge_bookings(stack: Stack, report: Report, traffic: Traffic) -> None:
    """What was acknowledged is there, once, as acknowledged; and nothing besides."""
    connection = await asyncpg.connect(stack.database_url)
    try:
        report.invariants = await broken_invariants(connection)
        stored = await stored_bookings(connection)
        holds = await holds_by_status(connection)
    finally:
        await connection.close()
    say(str(report.facts()))
    assert not traffic.oddities, traffic.oddities[:5]
    assert not any(report.invariants.values()), report.invariants
    assert stored == traffic.bookings
    assert holds == {"consumed": len(stored), "released": len(traffic.released)}


def _judge_delivery(
    report: Report,
    expectation: Expectation,
    log: Sequence[Event],
    on_socket: SocketWitness,
    on_feed: FeedWitness,
) -> None:
    """Every committed event, once, in order: to the reader of the log, and as changes to the subscriber."""
    own = [event.position for event in expectation.own(log)]
    told = expectation.told(log)
    report.delivery = {
        "events_committed": len(log),
        "events_of_the_providers": len(own),
        "events_delivered_by_the_feed": len(on_feed.positions),
        "changes_expected_from_the_log": len(told),
        "changes_delivered_over_the_socket": len(on_socket.told),
        "sockets_opened_by_the_subscriber": on_socket.sockets,
        "resyncs": on_socket.screen.resyncs,
    }
    say(str(report.delivery))
    assert on_feed.positions == own
    assert on_feed.overflows == 0
    assert on_socket.told == told
    assert (on_socket.screen.resyncs, on_socket.failures) == (0, [])


def _traffic_facts(traffic: Traffic) -> dict[str, Any]:
    statuses = [booking.status for booking in traffic.bookings.values()]
    return {
        "requests": traffic.requests,
        "repeated": traffic.repeats,
        "answers": dict(traffic.outcomes.most_common()),
        "failures_met": dict(traffic.failures.most_common()),
        "bookings_acknowledged": len(statuses),
        "cancelled_again": statuses.count("CANCELLED"),
        "holds_released": len(traffic.released),
    }
