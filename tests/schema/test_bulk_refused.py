"""Bulk changes: whose they are, what cannot be asked for, and what they cost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from app.commands import bulk as commands
from app.commands import bulk_plan
from app.core.ids import IdKind, encode_id, new_id
from app.domain.membership import Role
from app.resolvers.context import Services
from tests.bulk import PLAN, Planner, Worker, a_worker, results, steps_of
from tests.fixtures_api import GraphQLClient, RunningApi, StatementLog
from tests.journey import Visitor, account, colleague, rows_of
from tests.shop import Shop, at, iso, make_person, make_shop

DAY, NEXT = at(3, 0), at(4, 0)
ROOF = "The roof leaks."


@pytest.fixture
async def shop(services: Services) -> Shop:
    return await make_shop(services, providers=2)


@pytest.fixture
def guest(client: GraphQLClient, shop: Shop) -> Visitor:
    return Visitor(client, shop)


@pytest.fixture
async def staff(client: GraphQLClient, shop: Shop) -> Planner:
    return Planner((await colleague(client, shop, Role.STAFF)).client, shop)


@pytest.fixture
async def worker(database_url: str, running: RunningApi) -> AsyncIterator[Worker]:
    async with a_worker(database_url, running) as made:
        yield made


async def booked(guest: Visitor, *hours: int) -> None:
    for hour in hours:
        await guest.booked(at(3, hour), hold={"providerId": guest.shop.provider_id})


async def test_who_may(guest: Visitor, staff: Planner, client: GraphQLClient, services: Services) -> None:
    await booked(guest, 9)
    plan = await staff.planned(DAY, NEXT)
    elsewhere = await make_shop(services)
    stranger = await account(client, guest.shop, "stranger")
    for outsider in (stranger.client, client.signed_in(elsewhere.owner.token)):
        other = Planner(outsider, guest.shop)
        assert (await other.plan(DAY, NEXT))["__typename"] == "NotFound"
        for answer in (await other.commit(plan), await other.stop(plan)):
            assert answer["__typename"] == "NotFound"
        failed = await outsider.raw("query ($id: ID!) { node(id: $id) { id } }", {"id": plan["id"]})
        assert failed["errors"][0]["extensions"]["code"] == "NOT_FOUND"
    unknown = await client.raw(PLAN, {"input": _input(guest.shop)})
    assert unknown["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    nothing = {"id": encode_id(IdKind.BULK_CHANGE, new_id())}
    assert (await staff.commit(nothing))["__typename"] == "NotFound"


async def test_another_tenants_ids_are_nothing(staff: Planner, services: Services) -> None:
    other = await make_shop(services)
    for names in (
        {"providerId": other.provider_id},
        {"venueId": other.venue_id},
        {"activityId": encode_id(IdKind.ACTIVITY, new_id())},
        {"action": "MOVE", "providerId": staff.shop.provider_id, "targetProviderId": other.provider_id},
    ):
        assert (await staff.plan(DAY, NEXT, **names))["__typename"] == "NotFound", names
    assert (await staff.plan(DAY, NEXT, organizationId=other.organization_id))["__typename"] == "NotFound"


async def test_a_provider_cancels_their_own(client: GraphQLClient, services: Services, worker: Worker) -> None:
    linked = await make_person(services, "linked")
    shop = await make_shop(services, providers=2, linked=linked)
    rows = await rows_of(shop, "SELECT id FROM provider WHERE user_id = :id", id=linked.user_id)
    own = encode_id(IdKind.PROVIDER, rows[0]["id"])
    (other,) = set(shop.provider_ids) - {own}
    provider = Planner(client.signed_in(linked.token), shop)
    made = await Visitor(client, shop).booked(at(3, 9), hold={"providerId": own})
    for foreign in ({"providerId": other}, {"venueId": shop.venue_id}):
        assert (await provider.plan(DAY, NEXT, **foreign))["__typename"] == "NotFound"
    move = {"action": "MOVE", "providerId": own, "targetProviderId": other}
    assert (await provider.plan(DAY, NEXT, **move))["__typename"] == "NotFound"
    plan = await provider.planned(DAY, NEXT, providerId=own)
    await provider.committed(plan)
    await worker.work()
    assert results(await provider.read(plan)) == {made.id: ("DONE", None)}
    assert (await steps_of(shop, made))[-1]["actor"] == "provider"
    owner = Planner(client.signed_in(shop.owner.token), shop)
    theirs = await owner.planned(DAY, NEXT, providerId=other)
    assert (await provider.commit(theirs))["__typename"] == "NotFound"


async def test_a_provider_is_shown_no_visit_of_another(client: GraphQLClient, services: Services) -> None:
    """One that begins with somebody else is not theirs to see and not theirs to cancel, though the staff's plan has
    it."""
    linked = await make_person(services, "linked")
    shop = await make_shop(services, providers=2, linked=linked)
    rows = await rows_of(shop, "SELECT id FROM provider WHERE user_id = :id", id=linked.user_id)
    own = encode_id(IdKind.PROVIDER, rows[0]["id"])
    (other,) = set(shop.provider_ids) - {own}
    visits = []
    for hour, people in ((9, (other, own)), (12, (own, other))):
        items = [{"serviceId": shop.service_id, "providerId": one} for one in people]
        visits.append(await Visitor(client, shop).booked(at(3, hour), hold={"serviceId": None, "items": items}))
    provider = Planner(client.signed_in(linked.token), shop)
    owner = Planner(client.signed_in(shop.owner.token), shop)
    plan = await provider.planned(DAY, NEXT, providerId=own)
    assert list(results(plan)) == [visits[1].id]
    assert plan["newBookings"] == []
    everything = await owner.planned(DAY, NEXT, providerId=own)
    assert len(everything["items"]) == 2
    assert list(results(await provider.read(everything))) == [visits[1].id]


# ── what cannot be ────────────────────────────────────────────────────────────────────────────────────


def _input(shop: Shop, **extra: Any) -> dict[str, Any]:
    wanted = {
        "organizationId": shop.organization_id,
        "action": "CANCEL",
        "providerId": shop.provider_id,
        "startsFrom": iso(DAY),
        "startsBefore": iso(NEXT),
        "reason": ROOF,
        **extra,
    }
    return {name: value for name, value in wanted.items() if value is not None}


@pytest.mark.parametrize(
    ("wrong", "path"),
    [
        ({"providerId": None}, "input.providerId"),
        ({"startsBefore": iso(DAY)}, "input.startsBefore"),
        ({"startsBefore": iso(DAY - timedelta(days=1))}, "input.startsBefore"),
        ({"startsBefore": iso(DAY + timedelta(days=31, seconds=1))}, "input.startsBefore"),
        ({"reason": ""}, "input.reason"),
        ({"reason": " \n "}, "input.reason"),
        ({"reason": "x" * 501}, "input.reason"),
        ({"action": "MOVE"}, "input.targetProviderId"),
    ],
)
async def test_hostile_input(staff: Planner, wrong: dict[str, Any], path: str) -> None:
    answer = await staff.client(PLAN, {"input": _input(staff.shop, **wrong)})
    assert (answer["__typename"], {one["path"] for one in answer["violations"]}) == ("InvalidInput", {path})


async def test_more_hostile_input(staff: Planner, shop: Shop) -> None:
    for names, path in (
        ({"venueId": shop.venue_id}, "input.providerId"),
        ({"targetProviderId": shop.provider_ids[1]}, "input.targetProviderId"),
        ({"action": "MOVE", "targetProviderId": shop.provider_id}, "input.targetProviderId"),
        (
            {"action": "MOVE", "providerId": None, "venueId": shop.venue_id, "targetProviderId": shop.provider_id},
            "input.action",
        ),
    ):
        answer = await staff.client(PLAN, {"input": _input(shop, **names)})
        assert {one["path"] for one in answer["violations"]} == {path}, names
    for wrong in (
        {"startsFrom": "2026-03-01T10:00:00"},
        {"startsBefore": "9999-12-31T23:59:59Z"},
        {"reason": "a\x00b"},
        {"providerId": shop.venue_id},
        {"action": "BURN"},
    ):
        assert (await staff.client.raw(PLAN, {"input": _input(shop, **wrong)}))["errors"], wrong


async def test_so_many_at_most(guest: Visitor, staff: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_plan, "BOOKINGS_MAXIMUM", 2)
    monkeypatch.setattr(commands, "BOOKINGS_MAXIMUM", 2)
    await booked(guest, 9, 10)
    plan = await staff.planned(DAY, NEXT)
    await booked(guest, 11)
    answer = await staff.plan(DAY, NEXT)
    assert [one["path"] for one in answer["violations"]] == ["input.startsBefore"]
    answer = await staff.commit(plan, includeNew=True)
    assert [one["path"] for one in answer["violations"]] == ["input.includeNew"]


async def test_the_same_request_twice(guest: Visitor, staff: Planner, worker: Worker) -> None:
    await booked(guest, 9)
    key = str(uuid4())
    plans = [await staff.planned(DAY, NEXT, idempotencyKey=key) for _ in range(2)]
    assert plans[0] == plans[1]
    other = await staff.plan(DAY, NEXT, idempotencyKey=key, reason="Another one.")
    assert other["__typename"] == "IdempotencyConflict"
    for _ in range(2):
        assert (await staff.committed(plans[0], idempotencyKey=key))["status"] == "RUNNING"
    assert len(await worker.due()) == 1


async def test_budget(guest: Visitor, staff: Planner, statements: StatementLog) -> None:
    await booked(guest, 9, 10, 11)
    few = "mutation ($input: PlanBulkChangeInput!) { planBulkChange(input: $input) { __typename } }"
    commit = "mutation ($input: CommitBulkChangeInput!) { commitBulkChange(input: $input) { __typename } }"
    plan = await staff.planned(DAY, NEXT)
    statements.clear()
    await staff.client(few, {"input": _input(staff.shop, idempotencyKey=str(uuid4()))})
    assert len(statements) <= 10, statements.statements
    statements.clear()
    await staff.client(commit, {"input": {"bulkChangeId": plan["id"], "idempotencyKey": str(uuid4())}})
    assert len(statements) <= 8, statements.statements
