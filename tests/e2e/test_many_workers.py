"""The processes of `--api-processes`, and the one above them: how they end, also when they get no word of it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

SOON_S = 60.0
"""On a machine that has much else to do."""


@dataclass
class Workers:
    parent: Process
    listener: socket.socket
    pids: set[int]

    async def ask(self) -> int:
        """The number of the process that answers."""
        async with asyncio.timeout(SOON_S):
            reader, writer = await asyncio.open_connection(*self.listener.getsockname())
            writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
            pid = int((await reader.read()).rpartition(b"\r\n")[2])
            writer.close()
            self.pids.add(pid)
            return pid

    async def all_answered(self, count: int = 2) -> None:
        async with asyncio.timeout(SOON_S):
            while len(self.pids) < count:
                await self.ask()

    async def ended(self) -> int:
        """Its exit code, once it has ended by itself."""
        async with asyncio.timeout(SOON_S):
            return await self.parent.wait()


@asynccontextmanager
async def workers(folder: Path, processes: int = 2) -> AsyncIterator[Workers]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fd = listener.fileno()
        command = (sys.executable, "-m", "tests.e2e.small_workers", str(fd), str(processes), str(folder))
        parent = await asyncio.create_subprocess_exec(*command, pass_fds=(fd,), stdout=DEVNULL, stderr=DEVNULL)
        running = Workers(parent, listener, set())
        try:
            yield running
        finally:
            for pid in {parent.pid} | running.pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            await parent.wait()


async def gone(*pids: int) -> None:
    async with asyncio.timeout(SOON_S):
        while any(map(is_running, pids)):  # noqa: ASYNC110 (other processes)
            await asyncio.sleep(0.05)


def is_running(pid: int) -> bool:
    """A process that has ended and was not asked about yet runs no more."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def test_no_process_outlives_the_one_above_it(tmp_path: Path) -> None:
    async with workers(tmp_path) as running:
        await running.all_answered()
        running.parent.kill()
        await running.parent.wait()
        await gone(*running.pids)


async def test_told_to_end_in_the_middle_of_a_replacement(tmp_path: Path) -> None:
    """A new process that takes its time holds up nobody's end."""
    async with workers(tmp_path) as running:
        await running.all_answered()
        (tmp_path / "wait").touch()
        running.parent.send_signal(signal.SIGHUP)
        running.parent.send_signal(signal.SIGHUP)
        await asyncio.sleep(1)
        assert await running.ask()
        running.parent.send_signal(signal.SIGTERM)
        assert await running.ended() == 0
        await gone(*running.pids)


async def test_told_to_end_twice(tmp_path: Path) -> None:
    async with workers(tmp_path, processes=1) as running:
        await running.ask()
        running.parent.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.05)
        with suppress(ProcessLookupError):  # it has ended by now
            running.parent.send_signal(signal.SIGTERM)
        assert await running.ended() == 0


async def test_a_single_process_whose_terminal_is_closed_ends_as_if_told_to(tmp_path: Path) -> None:
    async with workers(tmp_path, processes=1) as running:
        await running.ask()
        running.parent.send_signal(signal.SIGHUP)
        assert await running.ended() == 0


@pytest.mark.parametrize("processes", [1, 2])
async def test_what_cannot_begin_says_so(tmp_path: Path, processes: int) -> None:
    (tmp_path / "fail").touch()
    async with workers(tmp_path, processes) as running:
        assert await running.ended() != 0
