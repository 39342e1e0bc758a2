"""SIGTERM to a real API process under way: everybody is told, nothing is cut off, and the listening socket lives on."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from sqlalchemy import text
from websockets.asyncio.client import ClientConnection

from app.core.database import Database
from app.serving import DrainingServer, give_up_silent_clients
from app.web.event_stream import EVENT_STREAM
from tests.event_reader import Told, told_by
from tests.fixtures_api import SECRET, RunningApi
from tests.fixtures_live import search_of
from tests.live_client import live_socket
from tests.schema import operations as op
from tests.shop import Shop, at, make_shop

GRACE_S = 20
SIGN_UP = """
mutation { signUp(email: "drain@example.com", password: "a-long-enough-password", name: "D") { __typename } }
"""
DAY = at(3, 0)


@dataclass(slots=True)
class ApiProcess:
    """`turnero api` on a socket that the test holds, too."""

    process: subprocess.Popen[bytes]
    listener: socket.socket

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    async def wait_until_it_answers(self) -> None:
        async with asyncio.timeout(60), httpx.AsyncClient() as client:
            while True:
                assert self.process.poll() is None, "it ended"
                with suppress(httpx.HTTPError):
                    if (await client.get(f"{self.url}/health/live", timeout=1)).status_code == 200:
                        return
                await asyncio.sleep(0.05)

    async def exit_code(self) -> int:
        return await asyncio.to_thread(self.process.wait, 30)


@contextmanager
def api_process(database_url: str, redis_url: str, folder: Path, *arguments: str) -> Iterator[ApiProcess]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TURNERO_")}
    env = {
        **kept,
        "TURNERO_DATABASE_URL": database_url,
        "TURNERO_REDIS_URL": redis_url,
        "TURNERO_SECRET_KEY": SECRET,
        "TURNERO_SHUTDOWN_GRACE_S": str(GRACE_S),
        "TURNERO_SIGN_UP_LIMIT": "0",
    }
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fd = listener.fileno()
        process = subprocess.Popen(
            (sys.executable, "-P", "-m", "app", "api", "--fd", str(fd), *arguments),
            env=env,
            cwd=folder,
            pass_fds=(fd,),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield ApiProcess(process, listener)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


@pytest.fixture
async def shop(running: RunningApi) -> Shop:
    return await make_shop(running.api.services)


@asynccontextmanager
async def locked(database_url: str, table: str) -> AsyncIterator[None]:
    """Whoever writes to the table waits."""
    database = Database(database_url, role=None, pool_size=1)
    try:
        async with database.transaction() as tx:
            await tx.execute(text(f"LOCK TABLE {table} IN SHARE MODE"))
            yield
    finally:
        await database.dispose()


async def somebody_waits(database_url: str) -> None:
    """For a lock, in this database."""
    database = Database(database_url, role=None, pool_size=1)
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    try:
        async with asyncio.timeout(60):
            while True:
                async with database.snapshot() as tx:
                    if (await tx.execute(text(waiting))).scalar_one():
                        return
                await asyncio.sleep(0.02)
    finally:
        await database.dispose()


async def streamed(stack: AsyncExitStack, client: httpx.AsyncClient, path: str, asked: dict[str, Any]) -> Told:
    headers = {"accept": EVENT_STREAM}
    told = told_by(await stack.enter_async_context(client.stream("GET", path, params=asked, headers=headers)))
    assert await told.next() is not None
    return told


async def test_a_process_that_is_told_to_end(database_url: str, redis_url: str, tmp_path: Path, shop: Shop) -> None:
    day = DAY.date().isoformat()
    plain = {"service": shop.service_id, "from": day, "to": day, "timeZone": "UTC"}
    graphql = {"query": f'subscription {{ availability(input: {{serviceId: "{shop.service_id}", from: "{day}", '
               f'to: "{day}", timeZone: "UTC"}}) {{ cursor }} }}'}  # fmt: skip
    with api_process(database_url, redis_url, tmp_path) as api:
        async with AsyncExitStack() as stack:
            await api.wait_until_it_answers()
            many, idle = [
                await stack.enter_async_context(httpx.AsyncClient(base_url=api.url, timeout=20)) for _ in range(2)
            ]
            sockets = [
                await stack.enter_async_context(live_socket(f"ws{api.url.removeprefix('http')}/graphql"))
                for _ in range(20)
            ]
            await (await sockets[0].subscribe(op.WATCH_AVAILABILITY, input=search_of(shop, DAY))).next()
            streams = [
                await streamed(stack, many, f"/availability/{shop.provider_id}/stream", plain),
                await streamed(stack, many, "/graphql", graphql),
            ]
            assert (await idle.get("/health/ready")).status_code == 200

            async with locked(database_url, "user_account"):
                mutation = asyncio.create_task(many.post("/graphql", json={"query": SIGN_UP}))
                await somebody_waits(database_url)
                began = time.monotonic()
                api.process.send_signal(signal.SIGTERM)
                await asyncio.gather(*(ended_with_restart(one.connection) for one in sockets))
                for told in streams:
                    assert await told.next() is None
                    assert told.comments[-1] == "try again"
                    assert 500 <= told.retries[-1] <= 10_000
                # A connection that was kept open is told to close by an answer, and that the process takes no more.
                answer = await idle.get("/health/ready")
                assert (answer.status_code, answer.headers["connection"]) == (503, "close")
                await is_for_the_next_process(api)
                assert not mutation.done()
            answer = await mutation
            assert answer.json() == {"data": {"signUp": {"__typename": "AuthSession"}}}
            assert await api.exit_code() == 0
            assert time.monotonic() - began < GRACE_S


async def ended_with_restart(connection: ClientConnection) -> None:
    async with asyncio.timeout(GRACE_S):
        await connection.wait_closed()
    assert (connection.close_code, connection.close_reason) == (1012, "Service restart. Try again in a moment")


async def is_for_the_next_process(api: ApiProcess) -> None:
    """Who connects now is accepted by another one that holds the socket: here, by the test."""
    with socket.create_connection(api.listener.getsockname()) as client:
        await asyncio.sleep(0.1)
        api.listener.settimeout(30)
        accepted, address = api.listener.accept()
        accepted.close()
        assert address == client.getsockname()


async def test_it_ends_although_somebody_never_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request that hangs, and a drain that hangs, are given up when the time is over."""
    monkeypatch.setattr("app.serving.LINGER_S", 0.2)
    hanging = asyncio.Event()

    class Hanging:
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            assert receive
            assert send
            assert scope["type"] == "http"
            hanging.set()
            await asyncio.sleep(60)

        async def drain(self, _grace_s: float) -> None:
            await asyncio.sleep(60)

    serving, server, address = await started(monkeypatch, Hanging())
    _, writer = await asyncio.open_connection(*address)
    writer.write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    await asyncio.wait_for(hanging.wait(), 30)
    server.should_exit = True
    async with asyncio.timeout(20):  # they would take a minute
        await serving
    writer.close()


async def test_who_asks_for_nothing_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    monkeypatch.setattr("app.serving.SWEEP_TICKS", 3)
    monkeypatch.setattr("app.serving.LINGER_S", 0)
    serving, server, address = await started(monkeypatch, app)
    silent, slow, slow_again, open_ = [await asyncio.open_connection(*address) for _ in range(4)]
    slow[1].write(b"GET / HTTP/1.1\r\nhost:")
    open_[1].write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    slow_again[1].write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    async with asyncio.timeout(60):
        assert b"204 No Content" in await slow_again[0].readuntil(b"\r\n\r\n")
        slow_again[1].write(b"GET / HTTP/1.1\r\nhost:")
        assert await silent[0].read() == b""
        assert await slow[0].read() == b""
        assert await slow_again[0].read() == b""
        open_[1].write(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        for _ in range(2):  # to both of its requests
            assert b"204 No Content" in await open_[0].readuntil(b"\r\n\r\n")
        server.should_exit = True
        await serving
    for _, writer in (silent, slow, slow_again, open_):
        writer.close()


async def started(monkeypatch: pytest.MonkeyPatch, app: Any) -> tuple[asyncio.Task[None], DrainingServer, Any]:
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    config = uvicorn.Config(app, lifespan="off", log_config=None, http="httptools", timeout_graceful_shutdown=1)
    server = DrainingServer(config)
    monkeypatch.setattr("app.serving.keep_pauses_short", suppress)  # this process has its own way
    monkeypatch.setattr(server, "capture_signals", suppress)
    serving = asyncio.create_task(server.serve([listener]))
    return serving, server, address


def test_clients_that_fall_silent_are_given_up_by_the_system() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        give_up_silent_clients(listener)
        with socket.create_connection(listener.getsockname()):
            accepted, _ = listener.accept()
            with accepted:
                assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 60_000
