"""Fixtures of the application: a real server on a real port, clients, and a shop to book in."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from sqlalchemy import event

from app.core.database import Database
from app.core.settings import Settings
from app.main import Api, build_api
from app.ports import ShiftedClock
from app.web.frames import FrameProtocol
from tests.plain_http import PostingClient

SECRET = "a-secret-of-the-tests-with-enough-length"


@dataclass(slots=True)
class RunningApi:
    """The API behind a real socket."""

    api: Api
    url: str
    clock: MovableClock

    @property
    def graphql_url(self) -> str:
        return f"{self.url}/graphql"

    @property
    def socket_url(self) -> str:
        return f"ws{self.graphql_url.removeprefix('http')}"


class MovableClock(ShiftedClock):
    """A clock that a test moves; SQL follows it."""

    def __init__(self) -> None:
        super().__init__()

    def move(self, offset: timedelta) -> None:
        object.__setattr__(self, "offset", offset)

    def move_to(self, instant: datetime) -> None:
        self.move(instant - datetime.now(UTC))


def make_settings(database_url: str, redis_url: str, **overrides: Any) -> Settings:
    values: dict[str, Any] = {
        "database_url": database_url,
        "redis_url": redis_url,
        "secret_key": SECRET,
        "hold_limit_per_user": 3,
        "hold_limit_per_address": 0,
        "waitlist_limit_per_address": 0,
        "sign_up_limit": 0,
        "sign_in_limit": 0,
        "sign_in_limit_per_address": 0,
        "promo_guess_limit_per_address": 0,
        "booking_lookup_limit_per_address": 0,
        "guest_session_limit_per_address": 0,
        "data_dir": Path("unused"),
        **overrides,
    }
    return Settings(_env_file=None, **values)


@asynccontextmanager
async def serve(settings: Settings) -> AsyncIterator[RunningApi]:
    """The API of these settings on a free port of the loopback."""
    clock = MovableClock()
    api = build_api(settings, clock)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    config = uvicorn.Config(
        api.app,
        log_config=None,
        lifespan="on",
        ws=FrameProtocol,
        ws_ping_interval=None,
        proxy_headers=False,
        timeout_keep_alive=60,  # much longer than a client of the tests keeps one, however slow the machine is
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        if task.done():
            task.result()
            raise RuntimeError("the server ended at once")
        await asyncio.sleep(0.01)
    try:
        yield RunningApi(api, f"http://127.0.0.1:{listener.getsockname()[1]}", clock)
    finally:
        server.should_exit = True
        await task


@dataclass(slots=True)
class GraphQLClient:
    """Posts operations. `token`: an access token."""

    http: httpx.AsyncClient
    url: str
    token: str | None = None

    async def raw(self, query: str, variables: dict[str, Any] | None = None, **headers: str) -> dict[str, Any]:
        """The whole answer."""
        if self.token is not None:
            headers.setdefault("authorization", f"Bearer {self.token}")
        body = {"query": query, "variables": variables or {}}
        answer: dict[str, Any]
        if isinstance(self.http, PostingClient):
            answer = await self.http.post_json(self.url, body, headers)
        else:
            answer = (await self.http.post(self.url, json=body, headers=headers)).json()
        return answer

    async def __call__(self, query: str, variables: dict[str, Any] | None = None, **headers: str) -> Any:
        """`data`; when there is one root field, that field. Fails on errors."""
        answer = await self.raw(query, variables, **headers)
        assert "errors" not in answer, answer["errors"]
        data = answer["data"]
        return next(iter(data.values())) if len(data) == 1 else data

    def signed_in(self, token: str | None) -> GraphQLClient:
        return GraphQLClient(self.http, self.url, token)


@dataclass(slots=True)
class StatementLog:
    """Every statement of a pool but BEGIN and COMMIT, which the driver sends on its own."""

    statements: list[str]

    def __len__(self) -> int:
        return len(self.statements)

    def clear(self) -> None:
        self.statements.clear()


def log_statements(database: Database) -> tuple[StatementLog, Callable[[], None]]:
    """Start logging; call what comes back to stop."""
    log = StatementLog([])
    straight = database.fetch_row

    def note(*arguments: Any) -> None:
        log.statements.append(arguments[2])

    async def note_and_fetch(statement: str, *arguments: Any) -> Any:
        log.statements.append(statement)
        return await straight(statement, *arguments)

    def stop() -> None:
        event.remove(database.engine.sync_engine, "before_cursor_execute", note)
        del database.fetch_row

    event.listen(database.engine.sync_engine, "before_cursor_execute", note)
    database.fetch_row = note_and_fetch  # type: ignore[method-assign]
    return log, stop


@pytest.fixture(scope="session")
async def running(database_url: str, redis_url: str) -> AsyncIterator[RunningApi]:
    async with serve(make_settings(database_url, redis_url)) as api:
        yield api


@pytest.fixture(scope="session")
async def http() -> AsyncIterator[httpx.AsyncClient]:
    # Shorter than the server keeps a connection: a request sent while it closes one would be lost.
    limits = httpx.Limits(max_connections=200, max_keepalive_connections=50, keepalive_expiry=2)
    async with PostingClient(timeout=30, limits=limits) as client:
        yield client


@pytest.fixture
def client(running: RunningApi, http: httpx.AsyncClient) -> GraphQLClient:
    return GraphQLClient(http, running.graphql_url)


@pytest.fixture
def clock(running: RunningApi) -> Any:
    """The server's clock; back to the real time after the test."""
    yield running.clock
    running.clock.move(timedelta(0))


@pytest.fixture
def statements(running: RunningApi) -> Any:
    """Statements of the API's own pool during this test."""
    log, stop = log_statements(running.api.services.database)
    yield log
    stop()
