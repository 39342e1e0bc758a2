"""The probes against the real servers, and without each of them."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx

from tests.fixtures_api import RunningApi, make_settings, serve


async def _ready(http: httpx.AsyncClient, url: str) -> tuple[int, dict[str, object]]:
    response = await http.get(f"{url}/health/ready")
    return response.status_code, response.json()


async def test_live(running: RunningApi, http: httpx.AsyncClient) -> None:
    response = await http.get(f"{running.url}/health/live")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


async def test_without_workers_it_is_degraded_and_bookings_go_on(
    fresh_database_url: str, redis_url: str, http: httpx.AsyncClient
) -> None:
    async with serve(make_settings(fresh_database_url, redis_url)) as api:
        code, body = await _ready(http, api.url)
        assert code == 200
        assert body["status"] == "degraded"
        assert body["checks"] == {"database": "ok", "migrations": "ok", "valkey": "ok", "workers": "failing"}


async def test_without_valkey_it_is_degraded(fresh_database_url: str, http: httpx.AsyncClient) -> None:
    async with serve(make_settings(fresh_database_url, "unix:///nowhere/valkey.sock")) as api:
        code, body = await _ready(http, api.url)
        assert code == 200
        assert body["status"] == "degraded"
        assert body["checks"]["valkey"] == "failing"  # type: ignore[index]


async def test_behind_the_head_it_is_unavailable(
    fresh_database_url: str, redis_url: str, http: httpx.AsyncClient
) -> None:
    import asyncpg

    connection = await asyncpg.connect(fresh_database_url)
    await connection.execute("UPDATE alembic_version SET version_num = '0000'")
    await connection.close()
    async with serve(make_settings(fresh_database_url, redis_url)) as api:
        code, body = await _ready(http, api.url)
        assert code == 503
        assert body["status"] == "unavailable"


async def test_with_a_worker_at_work_it_is_ok(fresh_database_url: str, redis_url: str, http: httpx.AsyncClient) -> None:
    import asyncpg

    connection = await asyncpg.connect(fresh_database_url)
    await connection.execute("INSERT INTO worker_heartbeat (worker, seen_at) VALUES ('one', $1)", datetime.now(UTC))
    await connection.close()
    async with serve(make_settings(fresh_database_url, redis_url)) as api:
        assert await _ready(http, api.url) == (
            200,
            {
                "status": "ok",
                "checks": {"database": "ok", "migrations": "ok", "valkey": "ok", "workers": "ok"},
            },
        )
