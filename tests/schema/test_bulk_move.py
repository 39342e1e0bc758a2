"""A provider's day is moved to another provider."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from app.domain.membership import Role
from app.resolvers.context import Services
from tests.bulk import Planner, Worker, a_worker, item_of, results, steps_of
from tests.fixtures_api import GraphQLClient, RunningApi, StatementLog
from tests.journey import Made, Visitor, colleague, rows_of
from tests.rooms import limit_provider, make_room, need_any
from tests.shop import Shop, at, make_shop, set_active

DAY, NEXT = at(3, 0), at(4, 0)
LISTED = """
query ($id: ID!) { bulkChanges(organizationId: $id, first: 2) {
  edges { node { items { alternatives { startsAt } } } } } }
"""


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


async def booked(guest: Visitor, hour: int, minute: int = 0, *, provider: int = 0) -> Made:
    return await guest.booked(at(3, hour, minute), hold={"providerId": guest.shop.provider_ids[provider]})


async def whose(shop: Shop) -> dict[str, int]:
    """By number of the booking, which of the providers has it."""
    rows = await rows_of(shop, "SELECT number, provider_id FROM booking")
    return {row["number"]: shop.provider_uuids.index(row["provider_id"]) for row in rows}


async def test_each_for_itself(guest: Visitor, staff: Planner, worker: Worker, shop: Shop) -> None:
    ten, eleven, twelve = [await booked(guest, hour) for hour in (10, 11, 12)]
    await booked(guest, 11, 15, provider=1)
    plan = await staff.moved(DAY, NEXT)
    assert (plan["action"], plan["targetProvider"]["id"], plan["possible"]) == ("MOVE", shop.provider_ids[1], 2)
    blocked = item_of(plan, eleven)
    assert (blocked["isPossible"], blocked["rule"]) == (False, "booked")
    assert blocked["message"]
    assert len(blocked["alternatives"]) == 6
    assert item_of(plan, ten)["alternatives"] == []
    assert (plan["refund"]["amountMinor"], plan["fee"]["amountMinor"]) == (0, 0)
    await staff.committed(plan)
    await worker.work()
    done = await staff.read(plan)
    assert results(done) == {ten.id: ("DONE", None), eleven.id: ("REFUSED", "booked"), twelve.id: ("DONE", None)}
    providers = await whose(shop)
    assert [providers[one.answer["number"]] for one in (ten, eleven, twelve)] == [1, 0, 1]
    seen = await guest.read(ten, ten.token)
    for field in ("number", "price", "startsAt", "endsAt", "status"):
        assert seen[field] == ten.answer[field]
    assert seen["version"] == 2
    assert [one["to_status"] for one in await steps_of(shop, ten)] == ["pending", "confirmed"]
    audit = await rows_of(shop, "SELECT reason, channel FROM audit_entry WHERE action = 'booking.rescheduled'")
    assert {(one["reason"], one["channel"]) for one in audit} == {("The roof leaks.", "bulk")}
    # The time of the first one is free again, that of the second is taken.
    await booked(guest, 10)
    assert (await guest.hold(at(3, 12), providerId=shop.provider_ids[1]))["__typename"] == "SlotUnavailable"


async def test_what_was_free_may_be_taken_meanwhile(guest: Visitor, staff: Planner, worker: Worker, shop: Shop) -> None:
    made = await booked(guest, 10)
    plan = await staff.moved(DAY, NEXT)
    await booked(guest, 10, 15, provider=1)
    await staff.committed(plan)
    await worker.work()
    done = await staff.read(plan)
    assert results(done) == {made.id: ("REFUSED", "booked")}
    assert item_of(done, made)["alternatives"]
    assert (await whose(shop))[made.answer["number"]] == 0


async def test_those_who_move_together_take_each_others_room(
    guest: Visitor, staff: Planner, worker: Worker, shop: Shop
) -> None:
    """The other one takes two a day: the plan says which of three, and just those are moved."""
    made = [await booked(guest, hour) for hour in (10, 11, 12)]
    await limit_provider(shop, 1, day=2)
    plan = await staff.moved(DAY, NEXT)
    assert [item["rule"] for item in plan["items"]] == [None, None, "limit"]
    await staff.committed(plan)
    await worker.work()
    assert [results(await staff.read(plan))[one.id][0] for one in made] == ["DONE", "DONE", "REFUSED"]


async def test_a_room_that_it_has_itself_is_no_obstacle(
    guest: Visitor, staff: Planner, worker: Worker, shop: Shop
) -> None:
    room = await make_room(shop)
    await need_any(shop, room)
    made = await booked(guest, 10)
    plan = await staff.moved(DAY, NEXT)
    assert plan["possible"] == 1
    await staff.committed(plan)
    await worker.work()
    assert results(await staff.read(plan)) == {made.id: ("DONE", None)}


async def test_who_does_not_offer_it(guest: Visitor, staff: Planner, shop: Shop) -> None:
    await booked(guest, 10)
    await rows_of(
        shop,
        "UPDATE offer SET is_active = false WHERE provider_id = :id RETURNING 1",
        id=shop.provider_uuids[1],
    )
    assert [one["rule"] for one in (await staff.moved(DAY, NEXT))["items"]] == ["not_offered"]
    await set_active(shop, "provider", shop.provider_uuids[1], False)
    answer = await staff.plan(
        DAY, NEXT, action="MOVE", providerId=shop.provider_id, targetProviderId=shop.provider_ids[1]
    )
    assert [one["path"] for one in answer["violations"]] == ["input.targetProviderId"]


async def test_alternatives_of_so_many_at_most(guest: Visitor, staff: Planner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.schema.bulk.ALTERNATIVES_FOR", 1)
    for hour in (10, 11):
        await booked(guest, hour)
        await booked(guest, hour, provider=1)
    plan = await staff.moved(DAY, NEXT)
    assert [one["alternatives"] is None for one in plan["items"]] == [False, True]
    await staff.moved(DAY, NEXT)
    seen = await staff.client(LISTED, {"id": staff.shop.organization_id})
    shown = [item["alternatives"] for edge in seen["edges"] for item in edge["node"]["items"]]
    assert [one is None for one in shown] == [False, True, True, True]


async def test_only_what_can_be_moved_by_itself(guest: Visitor, staff: Planner, shop: Shop) -> None:
    """A visit of several services goes with all its providers; one that has begun stays."""
    first, second = shop.provider_ids
    items = [{"serviceId": shop.service_id, "providerId": one} for one in (first, second)]
    await guest.booked(at(3, 10), hold={"serviceId": None, "items": items})
    begun = await booked(guest, 15)
    await rows_of(
        shop,
        "UPDATE booking SET status = 'checked_in' WHERE number = :number RETURNING 1",
        number=begun.answer["number"],
    )
    plan = await staff.moved(DAY, NEXT)
    assert [one["rule"] for one in plan["items"]] == ["visit", "not_movable"]


async def test_budget(guest: Visitor, staff: Planner, statements: StatementLog, shop: Shop) -> None:
    for hour in (9, 10, 11, 12):
        await booked(guest, hour)
    plan = "mutation ($input: PlanBulkChangeInput!) { planBulkChange(input: $input) { __typename } }"
    wanted = {
        "organizationId": shop.organization_id,
        "action": "MOVE",
        "providerId": shop.provider_id,
        "targetProviderId": shop.provider_ids[1],
        "startsFrom": DAY.isoformat(),
        "startsBefore": (NEXT + timedelta(days=20)).isoformat(),
        "reason": "Ill",
    }
    statements.clear()
    await staff.client(plan, {"input": wanted})
    assert len(statements) <= 12, statements.statements
