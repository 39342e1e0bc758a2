"""PostGraphile 5 over the same database: a peer that does nothing but turn GraphQL into one statement."""

from __future__ import annotations

import asyncio
import subprocess
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import psutil

from bench.npm import installed, node
from tests.plain_http import Connection, connect

START_TIMEOUT_S = 90
PROVIDER_PAGE = """
    query ($organization: UUID!, $first: Int!) {
      allProviders(first: $first, orderBy: [PRIMARY_KEY_ASC], condition: {organizationId: $organization}) {
        edges { cursor node { rowId name bio rating isActive } } pageInfo { hasNextPage endCursor }
      }
    }
"""
PROVIDER_WITH_BOOKINGS = """
    query ($provider: UUID!, $from: Datetime!, $to: Datetime!) {
      providerByRowId(rowId: $provider) {
        rowId name timeZone
        bookingsByProviderId(filter: {startsAt: {greaterThanOrEqualTo: $from, lessThan: $to}}) {
          nodes { rowId startsAt endsAt status }
        }
      }
    }
"""
"""Bounds are instants in RFC 3339."""


@dataclass(slots=True)
class PostGraphile:
    """`port`: of its HTTP server, which answers at /graphql."""

    process: psutil.Process
    port: int
    connection: Connection

    async def ask(self, query: str, variables: dict[str, Any]) -> Any:
        """The one root field. Raises RuntimeError on errors."""
        return await self.connection.post(query, variables)

    async def cpu_per_request(self, query: str, variables: dict[str, Any], times: int) -> float:
        """Milliseconds of the process's CPU."""
        request = self.connection.request(query, variables)
        before = self.cpu_s()
        for _ in range(times):
            await self.connection.exchange(request)
        return 1000 * (self.cpu_s() - before) / times

    def cpu_s(self) -> float:
        """CPU seconds of the process and its children until now."""
        every = [self.process, *self.process.children(recursive=True)]
        return sum(sum(one.cpu_times()[:2]) for one in every)


@asynccontextmanager
async def postgraphile(database_url: str) -> AsyncIterator[PostGraphile]:
    """Runs it over a database on a socket, as that database's owner. Raises PeerMissing when it cannot be had."""
    folder = await asyncio.to_thread(installed, "postgraphile")
    url = urlsplit(database_url)
    query = parse_qs(url.query)
    place = (query["host"][0], query["port"][0], url.username or "postgres", unquote(url.path.lstrip("/")))
    process = await asyncio.create_subprocess_exec(
        str(node(folder)),
        str(folder / "server.mjs"),
        *place,
        stdout=PIPE,
        stderr=subprocess.DEVNULL,  # it does not know every type of ours, and says so
        env={"NODE_ENV": "production"},
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_TIMEOUT_S):
            line = await process.stdout.readline()
        if not line.strip().isdigit():
            raise RuntimeError(f"PostGraphile did not start: it said {line!r}")
        async with connect(int(line)) as connection:
            yield PostGraphile(psutil.Process(process.pid), int(line), connection)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
