"""One sandbox for all tests that need no settings of their own; each works with objects of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import stripe

from tests.sandbox.running import Hooks, Sandbox, receiving, running


@pytest.fixture(scope="session")
async def package_http() -> AsyncIterator[stripe.HTTPXClient]:
    """The package's connection pool. Making one reads all certificates, so there is one."""
    # Any: the package does not type how it is closed.
    made: Any = stripe.HTTPXClient(timeout=5)
    yield made
    await made.close_async()


@pytest.fixture(scope="session")
async def shared(package_http: stripe.HTTPXClient) -> AsyncIterator[Sandbox]:
    async with running(package_http) as sandbox:
        yield sandbox


@pytest.fixture
async def sandbox(shared: Sandbox) -> AsyncIterator[Sandbox]:
    """Shared; the faults that a test made end with it."""
    yield shared
    await shared.http.delete("/_sandbox/faults")


@pytest.fixture
async def hooks() -> AsyncIterator[Hooks]:
    async with receiving() as made:
        yield made
