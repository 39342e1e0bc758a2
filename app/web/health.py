"""Probes: is the process alive, and can it take bookings?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

import structlog
from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.status_codes import HTTP_200_OK, HTTP_503_SERVICE_UNAVAILABLE

from app.core.outages import describe

log = structlog.get_logger(__name__)

CHECK_TIMEOUT_S = 2.0
_NEEDED = frozenset({"database", "migrations"})
_NO_STORE = {"cache-control": "no-store"}


class HealthChecks(Protocol):
    """Each answers whether its part works now. Raising counts as no, and so does silence for two seconds."""

    async def database(self) -> bool: ...

    async def migrations_at_head(self) -> bool: ...

    async def valkey(self) -> bool: ...

    async def workers(self) -> bool: ...


def health_routes(
    checks: HealthChecks, *, timeout_s: float = CHECK_TIMEOUT_S, is_ending: Callable[[], bool] = lambda: False
) -> list[HTTPRouteHandler]:
    """`/health/live`: the process answers. `/health/ready`: 200 when bookings can be made, else 503.

    Without Valkey or workers bookings go on, only slower to show: that is `degraded`, and still 200. One that is ending
    is `unavailable`: what asks should send clients elsewhere.
    """
    probes = {
        "database": checks.database,
        "migrations": checks.migrations_at_head,
        "valkey": checks.valkey,
        "workers": checks.workers,
    }

    @get("/health/live", include_in_schema=False)
    async def live() -> Response[dict[str, str]]:
        return Response({"status": "ok"}, headers=_NO_STORE)

    @get("/health/ready", include_in_schema=False)
    async def ready() -> Response[dict[str, object]]:
        answers = await asyncio.gather(*(_ask(name, probe, timeout_s) for name, probe in probes.items()))
        found = dict(zip(probes, answers, strict=True))
        status = "unavailable" if is_ending() else readiness(found)
        code = HTTP_503_SERVICE_UNAVAILABLE if status == "unavailable" else HTTP_200_OK
        body: dict[str, object] = {"status": status, "checks": {k: "ok" if v else "failing" for k, v in found.items()}}
        return Response(body, status_code=code, headers=_NO_STORE)

    return [live, ready]


def readiness(found: dict[str, bool]) -> str:
    """`ok`, `degraded` or `unavailable`."""
    failing = {name for name, answer in found.items() if not answer}
    if failing & _NEEDED:
        return "unavailable"
    return "degraded" if failing else "ok"


async def _ask(name: str, probe: Callable[[], Awaitable[bool]], timeout_s: float) -> bool:
    try:
        async with asyncio.timeout(timeout_s):
            return await probe()
    except Exception as error:
        log.warning("health.check_failed", check=name, error=describe(error))
        return False
