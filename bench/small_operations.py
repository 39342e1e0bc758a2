"""What our part of GraphQL costs for a small operation, against graphql-core executing the same parsed operation.

Ours: finding the document (parsed, validated and measured before), checking the cost with the variables, executing,
and nothing else. Then the same while a stream of distinct documents runs past: what is used again must stay.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import psutil
import strawberry
from graphql import execute, parse

from app.web.graphql import GraphQLEngine, Limits, describe_error
from bench.report import Line, median

AT_MOST = 1.5
ROUNDS = 15
TIMES = 300
"""Of one round. Ours and theirs take turns, so that what else the machine does meets both."""
STRANGERS = 20_000
"""Distinct documents, each sent once."""
REGULARS = 100
"""Documents that come again and again, one after each so many strangers:"""
EVERY = 20
MEMORY_MB = 64.0


@strawberry.type
class Slot:
    starts_at: str
    ends_at: str
    remaining: int


@strawberry.type
class Provider:
    id: strawberry.ID
    name: str

    @strawberry.field
    async def next_slot(self) -> Slot:
        return SLOT


SLOT = Slot(starts_at="2026-03-01T08:00:00Z", ends_at="2026-03-01T08:30:00Z", remaining=1)
PROVIDER = Provider(id=strawberry.ID("prv_1"), name="Ana")


@strawberry.type
class Query:
    @strawberry.field
    def hello(self) -> str:
        return "hello"

    @strawberry.field
    async def provider(self, id: strawberry.ID) -> Provider | None:
        return PROVIDER if id else None


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def rename(self, id: strawberry.ID, name: str) -> Provider:
        return Provider(id=id, name=name)


@dataclass(frozen=True, slots=True)
class Operation:
    what: str
    text: str
    variables: Mapping[str, object]


OPERATIONS = (
    Operation("one field", "{ hello }", {}),
    Operation("an object by id", "query ($id: ID!) { provider(id: $id) { id name } }", {"id": "prv_1"}),
    Operation(
        "an object in an object, with a fragment and an alias",
        "query ($id: ID!) { provider(id: $id) { ...P next: nextSlot { startsAt endsAt remaining } } } "
        "fragment P on Provider { id name }",
        {"id": "prv_1"},
    ),
    Operation(
        "a mutation",
        "mutation ($id: ID!, $name: String!) { rename(id: $id, name: $name) { id name } }",
        {"id": "prv_1", "name": "Eva"},
    ),
)


async def measure() -> list[Line]:
    """Some seconds. Raises RuntimeError where the two do not answer the same."""
    lines = [await _against_the_core(operation) for operation in OPERATIONS]
    return [*lines, *await _beside_strangers()]


async def _against_the_core(operation: Operation) -> Line:
    schema, engine = _schema(), _engine()
    ast = parse(operation.text)

    async def ours() -> Any:
        return await engine.execute(engine.accept(operation.text, None, operation.variables), None)

    async def core() -> Any:
        answer = execute(schema, ast, variable_values=dict(operation.variables))
        return await answer if isinstance(answer, Awaitable) else answer

    if (found := [_plain((await each()).data) for each in (ours, core, ours, core)]) and found[1:] != found[:-1]:
        raise RuntimeError(f"they do not answer the same: {found}")
    our_times, core_times = [], []
    for _ in range(ROUNDS):
        our_times.append(await _cpu_us(ours))
        core_times.append(await _cpu_us(core))
    # The quickest round of each: whatever else the machine does can only make it slower.
    what = f"small operation: {operation.what}, CPU"
    return Line(what, "µs", min(our_times), "graphql-core executing it", min(core_times), at_most=AT_MOST)


async def _beside_strangers() -> list[Line]:
    """Regulars come on and on while twenty times as many others come once each."""
    engine = _engine()
    regulars = [f"query R{number} {{ provider(id: {number + 1}) {{ id name }} }}" for number in range(REGULARS)]
    for text in regulars * 3:
        await engine.execute(engine.accept(text, None, {}), None)
    gc.collect()
    before = psutil.Process().memory_info().rss
    known, asked, warm_us = 0, 0, []
    for number in range(STRANGERS):
        engine.accept(f"query S{number} {{ a{number}: hello provider(id: {number}) {{ id name }} }}", None, {})
        if number % EVERY == 0:
            text = regulars[asked % REGULARS]
            began = time.process_time_ns()
            document = engine.accept(text, None, {}).document
            warm_us.append((time.process_time_ns() - began) / 1_000)
            known += bool(document.plans)  # of one that was parsed anew there are none
            asked += 1
    gc.collect()
    grown_mb = (psutil.Process().memory_info().rss - before) / 1e6
    return [
        Line(f"regulars still known, {STRANGERS:,} strangers beside", "", known, "asked for", asked, at_least=0.99),
        Line("memory that the strangers took", "MB", max(grown_mb, 0.01), "bound of the cache", MEMORY_MB, at_most=1.5),
        Line("finding a regular then, CPU", "µs", median(warm_us), "limit", 50),
    ]


def _schema() -> Any:
    return SCHEMA._schema


SCHEMA = strawberry.Schema(query=Query, mutation=Mutation)


def _engine() -> GraphQLEngine:
    """As the application makes it."""
    return GraphQLEngine(
        _schema(),
        execution_context_class=SCHEMA.execution_context_class,
        limits=Limits(),
        introspection=False,
        suggestions=False,
        describe_error=describe_error,
    )


def _plain(value: Any) -> Any:
    """Structs as dictionaries, as they will be in JSON."""
    return msgspec.to_builtins(value)


async def _cpu_us(once: Callable[[], Awaitable[Any]]) -> float:
    """Of one call."""
    began = time.process_time_ns()
    for _ in range(TIMES):
        await once()
    return (time.process_time_ns() - began) / TIMES / 1_000
