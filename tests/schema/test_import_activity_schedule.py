"""Another system's schedule, taken as it is."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from app.domain.membership import Role
from app.resolvers.context import Services
from tests.classes import Class, make_class
from tests.fixtures_api import GraphQLClient
from tests.journey import account, colleague, instant, rows_of
from tests.shop import at, make_shop

IMPORT = """
mutation ($input: ImportActivityScheduleInput!) { importActivitySchedule(input: $input) { __typename
  ... on ImportActivitySchedulePayload { schedule { id number effectiveFrom slotIntervalMinutes } }
  ... on InvalidInput { violations { path message } } ... on NotAllowed { rule } ... on Error { code message } } }
"""
SOURCE: dict[str, Any] = {
    "operatingDays": ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"],
    "startTime": "09:00",
    "endTime": "22:00",
    "slotInterval": 60,
    "customHours": {"Saturday": {"enabled": True, "startTime": "10:00", "endTime": "23:00"}},
}
ZONE = "America/Argentina/Buenos_Aires"


@pytest.fixture
async def game(services: Services, client: GraphQLClient) -> Class:
    shop = await make_shop(services, time_zone=ZONE)
    return await make_class(client, services, shop=shop, weekly=None, session_horizon_days=14, name="The Vault")


async def take(game: Class, schedule: Any, client: GraphQLClient | None = None, **extra: Any) -> dict[str, Any]:
    wanted = {"activityId": game.activity_id, "schedule": schedule, **extra}
    answer: dict[str, Any] = await (client or game.owner)(IMPORT, {"input": wanted})
    return answer


async def test_the_documents_schedule(game: Class) -> None:
    answer = await take(game, SOURCE)
    assert answer["schedule"]["slotIntervalMinutes"] == 60
    first = at(2, 0).date()
    found = await game.sessions(first, first + timedelta(days=6))
    local = [instant(one["startsAt"]) - timedelta(hours=3) for one in found]  # Buenos Aires has no summer time
    by_day: dict[int, list[int]] = {}
    for start in local:
        by_day.setdefault(start.weekday(), []).append(start.hour)
    assert by_day == {**{day: list(range(9, 22)) for day in range(5)}, 5: list(range(10, 23))}


async def test_inline_literals_work_too(game: Class) -> None:
    query = """mutation { importActivitySchedule(input: { activityId: "%s", schedule: {
        operatingDays: ["monday"], startTime: "18:00", endTime: "02:00", slotInterval: 120 } }) { __typename } }"""
    assert (await game.owner(query % game.activity_id))["__typename"] == "ImportActivitySchedulePayload"
    found = await game.sessions(at(1, 0).date(), at(13, 0).date())
    assert {(instant(one["startsAt"]) - timedelta(hours=3)).hour for one in found} == {18, 20, 22, 0}


async def test_from_a_later_date(game: Class) -> None:
    start = at(5, 0).date()
    answer = await take(
        game, {**SOURCE, "operatingDays": SOURCE["operatingDays"] + ["Sunday"]}, effectiveFrom=f"{start}"
    )
    assert answer["schedule"]["effectiveFrom"] == f"{start}"
    assert await game.sessions(start - timedelta(days=1)) == []
    assert len(await game.sessions(start)) == 13
    past = await take(game, SOURCE, effectiveFrom=f"{at(-2, 0).date()}")
    assert past["violations"][0]["path"] == "input.effectiveFrom"


@pytest.mark.parametrize(
    ("schedule", "path"),
    [
        ([], "input.schedule"),
        ("schedule", "input.schedule"),
        ({**SOURCE, "slotInterval": "60"}, "input.schedule.slotInterval"),
        ({**SOURCE, "operatingDays": ["Monday", "Funday"]}, "input.schedule.operatingDays.1"),
        ({**SOURCE, "customHours": {"Saturday": {"enabled": True}}}, "input.schedule.customHours.Saturday.startTime"),
        ({**SOURCE, "😀": 1}, "input.schedule"),
    ],
)
async def test_everything_else_is_refused(game: Class, schedule: Any, path: str) -> None:
    answer = await take(game, schedule)
    assert answer["__typename"] == "InvalidInput"
    assert path in [violation["path"] for violation in answer["violations"]]
    versions = await rows_of(game.shop, "SELECT id FROM schedule_version WHERE owner_id = :id", id=game.activity_uuid)
    assert versions == []


async def test_who_may(game: Class, client: GraphQLClient) -> None:
    staff = (await colleague(client, game.shop, Role.STAFF)).client
    assert (await take(game, SOURCE, staff))["rule"] == "role"
    stranger = (await account(client, game.shop, "stranger")).client
    assert (await take(game, SOURCE, stranger))["__typename"] == "NotFound"
    anybody = await client.raw(IMPORT, {"input": {"activityId": game.activity_id, "schedule": SOURCE}})
    assert anybody["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_the_same_request_twice(game: Class) -> None:
    key = str(uuid4())
    answers = [await take(game, SOURCE, idempotencyKey=key) for _ in range(2)]
    assert answers[0] == answers[1]
    assert (await take(game, {**SOURCE, "slotInterval": 30}, idempotencyKey=key))["__typename"] == "IdempotencyConflict"
