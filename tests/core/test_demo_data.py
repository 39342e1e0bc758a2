"""The demo's data: a run that was interrupted is finished by the next, and the examples of GraphiQL fit it."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select, text

from app import demo_data
from app.core.database import Database
from app.core.passwords import Passwords
from app.core.tokens import TokenSigner
from app.demo_data import Seeder
from app.demo_shops import SHOPS
from app.models import Activity, Venue
from app.queries.tenancy import Door, enter
from app.web.graphiql import load_examples
from tests.classes import WRONG_COUNTS
from tests.fixtures_api import SECRET, GraphQLClient, RunningApi
from tests.live_client import live_socket

GAMES = SHOPS[2]
LED = """
SELECT count(*) FILTER (WHERE p.name = :leader), count(DISTINCT s.id) FROM activity_session s
LEFT JOIN allocation a ON a.session_id = s.id LEFT JOIN provider p ON p.id = a.subject_id
"""


async def _days(database_url: str, time_zone: str) -> Counter[date]:
    """Appointments of each day."""
    database = Database(database_url, role=None, pool_size=1)
    try:
        async with database.transaction() as tx:
            starts = text("SELECT (starts_at AT TIME ZONE :zone)::date FROM booking WHERE session_id IS NULL")
            return Counter((await tx.execute(starts, {"zone": time_zone})).scalars())
    finally:
        await database.dispose()


async def test_an_interrupted_seed_is_finished(fresh_database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_data, "DAYS", 6)  # more than any weekend with its holidays
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
        async with database.transaction() as tx:
            await enter(tx, Door.SLUG, shop.slug, user_id=None)
            led, workshops = (await tx.execute(text(LED), {"leader": "Diego Romero"})).one()
    finally:
        await database.dispose()
    assert sum(before.values()) <= 4
    assert len(after) > len(before)
    assert max(after) > now.astimezone(ZoneInfo(time_zone)).date()
    assert all(after[day] == before[day] for day in before)
    assert await _days(fresh_database_url, time_zone) == after
    # The workshop's sessions take the time of who leads it; holidays have none.
    assert led == workshops >= 2


@pytest.fixture
async def games(running: RunningApi, monkeypatch: pytest.MonkeyPatch) -> Seeder:
    """The escape room with its catalogue and its games, in the database of the running API."""

    async def none(*_: Any) -> None:
        pass

    monkeypatch.setattr(Seeder, "_bookings", none)
    now = datetime.now(UTC).replace(microsecond=0)
    seeder = Seeder(running.api.services.database, TokenSigner(SECRET, timedelta(hours=1)), Passwords(), now)
    await seeder.shop(GAMES)
    return seeder


def example(number: int, **pasted: Any) -> tuple[str, dict[str, Any]]:
    """A tab of GraphiQL as somebody fills it in: the operation, and its variables with what was pasted."""
    (found,) = [each for each in load_examples() if each.query.startswith(f"# {number}. ")]
    today = datetime.now(UTC).date()
    text_ = re.sub(
        r"<today(?:\+(\d+))?>", lambda match: f"{today + timedelta(days=int(match[1] or 0))}", found.variables_json
    )
    variables: dict[str, Any] = json.loads(text_ or "{}")
    where = variables.get("input", variables)
    assert all("paste" in where[name] for name in pasted)
    where.update(pasted)
    return found.query, variables


@pytest.mark.usefixtures("games", "relay")
async def test_the_examples_of_sessions(running: RunningApi, client: GraphQLClient) -> None:
    """Tabs 14 to 17 and 6, one after the other, with what each says that one should keep."""
    (venue,) = (await client(*example(14)))["venues"]
    (game,) = venue["activities"]
    assert game["price"]["currency"] == "USD"
    sessions = await client(*example(15, activityId=game["id"]))
    assert len({one["startsAt"][:10] for one in sessions}) >= 5
    # Some have a party already, and all have room for two.
    assert {one["capacityRemaining"] for one in sessions} > {8}
    assert all(one["capacityRemaining"] >= 2 for one in sessions)
    session = sessions[0]
    async with live_socket(running.socket_url) as socket:
        query, variables = example(16, id=session["id"])
        watching = await socket.subscribe(query, **variables)
        assert (await watching.next())["kind"] == "SNAPSHOT"
        held = await client(*example(17, sessionId=session["id"]))
        assert held["hold"]["session"]["startsAt"] == session["startsAt"]
        told = await watching.next()
        assert (told["kind"], told["cause"]) == ("CHANGE", "HELD")
        assert told["capacityRemaining"] == session["capacityRemaining"] - 2
    booked = await client(*example(6, holdId=held["hold"]["id"], holdToken=held["holdToken"]))
    assert booked["booking"]["status"] == "CONFIRMED"


async def test_the_games_are_made_once_and_closed_on_holidays(running: RunningApi, games: Seeder) -> None:
    await games.shop(GAMES)
    async with running.api.services.database.transaction() as tx:
        await enter(tx, Door.SLUG, GAMES.slug, user_id=None)
        ((name, country, activity_id),) = await tx.execute(
            select(Activity.name, Venue.country, Activity.id).join(Venue, Venue.id == Activity.venue_id)
        )
        sessions = (await tx.execute(text("SELECT count(*) FROM activity_session"))).scalar_one()
        booked = (await tx.execute(text("SELECT count(*) FROM booking WHERE session_id IS NOT NULL"))).scalar_one()
        assert (await tx.execute(text(WRONG_COUNTS))).all() == []
    assert (name, country) == (GAMES.venues[0].activities[0].name, "US")
    assert activity_id is not None
    assert 25 * 4 < sessions < 32 * 8
    assert booked >= 6
