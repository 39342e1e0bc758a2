"""Searching for free slots."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.resolvers.context import Services
from tests.fixtures_api import GraphQLClient, MovableClock, StatementLog
from tests.journey import Visitor, hours, instant, next_change
from tests.schema import operations as op
from tests.shop import ALWAYS, OFFICE, at, iso, make_shop, set_active, set_offer

UNKNOWN = "01h2xcejqtf2nbrexx3vqjhp41"
DAY = timedelta(days=1)
FAR = {"maximum_advance_days": 400}


def _day(days: int) -> date:
    return at(days, 0).date()


async def test_days_starts_slots_and_the_next(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, providers=2, weekly=OFFICE, slot_interval=30)
    guest = Visitor(client, shop)
    await guest.booked(at(3, 9), hold={"providerId": shop.provider_id})
    found = await guest.search(_day(2), _day(4))
    assert found["timeZone"] == "UTC"
    assert [day["date"] for day in found["days"]] == [_day(n).isoformat() for n in (2, 3, 4)]
    for day in found["days"]:
        assert day["starts"] == [slot["startsAt"] for slot in day["slots"]]
        assert day["starts"] == sorted(set(day["starts"]))
        assert len(day["starts"]) == 14
    first, second = found["days"][1]["slots"][:2]
    assert first == {
        "startsAt": iso(at(3, 9)),
        "endsAt": iso(at(3, 9, 30)),
        "providerIds": [shop.provider_ids[1]],
        "remaining": 1,
        "price": {"amountMinor": 1_000, "currency": "USD", "amount": "10.00"},
    }
    assert (second["providerIds"], second["remaining"]) == (shop.provider_ids, 2)
    assert found["nextAvailable"] == found["days"][0]["slots"][0]
    only = await guest.search(_day(3), providerIds=[shop.provider_id, shop.provider_id])
    assert [slot["providerIds"] for slot in only["days"][0]["slots"]] == [[shop.provider_id]] * 13


async def test_empty_days_are_there(services: Services, client: GraphQLClient) -> None:
    guest = Visitor(client, await make_shop(services, weekly=None))
    found = await guest.search(_day(0), _day(61))
    assert len(found["days"]) == 62
    assert all(day["starts"] == day["slots"] == [] for day in found["days"])
    assert found["nextAvailable"] is None
    assert found["cursor"]


async def test_the_next_one_lies_beyond_a_full_window(
    services: Services, client: GraphQLClient, statements: StatementLog
) -> None:
    shop = await make_shop(services, weekly=None)
    guest, owner = Visitor(client, shop), Visitor(client.signed_in(shop.owner.token), shop)
    await owner.publish(hours(("10:00", "10:30")))
    for day in (2, 3, 4):
        await guest.booked(at(day, 10))
    statements.clear()
    found = await guest.search(_day(2), _day(3))
    assert len(statements) <= 4, statements.statements
    assert [day["starts"] for day in found["days"]] == [[], []]
    assert found["nextAvailable"]["startsAt"] == iso(at(5, 10))
    statements.clear()
    found = await guest.search(_day(2), _day(9))
    assert len(statements) <= 3, statements.statements
    assert found["nextAvailable"]["startsAt"] == iso(at(5, 10))


async def test_the_next_one_of_many_people_far_away(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, providers=3, weekly=None)
    guest, owner = Visitor(client, shop), Visitor(client.signed_in(shop.owner.token), shop)
    for number, opened in enumerate((70, 85, 80)):
        await owner.publish(
            hours(("10:00", "11:00")), ownerId=shop.provider_ids[number], effectiveFrom=_day(opened).isoformat()
        )
    found = await guest.search(_day(1))
    assert found["nextAvailable"]["startsAt"] == iso(at(70, 10))
    assert found["nextAvailable"]["providerIds"] == [shop.provider_ids[0]]
    found = await guest.search(_day(1), providerIds=shop.provider_ids[1:])
    assert found["nextAvailable"]["startsAt"] == iso(at(80, 10))


async def test_notice_and_horizon(services: Services, client: GraphQLClient, clock: MovableClock) -> None:
    rules = {"advance_notice_minutes": 24 * 60, "maximum_advance_days": 3}
    guest = Visitor(client, await make_shop(services, service=rules, slot_interval=60))
    clock.move_to(at(1, 10) + timedelta(seconds=1))
    found = await guest.search(_day(0), _day(9))
    starts = [instant(start) for day in found["days"] for start in day["starts"]]
    assert starts[0] == at(2, 11)
    assert starts[-1] == at(4, 23)
    beyond = await guest.search(_day(5), _day(9))
    assert (beyond["nextAvailable"], sum(len(day["starts"]) for day in beyond["days"])) == (None, 0)
    past = await guest.search(_day(-9), _day(-5))
    assert instant(past["nextAvailable"]["startsAt"]) == at(2, 11)


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Jerusalem"])
@pytest.mark.parametrize(("forward", "length"), [(True, 23), (False, 25)], ids=["spring", "autumn"])
async def test_days_on_which_clocks_change(
    services: Services, client: GraphQLClient, zone: str, forward: bool, length: int
) -> None:
    shop = await make_shop(services, time_zone=zone, weekly=ALWAYS, slot_interval=60, service=FAR)
    changed = next_change(zone, forward=forward)
    found = await Visitor(client, shop).search(changed - DAY, changed + DAY)
    counts = {day["date"]: len(day["starts"]) for day in found["days"]}
    assert counts == {(changed - DAY).isoformat(): 24, changed.isoformat(): length, (changed + DAY).isoformat(): 24}
    starts = [instant(start) for day in found["days"] for start in day["starts"]]
    assert all(later - earlier == timedelta(hours=1) for earlier, later in pairwise(starts))
    for day in found["days"]:
        assert {instant(start).astimezone(ZoneInfo(zone)).date().isoformat() for start in day["starts"]} == {
            day["date"]
        }


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Jerusalem"])
@pytest.mark.parametrize("forward", [True, False], ids=["spring", "autumn"])
async def test_office_hours_keep_their_local_time(
    services: Services, client: GraphQLClient, zone: str, forward: bool
) -> None:
    shop = await make_shop(services, time_zone=zone, weekly=OFFICE, slot_interval=60, service=FAR)
    guest, changed = Visitor(client, shop), next_change(zone, forward=forward)
    found = await guest.search(changed - DAY, changed + DAY)
    local = [[instant(start).astimezone(ZoneInfo(zone)).hour for start in day["starts"]] for day in found["days"]]
    assert local == [[9, 10, 11, 13, 14, 15, 16]] * 3
    nine = [instant(day["starts"][0]) for day in found["days"]]
    assert nine[1] - nine[0] == timedelta(hours=23 if forward else 25)
    assert nine[2] - nine[1] == DAY
    booked = await guest.booked(nine[1])
    assert booked.answer["timeZone"] == zone
    assert nine[1] not in await guest.starts(changed)


@pytest.mark.parametrize(
    ("provider_zone", "customer_zone"),
    [
        ("Asia/Jerusalem", "America/Los_Angeles"),
        ("America/New_York", "Pacific/Auckland"),
        ("Pacific/Kiritimati", "Pacific/Pago_Pago"),  # a day and an hour apart
        ("America/Argentina/Buenos_Aires", "Asia/Kolkata"),
    ],
)
async def test_dates_are_the_customers(
    services: Services, client: GraphQLClient, provider_zone: str, customer_zone: str
) -> None:
    shop = await make_shop(services, time_zone=provider_zone, weekly=OFFICE, slot_interval=60)
    guest = Visitor(client, shop)
    theirs = await guest.search(_day(2), _day(12))
    found = await guest.search(_day(4), _day(9), timeZone=customer_zone)
    assert found["timeZone"] == customer_zone
    by_date: dict[str, list[str]] = defaultdict(list)
    for day in theirs["days"]:
        for start in day["starts"]:
            by_date[instant(start).astimezone(ZoneInfo(customer_zone)).date().isoformat()].append(start)
    assert [day["starts"] for day in found["days"]] == [by_date[day["date"]] for day in found["days"]]
    assert sum(len(day["starts"]) for day in found["days"]) >= 35


async def test_a_provider_in_another_zone_than_the_venue(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, providers=2, time_zone="Asia/Jerusalem", weekly=OFFICE, slot_interval=60)
    owner = client.signed_in(shop.owner.token)
    document = """mutation ($input: UpdateProviderInput!) { updateProvider(input: $input) { __typename } }"""
    wanted = {"providerId": shop.provider_id, "timeZone": "America/New_York"}
    assert (await owner(document, {"input": wanted}))["__typename"] == "UpdateProviderPayload"
    found = await Visitor(client, shop).search(_day(3), _day(3), timeZone="America/New_York")
    own = [slot["startsAt"] for slot in found["days"][0]["slots"] if shop.provider_id in slot["providerIds"]]
    assert [instant(start).astimezone(ZoneInfo("America/New_York")).hour for start in own] == [
        9,
        10,
        11,
        13,
        14,
        15,
        16,
    ]


async def test_buffers_of_neighbours_add(services: Services, client: GraphQLClient) -> None:
    buffers = {"buffer_before_minutes": 10, "buffer_after_minutes": 5}
    guest = Visitor(client, await make_shop(services, slot_interval=5, service=buffers))
    await guest.booked(at(3, 10))
    starts = await guest.starts(_day(3))
    around = [start for start in starts if at(3, 9) <= start <= at(3, 11)]
    assert max(start for start in around if start < at(3, 10)) == at(3, 9, 15)
    assert min(start for start in around if start > at(3, 10)) == at(3, 10, 45)
    for start, kind in ((at(3, 9, 20), "BUFFER"), (at(3, 10, 40), "BUFFER"), (at(3, 10, 25), "BOOKED")):
        assert (await guest.hold(start))["reason"] == kind
    await guest.held(at(3, 9, 15))
    await guest.held(at(3, 10, 45))


async def test_own_prices_and_lengths_are_slots_of_their_own(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, providers=3, slot_interval=60, service={"maximum_duration_minutes": 90})
    await set_offer(shop, 1, price_minor=2_000)
    await set_offer(shop, 2, duration_minutes=60)
    guest = Visitor(client, shop)

    async def slots(**extra: Any) -> list[tuple[str, int, list[str]]]:
        day = (await guest.search(_day(3), **extra))["days"][0]
        assert len(day["starts"]) == len(set(day["starts"])) == 24 - extra.get("durationMinutes", 0) // 1440
        first = [slot for slot in day["slots"] if slot["startsAt"] == iso(at(3, 10))]
        return [(slot["endsAt"], slot["price"]["amountMinor"], slot["providerIds"]) for slot in first]

    one, two, three = shop.provider_ids
    half, hour, long = iso(at(3, 10, 30)), iso(at(3, 11)), iso(at(3, 11, 30))
    assert await slots() == [(half, 1_000, [one]), (half, 2_000, [two]), (hour, 1_000, [three])]
    assert await slots(durationMinutes=90) == [(long, 1_000, [one, three]), (long, 2_000, [two])]
    assert await slots(durationMinutes=30) == [(half, 1_000, [one]), (half, 2_000, [two])]


async def test_a_price_by_quote_has_none_yet(services: Services, client: GraphQLClient) -> None:
    guest = Visitor(client, await make_shop(services, service={"price_type": "custom"}))
    slots = (await guest.search(_day(2)))["days"][0]["slots"]
    assert slots
    assert {slot["price"] for slot in slots} == {None}


async def test_lapsed_holds_take_nothing(services: Services, client: GraphQLClient, clock: MovableClock) -> None:
    guest = Visitor(client, await make_shop(services))
    await guest.held(at(2, 10))
    assert at(2, 10) not in await guest.starts(_day(2))
    clock.move(timedelta(minutes=10, seconds=1))
    assert at(2, 10) in await guest.starts(_day(2))


async def test_who_is_off_is_left_out(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, providers=2)
    guest = Visitor(client, shop)
    await set_active(shop, "provider", shop.provider_uuids[0], False)
    found = await guest.search(_day(2))
    assert {tuple(slot["providerIds"]) for slot in found["days"][0]["slots"]} == {(shop.provider_ids[1],)}
    hidden = await client.raw(op.AVAILABILITY, guest.search_variables(_day(2), providerIds=[shop.provider_id]))
    unknown = await client.raw(op.AVAILABILITY, guest.search_variables(_day(2), providerIds=[f"prv_{UNKNOWN}"]))
    assert hidden["errors"][0]["extensions"] == {"code": "NOT_FOUND"}
    assert hidden == unknown
    await set_active(shop, "venue", shop.venue_uuid, False)
    assert (await guest.search(_day(2)))["nextAvailable"] is None


async def test_what_is_not_there(services: Services, client: GraphQLClient) -> None:
    shop, other, closed = await make_shop(services), await make_shop(services), await make_shop(services)
    await set_active(closed, "service", closed.service_uuids[0], False)
    guest = Visitor(client, shop)
    answers = [
        await client.raw(op.AVAILABILITY, guest.search_variables(_day(2), serviceId=f"svc_{UNKNOWN}")),
        await client.raw(op.AVAILABILITY, guest.search_variables(_day(2), providerIds=[f"prv_{UNKNOWN}"])),
        await client.raw(op.AVAILABILITY, guest.search_variables(_day(2), providerIds=[other.provider_id])),
        await client.raw(
            op.AVAILABILITY, guest.search_variables(_day(2), providerIds=[shop.provider_id, other.provider_id])
        ),
        await client.raw(op.AVAILABILITY, Visitor(client, closed).search_variables(_day(2))),
    ]
    assert answers[0]["errors"][0]["extensions"] == {"code": "NOT_FOUND"}
    assert all(answer == answers[0] for answer in answers)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"to": "2026-01-01", "from": "2026-01-02"}, "input.to"),
    ({"from": "2026-01-01", "to": "2026-03-04"}, "input.to"),
    ({"from": "1970-01-01", "to": "2200-01-01"}, "input.to"),
    ({"from": "9999-12-31"}, "input.from"),
    ({"from": "2026-02-30"}, "input.from"),
    ({"from": "2026-2-3"}, "input.from"),
    ({"from": "20-11-2026"}, "input.from"),
    ({"from": 20261120}, "input.from"),
    ({"timeZone": "America/Atlantis"}, "input.timeZone"),
    ({"timeZone": "../../etc/passwd"}, "input.timeZone"),
    ({"timeZone": "UTC+3"}, "input.timeZone"),
    ({"timeZone": ""}, "input.timeZone"),
    ({"serviceId": None}, "input.serviceId"),
    ({"items": []}, "input.items"),
    ({"providerIds": []}, "input.providerIds"),
    ({"providerIds": [f"prv_{UNKNOWN}"] * 201}, "input.providerIds"),
    ({"providerIds": [f"prv_{UNKNOWN}", f"svc_{UNKNOWN}"]}, "input.providerIds.1"),
    ({"serviceId": f"prv_{UNKNOWN}"}, "input.serviceId"),
    ({"serviceId": "svc_"}, "input.serviceId"),
    ({"serviceId": f"SVC_{UNKNOWN.upper()}"}, "input.serviceId"),
    ({"durationMinutes": 0}, "input.durationMinutes"),
    ({"durationMinutes": -1}, "input.durationMinutes"),
    ({"durationMinutes": 31}, "input.durationMinutes"),
    ({"durationMinutes": 2**53}, "input.durationMinutes"),
    ({"partySize": 0}, "input.partySize"),
    ({"partySize": 2}, "input.partySize"),
    ({"partySize": None}, "input.partySize"),
]


@pytest.mark.parametrize(("wanted", "path"), BAD, ids=[f"{path}-{n}" for n, (_, path) in enumerate(BAD)])
async def test_what_cannot_be_asked(
    services: Services, client: GraphQLClient, wanted: dict[str, Any], path: str
) -> None:
    guest = Visitor(client, await make_shop(services))
    answer = await client.raw(op.AVAILABILITY, guest.search_variables(_day(2), **wanted))
    [error] = answer["errors"]
    assert error["extensions"]["code"] == "BAD_INPUT"
    assert [violation["path"] for violation in error["extensions"]["violations"]] == [path]
    assert all(len(violation["message"]) > 8 for violation in error["extensions"]["violations"])


async def test_the_edges_of_the_calendar(services: Services, client: GraphQLClient) -> None:
    guest = Visitor(client, await make_shop(services))
    for first, last in ((date(1970, 1, 1), date(1970, 1, 2)), (date(2199, 12, 31), date(2200, 1, 1))):
        for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):
            found = await guest.search(first, last, timeZone=zone)
            assert [day["starts"] for day in found["days"]] == [[], []]


async def test_a_whole_window_and_a_budget(services: Services, client: GraphQLClient, statements: StatementLog) -> None:
    guest = Visitor(client, await make_shop(services, providers=4))
    statements.clear()
    found = await guest.search(_day(2), _day(63))
    assert len(found["days"]) == 62
    assert all(len(day["starts"]) == 96 for day in found["days"])
    assert len(statements) <= 3, statements.statements


async def test_searches_beside_bookings_agree(services: Services, client: GraphQLClient) -> None:
    """A slot that a search does not show is taken; one that it shows may have just been taken."""
    guest = Visitor(client, await make_shop(services))
    searches = asyncio.gather(*(guest.starts(_day(3)) for _ in range(10)))
    made = await asyncio.gather(*(guest.booked(at(3, hour)) for hour in range(8, 14)))
    await searches
    free = set(await guest.starts(_day(3)))
    assert not {instant(each.answer["startsAt"]) for each in made} & free
    assert datetime(2000, 1, 1, tzinfo=UTC) not in free


async def test_an_answer_that_would_hold_up_everybody_is_refused(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, slot_interval=1)

    def wanted(days: int) -> dict[str, Any]:
        search = {"serviceId": shop.service_id, "from": _day(1).isoformat(), "to": _day(days).isoformat()}
        return {"input": {**search, "timeZone": "UTC"}}

    refused = (await client.raw(op.AVAILABILITY, wanted(5)))["errors"][0]
    assert refused["extensions"]["code"] == "BAD_INPUT"
    assert "fewer days" in refused["message"]
    found = await client(op.AVAILABILITY, wanted(3))
    assert sum(len(day["starts"]) for day in found["days"]) > 4_000
    twice = """query ($input: AvailabilityInput!) {
      a: availability(input: $input) { days { starts } } b: availability(input: $input) { days { starts } }
    }"""
    assert "fewer days" in (await client.raw(twice, wanted(3)))["errors"][0]["message"]


async def test_no_price_can_outgrow_what_can_be_told(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, service={"price_type": "hourly"})
    owner = client.signed_in(shop.owner.token)
    offer = """mutation ($input: SetOfferInput!) {
      setOffer(input: $input) { __typename ... on InvalidInput { violations { path } } ... on Error { message } }
    }"""
    wanted = {"providerId": shop.provider_id, "serviceId": shop.service_id, "priceMinor": 2**53 - 1}
    refused = await owner(offer, {"input": wanted})
    assert refused["violations"] == [{"path": "input.priceMinor"}]
