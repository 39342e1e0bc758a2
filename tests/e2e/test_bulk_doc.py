"""docs/bulk.md says what is so: its operations work as they stand there, and its words are the schema's."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.domain.bulk import BOOKINGS_MAXIMUM, LONGEST, BulkResult
from app.domain.plan import UnavailableReason
from tests.bulk import Worker, a_worker
from tests.fixtures_api import GraphQLClient, RunningApi
from tests.fixtures_live import RunningRelay
from tests.journey import Visitor
from tests.live_client import live_socket
from tests.shop import at, iso, make_shop

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "bulk.md").read_text()
PLAN, COMMIT, FOLLOW = re.findall(r"```graphql\n(.*?)```", GUIDE, re.S)
PLAN_INPUT, COMMIT_INPUT = re.findall(r"```json\n(.*?)```", GUIDE, re.S)


@pytest.fixture
async def worker(database_url: str, running: RunningApi) -> AsyncIterator[Worker]:
    async with a_worker(database_url, running) as made:
        yield made


async def test_its_story(running: RunningApi, client: GraphQLClient, worker: Worker, relay: RunningRelay) -> None:
    assert relay is not None
    shop = await make_shop(running.api.services, providers=2)
    owner = client.signed_in(shop.owner.token)
    await Visitor(client, shop).booked(at(3, 10), hold={"providerId": shop.provider_id})
    known = {
        "org_…": shop.organization_id,
        "prv_ana_…": shop.provider_ids[0],
        "prv_bea_…": shop.provider_ids[1],
        "2026-12-01T00:00:00Z": iso(at(3, 0)),
        "2026-12-02T00:00:00Z": iso(at(4, 0)),
    }
    wanted = PLAN_INPUT
    for said, meant in known.items():
        assert said in wanted
        wanted = wanted.replace(said, meant)
    plan = (await owner(PLAN, json.loads(wanted)))["bulkChange"]
    assert plan["possible"] == 1
    async with live_socket(running.socket_url, shop.owner.token) as socket:
        stream = await socket.subscribe(FOLLOW, id=plan["id"])
        types = [(await stream.next())["type"]]
        started = await owner(COMMIT, json.loads(COMMIT_INPUT.replace("blk_…", plan["id"])))
        assert started["bulkChange"]["status"] == "RUNNING"
        await worker.work()
        types += [(await stream.next())["type"] for _ in range(3)]
    assert types == ["bulk.snapshot", "bulk.started", "bulk.progressed", "bulk.finished"]


def test_its_words() -> None:
    assert {one.name for one in BulkResult} == set(re.findall(r"^\| `([A-Z]+)` \|", GUIDE, re.M))
    assert f"at most {LONGEST.days} days" in GUIDE
    assert f"at most {BOOKINGS_MAXIMUM}" in GUIDE
    reasons = {reason.value for reason in UnavailableReason}
    assert {"booked", "held", "closed", "time_off", "limit", "resource"} <= reasons
