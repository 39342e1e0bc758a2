"""Failures outside of /graphql, and what the log keeps of those inside."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from graphql import GraphQLError
from litestar import get
from litestar.params import FromQuery
from litestar.testing import AsyncTestClient, create_async_test_client
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from structlog.testing import capture_logs

from app.core.database import Database
from app.core.outages import trace
from app.web.failures import answer_failure
from app.web.graphql.errors import describe_error
from tests.fixtures_api import make_settings, serve

SECRET = "$argon2id$of-a-customer"


@get("/broken")
async def broken() -> None:
    raise RuntimeError("password=hunter2")


@get("/needs-a-number")
async def needs_a_number(number: FromQuery[int]) -> None: ...


@pytest.fixture
async def client() -> AsyncIterator[AsyncTestClient[Any]]:
    routes = [broken, needs_a_number]
    async with create_async_test_client(routes, exception_handlers={Exception: answer_failure}) as made:
        yield made


async def test_a_calendar_without_the_database_is_unavailable(redis_url: str, http: httpx.AsyncClient) -> None:
    async with serve(make_settings("postgresql://nobody@127.0.0.1:1/none", redis_url)) as api:
        booking_id = uuid4()
        token = api.api.services.tokens.calendar_token(booking_id, 1)
        address = f"{api.url}/calendar/{booking_id}.ics?token={token}"
        with capture_logs() as lines:
            response = await http.get(address, headers={"X-Request-Id": "r1"})
    assert response.status_code == 503
    body = response.json()
    assert (body["code"], body["requestId"]) == ("UNAVAILABLE", "r1")
    (line,) = [line for line in lines if line["event"] == "http.unavailable"]
    assert line["request_id"] == response.headers["x-request-id"] == "r1"
    assert token not in str(lines)


async def test_a_fault_of_ours_is_masked_and_logged(client: AsyncTestClient[Any]) -> None:
    with capture_logs() as lines:
        response = await client.get("/broken", headers={"X-Request-Id": "two words"})
    assert response.status_code == 500
    body = response.json()
    assert body["code"] == "INTERNAL"
    assert "hunter2" not in response.text
    (line,) = [line for line in lines if line["event"] == "http.failed"]
    assert line["request_id"] == body["requestId"] != "two words"
    assert isinstance(line["exc_info"], RuntimeError)


async def test_a_wrong_request_keeps_its_status(client: AsyncTestClient[Any]) -> None:
    assert (await client.get("/nowhere")).status_code == 404
    assert (await client.get("/needs-a-number?number=x")).status_code == 400
    assert (await client.post("/broken")).status_code == 405


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO user_account (id, email, password_hash) VALUES (gen_random_uuid(), 'a@b.example', :value)",
        "SELECT CAST(CAST(:value AS text) AS uuid)",
        "SELECT CAST(:value AS integer)",
    ],
)
async def test_the_log_keeps_no_value_of_a_statement(database_url: str, statement: str) -> None:
    database = Database(database_url, role=None, pool_size=1)
    try:
        with pytest.raises(DBAPIError) as raised:
            async with database.transaction() as tx:
                await tx.execute(text(statement), {"value": SECRET})
    finally:
        await database.dispose()
    with capture_logs() as lines:
        described = describe_error(GraphQLError("failed", original_error=raised.value), "r1")
    assert described.extensions["code"] == "INTERNAL"
    (line,) = [line for line in lines if line["event"] == "graphql.failed"]
    assert SECRET not in line["error"]
    shown = trace(line["exc_info"])
    assert "DBAPIError" in shown or "IntegrityError" in shown
    assert SECRET not in shown
