"""The demo's data: a run that was interrupted is finished by the next."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from app import demo_data
from app.core.database import Database
from app.core.passwords import Passwords
from app.core.tokens import TokenSigner
from app.demo_data import Seeder
from app.demo_shops import SHOPS
from tests.fixtures_api import SECRET


async def _days(database_url: str, time_zone: str) -> Counter[date]:
    """Bookings of each day."""
    database = Database(database_url, role=None, pool_size=1)
    try:
        async with database.transaction() as tx:
            starts = text("SELECT (starts_at AT TIME ZONE :zone)::date FROM booking")
            return Counter((await tx.execute(starts, {"zone": time_zone})).scalars())
    finally:
        await database.dispose()


async def test_an_interrupted_seed_is_finished(fresh_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_data, "DAYS", 4)
    shop = SHOPS[0]
    time_zone = shop.venues[0].time_zone
    database = Database(fresh_database_url, pool_size=2)
    now = datetime.now(UTC).replace(microsecond=0)
    whole = Seeder._booking
    calls = 0

    async def interrupted(*arguments: Any) -> None:
        nonlocal calls
        calls += 1
        if calls > 4:
            raise RuntimeError("interrupted")
        await whole(*arguments)

    def seeder() -> Seeder:
        return Seeder(database, TokenSigner(SECRET, timedelta(hours=1)), Passwords(), now)

    try:
        monkeypatch.setattr(Seeder, "_booking", interrupted)
        with pytest.raises(RuntimeError, match="interrupted"):
            await seeder().shop(shop)
        before = await _days(fresh_database_url, time_zone)
        monkeypatch.setattr(Seeder, "_booking", whole)
        await seeder().shop(shop)
        after = await _days(fresh_database_url, time_zone)
        await seeder().shop(shop)
    finally:
        await database.dispose()
    assert sum(before.values()) <= 4
    assert len(after) > len(before)
    assert max(after) > now.date() + timedelta(days=1)
    assert all(after[day] == before[day] for day in before)
    assert await _days(fresh_database_url, time_zone) == after
