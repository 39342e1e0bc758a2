"""The pages of docs/realtime.md, sse.md and presence.md work as pasted: their scripts run on node, and are cut off."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from app.adapters.valkey import Valkey
from app.core.database import SYSTEM_ROLE, Database
from app.domain.schedule import weekly_hours
from tests.fixtures_api import make_settings, serve
from tests.fixtures_live import RunningRelay
from tests.npm import install, run
from tests.shop import make_shop

FOLDER = Path(__file__).resolve().parent / "real"
PAGES, LIBRARIES = 3, 2
ZONE = "America/Argentina/Buenos_Aires"
SLUG = "barberia-palermo"
"""That of the demo, which the pages look for."""


@pytest.fixture
async def demo(fresh_database_url: str, redis_url: str) -> AsyncIterator[dict[str, str]]:
    """A shop that is open tomorrow and the day after: no start passes while a page looks at it."""
    tomorrow = (datetime.now(ZoneInfo(ZONE)) + timedelta(days=1)).weekday()
    hours = tuple(weekly_hours(day, [(10 * 60, 20 * 60)]) for day in (tomorrow, (tomorrow + 1) % 7))
    relay = RunningRelay(Database(fresh_database_url, role=SYSTEM_ROLE, pool_size=2), Valkey(redis_url))
    async with serve(make_settings(fresh_database_url, redis_url)) as running:
        shop = await make_shop(running.api.services, time_zone=ZONE, weekly=hours)
        connection = await asyncpg.connect(fresh_database_url)
        await connection.execute("UPDATE organization SET slug = $1", SLUG)
        await connection.close()
        relay.start()
        try:
            facts = {"server": running.url, "serviceId": shop.service_id, "providerId": shop.provider_id}
            yield {"TURNERO_WORLD": json.dumps({**facts, "timeZone": ZONE})}
        finally:
            await relay.pause()
            await relay.valkey.close()
            await relay.database.dispose()


async def test_the_pages_of_the_guides(demo: dict[str, str]) -> None:
    await install(FOLDER)
    command = ["node", "--test", "--test-force-exit", "--test-timeout=60000", "guides.test.mjs"]
    printed = await run(command, FOLDER, demo, timeout_s=90)
    assert re.search(rf"^. pass {PAGES + LIBRARIES}$", printed, re.M), printed
    assert re.search(r"^. fail 0$", printed, re.M), printed
    assert re.search(r"^. skipped 0$", printed, re.M), printed
