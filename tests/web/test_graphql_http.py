"""GraphQL over HTTP against a real server: what is answered, and what hostile requests get."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from ipaddress import ip_network
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.web.address import address_bucket, client_address, parse_networks
from app.web.event_stream import EVENT_STREAM
from app.web.graphql import TransportOptions
from app.web.graphql.bodies import BadRequest, read_body, read_query_string
from app.web.graphql.http import negotiate
from app.web.health import health_routes
from tests.web.graphql_server import RunningServer, engine_for_tests, running_server, until

RESPONSE_TYPE = "application/graphql-response+json"
URQL_ACCEPT = f"{RESPONSE_TYPE}, application/graphql+json, application/json, text/event-stream, multipart/mixed"


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[RunningServer]:
    async with running_server(TransportOptions(max_body_bytes=500_000)) as running:
        yield running


def error_of(response: httpx.Response) -> dict[str, Any]:
    body = response.json()
    assert "data" not in body or body["data"] is None or body["errors"]
    error: dict[str, Any] = body["errors"][0]
    return error


async def test_query_by_post_and_get(server: RunningServer) -> None:
    response = await server.post("query($n:String!){hello(name:$n)}", {"n": "María"})
    assert response.json() == {"data": {"hello": "hello María"}}
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    assert response.headers["cache-control"] == "no-store"
    got = await server.client.get(
        "/graphql",
        params={
            "query": "query A{hello} query B($n:String!){hello(name:$n)}",
            "operationName": "B",
            "variables": '{"n":"x"}',
        },
    )
    assert got.json() == {"data": {"hello": "hello x"}}


# ── trap 3: bodies that are no requests ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"1", b'"x"', b"[]", b"true", b"{}", b"{", b"{} x", b"\xff\xfe", b"\xef\xbb\xbf{}",
        b'[{"query":"{hello}"}]',
        b"[" * 100_000, b'{"a":' * 50_000,
        b'{"query":"{hello}","variables":{"a":' + b"9" * 5_000 + b"}}",
        b'{"query":"{hello}","variables":{"a":' + b"9" * 100 + b"}}",
        b'{"query":"{hello}","variables":{"a":1e999}}',
        b'{"query":"{hello}","variables":{"a":NaN}}',
        b'{"query":"{hello}","variables":{"a":-Infinity}}',
        b'{"query":"{hello}","operationName":"\\ud800"}',
        b'{"query":"{hello}\\udfff"}',
        b'{"query":"{hello}","operationName":5}',
        b'{"query":"{hello}","operationName":"' + b"x" * 300 + b'"}',
        b'{"query":5}', b'{"query":null}', b'{"query":""}', b'{"query":["{hello}"]}',
        b'{"query":"{hello}","variables":[]}', b'{"query":"{hello}","variables":"x"}',
        b'{"query":"{hello}","extensions":"x"}',
        b'{"extensions":{"persistedQuery":{"version":1,"sha256Hash":"ab"}}}',
        b'{"query":"{hello}\\u0000"}', b'{"query":"\xed\xa0\x80"}',
    ],
)  # fmt: skip
@pytest.mark.parametrize("accept", ["application/json", RESPONSE_TYPE])
async def test_malformed_bodies_are_400(server: RunningServer, body: bytes, accept: str) -> None:
    response = await server.send(body, accept=accept)
    assert response.status_code == 400, response.text
    assert error_of(response)["extensions"]["code"] == "BAD_INPUT"
    assert len(error_of(response)["message"]) < 300


@pytest.mark.parametrize(
    ("variables", "path"),
    [
        (rb'{"input":{"customer":{"name":"a\ud800"}}}', "input.customer.name"),
        (rb'{"input":{"customer":{"name":"a\u0000b"}}}', "input.customer.name"),
        (rb'{"input":{"tags":["x","\udc00"]}}', "input.tags.1"),
        (rb'{"input":{"a\u0000b":1}}', "input.a\ufffdb"),
        (b'{"n":' + b"9" * 60 + b"}", "n"),
        (b'{"n":' + b"[" * 60 + b"]" * 60 + b"}", "n." + ".".join("0" * 19)),
    ],
)
async def test_texts_that_cannot_be_stored_are_named(server: RunningServer, variables: bytes, path: str) -> None:
    response = await server.send(b'{"query":"{hello}","variables":' + variables + b"}")
    assert response.status_code == 400
    extensions = error_of(response)["extensions"]
    assert extensions["code"] == "BAD_INPUT"
    assert [violation["path"] for violation in extensions["violations"]] == [path]


async def test_nul_written_as_an_escape_in_the_document(server: RunningServer) -> None:
    response = await server.post('{hello(name:"a\\u0000b")}')
    assert error_of(response)["extensions"]["code"] == "BAD_INPUT"
    assert "NUL" in error_of(response)["message"]
    assert (await server.post('{hello(name:"\\u00e9\\u{1F600}")}')).json() == {"data": {"hello": "hello é😀"}}


async def test_surrogate_pairs_are_characters(server: RunningServer) -> None:
    response = await server.send(rb'{"query":"query($n:String!){hello(name:$n)}","variables":{"n":"\ud83d\ude00"}}')
    assert response.json() == {"data": {"hello": "hello 😀"}}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
requests = st.fixed_dictionaries(
    {},
    optional={
        "query": st.sampled_from(
            ["{hello}", "query A($input:GreetInput!){greet(input:$input)}", "{fail}", "{", "mutation{x}"]
        )
        | st.text(alphabet='{}()[]:$@!.,"\\ua0 \nhello', max_size=60)
        | json_values,
        "operationName": st.none() | st.sampled_from(["A", "B"]) | json_values,
        "variables": st.none() | st.fixed_dictionaries({}, optional={"input": json_values}) | json_values,
        "extensions": json_values,
    },
)


def _encoded(value: object) -> bytes:
    """As JSON of escapes alone: a lone surrogate travels as one, which a stricter encoder would refuse to write."""
    return json.dumps(value).encode()


any_body = requests.map(_encoded) | json_values.map(_encoded) | st.binary(max_size=200)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(any_body)
def test_no_body_breaks_the_reader(body: bytes) -> None:
    try:
        request = read_body(body)
    except BadRequest as bad:
        bad.message.encode()
        return
    document = ENGINE.prepare(request.query)
    for error in document.errors:
        assert (error.extensions or {})["code"] in {"BAD_INPUT", "TOO_COMPLEX"}
        error.message.encode()


ENGINE = engine_for_tests()


async def test_random_bodies_never_give_500(server: RunningServer) -> None:
    """The same bodies, sent: drawn here, since a property test cannot run in the server's event loop."""
    bodies: list[bytes] = []

    @settings(max_examples=300, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(any_body)
    def draw(body: bytes) -> None:
        bodies.append(body)

    draw()
    with structlog.testing.capture_logs():
        responses = [await server.send(body) for body in bodies]
    for body, response in zip(bodies, responses, strict=True):
        assert response.status_code in {200, 400}, (body, response.text)
        for error in response.json().get("errors", []):
            internal = error["extensions"]["code"] == "INTERNAL"
            assert not internal or error["path"] == ["fail"], (body, error)


# ── statuses and media types (trap 10), and what other clients send (traps 6, 8) ─────────────────────────────


@pytest.mark.parametrize(
    "query", ["{", "{nothing}", "{hello(name:5)}", "query A{hello} query B{hello}", "query($n:Int!){hello}"]
)
async def test_refused_requests_by_media_type(server: RunningServer, query: str) -> None:
    modern = await server.post(query, accept=RESPONSE_TYPE)
    assert modern.status_code == 400
    assert modern.headers["content-type"] == f"{RESPONSE_TYPE}; charset=utf-8"
    assert "data" not in modern.json()
    legacy = await server.post(query, accept="application/json")
    assert legacy.status_code == 200
    assert legacy.headers["content-type"] == "application/json; charset=utf-8"
    assert legacy.json() == modern.json()


async def test_field_errors_are_200_with_data(server: RunningServer) -> None:
    response = await server.post('{hello fail(how:"missing")}', accept=RESPONSE_TYPE)
    assert response.status_code == 200
    assert response.json()["data"] == {"hello": "hello world", "fail": None}


@pytest.mark.parametrize(
    ("accept", "html", "chosen"),
    [
        (None, True, "application/json"),
        ("", False, "application/json"),
        ("*/*", True, "application/json"),
        ("application/*;q=0.5", True, "application/json"),
        ("application/json, application/graphql-response+json", False, "application/json"),
        ("application/json;q=0.9, application/graphql-response+json", False, RESPONSE_TYPE),
        (
            URQL_ACCEPT,
            False,
            RESPONSE_TYPE,
        ),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True, "text/html"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", False, "application/json"),
        ("text/html", False, None),
        ("text/event-stream", False, EVENT_STREAM),
        ("text/event-stream, application/json", False, EVENT_STREAM),
        ("text/event-stream;q=0.9, application/json", False, "application/json"),
        ("text/event-stream;q=0, multipart/mixed", False, None),
        ("text/*", False, None),
        ("application/json;q=0", False, None),
        ("application/json;q=nonsense, */*;q=0.1", False, "application/json"),
        (",;=,q=1;;", False, None),
    ],
)
def test_negotiation(accept: str | None, html: bool, chosen: str | None) -> None:
    assert negotiate(accept, html=html) == chosen


async def test_event_streams_are_not_forced_on_urql(server: RunningServer) -> None:
    response = await server.post("{hello}", accept=URQL_ACCEPT)
    assert response.headers["content-type"].startswith(RESPONSE_TYPE)
    assert response.json() == {"data": {"hello": "hello world"}}
    refused = await server.post("subscription{count}", accept="multipart/mixed")
    assert refused.status_code == 406


async def test_subscriptions_need_a_socket_or_a_stream(server: RunningServer) -> None:
    for response in (
        await server.post("subscription{count}"),
        await server.post("subscription{count}", accept=RESPONSE_TYPE),
        await server.client.get("/graphql", params={"query": "subscription{count}"}),
    ):
        assert response.status_code == 400
        assert "WebSocket" in error_of(response)["message"]
        assert "text/event-stream" in error_of(response)["message"]


async def test_mutations_need_post(server: RunningServer) -> None:
    response = await server.client.get("/graphql", params={"query": "mutation{bump}"})
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    assert server.witness.mutations_done == 0


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=utf-16",
        "",
    ],
)
async def test_only_json_bodies(server: RunningServer, content_type: str) -> None:
    response = await server.client.post(
        "/graphql", content=b'{"query":"{hello}"}', headers={"content-type": content_type}
    )
    assert response.status_code == 415


async def test_large_bodies(server: RunningServer) -> None:
    body = b'{"query":"{hello}","extensions":{"a":"' + b"x" * 500_000 + b'"}}'
    assert (await server.send(body)).status_code == 413

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(60):
            yield b" " * 10_000

    headers = {"content-type": "application/json"}
    assert (await server.client.post("/graphql", content=chunks(), headers=headers)).status_code == 413


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "HEAD"])
async def test_other_methods(server: RunningServer, method: str) -> None:
    response = await server.client.request(method, "/graphql")
    assert response.status_code == 405
    assert response.headers["allow"] == "GET, POST, OPTIONS"


@pytest.mark.parametrize(
    "query",
    ["", "query=", "query=%ED%A0%80", "query=%FF", "query={hello}&query={hello}", "query={hello}&variables=x",
     "query={hello}&variables=[]", "query={hello}&variables=" + quote('{"a":"\\ud800"}'), "query={hello}%00",
     "&".join(f"a{i}=1" for i in range(60)), "variables={}", "query={hello}&variables=" + "[" * 20_000],
)  # fmt: skip
async def test_bad_query_strings(server: RunningServer, query: str) -> None:
    assert (await server.client.get(f"/graphql?{query}")).status_code == 400


def test_empty_get_parameters_are_absent() -> None:
    request = read_query_string(b"query=%7Ba%7D&operationName=&variables=&extensions=&other=1")
    assert (request.query, request.operation_name, request.variables) == ("{a}", None, {})


async def test_cors_and_options(server: RunningServer) -> None:
    preflight = await server.client.options(
        "/graphql", headers={"origin": "https://shop.example", "access-control-request-method": "POST"}
    )
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert (await server.client.options("/graphql")).headers["allow"] == "GET, POST, OPTIONS"
    response = await server.post("{hello}", origin="https://shop.example")
    assert response.headers["access-control-allow-origin"] == "*"


async def test_the_ide_is_for_browsers_only() -> None:
    policy = {"Content-Security-Policy": "default-src 'none'", "Cache-Control": "no-store"}
    async with running_server(TransportOptions(render_ide=lambda: (b"<!doctype html>", policy))) as server:
        browser = {"accept": "text/html,*/*;q=0.8"}
        page = await server.client.get("/graphql", headers=browser)
        assert (page.text, page.headers["content-type"]) == ("<!doctype html>", "text/html; charset=utf-8")
        assert page.headers.get_list("content-security-policy") == ["default-src 'none'"]
        assert page.headers.get_list("cache-control") == ["no-store"]
        answer = await server.client.get("/graphql", params={"query": "{hello}"}, headers={"accept": "*/*"})
        assert answer.json() == {"data": {"hello": "hello world"}}
        assert (await server.post("{hello}", accept="text/html,*/*;q=0.8")).json() == {"data": {"hello": "hello world"}}
    async with running_server() as server:
        assert (await server.client.get("/graphql", headers={"accept": "text/html"})).status_code == 406


# ── errors (traps 9, 18) ─────────────────────────────────────────────────────────────────────────────────────


async def test_unknown_errors_are_masked_and_logged(server: RunningServer) -> None:
    with structlog.testing.capture_logs() as lines:
        response = await server.post("{fail}", x_request_id="my-id_1")
    assert response.headers["x-request-id"] == "my-id_1"
    error = error_of(response)
    assert error["message"] == "Something went wrong on our side. Quote the request id to support."
    assert error["extensions"] == {"code": "INTERNAL", "requestId": "my-id_1"}
    assert error["path"] == ["fail"]
    assert "hunter2" not in response.text
    (line,) = [line for line in lines if line["event"] == "graphql.failed"]
    assert line["request_id"] == "my-id_1"
    assert "hunter2" in str(line["exc_info"])


@pytest.mark.parametrize(
    ("how", "extensions"),
    [
        ("input", {"code": "BAD_INPUT", "violations": [{"path": "input.name", "message": "is empty"}]}),
        ("missing", {"code": "NOT_FOUND"}),
        ("who", {"code": "UNAUTHENTICATED"}),
        ("forbidden", {"code": "FORBIDDEN", "rule": "own_bookings"}),
        ("slow_down", {"code": "RATE_LIMITED", "retryAfterSeconds": 7}),
        ("stale", {"code": "BAD_INPUT", "reason": "STALE_VERSION"}),
        ("database", {"code": "UNAVAILABLE"}),
        ("network", {"code": "UNAVAILABLE"}),
    ],
)
async def test_domain_errors_and_outages(server: RunningServer, how: str, extensions: dict[str, object]) -> None:
    response = await server.post("query($how:String!){fail(how:$how)}", {"how": how})
    assert error_of(response)["extensions"] == extensions
    assert "10.0.0.5" not in response.text


@pytest.mark.parametrize(
    ("variables", "path", "message"),
    [
        ({}, "input", "is required"),
        ({"input": None}, "input", "must not be null"),
        ({"input": {}}, "input.customer", "is required"),
        ({"input": {"customer": {"name": "a", "nme": 1}}}, "input.customer.nme", "is not a field of PersonInput"),
        ({"input": {"customer": {"name": None}}}, "input.customer.name", "must not be null"),
        (
            {"input": {"customer": {"name": "a", "age": "x"}}},
            "input.customer.age",
            "Int cannot represent non-integer value: 'x'",
        ),
        (
            {"input": {"customer": {"name": "a"}, "tags": ["a", 5]}},
            "input.tags.1",
            "String cannot represent a non string value: 5",
        ),
        ({"input": {"customer": {"name": "a"}, "startsAt": "soon"}}, "input.startsAt", None),
    ],
)
async def test_wrong_variables_are_named(
    server: RunningServer, variables: object, path: str, message: str | None
) -> None:
    response = await server.post("query($input:GreetInput!){greet(input:$input)}", variables, accept=RESPONSE_TYPE)
    assert response.status_code == 400
    extensions = error_of(response)["extensions"]
    assert extensions["code"] == "BAD_INPUT"
    (violation,) = extensions["violations"]
    assert violation["path"] == path
    assert message is None or violation["message"] == message


@pytest.mark.parametrize(
    ("argument", "path"),
    [
        ("{}", "input.customer"),
        ('{customer:{name:"a",age:"x"}}', "input.customer.age"),
        ('{customer:{name:"a"},tags:["a",5]}', "input.tags.1"),
        ('{customer:{name:"a"},startsAt:"soon"}', "input.startsAt"),
        ("null", "input"),
    ],
)
async def test_wrong_literals_are_named(server: RunningServer, argument: str, path: str) -> None:
    response = await server.post(f"{{greet(input:{argument})}}")
    extensions = error_of(response)["extensions"]
    assert (extensions["code"], extensions["violations"][0]["path"]) == ("BAD_INPUT", path)


async def test_what_was_sent_is_not_echoed_at_length(server: RunningServer) -> None:
    variables = {"input": {"customer": {"name": "a", "age": "x" * 5_000}, "startsAt": "y" * 5_000, "z" * 5_000: 1}}
    response = await server.post("query($input:GreetInput!){greet(input:$input)}", variables)
    assert len(response.content) < 3_000
    assert len((await server.post("{" + "h" * 5_000 + "}")).content) < 500


async def test_text_that_cannot_be_encoded_is_masked(server: RunningServer) -> None:
    response = await server.post("{halfPair}")
    assert response.status_code == 500
    assert error_of(response)["extensions"]["code"] == "INTERNAL"


async def test_tokens_that_are_not_valid(server: RunningServer) -> None:
    response = await server.post("{hello}", authorization="Bearer stolen")
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert error_of(response)["extensions"] == {"code": "UNAUTHENTICATED"}
    assert (await server.post("{viewer}", authorization="Bearer good")).json() == {"data": {"viewer": "Bearer good"}}
    assert (await server.post("{hello}", authorization="Bearer outage")).status_code == 503
    broken = await server.post("{hello}", authorization="Bearer broken")
    assert broken.status_code == 500
    assert "hunter2" not in broken.text


# ── requests side by side, and clients that leave (traps 11, 13) ─────────────────────────────────────────────


async def test_no_request_gets_the_headers_of_another(server: RunningServer) -> None:
    names = [f"request-{number}" for number in range(40)]
    responses = await asyncio.gather(*(server.post("{requestId}", x_request_id=name) for name in names))
    for name, response in zip(names, responses, strict=True):
        assert response.headers["x-request-id"] == name
        assert response.json() == {"data": {"requestId": name}}


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "é", "a\tb"])
async def test_odd_request_ids_are_replaced(server: RunningServer, given: str) -> None:
    response = await server.client.post(
        "/graphql",
        content=b'{"query":"{hello}"}',
        headers=[(b"content-type", b"application/json"), (b"x-request-id", given.encode())],
    )
    assert response.headers["x-request-id"] != given
    assert len(response.headers["x-request-id"]) == 24


async def test_a_mutation_ends_and_a_query_does_not_when_the_client_leaves() -> None:
    async with running_server() as server:
        for query in ("mutation{bump}", "{wait}"):
            server.witness.started.clear()
            request = asyncio.create_task(server.post(query))
            async with asyncio.timeout(5):
                await server.witness.started.wait()
            request.cancel()
            await asyncio.gather(request, return_exceptions=True)
        await until(lambda: server.witness.queries_cancelled == 1)
        assert server.witness.mutations_done == 0
        server.witness.gate.set()
        await until(lambda: server.witness.mutations_done == 1)


async def test_queries_have_a_time_limit() -> None:
    async with running_server(TransportOptions(query_timeout_s=0.2, body_timeout_s=0.2)) as server:
        response = await server.post("{wait}")
        assert response.status_code == 503
        assert error_of(response)["extensions"]["code"] == "UNAVAILABLE"
        assert server.witness.queries_cancelled == 1
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            b"POST /graphql HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n{"
        )
        assert b" 408 " in await asyncio.wait_for(reader.readline(), 60)
        writer.close()


# ── whose address ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "6.6.6.6, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "6.6.6.6, garbage, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "garbage", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.3", "10.0.0.3"),
        ("10.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
        ("10.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
        ("::ffff:10.0.0.1", "2001:db8::1", "2001:db8::1"),
        (None, "198.51.100.1", None),
    ],
)
def test_client_address(peer: str | None, forwarded: str | None, address: str | None) -> None:
    headers = [(b"x-forwarded-for", forwarded.encode())] if forwarded else []
    scope = {"client": (peer, 1) if peer else None, "headers": headers}
    assert client_address(scope, parse_networks(["10.0.0.0/8"])) == address


def test_an_ipv6_household_counts_as_one() -> None:
    assert (
        address_bucket("2001:db8:1:2:3:4:5:6") == address_bucket("2001:db8:1:2::9") != address_bucket("2001:db8:1:3::9")
    )
    assert address_bucket("198.51.100.1") == "198.51.100.1"


async def test_forwarded_addresses_reach_the_context() -> None:
    async with running_server(TransportOptions(trusted_proxies=[ip_network("127.0.0.0/8")])) as server:
        response = await server.post("{clientAddress}", x_forwarded_for="6.6.6.6, 198.51.100.7")
        assert response.json() == {"data": {"clientAddress": "198.51.100.7"}}


# ── health ───────────────────────────────────────────────────────────────────────────────────────────────────


class Checks:
    def __init__(self) -> None:
        self.answers: dict[str, bool | Exception | None] = dict.fromkeys(
            ("database", "migrations", "valkey", "workers"), True
        )

    async def _answer(self, name: str) -> bool:
        answer = self.answers[name]
        if answer is None:
            await asyncio.sleep(60)
        if isinstance(answer, Exception):
            raise answer
        return bool(answer)

    async def database(self) -> bool:
        return await self._answer("database")

    async def migrations_at_head(self) -> bool:
        return await self._answer("migrations")

    async def valkey(self) -> bool:
        return await self._answer("valkey")

    async def workers(self) -> bool:
        return await self._answer("workers")


async def test_health() -> None:
    checks = Checks()
    async with running_server(more_routes=[*health_routes(checks, timeout_s=0.3)]) as server:
        assert (await server.client.get("/health/live")).json() == {"status": "ok"}
        for broken, status, code in (
            ({}, "ok", 200),
            ({"valkey": False}, "degraded", 200),
            ({"valkey": None, "workers": ConnectionError()}, "degraded", 200),
            ({"database": None}, "unavailable", 503),
            ({"migrations": False}, "unavailable", 503),
            ({"database": OSError(), "valkey": OSError()}, "unavailable", 503),
        ):
            checks.answers = {**dict.fromkeys(checks.answers, True), **broken}
            response = await server.client.get("/health/ready")
            assert (response.json()["status"], response.status_code) == (status, code)
            assert response.json()["checks"] == {n: "failing" if n in broken else "ok" for n in checks.answers}
