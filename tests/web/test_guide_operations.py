"""Every operation that the guides show fits the schema; those of the lifecycle are all shown."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from graphql import FieldNode, GraphQLSchema, OperationDefinitionNode, build_schema, parse, validate

from app.domain.booking import TRANSITIONS

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "app" / "web" / "examples"
GUIDES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))


def operations() -> list[tuple[str, str]]:
    """(guide, operation)"""
    return [
        (path.stem, block)
        for path in GUIDES
        for block in re.findall(r"```graphql\n(.*?)```", path.read_text("utf-8"), re.S)
    ]


@pytest.fixture(scope="module")
def schema() -> GraphQLSchema:
    return build_schema((ROOT / "schema.graphql").read_text("utf-8"))


@pytest.mark.parametrize(("guide", "least"), [("lifecycle", 9), ("availability", 1), ("sessions", 9), ("calendars", 1)])
def test_the_guide_shows_operations(guide: str, least: int) -> None:
    assert len([one for one in operations() if one[0] == guide]) >= least


@pytest.mark.parametrize(("guide", "operation"), operations(), ids=lambda value: value[:40])
def test_an_operation_of_a_guide_fits_the_schema(guide: str, operation: str, schema: GraphQLSchema) -> None:
    assert validate(schema, parse(operation)) == [], guide


OPERATIONS = [
    "planRecurringBooking",
    "bookingSeries",
    "recurringBookings",
    "createRecurringBooking",
    "rescheduleRecurringBooking",
    "cancelRecurringBooking",
    "startGuestSession",
    "guestSession",
    "endGuestSession",
    "findBooking",
    "renewBookingLink",
    "claimBooking",
    "addParticipants",
    "nameParticipants",
    "updateParticipant",
    "removeParticipants",
    "markParticipant",
    "joinWaitlist",
    "waitlistEntry",
    "waitlist",
    "declineWaitlistOffer",
    "leaveWaitlist",
    "setWaitlistPriority",
    "planBulkChange",
    "commitBulkChange",
    "bulkChange",
    "bulkChanges",
    "stopBulkChange",
    "checkInByCode",
    "rescheduleBooking",
    "cancelBooking",
    "transitionBooking",
]


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_of_the_lifecycle_is_shown_and_told(name: str, schema: GraphQLSchema) -> None:
    """In a guide, in a tab of GraphiQL, and by its description."""
    assert name in _used(operation for _, operation in operations())
    assert name in _used(path.read_text("utf-8") for path in EXAMPLES.glob("*.graphql"))
    assert schema.query_type is not None
    assert schema.mutation_type is not None
    fields = {**schema.query_type.fields, **schema.mutation_type.fields}
    assert fields[name].description


def _used(documents: Iterable[str]) -> set[str]:
    """Fields of the roots."""
    return {
        field.name.value
        for document in documents
        for one in parse(document).definitions
        if isinstance(one, OperationDefinitionNode)
        for field in one.selection_set.selections
        if isinstance(field, FieldNode)
    }


def test_the_diagram_shows_every_step() -> None:
    """And no other: the names are those of the API."""
    (diagram,) = re.findall(r"```mermaid\n(.*?)```", (ROOT / "docs" / "lifecycle.md").read_text("utf-8"), re.S)
    shown = re.findall(r"^\s+(\S+) --> (\S+?)(?: :.*)?$", diagram, re.M)
    steps = [(start.name, to.name) for start, targets in TRANSITIONS.items() for to in targets]
    ends = [("[*]", "PENDING"), ("REFUNDED", "[*]")]
    assert sorted(shown) == sorted([*steps, *ends])
