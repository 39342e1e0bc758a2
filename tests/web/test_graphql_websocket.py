"""graphql-transport-ws against a real server: what is answered, and how hostile clients are shown out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed, InvalidStatus

from app.web.clients import ClientLimits
from app.web.graphql import TransportOptions
from app.web.graphql.websocket import SocketClose
from app.web.origins import origin_allowed
from tests.fixtures_live import before, in_time
from tests.web.graphql_server import (
    RunningServer,
    close_code,
    initialise,
    receive_json,
    running_server,
    send_json,
    subscribe,
    until,
)


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[RunningServer]:
    async with running_server(
        TransportOptions(client_limits=ClientLimits(connections_per_address=0), max_body_bytes=100_000)
    ) as running:
        yield running


def tasks_of_sockets() -> list[str]:
    names = (str(task.get_coro()) for task in asyncio.all_tasks())
    return [name for name in names if "Socket." in name]


async def test_a_subscription_from_start_to_end(server: RunningServer) -> None:
    async with server.socket() as socket:
        assert socket.subprotocol == "graphql-transport-ws"
        await initialise(socket)
        await subscribe(socket, "a", "subscription($n:Int!){count(to:$n)}", variables={"n": 3})
        for number in range(3):
            assert await receive_json(socket) == {"id": "a", "type": "next", "payload": {"data": {"count": number}}}
        assert await receive_json(socket) == {"id": "a", "type": "complete"}
        await subscribe(socket, "a", "query A{hello} query B{viewer}", operationName="A")
        assert (await receive_json(socket))["payload"] == {"data": {"hello": "hello world"}}
        assert await receive_json(socket) == {"id": "a", "type": "complete"}


async def test_ping_and_pong(server: RunningServer) -> None:
    async with server.socket() as socket:
        await send_json(socket, {"type": "ping"})
        assert await receive_json(socket) == {"type": "pong"}
        await send_json(socket, {"type": "pong"})
        await initialise(socket)
        await send_json(socket, {"type": "ping", "payload": {"at": 1}})
        assert await receive_json(socket) == {"type": "pong", "payload": {"at": 1}}


# ── trap 4: messages that are none ───────────────────────────────────────────────────────────────────────────

HOSTILE = [
    "[]", "5", '"x"', "null", "true", "", "{", "{}", '{"type":null}', '{"type":5}', '{"type":["subscribe"]}',
    '{"type":"' + "x" * 1_000 + '"}', '{"type":"connection_ack"}', '{"type":"start"}',
    "[" * 50_000, '{"a":' * 10_000, '{"type":"ping","payload":"x"}', '{"type":"ping","payload":[1]}',
    '{"type":"ping","payload":{"a":"\\ud800"}}', '{"type":"ping","payload":{"a":' + "9" * 5_000 + "}}",
    '{"type":"\\ud800"}', '{"type":NaN}',
    '{"type":"subscribe"}', '{"type":"subscribe","id":""}', '{"type":"subscribe","id":5,"payload":{"query":"{hello}"}}',
    '{"type":"subscribe","id":"' + "x" * 129 + '","payload":{"query":"{hello}"}}',
    '{"type":"subscribe","id":"\\ud800","payload":{"query":"{hello}"}}',
    '{"type":"subscribe","id":"a","payload":"{hello}"}', '{"type":"subscribe","id":"a","payload":null}',
    '{"type":"subscribe","id":"a","payload":[]}', '{"type":"subscribe","id":"a","payload":{}}',
    '{"type":"subscribe","id":"a","payload":{"query":5}}',
    '{"type":"subscribe","id":"a","payload":{"query":"{hello}","variables":"x"}}',
    '{"type":"subscribe","id":"a","payload":{"query":"{hello}","operationName":7}}',
    '{"type":"complete"}', '{"type":"complete","id":{}}',
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:40])
async def test_messages_that_are_none_close_with_4400(server: RunningServer, text: str) -> None:
    async with server.socket() as socket:
        await initialise(socket)
        await socket.send(text)
        code, reason = await close_code(socket)
        assert code == 4400
        assert reason.startswith(("Invalid message", "Messages are"))


async def test_bytes_and_large_messages(server: RunningServer) -> None:
    async with server.socket() as socket:
        await initialise(socket)
        await socket.send(b'{"type":"ping"}')
        assert (await close_code(socket))[0] == 4400
    async with server.socket() as socket:
        await initialise(socket)
        await socket.send('{"type":"ping","payload":{"a":"' + "x" * 100_000 + '"}}')
        assert (await close_code(socket))[0] == 1009


@pytest.mark.parametrize("payload", ['"x"', "5", "[]", '{"authorization":"\\ud800"}'])
async def test_bad_initialisation(server: RunningServer, payload: str) -> None:
    async with server.socket() as socket:
        await socket.send('{"type":"connection_init","payload":' + payload + "}")
        assert (await close_code(socket))[0] == 4400


async def test_random_messages_never_crash_the_socket(server: RunningServer) -> None:
    scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
    values = st.recursive(
        scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=6), v, max_size=3)
    )
    types = st.sampled_from(["connection_init", "ping", "pong", "subscribe", "complete"]) | values
    queries = st.sampled_from(["{hello}", "subscription{count}", "mutation{bump}", "{", "subscription{breaks}"])
    payloads = st.fixed_dictionaries({"query": queries}, optional={"variables": values}) | values
    messages = st.fixed_dictionaries(
        {}, optional={"type": types, "id": st.sampled_from("abc") | values, "payload": payloads}
    )
    drawn: list[str] = []

    @settings(max_examples=200, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given((messages | values).map(json.dumps) | st.text(max_size=60))
    def draw(text: str) -> None:
        drawn.append(text)

    draw()
    with structlog.testing.capture_logs() as lines:
        for text in drawn:
            async with server.socket() as socket:
                await initialise(socket)
                await socket.send(text.encode(errors="replace").decode())
                try:
                    await send_json(socket, {"type": "ping", "payload": {"last": 1}})
                    while (await receive_json(socket)).get("payload") != {"last": 1}:
                        pass
                except ConnectionClosed:
                    code, _ = await close_code(socket)
                    assert code in {4400, 4409, 4429}, (text, code)
    assert not [line for line in lines if line["event"] == "socket.failed"]


def test_close_reasons_fit_their_frame() -> None:
    for text in ("x" * 500, "é" * 500, "😀" * 500, "a" + "😀" * 500, "\ud800" * 500):
        assert len(SocketClose(4400, text).reason.encode()) <= 123


# ── the protocol's own rules, and its bounds (trap 5) ────────────────────────────────────────────────────────


async def test_the_subprotocol_is_needed(server: RunningServer) -> None:
    async with server.socket(subprotocol=None) as socket:
        assert (await close_code(socket))[0] == 4406


async def test_subscribe_before_init(server: RunningServer) -> None:
    async with server.socket() as socket:
        await subscribe(socket, "a", "{hello}")
        assert (await close_code(socket))[0] == 4401


async def test_second_init(server: RunningServer) -> None:
    async with server.socket() as socket:
        await initialise(socket)
        await send_json(socket, {"type": "connection_init"})
        assert (await close_code(socket))[0] == 4429


async def test_init_in_time() -> None:
    async with running_server(TransportOptions(init_timeout_s=0.2)) as server, server.socket() as socket:
        assert await close_code(socket) == (4408, "Connection initialisation timeout")


async def test_an_id_in_use(server: RunningServer) -> None:
    async with server.socket() as socket:
        await initialise(socket)
        long_id = "é" * 128
        await subscribe(socket, long_id, "subscription{ticks}")
        await receive_json(socket)
        await subscribe(socket, long_id, "{hello}")
        assert (await close_code(socket))[0] == 4409
    await until(lambda: server.witness.streams_open == 0)


async def test_twenty_operations_for_a_socket(server: RunningServer) -> None:
    async with server.socket() as socket:
        await initialise(socket)
        for number in range(20):
            await subscribe(socket, str(number), "subscription{ticks}")
            await receive_json(socket)
        await subscribe(socket, "one too many", "subscription{ticks}")
        refused = await receive_json(socket)
        assert (refused["id"], refused["type"]) == ("one too many", "error")
        assert refused["payload"][0]["extensions"]["code"] == "RATE_LIMITED"
        await send_json(socket, {"id": "7", "type": "complete"})
        await subscribe(socket, "again", "{hello}")
        assert (await receive_json(socket))["id"] == "again"
    await until(lambda: server.witness.streams_open == 0)


async def test_sockets_of_one_address() -> None:
    async with running_server(TransportOptions(client_limits=ClientLimits(connections_per_address=3))) as server:
        sockets = [await server.socket() for _ in range(3)]
        async with server.socket() as fourth:
            code, reason = await close_code(fourth)
            assert (code, reason) == (4429, "Too many sockets and streams: at most 3 for one address. Try again in 5 s")
        await sockets.pop().close()
        await until(lambda: server.transport.sockets.open_sockets == 2)
        async with server.socket() as again:
            await initialise(again)
        for socket in sockets:
            await socket.close()


async def test_heartbeat() -> None:
    options = TransportOptions(ping_interval_s=0.1, idle_timeout_s=0.9)
    async with running_server(options) as server:
        async with server.socket() as socket:
            await initialise(socket)
            for _ in range(8):
                assert await receive_json(socket) == {"type": "ping"}
                await send_json(socket, {"type": "pong"})
        async with server.socket() as socket:
            await initialise(socket)
            code, reason = await close_code(socket)
            assert (code, reason) == (4408, "No sign of life for 0.9 s")


async def test_a_client_that_does_not_read_is_closed() -> None:
    options = TransportOptions(send_timeout_s=0.5)
    async with running_server(options) as server, server.socket() as socket:
        await initialise(socket)
        await subscribe(socket, "a", "subscription{flood}")
        await receive_json(socket)
        socket.transport.pause_reading()
        await until(lambda: server.transport.sockets.open_sockets == 0)
        assert tasks_of_sockets() == []
        socket.transport.abort()


# ── errors (traps 7, 9, 13, 17) ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{", "BAD_INPUT"),
        ("{nothing}", "BAD_INPUT"),
        ('subscription{count(to:"x")}', "BAD_INPUT"),
        ("subscription($n:Int!){count(to:$n)}", "BAD_INPUT"),
        ("query A{hello} query B{hello}", "BAD_INPUT"),
        ("{providers(first:100){edges{node{clients(first:100){edges{cursor}}}}}}", "TOO_COMPLEX"),
        ("mutation{bump}", "BAD_INPUT"),
        ("{hello}\0", "BAD_INPUT"),
        ("subscription{breaks(atOnce:true)}", "BAD_INPUT"),
    ],
)
async def test_a_bad_operation_does_not_close_the_socket(server: RunningServer, query: str, code: str) -> None:
    async with server.socket() as socket:
        await initialise(socket)
        await subscribe(socket, "bad", query)
        refused = await receive_json(socket)
        assert (refused["id"], refused["type"]) == ("bad", "error")
        assert refused["payload"][0]["extensions"]["code"] == code
        await subscribe(socket, "bad", "{hello}")
        assert (await receive_json(socket))["payload"] == {"data": {"hello": "hello world"}}
    assert server.witness.mutations_done == 0


async def test_texts_that_cannot_be_stored_are_named(server: RunningServer) -> None:
    async with server.socket() as socket:
        await initialise(socket)
        for bad in (r"a\ud800", r"a\u0000"):
            await socket.send(
                r'{"type":"subscribe","id":"a","payload":{"query":"{hello}","variables":{"input":{"name":"'
                + bad
                + r'"}}}}'
            )
            refused = await receive_json(socket)
            assert refused["type"] == "error"
            assert refused["payload"][0]["extensions"]["violations"][0]["path"] == "input.name"


async def test_a_stream_that_breaks_is_masked(server: RunningServer) -> None:
    async with server.socket() as socket:
        await initialise(socket)
        with structlog.testing.capture_logs() as lines:
            await subscribe(socket, "a", "subscription{breaks}")
            assert (await receive_json(socket))["payload"] == {"data": {"breaks": 1}}
            broken = await receive_json(socket)
        assert broken["type"] == "error"
        assert broken["payload"][0]["extensions"]["code"] == "INTERNAL"
        assert "hunter2" not in str(broken)
        request_id = broken["payload"][0]["extensions"]["requestId"]
        assert [line["request_id"] for line in lines if line["event"] == "graphql.failed"] == [request_id]
        with structlog.testing.capture_logs():  # to print the traceback would take longer than it may
            await subscribe(socket, "a", "{fail}")
            answer = await receive_json(socket)
        assert answer["type"] == "next"
        assert answer["payload"]["errors"][0]["extensions"]["code"] == "INTERNAL"


# ── who is there (trap 12) ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", ["authorization", "Authorization", "AUTHORIZATION"])
async def test_the_token_in_the_payload(server: RunningServer, name: str) -> None:
    async with server.socket() as socket:
        await initialise(socket, {name: "Bearer good"})
        await subscribe(socket, "a", "{viewer}")
        assert (await receive_json(socket))["payload"] == {"data": {"viewer": "Bearer good"}}


async def test_the_token_in_the_header(server: RunningServer) -> None:
    async with server.socket(headers={"authorization": "Bearer good"}) as socket:
        await initialise(socket)
        await subscribe(socket, "a", "{viewer}")
        assert (await receive_json(socket))["payload"] == {"data": {"viewer": "Bearer good"}}


@pytest.mark.parametrize(("token", "code"), [("stolen", 4403), ("outage", 1013), ("broken", 1011)])
async def test_tokens_that_do_not_open(server: RunningServer, token: str, code: int) -> None:
    async with server.socket() as socket:
        await send_json(socket, {"type": "connection_init", "payload": {"authorization": f"Bearer {token}"}})
        assert (await close_code(socket))[0] == code


async def test_a_token_that_is_no_text(server: RunningServer) -> None:
    async with server.socket() as socket:
        await send_json(socket, {"type": "connection_init", "payload": {"authorization": 5}})
        assert (await close_code(socket))[0] == 4403


async def test_the_socket_ends_with_its_token(server: RunningServer) -> None:
    async def end(_number: int, life_s: int) -> None:
        ends = server.tokens["brief"] = datetime.now(UTC) + timedelta(seconds=life_s / 2)
        async with server.socket() as socket:
            try:
                await initialise(socket, {"authorization": "Bearer brief"})
                await subscribe(socket, "a", "subscription{ticks}")
                told = await receive_json(socket)
            except ConnectionClosed:
                before(ends)
                raise
            before(ends)
            assert told["type"] == "next"
            assert await close_code(socket) == (4403, "Forbidden: the access token has expired")

    await in_time(end)
    await until(lambda: server.witness.streams_open == 0)


async def test_a_token_taken_back_ends_the_socket_at_the_next_operation(server: RunningServer) -> None:
    server.tokens["revoked"] = None
    async with server.socket() as socket:
        await initialise(socket, {"authorization": "Bearer revoked"})
        del server.tokens["revoked"]
        await subscribe(socket, "a", "{viewer}")
        assert (await close_code(socket))[0] == 4403


async def test_each_operation_and_event_has_a_fresh_context(server: RunningServer) -> None:
    server.witness.contexts.clear()
    async with server.socket() as socket:
        await initialise(socket)
        for number in range(3):
            await subscribe(socket, "a", "{requestId}")
            request_id = (await receive_json(socket))["payload"]["data"]["requestId"]
            await receive_json(socket)
            assert server.witness.contexts[-1].request_id == request_id, number
        await subscribe(socket, "a", "subscription{count(to:3)}")
        while (await receive_json(socket))["type"] != "complete":
            pass
    contexts = server.witness.contexts
    assert len({context.request_id for context in contexts}) == len(contexts) == 5
    assert {context.channel for context in contexts} == {"websocket"}
    assert contexts[-1].events == 3


async def test_origins() -> None:
    async with running_server(TransportOptions(allowed_origins=["https://shop.example"])) as server:
        for origin in ("https://shop.example", f"http://127.0.0.1:{server.port}", None):
            async with server.socket(headers={"origin": origin} if origin else None) as socket:
                await initialise(socket)
        for origin in ("https://evil.example", "null"):
            with pytest.raises(InvalidStatus) as refused:
                await server.socket(headers={"origin": origin})
            assert refused.value.response.status_code == 403


def test_origin_rules() -> None:
    assert origin_allowed({}, ["https://a"])
    assert origin_allowed({"origin": "https://b"}, ["*"])
    assert not origin_allowed({"origin": "https://b", "host": "a"}, ["https://a"])
    assert not origin_allowed({"origin": "null"}, ["https://a"])
    assert not origin_allowed({"origin": "http://[", "host": "a"}, ["https://a"])


# ── ends: nothing is left running ────────────────────────────────────────────────────────────────────────────


async def test_complete_ends_the_stream(server: RunningServer) -> None:
    async with server.socket() as socket:
        await initialise(socket)
        await subscribe(socket, "a", "subscription{ticks}")
        await receive_json(socket)
        assert server.witness.streams_open == 1
        await send_json(socket, {"id": "a", "type": "complete"})
        await send_json(socket, {"id": "a", "type": "complete"})
        await until(lambda: server.witness.streams_open == 0)
        await subscribe(socket, "a", "{hello}")
        assert (await receive_json(socket))["payload"] == {"data": {"hello": "hello world"}}


@pytest.mark.parametrize("how", ["close", "abort"])
async def test_leaving_ends_everything(server: RunningServer, how: str) -> None:
    async with server.socket() as socket:
        await initialise(socket)
        for number in range(5):
            await subscribe(socket, str(number), "subscription{ticks}")
            await receive_json(socket)
        cancelled = server.witness.queries_cancelled
        await subscribe(socket, "q", "{wait}")
        await asyncio.wait_for(server.witness.started.wait(), 5)
        if how == "abort":
            socket.transport.abort()
        else:
            await socket.close()
        await until(lambda: server.witness.streams_open == 0 and server.witness.queries_cancelled == cancelled + 1)
    await until(lambda: server.transport.sockets.open_sockets == 0)
    await until(lambda: tasks_of_sockets() == [])
    server.witness.started.clear()


async def test_a_restart_says_so() -> None:
    async with running_server() as server, server.socket() as socket:
        await initialise(socket)
        await subscribe(socket, "a", "subscription{ticks}")
        await receive_json(socket)
        server.server.should_exit = True
        assert (await close_code(socket))[0] == 1012
        await until(lambda: server.witness.streams_open == 0)


async def test_the_transport_can_close_all_sockets_itself() -> None:
    async with running_server() as server, server.socket() as socket:
        await initialise(socket)
        await server.transport.shutdown()
        assert await close_code(socket) == (1012, "Service restart. Try again in a moment")
