"""A real server on a free port of 127.0.0.1 with a small schema, for the tests of the transport."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import msgspec
import strawberry
import uvicorn
from graphql import ASTValidationRule
from litestar import Litestar
from litestar.types import ControllerRouterHandler
from sqlalchemy.exc import OperationalError
from strawberry.types import Info
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from app.domain.errors import InvalidInput, NotAllowed, NotFound, RateLimited, StaleVersion, Unauthenticated
from app.web.application import web_application
from app.web.frames import FrameProtocol
from app.web.graphql import GraphQLEngine, GraphQLTransport, Limits, TransportOptions, describe_error, graphql_routes
from app.web.graphql.transport import GRAPHQL_PATH


@dataclass
class Witness:
    """What the resolvers saw, for the tests to look at."""

    contexts: list[RequestContext] = field(default_factory=list)
    mutations_done: int = 0
    queries_cancelled: int = 0
    streams_open: int = 0
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    started: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class RequestContext:
    witness: Witness
    headers: Mapping[str, str]
    client_address: str | None
    request_id: str
    channel: str
    expires_at: datetime | None = None
    events: int = 0

    @property
    def rights(self) -> str | None:
        return self.headers.get("authorization")

    @property
    def user_id(self) -> str | None:
        token = self.headers.get("authorization", "").removeprefix("Bearer ")
        return token if token in {"ana", "ben"} else None

    def for_event(self) -> RequestContext:
        self.events += 1
        return RequestContext(self.witness, self.headers, self.client_address, self.request_id, self.channel)


ContextInfo = Info[RequestContext, None]


@strawberry.type
class Provider:
    name: str

    @strawberry.field
    def friends(self) -> list[Provider]:
        return [Provider(name="friend")]

    @strawberry.field
    def clients(self, first: int | None = None, last: int | None = None) -> ProviderConnection:
        return connection(first or last or 20)


@strawberry.type
class Edge:
    cursor: str
    node: Provider


@strawberry.type
class PageInfo:
    has_next_page: bool


@strawberry.type
class ProviderConnection:
    edges: list[Edge]
    page_info: PageInfo
    total_count: int


def connection(size: int) -> ProviderConnection:
    edges = [Edge(cursor=str(i), node=Provider(name=f"p{i}")) for i in range(size)]
    return ProviderConnection(edges=edges, page_info=PageInfo(has_next_page=False), total_count=size)


@strawberry.input
class PersonInput:
    name: str
    age: int = 0


@strawberry.input
class GreetInput:
    customer: PersonInput
    starts_at: datetime | None = None
    tags: list[str] = strawberry.field(default_factory=list)


@strawberry.type
class Query:
    @strawberry.field
    def hello(self, name: str = "world") -> str:
        return f"hello {name}"

    @strawberry.field
    def greet(self, input: GreetInput) -> str:
        return input.customer.name

    @strawberry.field
    def secret_name(self) -> str:
        return "secret"

    @strawberry.field
    async def request_id(self, info: ContextInfo) -> str:
        await asyncio.sleep(0.005)
        return info.context.request_id

    @strawberry.field
    def client_address(self, info: ContextInfo) -> str | None:
        return info.context.client_address

    @strawberry.field
    def viewer(self, info: ContextInfo) -> str | None:
        return info.context.headers.get("authorization")

    @strawberry.field
    def providers(self, first: int | None = 20, last: int | None = None) -> ProviderConnection:
        return connection(min(first or last or 20, 100))

    @strawberry.field
    def team(self) -> list[Provider]:
        return [Provider(name="a"), Provider(name="b")]

    @strawberry.field
    def half_pair(self) -> str:
        return "\ud800"

    @strawberry.field
    def fail(self, how: str = "bug") -> str | None:
        raise {
            "bug": RuntimeError("password=hunter2"),
            "input": InvalidInput.at("input.name", "is empty"),
            "missing": NotFound(),
            "who": Unauthenticated(),
            "forbidden": NotAllowed("own_bookings", "Only your own."),
            "slow_down": RateLimited("Too fast.", 7),
            "stale": StaleVersion(3),
            "database": OperationalError("SELECT 1", {}, Exception("connection refused at 10.0.0.5")),
            "network": ConnectionRefusedError("10.0.0.5"),
        }[how]

    @strawberry.field
    async def wait(self, info: ContextInfo) -> str:
        witness = info.context.witness
        witness.started.set()
        try:
            await witness.gate.wait()
        except asyncio.CancelledError:
            witness.queries_cancelled += 1
            raise
        return "done"


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def bump(self, info: ContextInfo) -> int:
        witness = info.context.witness
        witness.started.set()
        await witness.gate.wait()
        witness.mutations_done += 1
        return witness.mutations_done


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def count(self, to: int = 3) -> AsyncGenerator[int, None]:
        for number in range(to):
            yield number

    @strawberry.subscription
    async def ticks(self, info: ContextInfo) -> AsyncGenerator[int, None]:
        witness = info.context.witness
        witness.streams_open += 1
        try:
            yield 0
            await witness.gate.wait()
            yield 1
        finally:
            witness.streams_open -= 1

    @strawberry.subscription
    async def flood(self) -> AsyncGenerator[str, None]:
        while True:
            yield secrets.token_hex(20_000)
            await asyncio.sleep(0)

    @strawberry.subscription
    async def breaks(self, at_once: bool = False) -> AsyncGenerator[int, None]:
        if at_once:
            raise InvalidInput.at("atOnce", "is true")
        yield 1
        raise RuntimeError("password=hunter2")


SCHEMA = strawberry.Schema(query=Query, mutation=Mutation, subscription=Subscription)


def engine_for_tests(
    *,
    limits: Limits | None = None,
    introspection: bool = True,
    suggestions: bool = False,
    rules: tuple[type[ASTValidationRule], ...] = (),
    cached_documents: int = 1_000,
) -> GraphQLEngine:
    return GraphQLEngine(
        SCHEMA._schema,
        execution_context_class=SCHEMA.execution_context_class,
        limits=limits or Limits(),
        introspection=introspection,
        suggestions=suggestions,
        describe_error=describe_error,
        rules=rules,
        cached_documents=cached_documents,
    )


@dataclass
class RunningServer:
    port: int
    client: httpx.AsyncClient
    transport: GraphQLTransport
    witness: Witness
    tokens: dict[str, datetime | None]
    server: uvicorn.Server

    async def post(self, query: str, variables: object = None, **headers: str) -> httpx.Response:
        body = msgspec.json.encode({"query": query, "variables": variables})
        return await self.send(body, **headers)

    async def send(self, body: bytes, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.post("/graphql", content=body, headers={"content-type": "application/json", **named})

    def socket(
        self, *, subprotocol: str | None = "graphql-transport-ws", headers: Mapping[str, str] | None = None
    ) -> connect:
        return connect(
            f"ws://127.0.0.1:{self.port}/graphql",
            subprotocols=[Subprotocol(subprotocol)] if subprotocol else None,
            additional_headers=headers,
            max_size=None,
        )


class _QuietServer(uvicorn.Server):
    """Leaves the signals of the test process alone, and says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def running_server(
    options: TransportOptions | None = None,
    *,
    engine: GraphQLEngine | None = None,
    more_routes: list[ControllerRouterHandler] | None = None,
    origins: list[str] | None = None,
    ws: Any = FrameProtocol,
) -> AsyncIterator[RunningServer]:
    witness = Witness()
    tokens: dict[str, datetime | None] = {
        "good": None,
        "ana": None,
        "ben": None,
        "brief": datetime.now(UTC) + timedelta(seconds=0.5),
    }

    async def context(
        headers: Mapping[str, str], client_address: str | None, request_id: str, channel: str
    ) -> RequestContext:
        token = headers.get("authorization", "").removeprefix("Bearer ")
        if token == "broken":
            raise RuntimeError("password=hunter2")
        if token == "outage":
            raise ConnectionRefusedError("10.0.0.5")
        if token and token not in tokens:
            raise Unauthenticated
        made = RequestContext(witness, headers, client_address, request_id, channel, tokens.get(token))
        witness.contexts.append(made)
        return made

    transport = GraphQLTransport(engine or engine_for_tests(), context, options)

    @asynccontextmanager
    async def lifespan(_app: Litestar) -> AsyncIterator[None]:
        yield
        await transport.shutdown()

    app = web_application(
        [*graphql_routes(transport), *(more_routes or [])],
        allowed_origins=origins or ["*"],
        lifespan=[lifespan],
        shortcuts={GRAPHQL_PATH: transport.http},
        socket_shortcuts={GRAPHQL_PATH: transport.sockets},
    )
    # With the protocol named, asyncio turns Nagle's algorithm off; without it each answer waits 40 ms for an ACK.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        config = uvicorn.Config(
            app,
            log_level="warning",
            lifespan="on",
            proxy_headers=False,
            timeout_graceful_shutdown=3,
            access_log=False,
            ws=ws,
            ws_per_message_deflate=False,
        )
        server = _QuietServer(config)
        serving = asyncio.create_task(server.serve([listener]))
        async with asyncio.timeout(60):
            await server.listening.wait()
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10, trust_env=False) as client:
                yield RunningServer(port, client, transport, witness, tokens, server)
        finally:
            witness.gate.set()
            server.should_exit = True
            await serving


async def until(reached: Callable[[], bool], timeout_s: float = 30) -> None:
    """Wait for something that happens on the server's side, out of sight of the client."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while not reached():
        assert asyncio.get_running_loop().time() < deadline, "did not happen in time"
        await asyncio.sleep(0.01)


async def receive_json(socket: ClientConnection, timeout_s: float = 30) -> dict[str, Any]:
    async with asyncio.timeout(timeout_s):
        message: dict[str, Any] = msgspec.json.decode(await socket.recv())
        return message


async def send_json(socket: ClientConnection, message: object) -> None:
    await socket.send(msgspec.json.encode(message).decode())


async def initialise(socket: ClientConnection, payload: object = None) -> None:
    await send_json(socket, {"type": "connection_init", "payload": payload})
    assert (await receive_json(socket))["type"] == "connection_ack"


async def subscribe(socket: ClientConnection, operation_id: str, query: str, **more: object) -> None:
    await send_json(socket, {"id": operation_id, "type": "subscribe", "payload": {"query": query, **more}})


async def close_code(socket: ClientConnection, timeout_s: float = 30) -> tuple[int, str]:
    """The code and reason that the server closed with."""
    async with asyncio.timeout(timeout_s):
        with suppress(ConnectionClosed):
            while True:
                await socket.recv()
    return socket.close_code or 0, socket.close_reason or ""
