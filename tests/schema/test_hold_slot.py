"""Holding a slot for the time of a checkout."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.domain.membership import Role
from app.resolvers.context import Services
from tests.fixtures_api import GraphQLClient, MovableClock, StatementLog, make_settings, serve
from tests.journey import Visitor, account, colleague, instant, live_time, rows_of
from tests.schema import operations as op
from tests.shop import OFFICE, at, iso, make_shop, set_active, set_offer

MINUTE = timedelta(minutes=1)


async def test_a_hold_keeps_the_slot_at_its_price_for_ten_minutes(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services)
    guest = Visitor(client, shop)
    before = datetime.now(UTC)
    held = await guest.held(at(2, 10))
    assert held.answer["status"] == "ACTIVE"
    assert (held.answer["startsAt"], held.answer["endsAt"]) == (iso(at(2, 10)), iso(at(2, 10, 30)))
    assert held.answer["price"] == {"amountMinor": 1_000, "currency": "USD"}
    assert held.answer["provider"] == {"id": shop.provider_id, "name": "Provider 0"}
    assert held.answer["partySize"] == 1
    assert timedelta(0) <= instant(held.answer["expiresAt"]) - before - 10 * MINUTE < timedelta(seconds=5)
    assert await live_time(shop) == [(at(2, 10), at(2, 10, 30), "held")]
    free = await guest.starts(at(2, 0).date())
    assert at(2, 9, 30) in free
    assert at(2, 10, 30) in free
    assert not {at(2, 9, 45), at(2, 10), at(2, 10, 15)} & set(free)


async def test_a_taken_slot_answers_with_the_nearest_others(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, slot_interval=30)
    guest = Visitor(client, shop)
    await guest.held(at(2, 10))
    refused = await guest.hold(at(2, 10))
    assert (refused["__typename"], refused["code"], refused["reason"]) == (
        "SlotUnavailable",
        "SLOT_UNAVAILABLE",
        "HELD",
    )
    offered = [instant(slot["startsAt"]) for slot in refused["alternatives"]]
    assert offered == [at(2, 10) + n * MINUTE for n in (-30, 30, -60, 60, -90, 90)]
    assert refused["alternatives"][0]["providerIds"] == [shop.provider_id]


async def test_the_reason_tells_what_is_in_the_way(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, service={"buffer_after_minutes": 15})
    guest = Visitor(client, shop)
    await guest.booked(at(2, 10))
    ways: list[dict[str, Any]] = [{"providerId": shop.provider_id}, {}]
    for named in ways:
        assert (await guest.hold(at(2, 10, 15), **named))["reason"] == "BOOKED"
        assert (await guest.hold(at(2, 10, 30), **named))["reason"] == "BUFFER"


@pytest.mark.parametrize(
    ("start", "reason"),
    [
        (at(2, 8), "CLOSED"),
        (at(2, 16, 45), "CLOSED"),
        (at(2, 12, 15), "BREAK"),
        (at(2, 10, 7), "CLOSED"),
        (at(2, 10) + timedelta(seconds=30), "CLOSED"),
        (at(-1, 10), "CLOSED"),  # there was no schedule yet
        (at(1, 9), "NOTICE"),
        (at(40, 10), "HORIZON"),
        (at(20_000, 10), "HORIZON"),
    ],
)
async def test_what_the_rules_refuse(services: Services, client: GraphQLClient, start: datetime, reason: str) -> None:
    rules = {"advance_notice_minutes": 2 * 1440, "maximum_advance_days": 30}
    shop = await make_shop(services, weekly=OFFICE, service=rules)
    refused = await Visitor(client, shop).hold(start)
    assert refused["__typename"] == "SlotUnavailable", refused
    assert refused["reason"] == reason
    distances = [abs(instant(slot["startsAt"]) - start) for slot in refused["alternatives"]]
    assert len(distances) == 6
    assert distances == sorted(distances)
    assert await live_time(shop) == []


async def test_alternatives_are_of_others_where_the_wanted_one_has_none(
    services: Services, client: GraphQLClient
) -> None:
    shop = await make_shop(services, providers=2)
    guest = Visitor(client, shop)
    owner = Visitor(client.signed_in(shop.owner.token), shop)
    assert (await owner.publish([]))["__typename"] == "PublishSchedulePayload"
    refused = await guest.hold(at(2, 10), providerId=shop.provider_id)
    assert refused["reason"] == "CLOSED"
    assert {tuple(slot["providerIds"]) for slot in refused["alternatives"]} == {(shop.provider_ids[1],)}


async def test_alternatives_further_away_than_two_weeks(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, weekly=None)
    owner = Visitor(client.signed_in(shop.owner.token), shop)
    opened = at(25, 0).date()
    week = [{"weekday": day, "open": [{"start": "10:00", "end": "11:00"}]} for day in ("MONDAY", "TUESDAY")]
    week += [{"weekday": day, "open": [{"start": "10:00", "end": "11:00"}]} for day in ("THURSDAY", "SATURDAY")]
    await owner.publish(week, effectiveFrom=opened.isoformat())
    refused = await owner.hold(at(3, 10))
    assert refused["alternatives"]
    assert all(instant(slot["startsAt"]).date() >= opened for slot in refused["alternatives"])


async def test_anyone_is_the_least_booked_that_day_then_the_first_by_id(
    services: Services, client: GraphQLClient
) -> None:
    shop = await make_shop(services, providers=3)
    guest = Visitor(client, shop)
    one, two, three = shop.provider_ids
    await guest.held(at(3, 9), providerId=one)  # another day counts for nothing
    await guest.held(at(2, 9), providerId=one)
    chosen = [(await guest.held(at(2, hour))).answer["provider"]["id"] for hour in (10, 11, 12)]
    assert chosen == [two, three, one]
    chosen = [(await guest.held(at(2, 14))).answer["provider"]["id"] for _ in range(3)]
    assert sorted(chosen) == shop.provider_ids
    refused = await guest.hold(at(2, 14))
    assert refused["reason"] == "HELD"


async def test_the_longer_visit_and_its_price(services: Services, client: GraphQLClient) -> None:
    hourly = {"price_type": "hourly", "maximum_duration_minutes": 120, "max_group_size": 4}
    shop = await make_shop(services, service=hourly)
    guest = Visitor(client, shop)
    held = await guest.held(at(2, 10), durationMinutes=90, partySize=4)
    assert held.answer["endsAt"] == iso(at(2, 11, 30))
    assert held.answer["price"]["amountMinor"] == 1_500
    assert held.answer["partySize"] == 4
    assert (await guest.held(at(2, 12))).answer["price"]["amountMinor"] == 500


async def test_a_price_of_more_than_32_bits(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, service={"price_minor": 2**53 - 1})
    made = await Visitor(client, shop).booked(at(2, 10))
    assert made.answer["price"]["amountMinor"] == 2**53 - 1


async def test_a_providers_own_length_and_price(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, providers=2)
    slow = shop.provider_ids[1]
    await set_offer(shop, 1, price_minor=2_000, duration_minutes=45)
    guest = Visitor(client, shop)
    held = await guest.held(at(2, 10), providerId=slow)
    assert (held.answer["endsAt"], held.answer["price"]["amountMinor"]) == (iso(at(2, 10, 45)), 2_000)
    assert (await guest.held(at(2, 12), durationMinutes=45)).answer["provider"]["id"] == slow
    assert (await guest.held(at(2, 12), durationMinutes=30)).answer["provider"]["id"] == shop.provider_id
    refused = await guest.hold(at(2, 14), providerId=slow, durationMinutes=30)
    assert refused["violations"] == [{"path": "input.durationMinutes", "message": "must be 45 for this service"}]
    refused = await guest.hold(at(2, 14), durationMinutes=40)
    assert refused["violations"][0]["path"] == "input.durationMinutes"


@pytest.mark.parametrize(
    ("wanted", "path"),
    [
        ({"durationMinutes": 29}, "input.durationMinutes"),
        ({"durationMinutes": 121}, "input.durationMinutes"),
        ({"durationMinutes": 0}, "input.durationMinutes"),
        ({"durationMinutes": -1}, "input.durationMinutes"),
        ({"durationMinutes": 2**31 - 1}, "input.durationMinutes"),
        ({"partySize": 0}, "input.partySize"),
        ({"partySize": -1}, "input.partySize"),
        ({"partySize": 4}, "input.partySize"),
        ({"items": []}, "input.items"),
        ({"sessionId": "ses_01h2xcejqtf2nbrexx3vqjhp41", "startsAt": None}, "input.serviceId"),
        ({"serviceId": None}, "input.serviceId"),
        ({"startsAt": None}, "input.startsAt"),
    ],
)
async def test_what_the_service_does_not_allow(
    services: Services, client: GraphQLClient, wanted: dict[str, Any], path: str
) -> None:
    shop = await make_shop(services, service={"maximum_duration_minutes": 120, "max_group_size": 3})
    refused = await Visitor(client, shop).hold(at(2, 10), **wanted)
    assert refused["__typename"] == "InvalidInput"
    assert [violation["path"] for violation in refused["violations"]] == [path]


async def test_a_price_by_quote_is_refused(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, service={"price_type": "custom"})
    refused = await Visitor(client, shop).hold(at(2, 10))
    assert refused["violations"][0]["path"] == "input.serviceId"
    assert "quote" in refused["message"]


async def test_who_does_not_offer_it(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, providers=2)
    guest, staff = Visitor(client, shop), await colleague(client, shop, Role.STAFF)
    first = shop.provider_uuids[0]
    await rows_of(shop, "UPDATE offer SET is_active = false WHERE provider_id = :id RETURNING 1", id=first)
    for visitor in (guest, staff):
        refused = await visitor.hold(at(2, 10), providerId=shop.provider_id)
        assert refused["violations"][0]["path"] == "input.providerId"
    await set_active(shop, "provider", shop.provider_uuids[0], False)
    assert (await guest.hold(at(2, 10), providerId=shop.provider_id))["__typename"] == "NotFound"
    refused = await staff.hold(at(2, 10), providerId=shop.provider_id)
    assert refused["violations"][0]["path"] == "input.providerId"
    assert (await guest.held(at(2, 10))).answer["provider"]["id"] == shop.provider_ids[1]
    await set_active(shop, "provider", shop.provider_uuids[1], False)
    refused = await guest.hold(at(2, 12))
    assert (refused["reason"], refused["alternatives"]) == ("INACTIVE", [])


async def test_what_is_not_there_reads_the_same_whatever_the_cause(services: Services, client: GraphQLClient) -> None:
    shop, other, closed = await make_shop(services), await make_shop(services), await make_shop(services)
    gone, moved_out = await make_shop(services), await make_shop(services)
    await set_active(closed, "service", closed.service_uuids[0], False)
    await set_active(gone, "provider", gone.provider_uuids[0], False)
    await set_active(moved_out, "venue", moved_out.venue_uuid, False)
    guest = Visitor(client, shop)
    unknown = "01h2xcejqtf2nbrexx3vqjhp41"
    answers = [
        await guest.hold(at(2, 10), serviceId=f"svc_{unknown}"),
        await guest.hold(at(2, 10), providerId=f"prv_{unknown}"),
        await guest.hold(at(2, 10), providerId=other.provider_id),
        await Visitor(client, closed).hold(at(2, 10)),
        await Visitor(client, gone).hold(at(2, 10), providerId=gone.provider_id),
        await Visitor(client, moved_out).hold(at(2, 10), providerId=moved_out.provider_id),
    ]
    assert answers[0]["__typename"] == "NotFound"
    assert all(answer == answers[0] for answer in answers)


async def test_a_signed_in_guest_holds_three_at_a_time(
    services: Services, client: GraphQLClient, clock: MovableClock
) -> None:
    shop = await make_shop(services)
    guest = await account(client, shop, "guest")
    answers = await asyncio.gather(*(guest.hold(at(2, 8 + n)) for n in range(10)))
    assert Counter(answer["__typename"] for answer in answers) == {"HoldSlotPayload": 3, "RateLimited": 7}
    refused = next(answer for answer in answers if answer["__typename"] == "RateLimited")
    assert 590 <= refused["retryAfterSeconds"] <= 600
    assert len(await live_time(shop)) == 3
    clock.move(timedelta(minutes=11))  # they ran out, and nobody swept them up
    assert (await guest.hold(at(2, 20)))["__typename"] == "HoldSlotPayload"


async def test_what_was_released_or_booked_counts_no_more(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services)
    guest = await account(client, shop, "guest")
    first, second, _ = [await guest.held(at(2, 8 + n)) for n in range(3)]
    assert (await guest.hold(at(2, 15)))["__typename"] == "RateLimited"
    await guest.release(first)
    await guest.held(at(2, 15))
    await guest.book(second)
    await guest.held(at(2, 16))
    assert (await guest.hold(at(2, 17)))["__typename"] == "RateLimited"


async def test_staff_have_neither_limit_nor_notice(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, service={"advance_notice_minutes": 10 * 1440})
    staff = await colleague(client, shop, Role.STAFF)
    for n in range(5):
        await staff.held(at(2, 8 + n))
    assert (await Visitor(client, shop).hold(at(2, 20)))["reason"] == "NOTICE"


async def test_an_address_has_a_limit_too(database_url: str, redis_url: str, http: httpx.AsyncClient) -> None:
    async with serve(make_settings(database_url, redis_url, hold_limit_per_address=2)) as server:
        shop = await make_shop(server.api.services)
        client = GraphQLClient(http, server.graphql_url)
        guest, staff = Visitor(client, shop), await colleague(client, shop, Role.STAFF)
        await staff.held(at(3, 8))  # the desk sits at the same address, and is not counted
        answers = await asyncio.gather(*(guest.hold(at(2, 8 + n)) for n in range(6)))
        assert Counter(answer["__typename"] for answer in answers) == {"HoldSlotPayload": 2, "RateLimited": 4}
        await staff.held(at(3, 9))


async def test_a_lapsed_hold_is_claimed_over_before_any_sweep(
    services: Services, client: GraphQLClient, clock: MovableClock
) -> None:
    shop = await make_shop(services)
    guest = Visitor(client, shop)
    first = await guest.held(at(2, 10))
    clock.move(timedelta(minutes=10, seconds=1))
    assert at(2, 10) in await guest.starts(at(2, 0).date())
    answers = await asyncio.gather(*(guest.hold(at(2, 10)) for _ in range(8)))
    assert Counter(answer["__typename"] for answer in answers) == {"HoldSlotPayload": 1, "SlotUnavailable": 7}
    late = await guest.book(first)
    assert (late["__typename"], late["message"]) == ("HoldExpired", "This hold ran out.")
    assert (await guest.release(first))["__typename"] == "HoldExpired"


async def test_many_at_one_slot_have_one_winner(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services)
    guest = Visitor(client, shop)
    answers = await asyncio.gather(*(guest.hold(at(2, 10), providerId=shop.provider_id) for _ in range(30)))
    assert Counter(answer["__typename"] for answer in answers) == {"HoldSlotPayload": 1, "SlotUnavailable": 29}
    assert all(len(a["alternatives"]) == 6 for a in answers if a["__typename"] == "SlotUnavailable")


async def test_many_at_overlapping_slots_win_apart(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, providers=2, slot_interval=5)
    guest = Visitor(client, shop)
    answers = await asyncio.gather(*(guest.hold(at(2, 10) + n % 20 * 5 * MINUTE) for n in range(40)))
    assert {answer["__typename"] for answer in answers} == {"HoldSlotPayload", "SlotUnavailable"}
    taken: dict[str, list[tuple[str, str]]] = {}
    for answer in answers:
        if "hold" in answer:
            hold = answer["hold"]
            taken.setdefault(hold["provider"]["id"], []).append((hold["startsAt"], hold["endsAt"]))
    for spans in taken.values():
        ordered = sorted(spans)
        assert all(earlier[1] <= later[0] for earlier, later in pairwise(ordered))


async def test_budget(services: Services, client: GraphQLClient, statements: StatementLog) -> None:
    shop = await make_shop(services, providers=3)
    guest = Visitor(client, shop)
    ways: list[dict[str, Any]] = [{"providerId": shop.provider_id}, {}]
    for named in ways:
        statements.clear()
        await guest.held(at(2, 10), idempotencyKey=str(uuid4()), **named)
        assert len(statements) <= 8, statements.statements


async def test_the_token_is_the_holders_alone(services: Services, client: GraphQLClient) -> None:
    """Nothing but the payload carries it: the hold itself may be seen by staff."""
    shop = await make_shop(services)
    held = await Visitor(client, shop).held(at(2, 10))
    owner = client.signed_in(shop.owner.token)
    seen = await owner("query ($id: ID!) { node(id: $id) { id ... on Hold { status } } }", {"id": held.id})
    assert seen == {"id": held.id, "status": "ACTIVE"}
    assert held.token not in str(await owner.raw(op.EXTEND, {"id": held.id, "token": "wrong"}))
