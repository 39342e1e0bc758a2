"""The demo's guest who pays online comes to the end of the way, and nothing is left behind."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

import httpx
import pytest
import stripe
from rich.console import Console

from app import demo_data
from app.commands.refund import EXECUTE_REFUND
from app.core.passwords import Passwords
from app.core.tokens import TokenSigner
from app.demo import find_slots
from app.demo_data import Seeder
from app.demo_payment import pay_and_cancel
from app.demo_shops import SHOPS
from app.demo_teller import Teller
from tests.conftest import Databases
from tests.fixtures_api import SECRET, RunningApi, make_settings, serve
from tests.paying import Paying, paying_api

_LAST = "SELECT status, paid_minor - refunded_minor AS kept FROM booking ORDER BY id DESC LIMIT 1"


@asynccontextmanager
async def _working(paying: Paying) -> AsyncIterator[None]:
    """A worker, until the block ends."""

    async def work() -> None:
        while True:
            await paying.work(EXECUTE_REFUND)
            await asyncio.sleep(0.05)

    working = asyncio.create_task(work())
    try:
        yield
    finally:
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working


async def _seed(api: RunningApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_data, "DAYS", 2)
    now = datetime.now(UTC).replace(microsecond=0)
    database = api.api.services.database
    await Seeder(database, TokenSigner(SECRET, timedelta(hours=1)), Passwords(), now).shop(SHOPS[0])


async def test_the_paying_guest(
    databases: Databases,
    redis_url: str,
    http: httpx.AsyncClient,
    processor_http: stripe.HTTPXClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = io.StringIO()
    async with paying_api(databases.create(), redis_url, http, processor_http) as paying, _working(paying):
        await _seed(paying.api, monkeypatch)
        teller = Teller(Console(file=told, width=200), http, paying.api.graphql_url)
        provider, service, starts, *_ = await find_slots(teller)
        await pay_and_cancel(teller, provider, service, starts[-1])
        [left] = await paying.rows(
            "SELECT status, paid_minor - refunded_minor AS kept FROM booking ORDER BY id DESC LIMIT 1"
        )
    assert left == {"status": "refunded", "kept": 0}
    story = told.getvalue()
    for part in (
        "insufficient_funds",
        "CONFIRMED, PAID",
        "captured: customer -",
        "refund_settled: ",
        "REFUNDED, REFUNDED",
    ):
        assert part in story, story


async def test_where_nobody_can_pay_online(
    fresh_database_url: str, redis_url: str, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = io.StringIO()
    async with serve(make_settings(fresh_database_url, redis_url)) as api:
        await _seed(api, monkeypatch)
        teller = Teller(Console(file=told, width=200), http, api.graphql_url)
        provider, service, starts, *_ = await find_slots(teller)
        await pay_and_cancel(teller, provider, service, starts[-1])
    assert "No payment processor is set up here" in told.getvalue()
