"""Live streams while cables are cut, servers die, sleep and are replaced. Run by `make faults`; a minute or two each.

FAULT_SEED   draws the same faults as a run before
FAULT_ROLLS  restarts of both API processes (3)
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress

import asyncpg
import psutil
import pytest
from redis.asyncio import Redis

from tests.faults.cutting import cable
from tests.faults.live_run import LiveRun, fault_seed, live_run
from tests.faults.stack import READY_S, Stack, Victim, running_stack

pytestmark = pytest.mark.faults

CUTS = 100
VALKEY_FAULTS = 12
SLEEPS, DEATHS = 8, 3
ROLLS = int(os.environ.get("FAULT_ROLLS") or 3)
LONGEST_S = 600.0
TAKEN_OVER_S = 5.0
WORKERS = ("worker", "worker-2")
TRIES = 3


async def test_cut_and_resumed_a_hundred_times() -> None:
    """In the middle of frames too. No gap, no repeat, and in the end just what the query answers."""
    chance = random.Random(fault_seed())
    async with (
        asyncio.timeout(LONGEST_S),
        running_stack() as stack,
        cable(stack.port, chance, (0.1, 1.5)) as line,
        live_run("Cut and resumed", stack, ports=[line.port]) as run,
    ):
        await until(lambda: line.cuts >= CUTS, LONGEST_S)
        line.is_whole = True
        run.facts.update({"cuts": line.cuts, "in the middle of a frame": line.cut_in_frames})
        assert line.cut_in_frames > CUTS / 2


async def test_valkey_is_killed_flushed_and_stands_still() -> None:
    """Streams go on from PostgreSQL, which is read each second, and come back to the stream."""
    async with asyncio.timeout(LONGEST_S), running_stack() as stack:
        async with live_run("Valkey killed, flushed, asleep", stack) as run:
            faults = ["kill", "flush", "sleep"] * (VALKEY_FAULTS // 3)
            run.chance.shuffle(faults)
            for fault in faults:
                await asyncio.sleep(run.chance.uniform(0.5, 2))
                await _harm_valkey(stack, fault, run.chance)
            await asyncio.sleep(3)
            run.facts["faults"] = len(faults)
        assert run.longest_silence_s() < TAKEN_OVER_S


async def _harm_valkey(stack: Stack, fault: str, chance: random.Random) -> None:
    if fault == "kill":
        assert stack.kill(Victim.VALKEY)
        await asyncio.sleep(chance.uniform(0.5, 2))
        return
    if fault == "flush":
        client = Redis.from_url(stack.redis_url)
        await client.flushall()
        await client.aclose()
        return
    pid = await running_pid(stack, "valkey")
    os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(chance.uniform(1, 4))
    os.kill(pid, signal.SIGCONT)


async def test_the_relay_sleeps_dies_and_wakes_again() -> None:
    """Two workers: whichever holds the relay is followed within 5 s, and does no harm when it goes on."""
    async with asyncio.timeout(LONGEST_S), running_stack(workers=WORKERS) as stack:
        async with live_run("Relay paused and killed", stack) as run:
            faults = ["sleep"] * SLEEPS + ["death"] * DEATHS
            run.chance.shuffle(faults)
            waits = []
            for fault in faults:
                await asyncio.sleep(run.chance.uniform(0.3, 1))
                waits.append(await _harm_worker(run, run.chance.choice(WORKERS), fault))
            await asyncio.sleep(1)
            run.facts["taken over after, s"] = [round(wait, 2) for wait in waits]
        assert max(waits) < TAKEN_OVER_S


async def _harm_worker(run: LiveRun, name: str, fault: str) -> float:
    """Seconds until events had numbers again and were on the stream."""
    pid = await running_pid(run.stack, name)
    os.kill(pid, signal.SIGKILL if fault == "death" else signal.SIGSTOP)
    began = time.monotonic()
    before = run.log.last
    await until(lambda: run.log.last > before + 1 and run.log.published > before, 20)
    took_s = time.monotonic() - began
    if fault == "sleep":
        await asyncio.sleep(max(0.0, TAKEN_OVER_S - took_s))  # long enough that its transactions were ended
        os.kill(pid, signal.SIGCONT)
    else:
        await _is_back(run, name, pid)
    return took_s


async def _is_back(run: LiveRun, name: str, dead: int) -> None:
    """Until the one that was started in its place is at work: one of the two must live."""
    connection = await asyncpg.connect(run.stack.database_url)
    try:
        async with asyncio.timeout(READY_S):
            while True:
                pid = run.stack.supervisor.pid_of(name)
                seen = "SELECT EXISTS (SELECT FROM worker_heartbeat WHERE worker LIKE $1)"
                if pid not in {None, dead} and await connection.fetchval(seen, f"%:{pid}:%"):
                    return
                await asyncio.sleep(0.1)
    finally:
        await connection.close()


async def test_a_rolling_restart_fails_no_request() -> None:
    """Two processes on one port are replaced one after another; screens come back by cursor."""
    async with asyncio.timeout(LONGEST_S), running_stack(api_processes=2) as stack:
        async with live_run("Rolling restart", stack, guests=3) as run:
            for _ in range(ROLLS):
                await asyncio.sleep(1)
                await _roll(stack)
            await asyncio.sleep(1)
            run.facts["restarts of both processes"] = ROLLS
        assert run.traffic.failures == {}


async def _roll(stack: Stack) -> None:
    """Both are others now. Where a new one did not begin in a minute, the old one was kept: then once more."""
    parent = psutil.Process(await running_pid(stack, "api"))
    old = _processes(parent)
    for _ in range(TRIES):
        parent.send_signal(signal.SIGHUP)
        with suppress(TimeoutError):
            await until(lambda: len(now := _processes(parent)) == stack.api_processes and not old & now, READY_S)
            return
    raise AssertionError("the processes were not replaced")


def _processes(parent: psutil.Process) -> set[int]:
    """Those that serve: children of the library's supervisor."""
    found = set()
    for child in parent.children():
        try:
            if any("spawn_main" in word for word in child.cmdline()):
                found.add(child.pid)
        except psutil.NoSuchProcess:
            continue
    return found


async def running_pid(stack: Stack, name: str) -> int:
    await until(lambda: stack.supervisor.pid_of(name) is not None, 20)
    pid = stack.supervisor.pid_of(name)
    assert pid is not None
    return pid


async def until(is_so: Callable[[], bool], timeout_s: float) -> None:
    async with asyncio.timeout(timeout_s):
        while not is_so():  # noqa: ASYNC110 (what it looks at has many writers)
            await asyncio.sleep(0.02)
