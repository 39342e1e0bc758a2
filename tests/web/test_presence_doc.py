"""docs/presence.md says what is so: its operations are valid, and its numbers and words are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from graphql import parse, validate

from app.adapters.valkey_presence import TTL_S
from app.domain.presence import ASKED_DAYS, ASKED_PROVIDERS, LOOKED_DAYS, MANY, RANGES
from app.domain.slot_watch import ALTERNATIVES, REACH, SlotStatus
from app.resolvers.presence import PresenceRules
from app.schema.root import schema

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "presence.md").read_text("utf-8")
OPERATIONS = re.findall(r"```graphql\n(.*?)```", GUIDE, re.S) + re.findall(
    r"`((?:\{ organization|query|mutation|subscription)\b.*?)`", GUIDE, re.S
)


@pytest.mark.parametrize("operation", OPERATIONS, ids=range(len(OPERATIONS)))
def test_its_operations_are_valid(operation: str) -> None:
    assert validate(schema._schema, parse(operation)) == []


def test_it_says_what_there_is() -> None:
    assert len(OPERATIONS) == 8
    assert re.findall(r"^\| `([A-Z]+)` \|", GUIDE, re.M) == [status.name for status in SlotStatus]
    rules = PresenceRules()
    ranges = ", ".join(f"{low}-{high}" for low, high in RANGES[1:])
    for fact in (
        f"at most {ALTERNATIVES}",
        f"within {REACH.days} days",
        f"up to {ASKED_PROVIDERS} providers",
        f"up to {ASKED_DAYS} days",
        f"of at most {LOOKED_DAYS} days",
        f"0, {ranges}, {MANY.at_least} and more",
        f"within the last {rules.linger_s:g} seconds",
        f"every {rules.tell_s:g} to {rules.tell_s + rules.jitter_s:g} seconds",
        f"within {TTL_S:g} seconds",
    ):
        assert fact in " ".join(GUIDE.split()), fact
