"""The price of a hold: computed by the rules and terms of its moment, explained, and kept."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from app.domain.membership import Role
from app.domain.price_rule import Between, Season
from app.resolvers.context import Services
from tests.classes import make_class
from tests.fixtures_api import GraphQLClient, MovableClock, StatementLog
from tests.journey import Held, Made, Visitor, account, colleague, instant, rows_of
from tests.price_terms import (
    LINES,
    add_rule,
    change_rule,
    lines,
    priced_hold,
    rule_id,
    set_terms,
    switch_off,
    total,
)
from tests.schema import operations as op
from tests.shop import Shop, at, iso, make_shop, set_offer

AMOUNTS = "amountPaid { amountMinor } amountDue { amountMinor }"
BOOKED = op.BOOK.replace("booking { ", f"booking {{ {LINES} {AMOUNTS} ")


@pytest.fixture
async def shop(services: Services) -> Shop:
    return await make_shop(services)


@pytest.fixture
def guest(shop: Shop, client: GraphQLClient) -> Visitor:
    return Visitor(client, shop)


async def _shown(visitor: Visitor, start: datetime, **extra: Any) -> int:
    """What a search says that a start costs."""
    found = await visitor.search(start.date(), start.date(), **extra)
    [price] = [one["price"]["amountMinor"] for one in found["days"][0]["slots"] if instant(one["startsAt"]) == start]
    return int(price)


async def _booked(visitor: Visitor, priced: dict[str, Any], **extra: Any) -> dict[str, Any]:
    held = Held(priced["id"], priced["token"], priced)
    facts = {"holdId": held.id, "holdToken": held.token, "paymentMethod": "PAY_ON_ARRIVAL", **extra}
    if "customer" not in extra:
        facts["customer"] = {"name": "Ana", "email": "ana@example.com"}
    answer = await visitor.client(BOOKED, {"input": facts})
    assert answer["__typename"] == "CreateBookingPayload", answer
    found: dict[str, Any] = answer["booking"]
    return found


async def test_without_rules_it_is_the_base_price(guest: Visitor) -> None:
    held = await priced_hold(guest, at(2, 10))
    assert (total(held), lines(held)) == (1_000, [("BASE", "Service", 1_000)])
    assert (held["dueNow"], held["tax"]) == ({"amountMinor": 1_000}, {"amountMinor": 0})
    assert held["priceLines"][0] == {
        "kind": "BASE",
        "label": "Service",
        "amount": {"amountMinor": 1_000, "currency": "USD"},
        "itemIndex": 0,
        "ruleId": None,
        "rateBps": None,
    }


async def test_each_line_names_its_rule(guest: Visitor, shop: Shop) -> None:
    day = at(5, 18)
    rules = [
        await add_rule(shop, "Weekday", rate_bps=1_000, weekdays=[day.weekday()], priority=3),
        await add_rule(shop, "Evening", amount_minor=250, hours=(18 * 60, 20 * 60), priority=2),
        await add_rule(shop, "Early bird", rate_bps=-2_000, lead_time=Between(4 * 1_440, None), priority=1),
        await add_rule(shop, "Season", rate_bps=500, seasons=[Season(day.date(), day.date())]),
    ]
    await add_rule(shop, "Another day", rate_bps=9_000, weekdays=[(day.weekday() + 1) % 7])
    await add_rule(shop, "Too late", rate_bps=9_000, lead_time=Between(None, 1_440))
    await add_rule(shop, "Of nobody here", rate_bps=9_000, occupancy=Between(9_999, None))
    held = await priced_hold(guest, day)
    assert lines(held) == [
        ("BASE", "Service", 1_000),
        ("RULE", "Weekday", 100),
        ("RULE", "Evening", 250),
        ("RULE", "Early bird", -200),
        ("RULE", "Season", 50),
    ]
    assert [line["ruleId"] for line in held["priceLines"][1:]] == [rule_id(rule) for rule in rules]
    assert [line["rateBps"] for line in held["priceLines"]] == [None, 1_000, None, -2_000, 500]
    assert total(held) == 1_200
    assert total(await priced_hold(guest, at(5, 17, 30))) == 950


async def test_caps_bound_what_rules_do_and_exclusive_ones_stand_alone(guest: Visitor, shop: Shop) -> None:
    up = await add_rule(shop, "Peak", rate_bps=10_000)
    await set_terms(shop, price_ceiling_bps=15_000, price_floor_bps=7_000)
    held = await priced_hold(guest, at(2, 10))
    assert lines(held)[1:] == [("RULE", "Peak", 1_000), ("CAP", "Highest price", -500)]
    assert total(held) == 1_500
    await add_rule(shop, "Clearance", rate_bps=-9_000, is_exclusive=True, priority=1)
    held = await priced_hold(guest, at(2, 12))
    assert lines(held)[1:] == [("RULE", "Clearance", -900), ("CAP", "Lowest price", 600)]
    await change_rule(shop, up, priority=2)  # what stands alone counts only as the first
    assert lines(await priced_hold(guest, at(2, 14)))[1:] == [("RULE", "Peak", 1_000), ("CAP", "Highest price", -500)]


async def test_hours_are_those_of_the_provider_wherever_the_guest_is(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, time_zone="America/Argentina/Buenos_Aires")
    await add_rule(shop, "Morning", rate_bps=-1_000, hours=(9 * 60, 10 * 60))
    guest = Visitor(client, shop)
    assert [total(await priced_hold(guest, at(2, 12, minute))) for minute in (0, 30)] == [900, 900]
    assert total(await priced_hold(guest, at(2, 11, 30))) == 1_000
    assert total(await priced_hold(guest, at(2, 13))) == 1_000


async def test_own_prices_hourly_ones_and_rules_about_some(services: Services, client: GraphQLClient) -> None:
    hourly = {"price_type": "hourly", "maximum_duration_minutes": 120}
    shop = await make_shop(services, providers=2, service=hourly)
    await set_offer(shop, 1, price_minor=3_000)
    await add_rule(shop, "Senior", amount_minor=111, provider_ids=[shop.provider_uuids[1]])
    guest = Visitor(client, shop)
    one, two = shop.provider_ids
    assert total(await priced_hold(guest, at(2, 10), providerId=one, durationMinutes=90)) == 1_500
    assert total(await priced_hold(guest, at(2, 10), providerId=two, durationMinutes=90)) == 4_500 + 111


async def test_a_full_day_costs_more(guest: Visitor, shop: Shop) -> None:
    await add_rule(shop, "Busy day", rate_bps=5_000, occupancy=Between(200, None))
    assert [await _shown(guest, at(2, hour)) for hour in (12, 13)] == [1_000, 1_000]
    assert total(await priced_hold(guest, at(2, 10))) == 1_000  # 30 of 1440 minutes are 2.08 %: from the next on
    assert [await _shown(guest, at(day, 12)) for day in (2, 3)] == [1_500, 1_000]
    assert [total(await priced_hold(guest, at(day, 12))) for day in (2, 3)] == [1_500, 1_000]


async def test_what_is_shown_is_what_is_held(guest: Visitor, shop: Shop) -> None:
    """By whatever mixture of rules, tax and caps."""
    await add_rule(shop, "Weekdays", rate_bps=333, weekdays=[0, 1, 2, 3], priority=5)
    await add_rule(shop, "Night", rate_bps=-777, hours=(22 * 60, 6 * 60), weekdays=[1, 3, 5])
    await add_rule(shop, "Soon", amount_minor=123, lead_time=Between(None, 3 * 1_440), at_most_minor=99)
    await add_rule(shop, "Far", rate_bps=-1_234, lead_time=Between(5 * 1_440 + 17, None), is_exclusive=True)
    await set_terms(shop, tax_bps=2_100, tax_included=False, price_ceiling_minor=1_100)
    for start in (at(1, 23), at(2, 3, 30), at(3, 5, 30), at(4, 12), at(5, 0), at(6, 22), at(7, 1, 15), at(8, 9)):
        shown = await _shown(guest, start)
        assert total(await priced_hold(guest, start)) == shown, start


async def test_a_rule_that_changes_between_the_read_and_the_hold(guest: Visitor, shop: Shop) -> None:
    rule = await add_rule(shop, rate_bps=1_000)
    assert await _shown(guest, at(2, 10)) == 1_100
    await change_rule(shop, rule, rate_bps=2_000, name="Twice as much")
    first = await priced_hold(guest, at(2, 10))
    assert lines(first)[1:] == [("RULE", "Twice as much", 200)]
    await switch_off(shop, rule)
    assert total(await priced_hold(guest, at(2, 12))) == await _shown(guest, at(2, 14)) == 1_000
    booking = await _booked(guest, first)
    assert (total(booking), lines(booking)[1:]) == (1_200, [("RULE", "Twice as much", 200)])


async def test_while_a_rule_changes_each_hold_has_it_before_or_after(guest: Visitor, shop: Shop) -> None:
    """Never a mixture: the name is that of the rate. And who comes later has the last one."""
    rule = await add_rule(shop, "1", rate_bps=100)

    async def change() -> None:
        for number in range(2, 8):
            await change_rule(shop, rule, name=str(number), rate_bps=100 * number)

    changing = asyncio.ensure_future(change())
    found = await asyncio.gather(*(priced_hold(guest, at(2 + n, 10)) for n in range(12)))
    await changing
    for held in found:
        [(_, name, amount)] = lines(held)[1:]
        assert (amount, total(held)) == (10 * int(name), 1_000 + 10 * int(name))
    assert lines(await priced_hold(guest, at(2, 12)))[1:] == [("RULE", "7", 70)]


async def test_nothing_touches_a_price_that_is_held(guest: Visitor, shop: Shop, client: GraphQLClient) -> None:
    rule = await add_rule(shop, rate_bps=1_000)
    await set_terms(shop, tax_bps=1_000, tax_included=False, tax_label="VAT")
    held = await priced_hold(guest, at(3, 10))
    await change_rule(shop, rule, rate_bps=-5_000)
    await set_terms(shop, tax_bps=0, price_floor_minor=999, deposit_bps=100)
    await set_offer(shop, 0, price_minor=7)
    booking = await _booked(guest, held)
    assert (total(booking), booking["priceLines"]) == (1_210, held["priceLines"])
    assert lines(booking)[-1] == ("TAX", "VAT", 110)
    assert booking["tax"] == {"amountMinor": 110}
    assert [item["price"]["amountMinor"] for item in booking["items"]] == [1_210]
    owner = Visitor(client.signed_in(shop.owner.token), shop)
    moved = await owner.move(Made(booking["id"], "", booking), at(4, 15))
    assert moved["price"]["amountMinor"] == 1_210


async def test_a_visit_is_priced_as_a_whole(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, more_services=({"price_minor": 333, "duration_minutes": 45},))
    second = shop.service_uuids[1]
    await add_rule(shop, "Colour", rate_bps=-1_000, service_ids=[second])
    await add_rule(shop, "After half past ten", amount_minor=10, hours=(10 * 60 + 30, 11 * 60))
    await set_terms(shop, tax_bps=2_100, tax_included=False)
    guest = Visitor(client, shop)
    wanted = {"items": [{"serviceId": one} for one in shop.service_ids], "startsAt": iso(at(2, 10))}
    held = await priced_hold(guest, None, **wanted)
    assert [(one["itemIndex"], one["amount"]["amountMinor"]) for one in held["priceLines"]] == [
        (0, 1_000),
        (1, 333),
        (1, -33),
        (1, 10),
        (None, 275),
    ]
    assert total(held) == 1_585
    booking = await _booked(guest, held)
    prices = [item["price"]["amountMinor"] for item in booking["items"]]
    assert (sum(prices), total(booking)) == (1_585, 1_585)
    assert prices[0] > prices[1] > 0


async def test_places_of_a_session(services: Services, client: GraphQLClient) -> None:
    yoga = await make_class(client, services, price_minor=999, capacity=10)
    await add_rule(yoga.shop, "Half full", amount_minor=50, at_most_minor=20, occupancy=Between(5_000, None))
    await add_rule(yoga.shop, "Of another", rate_bps=9_000, service_ids=[yoga.shop.service_uuids[0]])
    await set_terms(yoga.shop, tax_bps=500)
    guest = Visitor(client, yoga.shop)
    session = (await yoga.at(at(2, 9)))["id"]
    first = await priced_hold(guest, sessionId=session, partySize=5)
    assert (total(first), lines(first)) == (4_995, [("BASE", "Yoga", 4_995)])
    second = await priced_hold(guest, sessionId=session, partySize=3)
    assert lines(second) == [("BASE", "Yoga", 2_997), ("RULE", "Half full", 60)]
    assert second["tax"] == {"amountMinor": round(3_057 * 5 / 105)}
    booking = await _booked(guest, second)
    assert (total(booking), booking["priceLines"]) == (3_057, second["priceLines"])


async def test_places_of_holds_that_ran_out_do_not_count(
    services: Services, client: GraphQLClient, clock: MovableClock
) -> None:
    yoga = await make_class(client, services, price_minor=1_000, capacity=4)
    await add_rule(yoga.shop, "Half full", rate_bps=1_000, occupancy=Between(5_000, None))
    guest, session = Visitor(client, yoga.shop), (await yoga.at(at(2, 9)))["id"]
    await priced_hold(guest, sessionId=session, partySize=2)
    assert total(await priced_hold(guest, sessionId=session)) == 1_100
    clock.move(timedelta(minutes=11))
    assert total(await priced_hold(guest, sessionId=session)) == 1_000


@pytest.mark.parametrize(
    ("currency", "price", "expected"),
    [("JPY", 1_235, 1_359), ("KWD", 1_235, 1_360), ("BHD", 3, 0), ("CLF", 1_250, 1_400), ("KRW", 3, 3)],
)
async def test_currencies_without_and_with_many_decimals(
    services: Services, client: GraphQLClient, currency: str, price: int, expected: int
) -> None:
    shop = await make_shop(services, service={"price_minor": price})
    await rows_of(shop, "UPDATE organization SET currency = :currency RETURNING 1", currency=currency)
    await add_rule(shop, rate_bps=1_000)
    guest = Visitor(client, shop)
    assert await _shown(guest, at(2, 10)) == expected
    held = await priced_hold(guest, at(2, 10))
    assert (total(held), held["dueNow"]["amountMinor"]) == (expected, expected)
    assert sum(amount for kind, _, amount in lines(held) if kind == "ROUNDING") == expected - price - round(
        price / 10 + 1e-9
    )


async def test_the_platforms_part_is_that_of_who_books(client: GraphQLClient, shop: Shop, guest: Visitor) -> None:
    await set_terms(shop, guest_fee_bps=1_000, member_fee_bps=500)
    member = await account(client, shop, "member")
    staff = await colleague(client, shop, Role.STAFF)
    fee = "SELECT (quote ->> 'platformFeeMinor')::int AS fee FROM {} ORDER BY created_at DESC, id DESC LIMIT 1"

    async def fees(holder: Visitor, booker: Visitor, hour: int, **extra: Any) -> tuple[int, int]:
        held = await priced_hold(holder, at(2, hour))
        [of_hold] = await rows_of(shop, fee.format("hold"))
        assert total(await _booked(booker, held, **extra)) == 1_000
        [of_booking] = await rows_of(shop, fee.format("booking"))
        return of_hold["fee"], of_booking["fee"]

    assert await fees(guest, guest, 8) == (100, 100)
    assert await fees(member, member, 9, customer=None) == (50, 50)
    assert await fees(guest, member, 10, customer=None) == (100, 50)
    assert await fees(staff, staff, 11) == (50, 100)  # at the desk, for somebody else


async def test_prices_beyond_all_bounds_are_refused(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, service={"price_minor": 2**53 - 1})
    rule = await add_rule(shop, rate_bps=1)
    refused = await Visitor(client, shop).hold(at(2, 10))
    assert refused["__typename"] == "InvalidInput", refused
    assert refused["violations"] == [{"path": "input", "message": "the price is too large"}]
    await change_rule(shop, rule, rate_bps=-10_000)
    assert total(await priced_hold(Visitor(client, shop), at(2, 10))) == 0


async def test_budget(services: Services, client: GraphQLClient, statements: StatementLog) -> None:
    """A rule costs a statement when it is read for the first time, one that asks how full it is another one."""
    shop = await make_shop(services)
    guest = Visitor(client, shop)
    counts = []
    for hour, rule in ((9, {}), (10, {"rate_bps": 100}), (11, {}), (12, {"rate_bps": 1, "occupancy": Between(1, 2)})):
        if rule:
            await add_rule(shop, **rule)
        statements.clear()
        await guest.held(at(2, hour), providerId=shop.provider_id, idempotencyKey=str(uuid4()))
        counts.append(len(statements))
    assert counts[0] == counts[2] <= 7, counts
    assert [count - counts[0] for count in counts] == [0, 1, 0, 2]
