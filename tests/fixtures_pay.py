"""`paying`: the API with a local Stripe, one for all tests of a process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
import stripe

from tests.conftest import Databases
from tests.paying import Payer, Paying, paying_api
from tests.shop import make_shop


@pytest.fixture(scope="session")
async def processor_http() -> AsyncIterator[stripe.HTTPXClient]:
    """A connection pool of Stripe's package. Making one reads all certificates, so there is one."""
    # Any: the package does not type how it is closed.
    made: Any = stripe.HTTPXClient(timeout=5)
    yield made
    await made.close_async()


@pytest.fixture(scope="session")
async def shared_paying(
    databases: Databases, redis_url: str, http: httpx.AsyncClient, processor_http: stripe.HTTPXClient
) -> AsyncIterator[Paying]:
    async with paying_api(databases.create(), redis_url, http, processor_http) as made:
        yield made


@pytest.fixture
async def paying(shared_paying: Paying) -> AsyncIterator[Paying]:
    """Shared; faults and a moved clock end with the test, and nothing is left to be done."""
    await shared_paying.collected()
    yield shared_paying
    shared_paying.api.clock.move(timedelta(0))
    await shared_paying.sandbox.http.delete("/_sandbox/faults")
    await shared_paying.collected()
    await shared_paying.rows("DELETE FROM job RETURNING 1")


@pytest.fixture
async def payer(paying: Paying) -> Payer:
    """A guest at a shop of the test's own."""
    return Payer(paying.client, await make_shop(paying.api.api.services))
