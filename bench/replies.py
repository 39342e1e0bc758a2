"""A reply of 567 leaves from memory: requests per second of the server's own CPU time, ours and mercurius's."""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import psutil

from bench.npm import PeerMissing, installed, node
from bench.replies_server import DAYS, SLOTS
from bench.report import Line
from tests.plain_http import Connection, connect

QUERY = "{ availability { days { date slots { startsAt endsAt remaining providerId } } } }"
LEAVES = DAYS * (1 + 4 * SLOTS)
WHAT = f"a reply of {LEAVES} leaves from memory"
CONNECTIONS = 8
WARM_UP = 3_000
"""Requests. Both compilers of the peer want them."""
ROUNDS = 9
REQUESTS = 1_200
"""Of one round. The servers take turns, so that what else the machine does meets them all."""


@dataclass(slots=True)
class Server:
    process: psutil.Process
    connections: list[Connection]
    cpu_s: float = 0.0
    """Of all rounds: the system counts in hundredths of a second, which is too coarse for one of them."""

    async def run(self, requests: int) -> bytes:
        """Returns one of the answers, which are all the same."""
        request = self.connections[0].request(QUERY, {})

        async def ask(connection: Connection) -> bytes:
            answers = {await connection.exchange(request) for _ in range(requests // len(self.connections))}
            (answer,) = answers
            return answer

        (answer,) = set(await asyncio.gather(*map(ask, self.connections)))
        return answer

    async def measure(self) -> None:
        before = self._cpu_s_until_now()
        await self.run(REQUESTS)
        self.cpu_s += self._cpu_s_until_now() - before

    def rate(self) -> float:
        """Requests per CPU second."""
        return ROUNDS * REQUESTS / self.cpu_s

    def _cpu_s_until_now(self) -> float:
        """Of the process, its threads and its children."""
        every = [self.process, *self.process.children(recursive=True)]
        return sum(sum(one.cpu_times()[:2]) for one in every)


async def measure(_world: object = None) -> list[Line]:
    """Raises PeerMissing when mercurius cannot be had."""
    program = await asyncio.to_thread(_peer)
    async with AsyncExitStack() as stack:
        ours, plain, jit = [
            await stack.enter_async_context(_serving(command))
            for command in ((sys.executable, "-m", "bench.replies_server"), (*program, "0"), (*program, "1"))
        ]
        every = (ours, plain, jit)
        answers = {json.dumps(json.loads(await server.run(WARM_UP))) for server in every}
        if len(answers) != 1:
            raise RuntimeError(f"the servers do not answer the same: {[answer[:300] for answer in answers]}")
        for _ in range(ROUNDS):
            for server in every:
                await server.measure()
    return [
        Line(WHAT, "requests/CPU s", ours.rate(), "mercurius without JIT", plain.rate(), at_least=2.3),
        Line("the same", "requests/CPU s", ours.rate(), "mercurius with JIT", jit.rate(), at_least=0.5),
    ]


def _peer() -> tuple[str, str, str]:
    """The command that runs it on any port, but for the last word: 1 with JIT, 0 without."""
    try:
        folder = installed("mercurius")
        return str(node(folder)), str(folder / "server.mjs"), "0"
    except PeerMissing as missing:
        raise PeerMissing(f"Left out: {WHAT}, against mercurius without and with JIT. {missing}") from None


@asynccontextmanager
async def _serving(command: Sequence[str]) -> AsyncIterator[Server]:
    """Runs a server that prints its port."""
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE)
    try:
        port = await _port_of(process)
        async with AsyncExitStack() as stack:
            connections = [await stack.enter_async_context(connect(port)) for _ in range(CONNECTIONS)]
            yield Server(psutil.Process(process.pid), connections)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _port_of(process: Process) -> int:
    assert process.stdout is not None
    async with asyncio.timeout(60):
        line = await process.stdout.readline()
    if not line.strip().isdigit():
        raise RuntimeError(f"a server did not start: it said {line!r}")
    return int(line)
