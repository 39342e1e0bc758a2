"""A shop that programs in JavaScript look at, from outside."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from tests.fixtures_api import RunningApi
from tests.fixtures_live import RunningRelay
from tests.shop import at, iso, make_shop

STARTS = 9


@dataclass(frozen=True, slots=True)
class World:
    """Where the server is and what is free there, as the tests in JavaScript read it."""

    environment: dict[str, str]


@pytest.fixture
async def world(running: RunningApi, relay: RunningRelay) -> World:
    assert relay is not None
    shop = await make_shop(running.api.services)
    starts = [iso(at(3, 8 + hour)) for hour in range(STARTS)]
    facts = {
        "url": running.graphql_url,
        "serviceId": shop.service_id,
        "providerId": shop.provider_id,
        "day": starts[0][:10],
        "starts": starts,
        "token": shop.owner.token,
    }
    return World({"TURNERO_WORLD": json.dumps(facts)})
