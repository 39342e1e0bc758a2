"""The operations in the guide are operations of the schema."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from graphql import GraphQLSchema, build_schema, parse, validate

ROOT = Path(__file__).parents[2]
OPERATIONS = re.findall(r"```graphql\n(.*?)```", (ROOT / "docs" / "waitlist.md").read_text(), re.DOTALL)


@pytest.fixture(scope="module")
def exported() -> GraphQLSchema:
    return build_schema((ROOT / "schema.graphql").read_text())


def test_there_are_some() -> None:
    assert len(OPERATIONS) == 5


@pytest.mark.parametrize("operation", OPERATIONS)
def test_it_is_valid(operation: str, exported: GraphQLSchema) -> None:
    assert validate(exported, parse(operation)) == []
