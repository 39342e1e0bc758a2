"""A visit of several services, booked, moved and cancelled as one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from app.resolvers.context import Services
from tests.fixtures_api import GraphQLClient, MovableClock, StatementLog
from tests.journey import Made, Visitor, instant, live_time, rows_of
from tests.rooms import make_room, need_any, taken_of
from tests.shop import Shop, at, iso, make_shop

MINUTE = timedelta(minutes=1)
READ = """
query ($id: ID, $token: String) { booking(id: $id, accessToken: $token) {
  startsAt endsAt version status price { amountMinor } service { id } provider { id }
  items { startsAt endsAt price { amountMinor } service { id } provider { id } } } }
"""


@pytest.fixture
async def shop(services: Services) -> Shop:
    first = {"buffer_before_minutes": 5, "cancellation_notice_minutes": 60}
    second = {"duration_minutes": 60, "price_minor": 2_500, "cancellation_notice_minutes": 120}
    return await make_shop(services, providers=2, service=first, more_services=(second,))


def wanted(shop: Shop, *people: int) -> dict[str, Any]:
    found = [
        {"serviceId": s, "providerId": shop.provider_ids[p]} for s, p in zip(shop.service_ids, people, strict=False)
    ]
    return {"serviceId": None, "items": found}


async def booked(shop: Shop, client: GraphQLClient, **extra: Any) -> Made:
    return await Visitor(client, shop).booked(at(3, 10), hold=wanted(shop, 0, 1), **extra)


async def test_booked_as_one_with_an_item_for_each_service(shop: Shop, client: GraphQLClient) -> None:
    made = await booked(shop, client)
    seen = await client(READ, {"token": made.token})
    assert (seen["startsAt"], seen["endsAt"]) == (iso(at(3, 10)), iso(at(3, 11, 30)))
    assert seen["price"]["amountMinor"] == 3_500
    assert (seen["service"]["id"], seen["provider"]["id"]) == (shop.service_ids[0], shop.provider_ids[0])
    assert [(item["service"]["id"], item["provider"]["id"]) for item in seen["items"]] == list(
        zip(shop.service_ids, shop.provider_ids, strict=True)
    )
    assert [(item["startsAt"], item["endsAt"], item["price"]["amountMinor"]) for item in seen["items"]] == [
        (iso(at(3, 10)), iso(at(3, 10, 30)), 1_000),
        (iso(at(3, 10, 30)), iso(at(3, 11, 30)), 2_500),
    ]
    assert made.answer["items"] == [
        {name: item[name] for name in ("startsAt", "endsAt", "price")} for item in seen["items"]
    ]
    assert {status for _, _, status in await live_time(shop)} == {"booked"}


async def test_the_strictest_terms(services: Services, client: GraphQLClient, clock: MovableClock) -> None:
    strict = {"requires_approval": True, "cancellation_notice_minutes": 24 * 60}
    shop = await make_shop(services, providers=2, more_services=(strict,))
    made = await booked(shop, client)
    assert made.answer["status"] == "AWAITING_PROVIDER"
    assert instant(made.answer["cancellationTerms"]["freeUntil"]) == at(2, 10)
    clock.move_to(at(2, 10, 1))
    refused = await Visitor(client, shop).cancel(made, accessToken=made.token)
    assert refused["rule"] == "cancellation_notice"


async def test_a_repeated_key_gives_all_items_again(shop: Shop, client: GraphQLClient) -> None:
    guest = Visitor(client, shop)
    held = await guest.held(at(3, 10), **wanted(shop, 0, 1))
    key = str(uuid4())
    first, again = [await guest.book(held, idempotencyKey=key) for _ in range(2)]
    assert first == again
    assert len(again["booking"]["items"]) == 2


async def test_moved_as_a_whole(shop: Shop, client: GraphQLClient) -> None:
    made = await booked(shop, client)
    guest = Visitor(client, shop)
    moved = await guest.move(made, at(3, 10, 15), accessToken=made.token)
    assert moved["__typename"] == "Booking", moved
    seen = await client(READ, {"token": made.token})
    assert (seen["startsAt"], seen["endsAt"], seen["version"]) == (iso(at(3, 10, 15)), iso(at(3, 11, 45)), 2)
    assert [item["startsAt"] for item in seen["items"]] == [iso(at(3, 10, 15)), iso(at(3, 10, 45))]
    assert seen["price"]["amountMinor"] == 3_500
    one, two = shop.provider_uuids
    assert await taken_of(shop, one) == [(at(3, 10, 10), at(3, 10, 45), "booked")]
    assert await taken_of(shop, two) == [(at(3, 10, 45), at(3, 11, 45), "booked")]


async def test_a_move_is_all_or_nothing(shop: Shop, client: GraphQLClient) -> None:
    made = await booked(shop, client)
    guest = Visitor(client, shop)
    await guest.held(at(4, 11), providerId=shop.provider_ids[1])
    before = await live_time(shop)
    refused = await guest.move(made, at(4, 10), accessToken=made.token)
    assert (refused["__typename"], refused["reason"]) == ("SlotUnavailable", "HELD")
    assert await live_time(shop) == before
    other = await guest.move(made, at(4, 14), accessToken=made.token, providerId=shop.provider_ids[1])
    assert [violation["path"] for violation in other["violations"]] == ["input.providerId"]
    same = await guest.move(made, at(3, 10), accessToken=made.token)
    assert [violation["path"] for violation in same["violations"]] == ["input.startsAt"]


async def test_cancelled_as_a_whole(shop: Shop, client: GraphQLClient) -> None:
    room = await make_room(shop, 2)
    for service in (0, 1):
        await need_any(shop, room, service=service)
    made = await booked(shop, client)
    assert len(await taken_of(shop, room.units[0])) == 1
    assert (await Visitor(client, shop).cancel(made, accessToken=made.token))["status"] == "CANCELLED"
    assert await live_time(shop) == []
    assert await taken_of(shop, room.units[0]) == []
    told = await rows_of(shop, "SELECT DISTINCT subject_id FROM outbox_event WHERE payload ->> 'cause' = 'CANCELLED'")
    assert {row["subject_id"] for row in told} == {*shop.provider_uuids, room.units[0]}


async def test_a_correction_takes_everybody_again(
    services: Services, client: GraphQLClient, clock: MovableClock
) -> None:
    shop = await make_shop(services, providers=2, more_services=({},))
    owner = Visitor(client.signed_in(shop.owner.token), shop)
    made = await owner.booked(at(1, 10), hold=wanted(shop, 0, 1))
    clock.move_to(at(1, 10, 5))
    before = await live_time(shop)
    await owner.stepped(made, "NO_SHOW")
    assert await live_time(shop) == []
    await owner.stepped(made, "CHECKED_IN")
    assert await live_time(shop) == before


async def test_budget(shop: Shop, client: GraphQLClient, statements: StatementLog) -> None:
    room = await make_room(shop, 2)
    await need_any(shop, room)
    guest = Visitor(client, shop)
    held = await guest.held(at(3, 10), **wanted(shop, 0, 1))
    statements.clear()
    answer = await guest.book(held, idempotencyKey=str(uuid4()))
    assert answer["booking"]["transitions"]
    assert len(statements) <= 8, statements.statements
