"""Many guests at once, each with a connection of their own, and SQL that looks for what must not be."""

from __future__ import annotations

import asyncio
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import Any

from tests.fixtures_api import GraphQLClient
from tests.plain_http import PostingClient
from tests.schema import operations as op
from tests.shop import Shop, iso

_TLS = ssl.create_default_context()
"""Read once: with one for each client, most of such a test's time went into certificates that nobody needs."""

Question = Callable[[str], Awaitable[int]]
"""Runs SQL whose answer is one number."""

OVERLAPS = """
    SELECT count(*) FROM allocation a JOIN allocation b ON a.subject_id = b.subject_id AND a.id < b.id
      AND a.busy && b.busy AND a.status IN ('held', 'booked') AND b.status IN ('held', 'booked')
"""
MISMATCHED = """
    SELECT count(*) FROM booking b JOIN hold h ON h.id = b.hold_id LEFT JOIN LATERAL (
        SELECT count(*) AS n,
               count(*) FILTER (WHERE EXISTS (SELECT FROM provider p WHERE p.id = a.subject_id)) AS people
        FROM allocation a WHERE a.booking_id = b.id AND a.status IN ('held', 'booked')) own ON true
    LEFT JOIN LATERAL (
        SELECT count(*) AS n, count(*) FILTER (WHERE EXISTS (
            SELECT FROM allocation a WHERE a.booking_id = b.id AND a.subject_id = i.provider_id AND a.status = 'booked'
              AND a.starts_at <= i.starts_at AND a.ends_at >= i.ends_at)) AS fitting
        FROM booking_item i WHERE i.booking_id = b.id) item ON true
    WHERE b.session_id IS NULL
      AND CASE WHEN b.status IN ('cancelled', 'expired', 'no_show', 'refunded') THEN own.n <> 0
               ELSE own.people NOT BETWEEN 1 AND item.n OR item.fitting <> item.n END
"""
HOLDS_OF_NOBODY = """
    SELECT count(*) FROM hold h
    WHERE h.session_id IS NULL
      AND ((h.status = 'consumed') <> EXISTS (SELECT FROM booking b WHERE b.hold_id = h.id)
           OR (h.status = 'active') <> EXISTS (SELECT FROM allocation a WHERE a.hold_id = h.id AND a.status = 'held'))
"""


async def deadlocks(count: Question) -> int:
    await count("SELECT 1 FROM pg_stat_force_next_flush(), pg_sleep(0.1)")
    return await count("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")


@asynccontextmanager
async def strangers(url: str, number: int) -> AsyncIterator[list[GraphQLClient]]:
    """Clients that share nothing, each with its connection open already."""
    async with AsyncExitStack() as stack:
        clients = [
            GraphQLClient(await stack.enter_async_context(PostingClient(timeout=30, verify=_TLS)), url)
            for _ in range(number)
        ]
        await asyncio.gather(*(client("{ viewer { id } }") for client in clients))
        yield clients


async def hold(client: GraphQLClient, shop: Shop, start: datetime, **more: Any) -> dict[str, Any]:
    asked = {"serviceId": shop.service_id, "startsAt": iso(start), **more}
    answer: dict[str, Any] = await client(op.HOLD, {"input": asked})
    return answer


def kinds(answers: list[dict[str, Any]]) -> Counter[str]:
    return Counter(answer["__typename"] for answer in answers)
