"""docs/sse.md says what is so: its tables, its settings, and its statuses."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from graphql import parse, validate

from app.core.settings import Settings
from app.resolvers.live_hub import LONGEST_PACE_MS
from app.schema.root import schema
from app.serving import SILENT_CLIENT_MS
from app.web.clients import ENDS_PER_SECOND
from app.web.graphql.options import TransportOptions
from tests.fixtures_api import RunningApi

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "sse.md").read_text()
PARAMETERS = re.findall(r"^\| `(\w+)`(?:, `(\w+)`)? \|", GUIDE.split("### What is answered")[0], re.M)
PROSE = " ".join(GUIDE.split())


def test_the_settings_are_those_there_are() -> None:
    for name, value in re.findall(r"`TURNERO_([A-Z_]+)` \| (\d+) \|", GUIDE):
        assert Settings.model_fields[name.lower()].default == int(value), name
    for name in re.findall(r"`TURNERO_([A-Z_]+)`", GUIDE):
        assert name.lower() in Settings.model_fields


def test_the_numbers_are_those_there_are() -> None:
    options = TransportOptions()
    for fact in (
        f"0 to {LONGEST_PACE_MS}",
        f"comment every {options.comment_interval_s:g} seconds",
        f"After {options.send_timeout_s:g} seconds its source is closed",
        f"after {SILENT_CLIENT_MS // 1_000} seconds without a sign",
        f"{ENDS_PER_SECOND:,} a second",
        f"({Settings.model_fields['shutdown_grace_s'].default} seconds) at most",
    ):
        assert fact in PROSE, fact


def test_the_operations_are_valid() -> None:
    queries = re.findall(r"const query = `(.*?)`", GUIDE)
    queries += [text.replace('\\"', '"') for text in re.findall(r'-d \'{"query": "(.*)"}\'', GUIDE)]
    assert len(queries) == 2
    for query in queries:
        assert validate(schema._schema, parse(query)) == []


@pytest.mark.parametrize(
    "parameter", re.findall(r"^\| `(\w+)`(?:, `(\w+)`)? \|", GUIDE.split("### What is answered")[0], re.M)
)
async def test_its_parameters_are_read(
    running: RunningApi, http: httpx.AsyncClient, parameter: tuple[str, str]
) -> None:
    """A wrong value of each is complained about by its name."""
    wrong = {"service": "svc_01h2xcejqtf2nbrexx3vqjhp41", "from": "2026-11-24", "to": "2026-11-24", "timeZone": "UTC"}
    for name in filter(None, parameter):
        asked = {**wrong, name: "no such thing"}
        provider = quote(asked.pop("providerId", "prv_01h2xcejqtf2nbrexx3vqjhp41"))
        answer = await http.get(f"{running.url}/availability/{provider}/stream", params=asked)
        assert answer.status_code == 400
        assert [violation["path"] for violation in answer.json()["violations"]] == [name]
