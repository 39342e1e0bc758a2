"""docs/realtime.md says what is so: its operations are valid, and its table names every cause."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from graphql import parse, validate

from app.core.settings import Settings
from app.domain.live import AvailabilityCause
from app.domain.live_venue import VENUE_MAXIMUM_DAYS
from app.resolvers.event_feed import QUEUE_LIMIT
from app.resolvers.live_availability import REPLAY_LIMIT
from app.resolvers.live_hub import LONGEST_PACE_MS
from app.schema.root import schema
from app.web.clients import RETRY_S
from app.web.graphql import websocket
from app.web.graphql.messages import MAX_ID
from app.web.graphql.options import TransportOptions

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "realtime.md").read_text()
OPERATIONS = re.findall(r"```graphql\n(.*?)```", GUIDE, re.S) + re.findall(r"query(?: =|:) `(.*?)`", GUIDE, re.S)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_operations_of_the_guide_are_valid(operation: str) -> None:
    assert validate(schema._schema, parse(operation)) == []


def test_the_guide_has_all_operations() -> None:
    assert len(OPERATIONS) == 6


def test_the_guide_names_the_causes_there_are() -> None:
    explained = set(re.findall(r"`([A-Z_]+)`", GUIDE.partition("| cause |")[2].partition("\n\n")[0]))
    # Nothing makes this one yet: places are told of by `session`.
    assert explained == {cause.name for cause in AvailabilityCause if cause is not AvailabilityCause.CAPACITY}


def test_the_guide_gives_the_limits_there_are() -> None:
    options = TransportOptions()
    for fact in (
        f"{Settings.model_fields['event_retention_h'].default} hours",
        f"more than {REPLAY_LIMIT:,} events",
        f"{QUEUE_LIMIT:,} events waited",
        f"within {options.init_timeout_s:g} seconds",
        f"(0 to {LONGEST_PACE_MS};",
        f"over up to {VENUE_MAXIMUM_DAYS} days",
        f"at most {options.client_limits.operations_per_client} at once",
        f"at most {options.client_limits.connections_per_client} sockets",
        f"at most {options.max_body_bytes:,} bytes",
        f"an id {MAX_ID} characters",
        f"no sign of life for {options.idle_timeout_s:g} seconds",
        f"nothing was read for {options.send_timeout_s:g}",
        f"Try again in {RETRY_S} s",
    ):
        assert fact in " ".join(GUIDE.split()), fact


def test_the_guide_explains_the_codes_there_are() -> None:
    explained = GUIDE.partition("| closed with |")[2].partition("\n\n")[0]
    told = re.findall(
        r"\b(1\d{3}|4\d{3})\b(?=[, |])", "".join(line.split("|")[1] + "|" for line in explained.splitlines()[2:])
    )
    assert websocket.__doc__
    assert sorted(told) == sorted(re.findall(r"\b([14]\d{3}) ", websocket.__doc__))
