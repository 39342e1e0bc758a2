"""What every benchmark works in: the running system, shops, and the CPU time of the API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import psutil

from app.core.database import APP_ROLE
from app.core.ids import new_id
from app.main import build_api
from app.resolvers.context import Services
from tests.faults.stack import Stack, running_stack
from tests.fixtures_api import make_settings
from tests.shop import Shop, at, make_shop

PROVIDERS = 4
DAYS = 330
FIRST_DAY = 3
HOLD_SQL = """
    SELECT outcome FROM hold_slot($1, $2, $3, $4, $5, $6, $7, 0, 0, interval '2 hours', 1, 1000, 'USD', NULL,
                                  '127.0.0.1', 0, 0, NULL, NULL)
"""
BOOK_SQL = "SELECT bench_book($1, $2, $3, $4)"


@dataclass(slots=True)
class Place:
    """A shop of four people who work day and night, in half hours."""

    shop: Shop
    _next: int = 0

    def start(self) -> tuple[int, datetime]:
        """A provider's number and a half hour of theirs, never given before: nobody meets anybody."""
        number, start = self._next % PROVIDERS, self.peek()
        self._next += 1
        if self._next > PROVIDERS * DAYS * 48:
            raise RuntimeError("the calendar is full")
        return number, start

    def peek(self) -> datetime:
        """The next start."""
        return at(FIRST_DAY, 0) + timedelta(minutes=30 * (self._next // PROVIDERS))

    def hold_arguments(self, hold_id: UUID) -> tuple[object, ...]:
        """Of HOLD_SQL, for the next start."""
        number, start = self.start()
        shop = self.shop
        subjects = (shop.organization_uuid, shop.service_uuids[0], shop.provider_uuids[number])
        return (hold_id, new_id(), *subjects, start, start + timedelta(minutes=30))

    async def half_fill(self, connection: asyncpg.Connection[Any], days: int, *, half: int) -> None:
        """Book every other half hour of the first days: the even ones (0) or the odd ones (1)."""
        self._next = 0
        async with connection.transaction():
            for number in range(days * 48 * PROVIDERS):
                if number // PROVIDERS % 2 != half:
                    self.start()
                    continue
                hold_id = new_id()
                await connection.fetchval(HOLD_SQL, *self.hold_arguments(hold_id))
                await connection.fetchval(BOOK_SQL, hold_id, new_id(), new_id(), new_id())


@dataclass(slots=True)
class World:
    stack: Stack
    services: Services
    postgres: str
    """Version."""

    async def open_place(self) -> Place:
        return Place(await make_shop(self.services, providers=PROVIDERS, slot_interval=30))

    def api_cpu_s(self) -> float:
        """CPU seconds of the API's process until now."""
        return self.cpu_s("api")

    def cpu_s(self, name: str) -> float:
        """CPU seconds until now of a child of the supervisor; of PostgreSQL with those of its processes that ended."""
        pid = self.stack.supervisor.pid_of(name)
        assert pid is not None
        process, total = psutil.Process(pid), 0.0
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                times = one.cpu_times()
                total += times.user + times.system
        ended = process.cpu_times()
        return total + ended.children_user + ended.children_system

    @asynccontextmanager
    async def bare(self, place: Place) -> AsyncIterator[asyncpg.Connection[Any]]:
        """A connection as the API's are, bound to the shop for good."""
        settings = {"role": APP_ROLE, "timezone": "UTC", "jit": "off"}
        connection = await asyncpg.connect(self.stack.database_url, server_settings=settings)
        try:
            organization_id = str(place.shop.organization_uuid)
            await connection.execute("SELECT set_config('app.organization_id', $1, false)", organization_id)
            yield connection
        finally:
            await connection.close()


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    async with running_stack(with_stripe=True) as stack:
        keeper = asyncio.create_task(stack.keep_running())
        services = build_api(make_settings(stack.database_url, stack.redis_url)).services
        try:
            connection = await asyncpg.connect(stack.database_url)
            await connection.execute((Path(__file__).parent / "bare.sql").read_text())
            version = connection.get_server_version()
            await connection.close()
            yield World(stack, services, f"{version.major}.{version.minor}")
        finally:
            keeper.cancel()
            await services.database.dispose()
