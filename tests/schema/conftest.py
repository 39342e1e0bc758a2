"""What the tests of the catalogue share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from app.commands.waitlist_offer import offer_what_opened
from app.core.database import SYSTEM_ROLE, Database
from app.resolvers.context import Services
from tests.factories import Catalogue, Someone, make_catalogue, someone
from tests.fixtures_api import GraphQLClient, RunningApi


@pytest.fixture
def services(running: RunningApi) -> Services:
    return running.api.services


@pytest.fixture
async def owner(services: Services, client: GraphQLClient) -> Someone:
    """Someone who is signed in, and owns nothing yet."""
    return await someone(services, client, "owner")


@pytest.fixture
async def catalogue(services: Services, client: GraphQLClient) -> Catalogue:
    """An organization of the test's own, with one of everything."""
    return await make_catalogue(services, client)


@pytest.fixture
async def worker(database_url: str) -> AsyncIterator[Database]:
    """What the relay and the worker act as: what it frees is offered by its own transaction."""
    database = Database(database_url, role=SYSTEM_ROLE, pool_size=2, closing=offer_what_opened)
    yield database
    await database.dispose()
