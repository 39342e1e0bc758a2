"""A thousand clients that are gone or asleep, and nobody told the server. Run by `make faults`; about two minutes.

Half of them vanish: their process stands still, so they answer no ping and take what fits into the system's buffers.
The others go on but read nothing, so that the server cannot get rid of what it has for them.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psutil
import pytest

from tests.faults.crowd import Crowd, crowd, raise_file_limit
from tests.faults.live_run import LiveRun, live_run
from tests.faults.stack import Stack, running_stack
from tests.plain_http import connect
from tests.shop import at

pytestmark = pytest.mark.faults

VANISHED = ASLEEP = 500
IDLE_TIMEOUT_S = 60.0
REAPED_S = 2 * IDLE_TIMEOUT_S + 30
"""Closed after the first; the system lets go of what was never taken after as long again."""
MEMORY_MB = 100.0
LONGEST_WAIT_S = 3.0
SPARE_FILES = 20
LONGEST_S = 400.0
WATCH = """subscription ($input: AvailabilityInput!) { availability(input: $input) {
  kind cursor opened closed causes
} }"""


@dataclass(slots=True)
class Server:
    process: psutil.Process
    files: int
    memory: int
    most_memory: int = 0
    slowest_s: float = 0.0
    """Of small requests, meanwhile."""

    @classmethod
    def of(cls, stack: Stack) -> Server:
        process = psutil.Process(stack.supervisor.pid_of("api"))
        return cls(process, process.num_fds(), process.memory_info().rss)

    async def watch(self, port: int) -> None:
        """Until cancelled."""
        async with connect(port) as connection:
            while True:
                began = time.monotonic()
                await connection.post("{ __typename }", {})
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)
                self.most_memory = max(self.most_memory, self.process.memory_info().rss)
                await asyncio.sleep(0.1)


async def test_a_thousand_half_open_sockets() -> None:
    raise_file_limit()
    async with asyncio.timeout(LONGEST_S), running_stack() as stack:
        async with live_run("Half open", stack) as run, crowd() as gone, crowd() as asleep:
            before = Server.of(stack)
            await _join(run, gone, VANISHED)
            await _join(run, asleep, ASLEEP, receive_bytes=4_096)
            server = Server.of(stack)
            watch = asyncio.create_task(server.watch(stack.port))
            os.kill(gone.process.pid, signal.SIGSTOP)
            await asleep.do("stop_reading", count=ASLEEP)
            began = time.monotonic()
            try:
                await _until(lambda: server.process.num_fds() <= before.files + SPARE_FILES, REAPED_S)
            finally:
                run.facts.update(_facts(server, before, time.monotonic() - began))
                watch.cancel()
                os.kill(gone.process.pid, signal.SIGCONT)
            await asyncio.wait([watch])
            assert watch.cancelled(), "a small request failed meanwhile"
        assert server.most_memory - server.memory < MEMORY_MB * 1e6
        assert server.slowest_s < LONGEST_WAIT_S
        assert run.longest_silence_s() < LONGEST_WAIT_S


async def _join(run: LiveRun, clients: Crowd, count: int, **how: Any) -> None:
    first = at(5, 0)
    dates = {"from": f"{first:%Y-%m-%d}", "to": f"{first + timedelta(days=6):%Y-%m-%d}"}
    asked = {"serviceId": run.shop.service_id, "timeZone": "UTC", **dates}
    await clients.do("open", port=run.stack.port, count=count, **how)
    said = await clients.do("subscribe", payloads=[{"query": WATCH, "variables": {"input": asked}}])
    assert not said["odd"], said


def _facts(server: Server, before: Server, took_s: float) -> dict[str, Any]:
    return {
        "half open": VANISHED + ASLEEP,
        "left after": server.process.num_fds() - before.files,
        "reaped after, s": round(took_s, 1),
        "memory of the API before, MB": round(before.memory / 1e6),
        "with all": round(server.memory / 1e6),
        "most": round(server.most_memory / 1e6),
        "slowest small request, s": round(server.slowest_s, 2),
    }


async def _until(is_so: Callable[[], bool], timeout_s: float) -> None:
    async with asyncio.timeout(timeout_s):
        while not is_so():  # noqa: ASYNC110 (another process)
            await asyncio.sleep(0.2)
