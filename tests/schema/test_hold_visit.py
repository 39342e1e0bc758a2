"""Several services held as one visit: all or nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from app.core.ids import IdKind, decode_id
from app.domain.membership import Role
from app.resolvers.context import Services
from tests.fixtures_api import GraphQLClient, MovableClock, StatementLog
from tests.journey import Answer, Visitor, colleague, hours, instant, live_time, rows_of
from tests.prices import five_times, shop_of_prices, sixfold
from tests.rooms import make_room, need_any, taken_of
from tests.schema import operations as op
from tests.shop import ALWAYS, OFFICE, Shop, at, iso, make_shop, set_active, set_offer

UNKNOWN = "01h2xcejqtf2nbrexx3vqjhp41"
CUT: dict[str, Any] = {"buffer_before_minutes": 5, "buffer_after_minutes": 10}
COLOUR: dict[str, Any] = {"duration_minutes": 60, "price_minor": 3_000, "max_group_size": 2}


@pytest.fixture
async def shop(services: Services) -> Shop:
    """A cut of 30 minutes with buffers, and a colour of 60; two people do both."""
    return await make_shop(services, providers=2, service={**CUT, "max_group_size": 2}, more_services=(COLOUR,))


def items(shop: Shop, *wanted: tuple[int, int | None]) -> list[dict[str, Any]]:
    """(service, provider) numbers; no provider: anyone."""
    return [
        {"serviceId": shop.service_ids[s], **({} if p is None else {"providerId": shop.provider_ids[p]})}
        for s, p in wanted
    ]


async def hold(guest: Visitor, start: datetime | None, wanted: list[dict[str, Any]], **extra: Any) -> Answer:
    return await guest.hold(start, **{"serviceId": None, "items": wanted, **extra})


async def test_held_as_one_at_the_sum_of_the_prices(shop: Shop, client: GraphQLClient) -> None:
    guest = Visitor(client, shop)
    held = await hold(guest, at(2, 10), items(shop, (0, 0), (1, 1)))
    assert held["__typename"] == "HoldSlotPayload", held
    assert (held["hold"]["startsAt"], held["hold"]["endsAt"]) == (iso(at(2, 10)), iso(at(2, 11, 30)))
    assert held["hold"]["price"]["amountMinor"] == 4_000
    assert held["hold"]["provider"]["id"] == shop.provider_ids[0]
    one, two = shop.provider_uuids
    assert await taken_of(shop, one) == [(at(2, 9, 55), at(2, 10, 40), "held")]
    assert await taken_of(shop, two) == [(at(2, 10, 30), at(2, 11, 30), "held")]
    events = await rows_of(shop, "SELECT subject_id FROM outbox_event WHERE type = 'allocation.claimed'")
    assert {event["subject_id"] for event in events} == {one, two}


async def test_one_person_is_never_in_their_own_way(shop: Shop, client: GraphQLClient) -> None:
    """Two cuts in a row: the buffers between them count for nothing, and their time is one claim."""
    guest = Visitor(client, shop)
    held = await hold(guest, at(2, 10), items(shop, (0, 0), (0, 0), (1, 1), (0, 0)))
    assert held["__typename"] == "HoldSlotPayload", held
    assert await taken_of(shop, shop.provider_uuids[0]) == [
        (at(2, 9, 55), at(2, 11, 10), "held"),
        (at(2, 11, 55), at(2, 12, 40), "held"),
    ]


async def test_buffers_that_meet_across_somebody_else_make_one_claim(services: Services, client: GraphQLClient) -> None:
    long = {"buffer_before_minutes": 20, "buffer_after_minutes": 20}
    shop = await make_shop(services, providers=2, service=long, more_services=({},))
    held = await hold(Visitor(client, shop), at(2, 10), items(shop, (0, 0), (1, 1), (0, 0)))
    assert held["__typename"] == "HoldSlotPayload", held
    assert await taken_of(shop, shop.provider_uuids[0]) == [(at(2, 9, 40), at(2, 11, 50), "held")]


async def test_anyone_is_few_people_and_the_least_booked(shop: Shop, client: GraphQLClient) -> None:
    guest = Visitor(client, shop)
    await guest.held(at(2, 8), providerId=shop.provider_ids[0])
    held = await hold(guest, at(2, 10), items(shop, (0, None), (1, None)))
    assert held["hold"]["provider"]["id"] == shop.provider_ids[1]
    assert len(await taken_of(shop, shop.provider_uuids[1])) == 1
    # The second is busy from here on: two people have to do it together.
    await guest.held(at(2, 14, 45), providerId=shop.provider_ids[1])
    await guest.held(at(2, 13), providerId=shop.provider_ids[0])
    held = await hold(guest, at(2, 13), items(shop, (0, None), (1, None)))
    assert held["__typename"] == "HoldSlotPayload"


async def test_all_or_nothing(shop: Shop, client: GraphQLClient) -> None:
    guest = Visitor(client, shop)
    await guest.held(at(2, 11), providerId=shop.provider_ids[1])
    before = await live_time(shop)
    refused = await hold(guest, at(2, 10), items(shop, (0, 0), (1, 1)))
    assert (refused["__typename"], refused["reason"]) == ("SlotUnavailable", "HELD")
    assert await live_time(shop) == before
    assert len(await rows_of(shop, "SELECT 1 FROM hold")) == 1
    assert len(await rows_of(shop, "SELECT 1 FROM outbox_event WHERE type = 'allocation.claimed'")) == 1


async def test_hours_of_each_service_at_its_own_time(shop: Shop, client: GraphQLClient) -> None:
    owner = Visitor(client.signed_in(shop.owner.token), shop)
    await owner.publish(hours(("09:00", "12:00")), ownerId=shop.provider_ids[1])
    guest = Visitor(client, shop)
    assert (await hold(guest, at(2, 11), items(shop, (0, 0), (1, 1))))["reason"] == "CLOSED"
    held = await hold(guest, at(2, 10, 30), items(shop, (0, 0), (1, 1)))
    assert held["__typename"] == "HoldSlotPayload"


async def test_lengths_price_and_party(services: Services, client: GraphQLClient) -> None:
    hourly = {"price_type": "hourly", "maximum_duration_minutes": 120, "max_group_size": 3}
    shop = await make_shop(services, service=hourly, more_services=({"max_group_size": 2},))
    guest = Visitor(client, shop)
    wanted = items(shop, (0, None), (1, None))
    wanted[0]["durationMinutes"] = 90
    held = await hold(guest, at(2, 10), wanted, partySize=2)
    assert (held["hold"]["endsAt"], held["hold"]["price"]["amountMinor"]) == (iso(at(2, 12)), 2_500)
    refused = await hold(guest, at(2, 14), wanted, partySize=3)
    assert [violation["path"] for violation in refused["violations"]] == ["input.partySize"]


@pytest.mark.parametrize(
    ("wanted", "extra", "path"),
    [
        ([{"serviceId": 0}, {"serviceId": 1, "durationMinutes": 61}], {}, "input.items.1.durationMinutes"),
        ([{"serviceId": 0, "durationMinutes": -1}], {}, "input.items.0.durationMinutes"),
        ([{"serviceId": 0, "durationMinutes": 2**31 - 1}], {}, "input.items.0.durationMinutes"),
        ([{"serviceId": 0}] * 6, {}, "input.items"),
        ([], {}, "input.items"),
        ([{"serviceId": 0}], {"providerId": 0}, "input.providerId"),
        ([{"serviceId": 0}], {"durationMinutes": 30}, "input.durationMinutes"),
        ([{"serviceId": 0}], {"serviceId": 0}, "input.serviceId"),
        ([{"serviceId": 0}], {"startsAt": None}, "input.startsAt"),
        ([{"serviceId": 0}], {"partySize": 0}, "input.partySize"),
        ([{"serviceId": 0}, {"serviceId": 2}], {}, "input.items.1.serviceId"),
        ([{"serviceId": 3}, {"serviceId": 0, "providerId": 1}], {}, "input.items.1.providerId"),
        ([{"serviceId": 3}] * 5, {}, "input.items"),
    ],
)
async def test_what_a_visit_cannot_be(
    services: Services, client: GraphQLClient, wanted: list[dict[str, Any]], extra: dict[str, Any], path: str
) -> None:
    more = (COLOUR, {"price_type": "custom"}, {"duration_minutes": 300})
    shop = await make_shop(services, providers=2, more_services=more)
    await rows_of(
        shop,
        "UPDATE offer SET is_active = false WHERE provider_id = :p AND service_id = :s RETURNING 1",
        p=shop.provider_uuids[1],
        s=shop.service_uuids[0],
    )

    def named(facts: dict[str, Any]) -> dict[str, Any]:
        ids = {"serviceId": shop.service_ids, "providerId": shop.provider_ids}
        return {name: ids[name][value] if name in ids else value for name, value in facts.items()}

    answer = await hold(Visitor(client, shop), at(2, 10), [named(item) for item in wanted], **named(extra))
    assert answer["__typename"] == "InvalidInput", answer
    assert [violation["path"] for violation in answer["violations"]] == [path]


async def test_neither_service_nor_items_nor_session(shop: Shop, client: GraphQLClient) -> None:
    refused = await Visitor(client, shop).hold(at(2, 10), serviceId=None)
    assert [violation["path"] for violation in refused["violations"]] == ["input.serviceId"]


async def test_what_is_not_there_reads_the_same(shop: Shop, services: Services, client: GraphQLClient) -> None:
    other = await make_shop(services)
    guest = Visitor(client, shop)
    ours = shop.service_ids[0]
    answers = [
        await hold(guest, at(2, 10), [{"serviceId": ours}, {"serviceId": second}])
        for second in (f"svc_{UNKNOWN}", other.service_id)
    ]
    answers.append(await hold(guest, at(2, 10), [{"serviceId": ours, "providerId": other.provider_id}]))
    await set_active(shop, "service", shop.service_uuids[1], False)
    answers.append(await hold(guest, at(2, 10), items(shop, (0, None), (1, None))))
    assert answers[0]["__typename"] == "NotFound"
    assert all(answer == answers[0] for answer in answers)
    wrong = {
        "serviceId": None,
        "startsAt": iso(at(2, 10)),
        "items": [{"serviceId": ours}, {"serviceId": shop.venue_id}],
    }
    [error] = (await client.raw(op.HOLD, {"input": wrong}))["errors"]
    assert error["extensions"]["violations"][0]["path"] == "input.items.1.serviceId"


async def test_the_longest_notice_and_the_nearest_horizon_count(services: Services, client: GraphQLClient) -> None:
    far = {"advance_notice_minutes": 3 * 1440, "maximum_advance_days": 300}
    near = {"advance_notice_minutes": 0, "maximum_advance_days": 10}
    shop = await make_shop(services, service=far, more_services=(near,))
    guest, staff = Visitor(client, shop), await colleague(client, shop, Role.STAFF)
    wanted = items(shop, (1, None), (0, None))
    assert (await hold(guest, at(2, 10), wanted))["reason"] == "NOTICE"
    assert (await hold(staff, at(2, 10), wanted))["__typename"] == "HoldSlotPayload"
    assert (await hold(guest, at(12, 10), wanted))["reason"] == "HORIZON"


async def test_rooms_of_each_service(services: Services, client: GraphQLClient) -> None:
    """One room serves both services: it is taken once, from the first to the last."""
    shop = await make_shop(services, providers=2, service=CUT, more_services=({},))
    room = await make_room(shop, 2)
    await need_any(shop, room)
    await need_any(shop, room, service=1)
    guest = Visitor(client, shop)
    await hold(guest, at(2, 10), items(shop, (0, 0), (1, 1)))
    assert await taken_of(shop, room.units[0]) == [(at(2, 9, 55), at(2, 11), "held")]
    assert await taken_of(shop, room.units[1]) == []
    # The first room is free only for the first service: the second one takes another.
    await guest.held(at(2, 12, 45), providerId=shop.provider_ids[0], serviceId=shop.service_ids[1])
    held = await hold(guest, at(2, 12), items(shop, (0, 0), (1, 1)))
    assert held["__typename"] == "HoldSlotPayload"
    taken = [await taken_of(shop, unit) for unit in room.units]
    assert taken[1][-1] == (at(2, 12, 30), at(2, 13), "held") or taken[1] == [(at(2, 11, 55), at(2, 13), "held")]


async def test_released_extended_and_lapsed_as_one(shop: Shop, client: GraphQLClient, clock: MovableClock) -> None:
    guest = Visitor(client, shop)
    wanted = items(shop, (0, 0), (1, 1))
    held = await guest.held(at(3, 10), serviceId=None, items=wanted)
    before = instant(held.answer["expiresAt"])
    extended = await guest.extend(held)
    assert instant(extended["expiresAt"]) - before == timedelta(minutes=10)
    rows = await rows_of(shop, "SELECT DISTINCT expires_at FROM allocation WHERE status = 'held'")
    assert [row["expires_at"] for row in rows] == [instant(extended["expiresAt"])]
    assert (await guest.release(held))["status"] == "RELEASED"
    assert await live_time(shop) == []
    held = await guest.held(at(3, 10), serviceId=None, items=wanted)
    clock.move(timedelta(minutes=11))
    await guest.held(at(3, 10, 30), providerId=shop.provider_ids[1])  # claims one part over
    assert (await guest.book(held))["__typename"] == "HoldExpired"
    assert (await guest.extend(held))["__typename"] == "HoldExpired"
    assert (await guest.held(at(3, 10), providerId=shop.provider_ids[0])).answer["status"] == "ACTIVE"
    states = await rows_of(shop, "SELECT status FROM hold WHERE id = :id", id=decode_id(IdKind.HOLD, held.id))
    assert states == [{"status": "expired"}]


async def test_many_at_one_visit_have_one_winner(shop: Shop, client: GraphQLClient) -> None:
    guest = Visitor(client, shop)
    wanted = items(shop, (0, 0), (1, 1))
    answers = await asyncio.gather(*(hold(guest, at(2, 10), wanted) for _ in range(12)))
    assert Counter(answer["__typename"] for answer in answers) == {"HoldSlotPayload": 1, "SlotUnavailable": 11}
    # Anyone: both people are found for two visits at once, whoever is faster.
    anyone = items(shop, (0, None), (1, None))
    answers = await asyncio.gather(*(hold(guest, at(3, 10), anyone) for _ in range(6)))
    assert Counter(answer["__typename"] for answer in answers) == {"HoldSlotPayload": 2, "SlotUnavailable": 4}


async def test_alternatives_are_starts_of_the_whole_visit(shop: Shop, client: GraphQLClient) -> None:
    guest = Visitor(client, shop)
    wanted = items(shop, (0, 0), (1, 1))
    await hold(guest, at(2, 10), wanted)
    refused = await hold(guest, at(2, 10), wanted)
    assert refused["alternatives"]
    first = refused["alternatives"][0]
    assert instant(first["endsAt"]) - instant(first["startsAt"]) == timedelta(minutes=90)
    assert (await hold(guest, instant(first["startsAt"]), wanted))["__typename"] == "HoldSlotPayload"


async def test_alternatives_are_the_cheapest_of_the_nearest_starts(services: Services, client: GraphQLClient) -> None:
    shop = await shop_of_prices(services, sixfold(12), weekly=OFFICE)
    guest = Visitor(client, shop)
    refused = await hold(guest, at(2, 18), five_times(shop))
    assert refused["__typename"] == "SlotUnavailable", refused
    starts = [(2, 14.5), (2, 14), (2, 13.5), (2, 13), (2, 9.5), (2, 9)]
    assert [slot["startsAt"] for slot in refused["alternatives"]] == [
        iso(at(day, int(hour), int(hour % 1 * 60))) for day, hour in starts
    ]
    assert {slot["price"]["amountMinor"] for slot in refused["alternatives"]} == {500}
    assert {tuple(slot["providerIds"]) for slot in refused["alternatives"]} == {(shop.provider_ids[0],)}


async def test_who_takes_too_long_is_not_chosen(services: Services, client: GraphQLClient) -> None:
    """No visit is longer than a day, whoever is free: claims reach no further than all who look for them know."""
    shop = await make_shop(services, providers=2, weekly=ALWAYS, more_services=({},))
    quick = shop.provider_id
    await set_offer(shop, 1, duration_minutes=1_440)
    guest, anyone = Visitor(client, shop), items(shop, (0, None), (1, None))
    await guest.booked(at(2, 20), hold={"providerId": quick})  # from now on the other one is asked first
    held = await hold(guest, at(2, 10), anyone)
    assert held["__typename"] == "HoldSlotPayload", held
    assert held["hold"]["provider"]["id"] == quick
    refused = await hold(guest, at(2, 20), anyone)
    assert refused["__typename"] == "InvalidInput", refused
    assert [violation["path"] for violation in refused["violations"]] == ["input.items"]
    assert (await hold(guest, at(3, 10), items(shop, (0, 1), (1, 0))))["__typename"] == "InvalidInput"


async def test_a_repeated_key_holds_once(shop: Shop, client: GraphQLClient) -> None:
    guest, key = Visitor(client, shop), str(uuid4())
    wanted = items(shop, (0, 0), (1, 1))
    first = await hold(guest, at(2, 10), wanted, idempotencyKey=key)
    assert await hold(guest, at(2, 10), wanted, idempotencyKey=key) == first
    other = await hold(guest, at(2, 10), items(shop, (1, 1), (0, 0)), idempotencyKey=key)
    assert other["__typename"] == "IdempotencyConflict"


async def test_budget(shop: Shop, client: GraphQLClient, statements: StatementLog) -> None:
    room = await make_room(shop, 4)
    for service in (0, 1):
        await need_any(shop, room, service=service)
    guest = Visitor(client, shop)
    for day, people in ((2, (0, 1)), (3, (None, None))):
        statements.clear()
        wanted = items(shop, (0, people[0]), (1, people[1]))
        held = await hold(guest, at(day, 10), wanted, idempotencyKey=str(uuid4()))
        assert held["__typename"] == "HoldSlotPayload"
        assert len(statements) <= 8, statements.statements
