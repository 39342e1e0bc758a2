"""Who counts as one caller, and what an operator who forgot a setting is told."""

from __future__ import annotations

import httpx
from structlog.testing import capture_logs

from tests.fixtures_api import GraphQLClient, make_settings, serve
from tests.journey import Visitor
from tests.shop import at, make_shop


async def test_a_household_shares_the_limit_on_holds(
    database_url: str, redis_url: str, http: httpx.AsyncClient
) -> None:
    settings = make_settings(database_url, redis_url, hold_limit_per_address=2, trusted_proxies=["127.0.0.0/8"])
    async with serve(settings) as server:
        guest = Visitor(GraphQLClient(http, server.graphql_url), await make_shop(server.api.services))

        async def hold(hour: int, host: str) -> str:
            answer = await guest.hold(at(2, hour), headers={"X-Forwarded-For": host})
            return str(answer["__typename"])

        assert [await hold(8 + n, f"2001:db8:1:2::{n}") for n in range(3)] == ["HoldSlotPayload"] * 2 + ["RateLimited"]
        assert await hold(12, "2001:db8:1:3::1") == "HoldSlotPayload"
        assert await hold(13, "198.51.100.1") == "HoldSlotPayload"


async def test_in_production_missing_settings_are_told_once(
    database_url: str, redis_url: str, http: httpx.AsyncClient
) -> None:
    with capture_logs() as lines:
        async with serve(make_settings(database_url, redis_url, environment="production", host="0.0.0.0")) as server:
            client = GraphQLClient(http, server.graphql_url)
            for _ in range(3):
                await client("{ viewer { id } }", {}, **{"X-Forwarded-For": "198.51.100.1"})
    told = [line for line in lines if line["event"].startswith("settings.")]
    assert [line["event"] for line in told] == ["settings.public_url_missing", "settings.proxy_not_trusted"]
    assert told[0]["links_begin_with"] == "http://127.0.0.1:8000"


async def test_a_trusted_proxy_is_no_reason_to_warn(database_url: str, redis_url: str, http: httpx.AsyncClient) -> None:
    settings = make_settings(
        database_url,
        redis_url,
        environment="production",
        public_url="https://bookings.example.com/",
        trusted_proxies=["127.0.0.1"],
    )
    with capture_logs() as lines:
        async with serve(settings) as server:
            assert server.api.services.policy.public_url == "https://bookings.example.com"
            client = GraphQLClient(http, server.graphql_url)
            await client("{ viewer { id } }", {}, **{"X-Forwarded-For": "198.51.100.1"})
    assert not [line for line in lines if line["event"].startswith("settings.")]
