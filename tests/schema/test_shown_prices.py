"""What reads say that a start costs: what a hold would lock at that moment, wherever it is shown."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from functools import partial
from random import Random
from typing import Any

import pytest

from app.domain.price_rule import Between, Season
from app.queries.availability_facts import STATEMENT, Told
from app.resolvers.context import Services
from tests.classes import ONE, SESSION, SESSIONS, make_class
from tests.facts import Follower
from tests.fixtures_api import GraphQLClient, MovableClock, StatementLog
from tests.journey import Answer, Visitor, instant
from tests.price_terms import add_rule, change_rule, priced_hold, set_terms, switch_off, total
from tests.schema import operations as op
from tests.shop import Shop, at, iso, make_shop, set_offer

HAS_SLOTS = "query ($input: AvailabilityInput!) { availability(input: $input) { days { hasSlots starts } } }"
PRICED_SESSIONS = SESSIONS.replace(SESSION, f"{SESSION} price {{ amountMinor currency }}")
BUENOS_AIRES = "America/Argentina/Buenos_Aires"


def slots_of(found: Answer) -> list[Answer]:
    return [slot for day in found["days"] for slot in day["slots"]]


def prices_at(found: Answer, start: datetime) -> list[int]:
    return [slot["price"]["amountMinor"] for slot in slots_of(found) if instant(slot["startsAt"]) == start]


async def random_rules(rng: Random, shop: Shop) -> None:
    for number in range(rng.randint(2, 4)):
        first = date.today() + timedelta(days=rng.randint(0, 5))  # noqa: DTZ011 - any day will do
        lead = rng.randint(0, 8 * 1_440)
        change = rng.choice((-1_500, 700, 2_345))
        values: dict[str, Any] = {
            "weekdays": rng.sample(range(7), 4) if rng.random() < 0.5 else [],
            "hours": (rng.randint(0, 1_439), rng.randint(0, 1_440)) if rng.random() < 0.5 else None,
            "lead_time": rng.choice((None, Between(lead), Between(None, lead))),
            "occupancy": rng.choice((None, None, Between(100), Between(None, 300))),
            "seasons": [Season(first, first + timedelta(days=2))] if rng.random() < 0.3 else [],
            "provider_ids": [rng.choice(shop.provider_uuids)] if rng.random() < 0.3 else [],
            "is_exclusive": rng.random() < 0.2,
            "priority": number % 2,
        }
        await add_rule(shop, **{rng.choice(("rate_bps", "amount_minor")): change, **values})
    await set_terms(shop, tax_bps=2_100, tax_included=rng.random() < 0.5, price_ceiling_bps=rng.choice((None, 12_000)))


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_the_rules_a_hold_locks_what_was_shown(
    services: Services, client: GraphQLClient, seed: int
) -> None:
    rng = Random(seed)
    shop = await make_shop(services, providers=2, time_zone=BUENOS_AIRES, more_services=({"price_minor": 333},))
    await set_offer(shop, 1, price_minor=1_777)
    guest = Visitor(client, shop)
    await random_rules(rng, shop)
    for days in rng.sample(range(1, 9), 4):
        start = at(days, rng.randint(3, 22), rng.choice((0, 15, 30)))
        day, other = start.date(), timedelta(days=1)
        provider = rng.choice(shop.provider_ids)
        [shown] = prices_at(await guest.search(day - other, day + other, providerIds=[provider]), start)
        anyone = slots_of(await guest.search(day - other, day + other))
        [slot] = [one for one in anyone if instant(one["startsAt"]) == start and provider in one["providerIds"]]
        held = await priced_hold(guest, start, providerId=provider)
        assert total(held) == shown == slot["price"]["amountMinor"]
        assert held["price"]["currency"] == slot["price"]["currency"]

        visit: dict[str, Any] = {"items": [{"serviceId": one, "providerId": provider} for one in shop.service_ids]}
        start += timedelta(hours=1)
        seen = await client(op.AVAILABILITY, {"input": {**_window(start), **visit}})
        assert total(await priced_hold(guest, **visit, startsAt=iso(start))) == prices_at(seen, start)[0]


def _window(start: datetime) -> dict[str, Any]:
    days = {"from": (start - timedelta(days=1)).date(), "to": (start + timedelta(days=1)).date()}
    return {**{name: day.isoformat() for name, day in days.items()}, "timeZone": "UTC"}


async def test_people_at_other_prices_are_slots_of_their_own(services: Services, client: GraphQLClient) -> None:
    """One for each start, end and price; cheapest first."""
    shop = await make_shop(services, providers=3)
    one, two, three = shop.provider_ids
    await add_rule(shop, rate_bps=1_000, provider_ids=[shop.provider_uuids[1]], hours=(10 * 60, 11 * 60))
    found = await Visitor(client, shop).search(at(2, 0).date())
    by_start: dict[datetime, list[tuple[int, list[str]]]] = {}
    for slot in slots_of(found):
        entry = slot["price"]["amountMinor"], slot["providerIds"]
        by_start.setdefault(instant(slot["startsAt"]), []).append(entry)
        assert slot["remaining"] == len(slot["providerIds"])
    assert by_start[at(2, 9)] == [(1_000, [one, two, three])]
    assert by_start[at(2, 10, 45)] == [(1_000, [one, three]), (1_100, [two])]
    assert by_start[at(2, 11)] == [(1_000, [one, two, three])]
    assert found["days"][0]["starts"] == [iso(start) for start in by_start]


async def test_the_next_slot_the_alternatives_and_a_refusal_say_it_too(
    services: Services, client: GraphQLClient
) -> None:
    shop = await make_shop(services, slot_interval=30)
    guest = Visitor(client, shop)
    await add_rule(shop, rate_bps=5_000, hours=(10 * 60, 11 * 60))
    await set_terms(shop, tax_bps=1_000, tax_included=False)
    await guest.held(at(2, 10))
    found = await guest.search(at(2, 0).date())
    assert found["nextAvailable"]["price"] == {"amountMinor": 1_100, "currency": "USD", "amount": "11.00"}
    refused = await guest.hold(at(2, 10))
    alternatives = {instant(slot["startsAt"]): slot["price"]["amountMinor"] for slot in refused["alternatives"]}
    assert alternatives[at(2, 9, 30)] == alternatives[at(2, 11)] == 1_100
    assert alternatives[at(2, 10, 30)] == 1_650
    two_hours = {"items": [{"serviceId": shop.service_id}] * 2}
    refused = await client(op.HOLD, {"input": {**two_hours, "startsAt": iso(at(2, 10))}})
    visits = {instant(slot["startsAt"]): slot["price"]["amountMinor"] for slot in refused["alternatives"]}
    assert (visits[at(2, 9)], visits[at(2, 10, 30)]) == (2_200, 1_650 + 1_100)


async def test_the_next_slot_beyond_the_window(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, service={"advance_notice_minutes": 3 * 1_440})
    await add_rule(shop, amount_minor=1, lead_time=Between(None, 3 * 1_440 + 30))
    found = await Visitor(client, shop).search(at(0, 0).date())
    assert (found["days"][0]["slots"], found["nextAvailable"]["price"]["amountMinor"]) == ([], 1_001)


async def test_by_quote_there_is_none(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, service={"price_type": "custom"}, more_services=({},))
    await add_rule(shop, rate_bps=1_000)
    await set_terms(shop, tax_bps=1_000, tax_included=False)
    guest = Visitor(client, shop)
    assert {str(slot["price"]) for slot in slots_of(await guest.search(at(2, 0).date()))} == {"None"}
    visit: dict[str, Any] = {**_window(at(2, 0)), "items": [{"serviceId": one} for one in shop.service_ids]}
    seen = await client(op.AVAILABILITY, {"input": visit})
    assert {str(slot["price"]) for slot in slots_of(seen)} == {"None"}


async def test_time_alone_changes_it(services: Services, client: GraphQLClient, clock: MovableClock) -> None:
    shop = await make_shop(services)
    await add_rule(shop, "Last minute", rate_bps=-5_000, lead_time=Between(None, 60))
    guest = Visitor(client, shop)
    clock.move_to(at(1, 9) - timedelta(seconds=30))
    assert [prices_at(await guest.search(at(1, 0).date()), at(1, 9, 45 + n))[0] for n in (0, 15)] == [500, 1_000]
    clock.move_to(at(1, 9) + timedelta(seconds=1))
    assert prices_at(await guest.search(at(1, 0).date()), at(1, 10)) == [500]
    assert total(await priced_hold(guest, at(1, 10))) == 500


# ── sessions ──────────────────────────────────────────────────────────────────────────────────────────


async def test_a_place_of_a_session(services: Services, client: GraphQLClient) -> None:
    yoga = await make_class(client, services, price_minor=1_000, capacity=4)
    shop, guest = yoga.shop, Visitor(client, yoga.shop)

    async def prices() -> list[int]:
        asked = {"activity": yoga.activity_id, "from": f"{at(2, 0).date()}", "to": f"{at(2, 0).date()}", "party": 1}
        return [one["price"]["amountMinor"] for one in await client(PRICED_SESSIONS, asked)]

    assert await prices() == [1_000, 1_000, 1_000]
    await add_rule(shop, "Nine", rate_bps=-1_000, hours=(9 * 60, 10 * 60), activity_ids=[yoga.activity_uuid])
    await add_rule(shop, "Half full", rate_bps=2_000, occupancy=Between(5_000))
    await add_rule(shop, "Services", rate_bps=9_000, service_ids=[shop.service_uuids[0]])
    await set_terms(shop, tax_bps=1_000, tax_included=False)
    assert await prices() == [990, 1_100, 1_100]
    ten = (await yoga.at(at(2, 10)))["id"]
    assert total(await priced_hold(guest, sessionId=ten, partySize=2)) == 2_200
    assert await prices() == [990, 1_320, 1_100]
    one = ONE.replace(SESSION, "price { amountMinor }")
    assert (await client(one, {"id": ten}))["price"] == {"amountMinor": 1_320}
    assert total(await priced_hold(guest, sessionId=ten)) == 1_320
    refused = await yoga.hold(ten, 2)
    nearest = {instant(slot["startsAt"]): slot["price"]["amountMinor"] for slot in refused["alternatives"]}
    assert (nearest[at(2, 9)], nearest[at(2, 11)]) == (990, 1_100)


async def test_sessions_cost_no_statement_for_their_prices(
    services: Services, client: GraphQLClient, statements: StatementLog
) -> None:
    yoga = await make_class(client, services, price_minor=1_000, capacity=4)
    asked = {"activity": yoga.activity_id, "from": f"{at(2, 0).date()}", "to": f"{at(9, 0).date()}", "party": 1}
    counts = []
    for rate_bps in (0, 100, 0):
        if rate_bps:
            await add_rule(yoga.shop, rate_bps=rate_bps)
        statements.clear()
        await client(PRICED_SESSIONS, asked)
        counts.append(len(statements))
    assert counts == [counts[0], counts[0] + 1, counts[0]]
    assert counts[0] <= 3


# ── caches ────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_change_of_prices_is_seen_by_whoever_keeps_facts(services: Services) -> None:
    shop = await make_shop(services, providers=2)
    follower = Follower(services.database, shop)
    await follower.look()
    rule = await add_rule(shop, rate_bps=1_000)
    for change in (
        partial(change_rule, shop, rule, rate_bps=2_000),
        partial(switch_off, shop, rule),
        partial(set_terms, shop, tax_bps=500),
        partial(set_terms, shop, price_floor_bps=500),
    ):
        before = await follower.look()
        await change()
        after = await follower.look()
        assert after.told is Told.WHOLE
        assert (await follower.look()).told is Told.UNCHANGED
        assert after.facts.service.plan.book != before.facts.service.plan.book


async def test_a_rule_that_comes_between_two_statements(
    services: Services, client: GraphQLClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Facts that were read without whole days are not priced by a rule that asks for them."""
    shop = await make_shop(services)
    guest = Visitor(client, shop)
    await guest.held(at(2, 10))
    await add_rule(shop, rate_bps=1)
    straight = services.database.fetch_row

    async def then_a_rule(*asked: Any) -> Any:
        row = await straight(*asked)
        monkeypatch.undo()
        await add_rule(shop, rate_bps=5_000, occupancy=Between(1, 300))
        return row

    monkeypatch.setattr(services.database, "fetch_row", then_a_rule)
    assert prices_at(await guest.search(at(2, 0).date()), at(2, 12)) == [1_500]


async def test_a_search_stays_one_statement(
    services: Services, client: GraphQLClient, statements: StatementLog
) -> None:
    shop = await make_shop(services, providers=2)
    guest = Visitor(client, shop)
    expected: Iterable[tuple[dict[str, Any], int]] = [
        ({}, 0),
        ({"rate_bps": 500, "lead_time": Between(100)}, 2),  # binds to the organization, and reads the book: once
        ({}, 0),
        ({"rate_bps": 500, "occupancy": Between(100)}, 2),
        ({}, 0),
    ]
    for rule, more in expected:
        if rule:
            await add_rule(shop, **rule)
        statements.clear()
        await client(op.AVAILABILITY, guest.search_variables(at(2, 0).date()))
        assert statements.statements[0] == STATEMENT
        assert len(statements) == 1 + more, statements.statements


async def test_without_prices_a_month_makes_none(
    services: Services, client: GraphQLClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether a day has slots, and its bare starts, ask for no price where they are not counted."""
    shop = await make_shop(services)
    await add_rule(shop, rate_bps=1_000)
    guest = Visitor(client, shop)
    asked: list[object] = []
    monkeypatch.setattr("app.domain.free_times.groups_of_masks", lambda *given: asked.append(given))
    query = HAS_SLOTS.replace(" starts", "")
    found = await client(query, guest.search_variables(at(2, 0).date(), at(30, 0).date()))
    assert {day["hasSlots"] for day in found["days"]} == {True}
    assert asked == []
