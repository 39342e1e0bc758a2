"""GraphQL over Server-Sent Events against a real server: what is told, how it ends, and who is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from app.web.clients import ClientLimits
from app.web.event_stream import EVENT_STREAM
from app.web.graphql import TransportOptions
from tests.event_reader import Told, told_by
from tests.fixtures_live import TooLate, before, in_time
from tests.web.graphql_server import RunningServer, running_server, until

URQL = (
    "application/graphql-response+json, application/graphql+json, application/json, text/event-stream, multipart/mixed"
)
TOLD_LATE = "subscription{ticks}"


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[RunningServer]:
    limits = ClientLimits(connections_per_address=0, connections_per_client=0)
    async with running_server(TransportOptions(client_limits=limits)) as running:
        yield running


@asynccontextmanager
async def streaming(server: RunningServer, query: str, method: str = "POST", **headers: str) -> AsyncIterator[Told]:
    named = {"accept": EVENT_STREAM, **{name.replace("_", "-"): value for name, value in headers.items()}}
    asked: dict[str, Any] = {"params": {"query": query}} if method == "GET" else {"json": {"query": query}}
    async with server.client.stream(method, "/graphql", headers=named, **asked) as response:
        yield told_by(response)


async def all_told(server: RunningServer, query: str, method: str = "POST", **headers: str) -> list[tuple[str, Any]]:
    async with streaming(server, query, method, **headers) as told:
        assert told.response.status_code == 200
        assert told.response.headers["content-type"] == "text/event-stream; charset=utf-8"
        found = []
        while (one := await told.next()) is not None:
            found.append(one)
        return found


# ── what is told ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_a_subscription_from_start_to_end(server: RunningServer, method: str) -> None:
    told = await all_told(server, "subscription{count(to:2)}", method)
    assert told == [("next", {"data": {"count": 0}}), ("next", {"data": {"count": 1}}), ("complete", None)]


async def test_the_bytes_are_those_of_the_protocol(server: RunningServer) -> None:
    """urql looks for two LF; the browser's EventSource tells of an event only if it has a data line."""
    async with server.client.stream(
        "POST", "/graphql", json={"query": "subscription{count(to:1)}"}, headers={"accept": EVENT_STREAM}
    ) as response:
        body = await response.aread()
        retry, rest = body.split(b"\n\n", 1)
        assert retry.startswith(b"retry: ")
        assert rest == b'event: next\ndata: {"data":{"count":0}}\n\nevent: complete\ndata: \n\n'
        assert response.headers["cache-control"] == "no-store, no-transform"
        assert response.headers["x-accel-buffering"] == "no"
        assert "content-encoding" not in response.headers


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_a_query_is_told_once(server: RunningServer, method: str) -> None:
    assert await all_told(server, "{hello}", method) == [
        ("next", {"data": {"hello": "hello world"}}),
        ("complete", None),
    ]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{", "BAD_INPUT"),
        ("{nothing}", "BAD_INPUT"),
        ('subscription{count(to:"x")}', "BAD_INPUT"),
        ("subscription($n:Int!){count(to:$n)}", "BAD_INPUT"),
        ("{providers(first:100){edges{node{clients(first:100){edges{cursor}}}}}}", "TOO_COMPLEX"),
        ("subscription{breaks(atOnce:true)}", "BAD_INPUT"),
    ],
)
async def test_errors_before_the_first_result_are_events(server: RunningServer, query: str, code: str) -> None:
    (event, payload), last = await all_told(server, query)
    assert (event, last) == ("next", ("complete", None))
    assert payload["errors"][0]["extensions"]["code"] == code
    assert "data" not in payload or payload["data"] is None


async def test_a_stream_that_breaks_says_so_and_hides_why(server: RunningServer) -> None:
    first, broken, last = await all_told(server, "subscription{breaks}")
    assert first == ("next", {"data": {"breaks": 1}})
    assert last == ("complete", None)
    assert broken[1]["errors"][0]["extensions"]["code"] == "INTERNAL"
    assert "hunter2" not in str(broken)


async def test_each_event_has_a_fresh_context(server: RunningServer) -> None:
    server.witness.contexts.clear()
    await all_told(server, "subscription{count(to:3)}")
    [context] = server.witness.contexts
    assert context.events == 3


# ── what is no stream (traps 3, 6, 8) ────────────────────────────────────────────────────────────────────────


async def test_urql_gets_json_for_queries_and_a_stream_for_subscriptions(server: RunningServer) -> None:
    response = await server.post("{hello}", accept=URQL)
    assert response.headers["content-type"].startswith("application/graphql-response+json")
    assert (await server.post("{", accept=URQL)).json()["errors"]
    told = await all_told(server, "subscription{count(to:1)}", accept="text/event-stream, multipart/mixed")
    assert told == [("next", {"data": {"count": 0}}), ("complete", None)]
    assert await all_told(server, "subscription{count(to:1)}", accept=URQL) == told


@pytest.mark.parametrize(
    "accept", ["application/json", "*/*", "text/*, application/json", "text/event-stream;q=0, application/json"]
)
@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_who_does_not_name_streams_gets_none(server: RunningServer, method: str, accept: str) -> None:
    async with streaming(server, "subscription{count}", method, accept=accept) as told:
        assert told.response.status_code == 400
        body = msgspec.json.decode(await told.response.aread())
        assert "text/event-stream" in body["errors"][0]["message"]
        assert "data" not in body


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"null", 400), (b"[]", 400), (b'{"query":5}', 400), (b'{"query":"{hello}\\u0000"}', 400), (b"\xff", 400)],
)
async def test_what_is_no_request_is_refused_by_its_status(server: RunningServer, body: bytes, status: int) -> None:
    response = await server.send(body, accept=EVENT_STREAM)
    assert response.status_code == status
    assert response.headers["content-type"].startswith("application/json")
    assert response.json()["errors"][0]["extensions"]["code"] == "BAD_INPUT"


# ── mutations (trap 13) ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_mutation_by_post_is_told_and_by_get_refused() -> None:
    async with running_server() as server:
        server.witness.gate.set()
        assert await all_told(server, "mutation{bump}") == [("next", {"data": {"bump": 1}}), ("complete", None)]
        async with streaming(server, "mutation{bump}", "GET") as told:
            assert told.response.status_code == 405
        assert server.witness.mutations_done == 1


async def test_a_mutation_ends_although_its_client_leaves() -> None:
    async with running_server() as server:
        asking = asyncio.create_task(all_told(server, "mutation{bump}"))
        await asyncio.wait_for(server.witness.started.wait(), 5)
        asking.cancel()
        await asyncio.wait([asking])
        server.witness.gate.set()
        await until(lambda: server.witness.mutations_done == 1)


# ── who may open one ─────────────────────────────────────────────────────────────────────────────────────────


async def test_foreign_origins_and_forms_open_nothing() -> None:
    async with running_server(TransportOptions(allowed_origins=["https://shop.example"])) as server:
        for origin in ("https://shop.example", f"http://127.0.0.1:{server.port}"):
            assert len(await all_told(server, "subscription{count(to:1)}", origin=origin)) == 2
        for origin in ("https://evil.example", "null"):
            for method in ("POST", "GET"):
                async with streaming(server, "subscription{count}", method, origin=origin, cookie="session=1") as told:
                    assert told.response.status_code == 403
                    assert b"data" not in await told.response.aread()
        form = await server.send(b"query=subscription%7Bcount%7D", content_type="application/x-www-form-urlencoded")
        assert form.status_code == 415
    assert server.witness.streams_open == 0


@pytest.mark.parametrize(("token", "status"), [("wrong", 401), ("outage", 503), ("broken", 500)])
async def test_who_cannot_be_known_is_refused_by_status(server: RunningServer, token: str, status: int) -> None:
    async with streaming(server, "subscription{count}", authorization=f"Bearer {token}") as told:
        assert told.response.status_code == status
        if status == 503:
            assert int(told.response.headers["retry-after"]) > 0
        assert b"hunter2" not in await told.response.aread()


async def test_the_stream_ends_with_its_token() -> None:
    async def end(_number: int, life_s: int) -> None:
        async with running_server() as server:
            ends = server.tokens["brief"] = datetime.now(UTC) + timedelta(seconds=life_s / 2)
            async with streaming(server, TOLD_LATE, authorization="Bearer brief") as told:
                if told.response.status_code != 200:
                    raise TooLate
                first = await told.next()
                before(ends)
                assert first == ("next", {"data": {"ticks": 0}})
                last = await told.payload()
                assert last["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
                assert await told.next() == ("complete", None)
                assert await told.next() is None
                await until(lambda: server.witness.streams_open == 0)

    await in_time(end)


# ── ends, and silence ────────────────────────────────────────────────────────────────────────────────────────


async def test_leaving_ends_the_source(server: RunningServer) -> None:
    async with streaming(server, TOLD_LATE) as told:
        await told.payload()
        assert server.witness.streams_open == 1
        assert len(server.transport.clients) == 1
    await until(lambda: server.witness.streams_open == 0 and len(server.transport.clients) == 0)
    await until(lambda: not [task for task in asyncio.all_tasks() if "EventStream" in str(task.get_coro())])


async def test_comments_keep_a_quiet_stream_alive() -> None:
    async with (
        running_server(TransportOptions(comment_interval_s=0.05)) as server,
        streaming(server, TOLD_LATE) as told,
    ):
        await told.payload()

        async def speak_again() -> None:
            await until(lambda: len(told.comments) >= 3)
            server.witness.gate.set()

        speaking = asyncio.create_task(speak_again())
        assert await told.payload() == {"data": {"ticks": 1}}
        await speaking


async def test_a_restart_ends_streams_without_complete() -> None:
    """A client that is told `complete` would not come back."""
    async with running_server() as server, streaming(server, TOLD_LATE) as told:
        await told.payload()
        server.transport.clients.end_all()
        assert await told.next() is None
        assert told.comments == ["try again"]
        assert all(500 <= wait <= 10_000 for wait in told.retries)
        assert len(told.retries) == 2
        async with streaming(server, TOLD_LATE) as refused:
            assert refused.response.status_code == 503
            assert int(refused.response.headers["retry-after"]) > 0


async def test_a_slow_reader_holds_one_event_and_loses_its_source() -> None:
    async with running_server(TransportOptions(send_timeout_s=0.4)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1_000)
        body = b'{"query":"subscription{flood}"}'
        writer.write(
            b"POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\naccept: text/event-stream\r\n"
            b"content-length: %d\r\n\r\n%b" % (len(body), body)
        )
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        await until(lambda: not [task for task in asyncio.all_tasks() if "_write_all" in str(task.get_coro())], 10)
        assert len(server.transport.clients) == 1, "its connection is still there"
        writer.transport.abort()
        await until(lambda: len(server.transport.clients) == 0)


async def test_a_slow_reader_that_reads_on_is_told_to_come_again() -> None:
    async with running_server(TransportOptions(send_timeout_s=0.4)) as server:
        async with streaming(server, "subscription{flood}") as told:
            await told.payload()
            await asyncio.sleep(1)
            while await told.next() is not None:
                pass
            assert told.comments == ["try again"]
        await until(lambda: len(server.transport.clients) == 0)
