"""The same random requests by the compiled way and by graphql-core's own: the bytes of the answers are the same."""

from __future__ import annotations

import asyncio
import gc
import re
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from dataclasses import dataclass, field, fields
from functools import partial
from random import Random
from types import CoroutineType
from typing import Any

import msgspec
import pytest
from graphql import ExecutionResult, GraphQLError, GraphQLResolveInfo, GraphQLSchema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strawberry.utils.str_converters import to_camel_case

from app.schema.root import schema as product
from app.web.graphql import ErrorDescription, GraphQLEngine, Limits
from app.web.graphql import compiled as compiled_module
from app.web.graphql.documents import Call, Document
from app.web.graphql.engine import RequestRefused, formatted_request_errors
from tests.web.random_documents import Operation, random_operations
from tests.web.random_worlds import NEAR, ODDITIES, TEXTS, VALUES, World, worlds_instead_of_resolvers
from tests.web.strange_schema import Measure, Size
from tests.web.strange_schema import schema as strange

GENEROUS = Limits(
    depth=100,
    aliases=10_000,
    directives=10_000,
    tokens=100_000,
    cost=10**9,
    overlaps=10**9,
    errors=1_000,
    objects=10**9,
)
ADDRESS = re.compile(rb"0x[0-9a-f]+")
"""Of objects that messages show: another one in each run."""
MORE_WORLDS = 8
STRANGE = (0, 10, 50, 200)
"""How many of a thousand values are not what the schema promises."""


def _describe(error: GraphQLError, request_id: str) -> ErrorDescription:  # noqa: ARG001
    """Everything, so that no difference hides."""
    return ErrorDescription(error.message, {"cause": repr(error.original_error), "found": dict(error.extensions or {})})


@dataclass(slots=True)
class Tally:
    """What the compiled way did."""

    attempts: Counter[str] = field(default_factory=Counter)
    """Parts of answers that were read at once, and those that had to be done by the book."""
    answers: Counter[str] = field(default_factory=Counter)
    """Answers with and without a part that was read at once."""

    def note(self, part: object) -> None:
        self.attempts["unusual" if part is None else "read"] += 1

    def assert_fair(self, examples: int) -> None:
        """Both ways were really gone, and the compiled one mostly. Not too near to what is seen: seeds are random."""
        assert self.attempts["read"] > 2 * self.attempts["unusual"] > examples / 2, self
        assert self.answers["read"] > examples * MORE_WORLDS / 3, self


@dataclass(slots=True)
class Pair:
    """Two engines over one schema, which live as long as the test: what the compiled one remembers must not matter."""

    schema: GraphQLSchema
    compiled: GraphQLEngine
    plain: GraphQLEngine
    tally: Tally

    def check(self, seed: int, runner: asyncio.Runner) -> None:
        random = Random(seed)
        operations = random_operations(self.schema, random)
        document = self.compiled.prepare("\n".join(operation.text for operation in operations))
        assert document.errors == (), document
        for operation in operations:
            runner.run(self._check(document, operation, random))

    async def _check(self, document: Document, operation: Operation, random: Random) -> None:
        """The first time it is not compiled yet, then it is; to go through several worlds costs least of all."""
        turned = operation.turned(random)
        for asked in (operation, operation, turned, turned, *[operation] * MORE_WORLDS):
            seed, strange = random.getrandbits(64), random.choice(STRANGE)
            expected = await self.answer(self.plain, document, asked, World(self.schema, seed, strange))
            before = self.tally.attempts["read"]
            found = await self.answer(self.compiled, document, asked, World(self.schema, seed, strange))
            assert found == expected, asked
            self.tally.answers["read" if self.tally.attempts["read"] > before else "not"] += 1

    async def answer(
        self, engine: GraphQLEngine, document: Document, operation: Operation, world: World | OneMeasure
    ) -> bytes:
        try:
            return await _answer(engine, document, operation, world)
        finally:
            others = asyncio.all_tasks() - {asyncio.current_task()}
            await asyncio.gather(*others, return_exceptions=True)
            world.close()


def _engine(schema: Any, *, compiled: bool) -> GraphQLEngine:
    return GraphQLEngine(
        schema._schema,
        execution_context_class=schema.execution_context_class,
        limits=GENEROUS,
        introspection=True,
        suggestions=True,
        describe_error=_describe,
        compiled=compiled,
    )


@pytest.fixture(params=[product, strange], ids=["product", "strange"])
def pair(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pair]:
    tally, attempt = Tally(), compiled_module._attempt

    def noted(*arguments: Any) -> Any:
        part = attempt(*arguments)
        tally.note(part)
        return part

    monkeypatch.setattr(compiled_module, "_attempt", noted)
    schema = request.param
    with worlds_instead_of_resolvers(schema._schema):
        yield Pair(schema._schema, _engine(schema, compiled=True), _engine(schema, compiled=False), tally)


async def _answer(engine: GraphQLEngine, document: Document, operation: Operation, world: World | OneMeasure) -> bytes:
    call = Call(document, engine.select(document, operation.name), operation.variables)
    try:
        if call.kind.value == "subscription":
            return b"\n".join(await _events(engine, call, world))
        return _encoded(engine, await engine.execute(call, world))
    except RequestRefused as refused:
        return msgspec.json.encode(formatted_request_errors(refused.errors))


async def _events(engine: GraphQLEngine, call: Call, world: object) -> list[bytes]:
    source = await engine.subscribe(call, world)
    if isinstance(source, ExecutionResult):
        return [_encoded(engine, source)]
    assert isinstance(source, AsyncGenerator)
    return [_encoded(engine, result) async for result in source]


def _encoded(engine: GraphQLEngine, result: ExecutionResult) -> bytes:
    try:
        return ADDRESS.sub(b"0x", msgspec.json.encode(engine.result(result, "request")))
    except (TypeError, UnicodeEncodeError, ValueError) as error:
        return f"not to be encoded: {error!r}".encode()


def check_examples(pair: Pair, count: int) -> None:
    with asyncio.Runner() as runner:

        @settings(max_examples=count, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(seed=st.integers(0, 2**64 - 1))
        def check(seed: int) -> None:
            pair.check(seed, runner)

        check()
    gc.collect()
    pair.tally.assert_fair(count)


# Where an error empties a part of the answer, graphql-core leaves coroutines behind that nobody awaits.
pytestmark = [
    pytest.mark.filterwarnings("ignore:coroutine .*was never awaited:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_both_ways_give_the_same_bytes(pair: Pair) -> None:
    check_examples(pair, 30)


@dataclass(slots=True)
class OneMeasure:
    """A world of one object that has one value."""

    name: str
    make: Callable[[], object]
    made: list[object] = field(default_factory=list)

    def value(self, info: GraphQLResolveInfo[Any]) -> object:  # noqa: ARG002 - as of a World
        measure = Measure.__new__(Measure)
        self.made.append(self.make())
        object.__setattr__(measure, self.name, self.made[-1])
        return [measure]

    def close(self) -> None:
        for value in self.made:
            if isinstance(value, CoroutineType):
                value.close()


@pytest.mark.parametrize("pair", [strange], indirect=True)
@pytest.mark.parametrize("name", [one.name for one in fields(Measure) if one.name != "half"])
def test_every_scalar_with_every_value(pair: Pair, name: str) -> None:
    asked = Operation("A", f"query A {{ measures {{ value: {to_camel_case(name)} }} }}", {})
    document = pair.compiled.prepare(asked.text)
    values = [make for makes in (ODDITIES, *NEAR.values(), *VALUES.values()) for make in makes]
    values += [partial(str, text) for text in TEXTS]
    values += [partial(Size, member) for member in Size]
    with asyncio.Runner() as runner:
        for make in values:
            expected = runner.run(pair.answer(pair.plain, document, asked, OneMeasure(name, make)))
            for _ in range(3):
                assert runner.run(pair.answer(pair.compiled, document, asked, OneMeasure(name, make))) == expected
    assert pair.tally.attempts["read"] > 3
    assert pair.tally.attempts["unusual"] > 20


@pytest.mark.faults
def test_both_ways_give_the_same_bytes_a_long_time(pair: Pair) -> None:
    check_examples(pair, 5_000)
