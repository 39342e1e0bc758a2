"""A channel that a test tells what to say, and a schema that streams from it: plain fields, and some that look at who
asks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NewType

import strawberry
from strawberry.schema.config import StrawberryConfig
from strawberry.types import Info

from app.domain.errors import NotFound
from app.resolvers.live_channel import Listener, LiveStream
from app.web.graphql import GraphQLEngine, Limits, describe_error
from tests.web.graphql_server import Query, RequestContext


@dataclass(frozen=True, slots=True, eq=False)
class Update:
    """`lines` were written since the last one; of a snapshot, all of them."""

    kind: str
    number: int
    lines: tuple[str, ...]


@dataclass(eq=False)
class Board:
    """A channel: lines, numbered from 1. `padding` makes each of them longer."""

    name: str
    listeners: dict[Any, None] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    joins: int = 0
    merges: int = 0
    is_public: bool = True
    _snapshot: Update | None = None

    def say(self, line: str) -> None:
        self.lines.append(line)
        self._snapshot = None
        self.tell(Update("CHANGE", len(self.lines), (line,)))

    def tell(self, update: Update) -> None:
        for listener in tuple(self.listeners):
            listener.told(update)

    def end(self, error: Exception | None = None) -> None:
        for listener in tuple(self.listeners):
            del self.listeners[listener]
            listener.ended(error)

    async def join(self, listener: Listener[Update], after: str | None) -> Sequence[Update]:
        if self.name == "missing":
            raise NotFound
        self.joins += 1
        await asyncio.sleep(0)
        self.listeners[listener] = None
        if after is None:
            return [self.resync()]
        return [Update("CHANGE", n, (self.lines[n - 1],)) for n in range(int(after) + 1, len(self.lines) + 1)]

    def leave(self, listener: Listener[Update]) -> None:
        self.listeners.pop(listener, None)

    def merge(self, earlier: Update, later: Update) -> Update:
        self.merges += 1
        return Update(earlier.kind, later.number, earlier.lines + later.lines)

    def resync(self) -> Update:
        if self._snapshot is None:
            self._snapshot = Update("SNAPSHOT", len(self.lines), tuple(self.lines))
        return self._snapshot


@dataclass
class World:
    """What the resolvers of this module reach, and what they were asked."""

    boards: dict[str, Board] = field(default_factory=dict)
    calls: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def board(self, name: str) -> Board:
        if name not in self.boards:
            self.boards[name] = Board(name)
        return self.boards[name]


WORLD = World()
"""The schema is built once; each test begins with `WORLD.__init__()`, by the fixture `world`."""


Anything = NewType("Anything", object)


@strawberry.type
class Line:
    text: str

    @strawberry.field
    def seen_by(self, info: Info[RequestContext, None]) -> str:
        WORLD.calls += 1
        return f"{self.text} by {info.context.rights}"


@strawberry.type
class BoardEvent:
    kind: str
    number: int
    lines: list[str]
    rows: list[Line]

    @classmethod
    def from_update(cls, update: Update) -> BoardEvent:
        if update.lines == ("explode",):
            raise RuntimeError("password=hunter2")
        rows = [Line(text=line) for line in update.lines]
        return cls(kind=update.kind, number=update.number, lines=list(update.lines), rows=rows)

    @strawberry.field
    def viewer(self, info: Info[RequestContext, None]) -> str | None:
        WORLD.calls += 1
        return info.context.rights

    @strawberry.field
    async def slowly(self, info: Info[RequestContext, None]) -> str:
        WORLD.calls += 1
        await WORLD.gate.wait()
        return f"{self.number} for {info.context.rights}"

    @strawberry.field
    def numbered(self, after: str | None = None) -> str:
        return f"{self.number} after {after}"

    @strawberry.field
    def said(self, v: Anything | None = None) -> str:
        return repr(v)

    @strawberry.field
    def broken(self) -> str:
        WORLD.calls += 1
        raise RuntimeError("password=hunter2")


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def board(self, name: str, after: str | None = None) -> AsyncIterable[BoardEvent]:
        return LiveStream(WORLD.board(name), after, BoardEvent.from_update)

    @strawberry.subscription
    async def own(self, info: Info[RequestContext, None], name: str) -> AsyncIterable[BoardEvent]:
        viewer = info.context.rights

        def to_event(update: Update) -> BoardEvent:
            return BoardEvent(kind=update.kind, number=update.number, lines=[f"for {viewer}"], rows=[])

        return LiveStream(WORLD.board(name), None, to_event)


SCHEMA = strawberry.Schema(
    query=Query,
    subscription=Subscription,
    config=StrawberryConfig(scalar_map={Anything: strawberry.scalar(name="Anything")}),
)


def live_engine() -> GraphQLEngine:
    return GraphQLEngine(
        SCHEMA._schema,
        execution_context_class=SCHEMA.execution_context_class,
        limits=Limits(),
        introspection=True,
        suggestions=False,
        describe_error=describe_error,
    )
