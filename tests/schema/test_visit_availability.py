"""Searching for several services in one visit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import QueuePool

from app.domain.visit_masks import visit_masks
from app.domain.visits import first_visit
from app.queries import visit_search
from app.resolvers.context import Services
from tests.fixtures_api import GraphQLClient, StatementLog
from tests.journey import Visitor
from tests.prices import five_times, shop_of_prices, sixfold
from tests.schema import operations as op
from tests.shop import OFFICE, Shop, at, iso, make_shop

CUT, COLOUR = {"duration_minutes": 30, "price_minor": 1_000}, {"duration_minutes": 60, "price_minor": 5_000}
MONTH = """query ($input: AvailabilityInput!) { availability(input: $input) { days { date hasSlots } } }"""


def items(shop: Shop, *numbers: int, **first: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [{"serviceId": shop.service_ids[number]} for number in numbers]
    found[0].update(first)
    return found


def wanted(chosen: list[dict[str, Any]], days: tuple[int, int] = (2, 2), **more: Any) -> dict[str, Any]:
    first, last = (at(day, 0).date().isoformat() for day in days)
    return {"input": {"items": chosen, "from": first, "to": last, "timeZone": "UTC", **more}}


async def shop_of_two(services: Services, **more: Any) -> Shop:
    return await make_shop(services, weekly=OFFICE, slot_interval=30, service=CUT, more_services=(COLOUR,), **more)


async def test_one_after_the_other_without_a_pause(services: Services, client: GraphQLClient) -> None:
    shop = await shop_of_two(services)
    found = await client(op.AVAILABILITY, wanted(items(shop, 0, 1)))
    slots = found["days"][0]["slots"]
    assert slots[0] == {
        "startsAt": iso(at(2, 9)),
        "endsAt": iso(at(2, 10, 30)),
        "providerIds": [shop.provider_id],
        "remaining": 1,
        "price": {"amountMinor": 6_000, "currency": "USD", "amount": "60.00"},
    }
    starts = [slot["startsAt"] for slot in slots]
    assert iso(at(2, 10, 30)) in starts  # until 12:00, when the break begins
    assert iso(at(2, 11)) not in starts
    assert starts[-1] == iso(at(2, 15, 30))
    assert found["nextAvailable"] == slots[0]


async def test_two_people_serve_one_visit(services: Services, client: GraphQLClient) -> None:
    shop = await shop_of_two(services, providers=2)
    guest = Visitor(client, shop)
    # One is taken from 9:30 on, the other until 9:30: together they can do it.
    await guest.booked(at(2, 9, 30), hold={"providerId": shop.provider_ids[0], "serviceId": shop.service_ids[1]})
    await guest.booked(at(2, 9), hold={"providerId": shop.provider_ids[1]})
    found = await client(op.AVAILABILITY, wanted(items(shop, 0, 1)))
    first = found["days"][0]["slots"][0]
    assert first["startsAt"] == iso(at(2, 9))
    assert first["providerIds"] == shop.provider_ids
    named = items(shop, 0, 1, providerId=shop.provider_ids[1])
    alone = await client(op.AVAILABILITY, wanted(named))
    assert alone["days"][0]["slots"][0]["startsAt"] == iso(at(2, 9, 30))


async def test_a_month_and_the_next_one_beyond_it(services: Services, client: GraphQLClient) -> None:
    shop = await shop_of_two(services)
    guest = Visitor(client, shop)
    for hour in (9, 10, 11, 13, 14, 15, 16):
        await guest.booked(at(2, hour), hold={"serviceId": shop.service_ids[1]})
    month = await client(MONTH, wanted(items(shop, 0, 1), days=(2, 4)))
    assert [day["hasSlots"] for day in month["days"]] == [False, True, True]
    full = await client(op.AVAILABILITY, wanted(items(shop, 0, 1)))
    assert full["days"][0]["slots"] == []
    assert full["nextAvailable"]["startsAt"] == iso(at(3, 9))


async def test_days_with_any_slot_of_one_service(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, weekly=OFFICE[:1])
    first = at(1, 0).date()
    search = Visitor(client, shop).search_variables(first, first + timedelta(days=13))
    found = await client(MONTH, search)
    assert [day["hasSlots"] for day in found["days"]] == [
        (first + timedelta(days=number)).weekday() == 0 for number in range(14)
    ]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"items": []}, "input.items"),
        ({"items": None}, "input.serviceId"),
        ({"serviceId": "given"}, "input.serviceId"),
        ({"durationMinutes": 30}, "input.durationMinutes"),
        ({"partySize": 2}, "input.partySize"),
    ],
)
async def test_absurd_visits(services: Services, client: GraphQLClient, change: dict[str, Any], path: str) -> None:
    shop = await shop_of_two(services)
    variables = wanted(items(shop, 0, 1))
    if change == {"serviceId": "given"}:
        change = {"serviceId": shop.service_id}
    variables["input"].update(change)
    error = (await client.raw(op.AVAILABILITY, variables))["errors"][0]
    assert error["extensions"]["code"] == "BAD_INPUT"
    assert [violation["path"] for violation in error["extensions"]["violations"]] == [path]


async def test_what_is_wrong_with_one_item(services: Services, client: GraphQLClient) -> None:
    shop, other = await shop_of_two(services), await shop_of_two(services)
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"serviceId": shop.service_ids[0], "durationMinutes": -1}, "input.items.1.durationMinutes"),
        ({"serviceId": shop.service_ids[0], "durationMinutes": 45}, "input.items.1.durationMinutes"),
        ({"serviceId": shop.provider_id}, "input.items.1.serviceId"),
        ({"serviceId": shop.service_ids[0], "providerId": "nobody"}, "input.items.1.providerId"),
    ]
    for item, path in wrong:
        answer = await client.raw(op.AVAILABILITY, wanted([*items(shop, 0), item]))
        assert answer["errors"][0]["extensions"]["violations"][0]["path"] == path
    foreign = await client.raw(op.AVAILABILITY, wanted([*items(shop, 0), *items(other, 1)]))
    assert foreign["errors"][0]["extensions"]["code"] == "NOT_FOUND"
    many = await client.raw(op.AVAILABILITY, wanted(items(shop, *[0] * 6)))
    assert many["errors"][0]["extensions"]["violations"][0]["path"] == "input.items"


async def test_statements(services: Services, client: GraphQLClient, statements: StatementLog) -> None:
    shop = await shop_of_two(services)
    statements.clear()
    await client(op.AVAILABILITY, wanted(items(shop, 0, 1)))
    assert len(statements) <= 4, statements.statements


# ── many people, lengths and prices ───────────────────────────────────────────────────────────────────

STARTS = """query ($input: AvailabilityInput!) {
  availability(input: $input) { days { hasSlots starts } nextAvailable { startsAt endsAt price { amountMinor } } }
}"""


async def test_prices_beyond_counting_are_refused_as_slots_alone(services: Services, client: GraphQLClient) -> None:
    shop = await shop_of_prices(services, sixfold(12), weekly=OFFICE)
    asked = wanted(five_times(shop), days=(2, 60))
    found = await client(STARTS, asked)
    assert all(day["hasSlots"] for day in found["days"])
    assert [iso(at(2, hour)) for hour in (9, 13, 14)] == [
        start for start in found["days"][0]["starts"] if start.endswith(":00:00Z")
    ]
    assert found["nextAvailable"] == {
        "startsAt": iso(at(2, 9)),
        "endsAt": iso(at(2, 11, 30)),
        "price": {"amountMinor": 500},
    }
    refused = (await client.raw(op.AVAILABILITY, asked))["errors"][0]["extensions"]
    assert refused["code"] == "BAD_INPUT"
    assert refused["violations"] == [
        {
            "path": "input.items",
            "message": "has too many combinations of lengths and prices; name a provider for some services",
        }
    ]
    beyond = await client(STARTS, wanted(five_times(shop), days=(-2, -1)))
    assert beyond["nextAvailable"] is not None


async def test_nothing_is_computed_while_a_transaction_is_open(
    services: Services, client: GraphQLClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = await shop_of_two(services)
    computed: list[str] = []
    pool = services.database.engine.pool
    assert isinstance(pool, QueuePool)

    def watch(name: str, work: Callable[..., Any]) -> None:
        def watched(*args: Any) -> Any:
            assert pool.checkedout() == 0
            computed.append(name)
            return work(*args)

        monkeypatch.setattr(visit_search, name, watched)

    watch("visit_masks", visit_masks)
    watch("first_visit", first_visit)
    await client(STARTS, wanted(items(shop, 0, 1), days=(-2, -1)))
    assert computed == ["visit_masks", "first_visit"]


async def test_what_would_take_too_long_is_refused_before_it_is_computed(
    services: Services, client: GraphQLClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = await shop_of_two(services)
    computed: list[object] = []
    monkeypatch.setattr(visit_search, "visit_masks", computed.append)
    monkeypatch.setattr(visit_search, "work_of_masks", lambda _items, _window: 6_001)
    refused = await client.raw(MONTH, wanted(items(shop, 0, 1)))
    assert refused["errors"][0]["extensions"]["code"] == "BAD_INPUT"
    assert computed == []
