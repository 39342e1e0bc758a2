"""Who reads /metrics, and what is in it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from litestar.testing import create_async_test_client
from prometheus_client.parser import text_string_to_metric_families

from app.core.metrics import REGISTRY, exposition
from app.web.metrics import metrics_routes
from tests.fixtures_api import GraphQLClient, RunningApi, make_settings, serve
from tests.journey import Visitor
from tests.shop import at, make_shop

TOKEN = "of-the-one-who-watches"


async def test_programs_on_this_machine_read_them(running: RunningApi, http: httpx.AsyncClient) -> None:
    response = await http.get(f"{running.url}/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert response.headers["cache-control"] == "no-store"
    names = {family.name for family in text_string_to_metric_families(response.text)}
    assert {"turnero_facts_lookups", "turnero_facts_statement_seconds", "process_cpu_seconds"} <= names


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"])
async def test_what_a_proxy_passed_on_is_not_from_this_machine(
    running: RunningApi, http: httpx.AsyncClient, header: str
) -> None:
    response = await http.get(f"{running.url}/metrics", headers={header: "127.0.0.1"})
    assert (response.status_code, response.content) == (404, b"")


async def test_with_a_token_it_alone_counts(database_url: str, redis_url: str, http: httpx.AsyncClient) -> None:
    async with serve(make_settings(database_url, redis_url, metrics_token=TOKEN)) as api:
        for authorization, code in (
            (None, 404),
            ("Bearer wrong", 404),
            (f"Basic {TOKEN}", 404),
            ("Bearer ñ", 404),
            (f"Bearer {TOKEN}", 200),
            (f"bearer  {TOKEN}", 200),
        ):
            headers = {b"X-Forwarded-For": b"203.0.113.9"}
            if authorization is not None:
                headers[b"Authorization"] = authorization.encode()
            assert (await http.get(f"{api.url}/metrics", headers=headers)).status_code == code, authorization


@pytest.fixture
async def stranger() -> AsyncIterator[httpx.AsyncClient]:
    """From another machine."""
    async with create_async_test_client(metrics_routes(exposition, None)) as client:
        yield client  # its address is "testclient", which is no loopback


async def test_others_are_told_that_there_is_nothing(stranger: httpx.AsyncClient) -> None:
    response = await stranger.get("/metrics")
    assert (response.status_code, response.content) == (404, b"")


async def test_searches_are_counted(running: RunningApi, client: GraphQLClient) -> None:
    guest = Visitor(client, await make_shop(running.api.services))

    def count(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, labels) or 0

    def seen() -> tuple[float, ...]:
        lookups = "turnero_facts_lookups_total"
        statements = "turnero_facts_statement_seconds_count"
        return (
            *(count(lookups, layer="process", outcome=outcome) for outcome in ("miss", "hit", "stale")),
            *(count(statements, answer=answer) for answer in ("whole", "unchanged", "changed")),
        )

    steps = []
    first = 3 if at(3, 0).isoweekday() < 7 else 4  # whole weeks are read, and the day after it is of the same
    for day in (first, first + 1, None, first):
        before = seen()
        await (guest.held(at(first, 9)) if day is None else guest.search(at(first, 0).date(), at(day, 0).date()))
        steps.append(tuple(int(after - then) for after, then in zip(seen(), before, strict=True)))
    assert steps == [(1, 0, 0, 1, 0, 0), (0, 1, 0, 0, 1, 0), (0, 0, 0, 0, 0, 0), (0, 0, 1, 0, 0, 1)]
    assert count("turnero_facts_cache_bytes") > 0


async def test_labels_are_few() -> None:
    for family in REGISTRY.collect():
        assert len(family.samples) < 60, family.name
        for sample in family.samples:
            assert set(sample.labels) <= {"layer", "outcome", "answer", "le", "processor", "kind"}
