"""Many random checkouts, while answers get lost, webhooks come in any order, and whoever works is killed."""

from __future__ import annotations

import os

import httpx
import pytest
import stripe

from tests.conftest import Databases
from tests.e2e.test_checkouts import prove

pytestmark = pytest.mark.faults

COUNT = 100_000
BATCH = 1_000
"""Each in a database of its own, so that a fault is found near to where it came from."""


async def test_many_checkouts(
    databases: Databases, redis_url: str, http: httpx.AsyncClient, processor_http: stripe.HTTPXClient
) -> None:
    left = int(os.environ.get("TURNERO_CHECKOUTS", COUNT))
    while left > 0:
        url = databases.create()
        await prove(min(BATCH, left), url, redis_url, http, processor_http)
        databases.drop(url)
        left -= BATCH
