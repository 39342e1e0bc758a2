"""Lists of series and of bulk changes: whose they are, page by page."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.membership import Role
from app.resolvers.context import Services
from tests.bulk import Planner
from tests.fixtures_api import GraphQLClient, StatementLog
from tests.journey import Answer, Visitor, account, colleague
from tests.recurring import Regular, weekly
from tests.shop import Shop, at, make_shop

SERIES = """
query ($id: ID!, $first: Int, $after: String) { recurringBookings(organizationId: $id, first: $first, after: $after) {
  totalCount edges { node { id bookings { seriesPosition } } } pageInfo { hasNextPage endCursor } } }
"""
BULK = """
query ($id: ID!, $status: BulkStatus, $first: Int) { bulkChanges(organizationId: $id, status: $status, first: $first) {
  totalCount edges { node { id status progress { total } } } } }
"""
WITH_BOOKINGS = """
query ($id: ID!, $first: Int) { bulkChanges(organizationId: $id, first: $first) {
  edges { node { items { booking { id } } newBookings { id } } } } }
"""


@pytest.fixture
async def shop(services: Services) -> Shop:
    return await make_shop(services, providers=2)


async def ids(client: GraphQLClient, query: str, shop: Shop, **extra: Any) -> list[str]:
    return [edge["node"]["id"] for edge in (await client(query, {"id": shop.organization_id, **extra}))["edges"]]


async def stranger_of(client: GraphQLClient, services: Services) -> GraphQLClient:
    """The owner of another shop."""
    return client.signed_in((await make_shop(services)).owner.token)


async def refused(client: GraphQLClient, query: str, shop: Shop) -> str:
    answer: Answer = await client.raw(query, {"id": shop.organization_id})
    return str(answer["errors"][0]["extensions"]["code"])


async def test_whose_series_they_are(
    shop: Shop, client: GraphQLClient, services: Services, statements: StatementLog
) -> None:
    ana, staff = await account(client, shop, "ana"), await colleague(client, shop, Role.STAFF)
    mine = await Regular(ana.client, shop).made(at(2, 10), 2_000, customer=None, **weekly(2))
    theirs = await Regular(client, shop).made(at(2, 12), 2_000, **weekly(2))
    first, second = mine["series"]["id"], theirs["series"]["id"]
    assert await ids(ana.client, SERIES, shop) == [first]
    assert await ids(staff.client, SERIES, shop) == [second, first]
    page = await staff.client(SERIES, {"id": shop.organization_id, "first": 1})
    assert (page["totalCount"], page["pageInfo"]["hasNextPage"]) == (2, True)
    assert await ids(staff.client, SERIES, shop, after=page["pageInfo"]["endCursor"]) == [first]
    assert await ids((await account(client, shop, "beto")).client, SERIES, shop) == []
    assert await ids(await stranger_of(client, services), SERIES, shop) == []
    assert await refused(client, SERIES, shop) == "UNAUTHENTICATED"
    statements.clear()
    await ids(staff.client, SERIES, shop)
    assert len(statements) <= 6


async def test_whose_bulk_changes_they_are(shop: Shop, client: GraphQLClient, services: Services) -> None:
    staff = await colleague(client, shop, Role.STAFF)
    planner = Planner(staff.client, shop)
    plans = [await planner.planned(at(day, 0), at(day + 1, 0)) for day in (2, 3)]
    await planner.stop(plans[0])
    older, newer = [one["id"] for one in plans]
    assert await ids(staff.client, BULK, shop) == [newer, older]
    assert await ids(staff.client, BULK, shop, status="STOPPED") == [older]
    assert (await staff.client(BULK, {"id": shop.organization_id, "first": 1}))["totalCount"] == 2
    for stranger in ((await account(client, shop, "ana")).client, await stranger_of(client, services)):
        assert await refused(stranger, BULK, shop) == "NOT_FOUND"
    assert await refused(client, BULK, shop) == "UNAUTHENTICATED"


async def test_what_is_in_many_bulk_changes_is_read_at_once(
    shop: Shop, client: GraphQLClient, statements: StatementLog
) -> None:
    staff, guest = await colleague(client, shop, Role.STAFF), Visitor(client, shop)
    planner, planned, made = Planner(staff.client, shop), [], []
    hold = {"providerId": shop.provider_id}
    for day in (2, 3, 4):
        planned.append((await guest.booked(at(day, 10), hold=hold)).id)
        await planner.planned(at(day, 0), at(day + 1, 0))
        made.append((await guest.booked(at(day, 12), hold=hold)).id)
    spent = []
    for first in (1, 3):
        statements.clear()
        answer = await staff.client(WITH_BOOKINGS, {"id": shop.organization_id, "first": first})
        spent.append(len(statements))
    assert spent[0] == spent[1], statements.statements
    shown = [edge["node"] for edge in answer["edges"]]
    assert [[one["booking"]["id"] for one in node["items"]] for node in shown] == [[one] for one in reversed(planned)]
    assert [[one["id"] for one in node["newBookings"]] for node in shown] == [[one] for one in reversed(made)]
