"""docs/groups.md says what is so: its operations are the schema's, and its variables have the shape that they want."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from graphql import build_schema, get_operation_ast, parse, validate
from graphql.execution.values import get_variable_values

ROOT = Path(__file__).resolve().parents[2]
STORY: list[tuple[str, str]] = re.findall(
    r"```graphql\n(.*?)```\n```json\n(.*?)```", (ROOT / "docs" / "groups.md").read_text(), re.S
)
SCHEMA = build_schema((ROOT / "schema.graphql").read_text())


def test_it_shows_the_operations() -> None:
    shown = {name for document, _ in STORY for name in re.findall(r"^  (\w+)\(", document, re.M)}
    assert shown == {
        "createBooking",
        "nameParticipants",
        "addParticipants",
        "removeParticipants",
        "holdSlot",
        "markParticipant",
    }


@pytest.mark.parametrize(("document", "variables"), STORY)
def test_an_operation(document: str, variables: str) -> None:
    parsed = parse(document)
    assert validate(SCHEMA, parsed) == []
    operation = get_operation_ast(parsed)
    assert operation is not None
    given = get_variable_values(SCHEMA, operation.variable_definitions or (), json.loads(variables))
    assert not isinstance(given, list), given
