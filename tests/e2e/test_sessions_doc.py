"""docs/sessions.md says what is so: its story works from the first operation to the last, and its figures are real."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from app.commands import session_generation
from app.core.settings import Settings
from app.domain.live import AvailabilityCause
from app.domain.search import MAXIMUM_DAYS
from app.domain.sessions import COMING_MAXIMUM, GENERATION_MINUTE
from app.jobs.sessions import RECURRING
from app.schema.activity_mutation import HORIZON_DAYS, CreateActivityInput
from app.schema.session_mutation import MOVES_MAXIMUM
from tests.fixtures_api import GraphQLClient, RunningApi
from tests.live_client import live_socket
from tests.shop import make_shop

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs" / "sessions.md").read_text()
STORY: list[tuple[str, str]] = re.findall(r"```graphql\n(.*?)```\n```json\n(.*?)```", GUIDE, re.S)
FIRST_DAY = date(2026, 12, 1)
"""Today, in the guide."""


def filled_in(variables: str, kept: dict[str, str]) -> dict[str, Any]:
    """With the ids and tokens that the answers gave, and the guide's dates moved to ours."""
    for name in sorted(kept, key=len, reverse=True):
        variables = variables.replace(f'"{name}…"', f'"{kept[name]}"')
    assert "…" not in variables
    passed = datetime.now(UTC).date() - FIRST_DAY
    dated = re.sub(r'"(202\d-\d\d-\d\d)"', lambda match: f'"{date.fromisoformat(match[1]) + passed}"', variables)
    found: dict[str, Any] = json.loads(dated)
    return found


def keep(answer: Any, kept: dict[str, str]) -> None:
    """Ids of what was made or found, by prefix, and tokens, by name."""
    for key, value in answer.items() if isinstance(answer, dict) else ():
        if isinstance(value, str) and key in {"holdToken", "accessToken"}:
            kept[key] = value
        elif isinstance(value, str) and key == "id" and not value.startswith("ses_"):
            kept[value.partition("_")[0] + "_"] = value
        keep(value, kept)


async def test_the_story_of_the_guide(running: RunningApi, client: GraphQLClient) -> None:
    shop = await make_shop(running.api.services)
    owner = client.signed_in(shop.owner.token)
    kept = {"ven_": shop.venue_id}
    answers: dict[str, Any] = {}
    for operation, variables in STORY:
        name = operation.split("(")[0].split()[1]
        given = filled_in(variables, kept)
        if operation.startswith("subscription"):
            async with live_socket(running.socket_url) as socket:
                answers[name] = await (await socket.subscribe(operation, **given)).next()
            continue
        answer = answers[name] = await owner(operation, given)
        if isinstance(answer, list):
            kept["ses_"], kept["another ses_"] = answer[0]["id"], answer[1]["id"]
        else:
            assert answer.keys().isdisjoint({"code", "violations", "alternatives", "currentVersion"}), (name, answer)
        keep(answer, kept)
    assert list(answers) == [
        "Create", "Publish", "Further", "Import", "Sessions", "Places", "Hold", "Book", "Move", "Smaller", "CallOff",
    ]  # fmt: skip
    assert answers["Further"]["createdCount"] > 60
    assert answers["Places"]["kind"] == "SNAPSHOT"
    assert answers["Hold"]["hold"]["session"]["capacityRemaining"] == 8
    assert answers["Move"]["session"]["id"] == kept["another ses_"]
    smaller = answers["Smaller"]["session"]
    assert (smaller["capacityRemaining"], smaller["placesTaken"]) == (0, 2)
    assert answers["CallOff"]["session"] == {
        "status": "CANCELLED",
        "cancelledReason": "The teacher is ill",
        "placesTaken": 0,
    }


def test_every_operation_of_the_guide_is_in_the_story() -> None:
    assert len(STORY) == GUIDE.count("```graphql") == GUIDE.count("```json")


def test_the_guide_gives_the_figures_there_are() -> None:
    fields = CreateActivityInput.__dataclass_fields__
    generating, purging = RECURRING
    assert (generating.every, purging.every) == (timedelta(minutes=1), timedelta(hours=1))
    text = " ".join(GUIDE.split())
    for fact in (
        f"`sessionHorizonDays` ahead ({HORIZON_DAYS} by default",
        f"that is {fields['maximum_advance_days'].default} by default",
        f"every day at {GENERATION_MINUTE // 60}:{GENERATION_MINUTE % 60:02}",
        "A worker looks every minute",
        "is deleted within the hour",
        f"more than {session_generation.VENUE_AT_ONCE:,} coming sessions",
        f"more than {session_generation.VENUE_ACTIVITIES} activities",
        f"`RESCHEDULE` ({MOVES_MAXIMUM} at most)",
        f"at most {session_generation.SESSIONS_AT_ONCE:,} sessions ({session_generation.LED_AT_ONCE:,} where",
        f"at most {COMING_MAXIMUM:,} coming ones",
        f"at most {MAXIMUM_DAYS} days",
        f"for {Settings.model_fields['hold_ttl_s'].default // 60} minutes",
    ):
        assert fact in text, fact


def test_the_guide_names_rules_and_causes_there_are() -> None:
    commands = "".join(path.read_text() for path in sorted((ROOT / "app" / "commands").glob("session*.py")))
    rules = set(re.findall(r"NotAllowed\(\s*\"(\w+)\"", commands)) - {"hold_extended_once"}
    table = GUIDE.partition("| `NotAllowed.rule` |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)`", table, re.M)) == rules
    causes = GUIDE.partition("| cause |")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `(\w+)`", causes, re.M)) < {cause.name for cause in AvailabilityCause}
