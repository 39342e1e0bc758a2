"""Publishing hours: what changes, and what does not."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.core.ids import IdKind, decode_id, encode_id
from app.domain.membership import Role
from app.queries.commitment import AFFECTED_LIMIT, COMMITMENTS_PAGE
from app.resolvers.context import Services
from tests.fixtures_api import GraphQLClient, MovableClock, StatementLog
from tests.journey import Made, Visitor, account, colleague, hours, instant, live_time, rows_of
from tests.schema import operations as op
from tests.shop import at, from_today, iso, make_person, make_shop

ALL_DAY = hours(("00:00", "24:00"))


@pytest.fixture
async def guest(services: Services, client: GraphQLClient) -> Visitor:
    return Visitor(client, await make_shop(services))


@pytest.fixture
async def owner(guest: Visitor, client: GraphQLClient) -> Visitor:
    return Visitor(client.signed_in(guest.shop.owner.token), guest.shop)


def _day(days: int) -> date:
    return at(days, 0).date()


def _today() -> date:
    """Of the server, which may be a day later than when the tests began."""
    return from_today(0, 0).date()


async def _versions(visitor: Visitor) -> list[tuple[int, date, date | None, bool]]:
    """Number, first day, day after the last, superseded."""
    rows = await rows_of(
        visitor.shop,
        "SELECT number, lower(effective) AS low, upper(effective) AS high, superseded_at IS NOT NULL AS gone"
        " FROM schedule_version WHERE owner_id = :owner ORDER BY number",
        owner=visitor.shop.provider_uuids[0],
    )
    return [(row["number"], row["low"], row["high"], row["gone"]) for row in rows]


async def _published(visitor: Visitor, weekly: list[dict[str, Any]], **extra: Any) -> dict[str, Any]:
    answer = await visitor.publish(weekly, **extra)
    assert answer["__typename"] == "PublishSchedulePayload", answer
    return answer


async def test_new_hours_are_offered_at_once(guest: Visitor, owner: Visitor) -> None:
    weekly = hours(("09:00", "12:00"), ("22:00", "02:00"), breaks=(("10:00", "10:30"),))
    answer = await _published(owner, weekly, slotIntervalMinutes=30)
    schedule = answer["schedule"]
    assert (schedule["number"], schedule["slotIntervalMinutes"]) == (2, 30)
    assert (schedule["effectiveFrom"], schedule["effectiveTo"]) == (_today().isoformat(), None)
    starts = [f"{start:%H:%M}" for start in await guest.starts(_day(3))]
    night = ["00:00", "00:30", "01:00", "01:30"]
    assert starts == [*night, "09:00", "09:30", "10:30", "11:00", "11:30", "22:00", "22:30", "23:00", "23:30"]


async def test_bookings_and_holds_stay_as_they_are(guest: Visitor, owner: Visitor) -> None:
    """Never a lost commitment: what falls outside is listed, soonest first, each with where it could go."""
    inside, early, pause = [await guest.booked(at(3, *time)) for time in ((14, 0), (6, 0), (12, 30))]
    past_cut = await guest.booked(at(1, 6))
    cancelled = await guest.booked(at(4, 6))
    await guest.cancel(cancelled, accessToken=cancelled.token)
    held = await guest.held(at(5, 6))
    before = [await guest.read(made, made.token) for made in (inside, early, pause, past_cut)]
    taken = await live_time(guest.shop)
    answer = await _published(
        owner,
        hours(("09:00", "17:00"), breaks=(("12:00", "13:00"),)),
        effectiveFrom=_day(2).isoformat(),
    )
    affected = answer["affectedBookings"]
    assert [(each["booking"]["id"], each["reason"]) for each in affected] == [(early.id, "CLOSED"), (pause.id, "BREAK")]
    assert [len(each["alternatives"]) for each in affected] == [6, 6]
    assert affected[0]["alternatives"][0]["startsAt"] == iso(at(3, 9))
    assert [await guest.read(made, made.token) for made in (inside, early, pause, past_cut)] == before
    assert await live_time(guest.shop) == taken
    assert (await guest.book(held))["__typename"] == "CreateBookingPayload"
    assert (await guest.hold(at(5, 7)))["reason"] == "CLOSED"
    assert (await guest.cancel(early, accessToken=early.token))["status"] == "CANCELLED"


async def test_only_what_the_version_rules_is_affected(guest: Visitor, owner: Visitor) -> None:
    await _published(owner, hours(("09:00", "12:00")), effectiveFrom=_day(10).isoformat())
    late = Visitor(owner.client, guest.shop)
    await late.booked(at(11, 10))
    in_between = await guest.booked(at(5, 20))
    answer = await _published(owner, hours(("14:00", "16:00")), effectiveFrom=_day(4).isoformat())
    assert answer["schedule"]["effectiveTo"] == _day(10).isoformat()
    assert [each["booking"]["id"] for each in answer["affectedBookings"]] == [in_between.id]


async def _copies(made: Made, visitor: Visitor, count: int, start: datetime) -> list[str]:
    """As many bookings as that one, all at one start, written past the API: their ids in order."""
    rows = await rows_of(
        visitor.shop,
        """
        WITH copied AS (
            SELECT b, h, n, gen_random_uuid() AS booking_id, gen_random_uuid() AS hold_id,
                   next_booking_number() AS number, CAST(:start AS timestamptz) AS starts_at,
                   CAST(:start AS timestamptz) + (b.ends_at - b.starts_at) AS ends_at
            FROM booking b JOIN hold h ON h.id = b.hold_id, generate_series(1, :count) n WHERE b.id = :id
        ), held AS (
            INSERT INTO hold SELECT one.* FROM copied,
            LATERAL jsonb_populate_record(h, jsonb_build_object('id', hold_id)) one
        )
        INSERT INTO booking SELECT one.* FROM copied,
        LATERAL jsonb_populate_record(b, jsonb_build_object(
            'id', booking_id, 'hold_id', hold_id, 'number', number, 'confirmation_code', right(number, 8),
            'starts_at', starts_at, 'ends_at', ends_at
        )) one
        RETURNING id
        """,
        id=decode_id(IdKind.BOOKING, made.id),
        count=count,
        start=start,
    )
    return sorted(encode_id(IdKind.BOOKING, row["id"]) for row in rows)


async def test_none_is_left_out_among_many(guest: Visitor, owner: Visitor) -> None:
    """More that stand inside the new hours than fit a page come first, at one instant."""
    made = await guest.booked(at(3, 10))
    await _copies(made, guest, 2 * COMMITMENTS_PAGE + 20, at(3, 10))
    outside = await _copies(made, guest, 3, at(9, 20))
    answer = await _published(owner, hours(("09:00", "12:00")), idempotencyKey="many")
    assert [each["booking"]["id"] for each in answer["affectedBookings"]] == outside
    assert await _published(owner, hours(("09:00", "12:00")), idempotencyKey="many") == answer


async def test_of_very_many_the_soonest_are_told(guest: Visitor, owner: Visitor) -> None:
    made = await guest.booked(at(3, 10))
    await _copies(made, guest, AFFECTED_LIMIT + 5, at(5, 10))
    told = await owner.client(
        "mutation ($input: PublishScheduleInput!) { publishSchedule(input: $input) {"
        " ... on PublishSchedulePayload { affectedBookings { booking { id } } } } }",
        {"input": {"ownerId": guest.shop.provider_id, "weekly": []}},
    )
    assert len(told["affectedBookings"]) == AFFECTED_LIMIT
    assert told["affectedBookings"][0]["booking"]["id"] == made.id


async def test_the_small_hours_go_with_their_evening(guest: Visitor, owner: Visitor) -> None:
    """An opening belongs to the day it begins on: past midnight too, behind the version's last day."""
    await _published(owner, hours(("20:00", "04:00")), idempotencyKey="nights")
    await _published(owner, hours(("20:00", "04:00")), effectiveFrom=_day(6).isoformat())
    before = await guest.booked(at(4, 1))  # of the evening before the new hours
    last_night = await guest.booked(at(6, 1))  # of the last evening of the new hours
    after = await guest.booked(at(7, 1))
    one = await _published(owner, hours(("09:00", "12:00")), effectiveFrom=_day(4).isoformat(), idempotencyKey="days")
    assert one["schedule"]["effectiveTo"] == _day(6).isoformat()
    assert [(each["booking"]["id"], each["reason"]) for each in one["affectedBookings"]] == [(last_night.id, "CLOSED")]
    again = await _published(owner, hours(("09:00", "12:00")), effectiveFrom=_day(4).isoformat(), idempotencyKey="days")
    assert again == one
    # Outside already: nothing that other hours of those days do.
    two = await _published(owner, hours(("10:00", "12:00")), effectiveFrom=_day(4).isoformat())
    assert two["affectedBookings"] == []
    for made in (before, after):
        assert (await guest.read(made, made.token))["status"] == "CONFIRMED"


async def test_a_visit_over_midnight_into_hours_that_are_no_more(guest: Visitor, owner: Visitor) -> None:
    over = await guest.booked(at(3, 23, 45))
    answer = await _published(owner, hours(("09:00", "12:00")), effectiveFrom=_day(4).isoformat())
    assert [each["booking"]["id"] for each in answer["affectedBookings"]] == [over.id]


async def test_versions_follow_one_another(guest: Visitor, owner: Visitor) -> None:
    assert await _versions(owner) == [(1, _today(), None, False)]
    await _published(owner, ALL_DAY, effectiveFrom=_day(10).isoformat())
    await _published(owner, ALL_DAY, effectiveFrom=_day(20).isoformat())
    # In between: the one before is cut, those to come keep their starts.
    between = await _published(owner, ALL_DAY, effectiveFrom=_day(5).isoformat())
    assert between["schedule"]["effectiveTo"] == _day(10).isoformat()
    assert await _versions(owner) == [
        (1, _today(), _day(5), False),
        (2, _day(10), _day(20), False),
        (3, _day(20), None, False),
        (4, _day(5), _day(10), False),
    ]
    # For the same date: the first is kept, and no longer in force.
    again = await _published(owner, hours(("09:00", "10:00")), effectiveFrom=_day(10).isoformat())
    assert again["schedule"]["effectiveTo"] == _day(20).isoformat()
    assert (await _versions(owner))[1] == (2, _day(10), _day(20), True)
    assert (await _versions(owner))[4] == (5, _day(10), _day(20), False)
    counts = [len(await guest.starts(_day(day))) for day in (4, 9, 10, 19, 20)]
    assert counts == [96, 95, 3, 3, 96]  # the last service of the night would run into a closed day


async def test_many_at_once_never_overlap(owner: Visitor) -> None:
    answers = await asyncio.gather(
        *(_published(owner, ALL_DAY, effectiveFrom=_day(3 + n % 4).isoformat()) for n in range(12))
    )
    assert sorted(answer["schedule"]["number"] for answer in answers) == list(range(2, 14))
    in_force = sorted((low, high or date.max) for _, low, high, gone in await _versions(owner) if not gone)
    assert [low for low, _ in in_force] == [_today(), *(_day(3 + n) for n in range(4))]
    assert all(one[1] == two[0] for one, two in pairwise(in_force))


async def test_who_may_publish(services: Services, client: GraphQLClient) -> None:
    linked = await make_person(services, "linked")
    shop, elsewhere = await make_shop(services, providers=2, linked=linked), await make_shop(services)
    [row] = await rows_of(shop, "SELECT id FROM provider WHERE user_id = :user", user=linked.user_id)
    number = shop.provider_uuids.index(row["id"])
    provider = Visitor(client.signed_in(linked.token), shop)
    own, others = shop.provider_ids[number], shop.provider_ids[1 - number]
    for visitor in (
        Visitor(client.signed_in(shop.owner.token), shop),
        await colleague(client, shop, Role.ADMIN),
        provider,
    ):
        await _published(visitor, ALL_DAY, ownerId=own)
    refused = await (await colleague(client, shop, Role.STAFF)).publish(ALL_DAY, ownerId=own)
    assert (refused["__typename"], refused["rule"]) == ("NotAllowed", "role")
    unknown = await provider.publish(ALL_DAY, ownerId="prv_01h2xcejqtf2nbrexx3vqjhp41")
    assert unknown["__typename"] == "NotFound"
    assert await provider.publish(ALL_DAY, ownerId=others) == unknown
    assert await (await account(client, shop, "stranger")).publish(ALL_DAY) == unknown
    assert await Visitor(client.signed_in(elsewhere.owner.token), elsewhere).publish(ALL_DAY, ownerId=own) == unknown
    answer = await client.raw(op.PUBLISH, {"input": {"ownerId": own, "weekly": ALL_DAY}})
    assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    audited = await rows_of(shop, "SELECT actor FROM audit_entry WHERE action = 'schedule.published' ORDER BY id DESC")
    assert [entry["actor"] for entry in audited[:3]] == ["provider", "admin", "owner"]


async def test_today_is_that_of_the_provider(services: Services, client: GraphQLClient, clock: MovableClock) -> None:
    shop = await make_shop(services, time_zone="Pacific/Kiritimati", weekly=None)
    owner = Visitor(client.signed_in(shop.owner.token), shop)
    clock.move_to(at(2, 11))  # 01:00 of the next day there
    answer = await _published(owner, ALL_DAY)
    assert answer["schedule"]["effectiveFrom"] == _day(3).isoformat()
    refused = await owner.publish(ALL_DAY, effectiveFrom=_day(2).isoformat())
    assert refused["violations"][0]["path"] == "input.effectiveFrom"


BAD: list[tuple[dict[str, Any], list[str]]] = [
    ({"effectiveFrom": (datetime.now(UTC) - timedelta(days=2)).date().isoformat()}, ["input.effectiveFrom"]),
    ({"effectiveFrom": "2199-12-31"}, ["input.effectiveFrom"]),
    ({"slotIntervalMinutes": 0}, ["input.slotIntervalMinutes"]),
    ({"slotIntervalMinutes": -15}, ["input.slotIntervalMinutes"]),
    ({"slotIntervalMinutes": 1441}, ["input.slotIntervalMinutes"]),
    ({"weekly": hours(("09:00", "09:00"))[:1]}, ["input.weekly.0.open.0.end"]),
    ({"weekly": hours(("09:00", "12:00"), ("11:00", "13:00"))[:1]}, ["input.weekly.0.open.1"]),
    ({"weekly": hours(("09:00", "12:00"), breaks=(("12:00", "13:00"),))[:1]}, ["input.weekly.0.breaks.0"]),
    ({"weekly": [*hours(("09:00", "12:00"))[:1], *hours(("13:00", "14:00"))[:1]]}, ["input.weekly.1.weekday"]),
    ({"weekly": hours(("22:00", "03:00"), ("01:00", "02:00"))[:2]}, ["input.weekly.1.open.1"]),
    ({"weekly": hours(("09:00", "12:00")) * 2}, ["input.weekly"]),
    ({"weekly": hours(*[("09:00", "09:01")] * 25)[:1]}, ["input.weekly.0.open"]),
    (
        {"resolutions": [{"bookingId": "bkg_01h2xcejqtf2nbrexx3vqjhp41", "action": "KEEP"}]},
        ["input.resolutions.0.bookingId"],
    ),
    ({"previewToken": "x"}, ["input.previewToken"]),
]


@pytest.mark.parametrize(("wanted", "paths"), BAD, ids=[paths[0] for _, paths in BAD])
async def test_hours_that_cannot_be(owner: Visitor, wanted: dict[str, Any], paths: list[str]) -> None:
    refused = await owner.publish(**{"weekly": ALL_DAY, **wanted})
    assert refused["__typename"] == "InvalidInput", refused
    assert [violation["path"] for violation in refused["violations"]] == paths
    assert len(await _versions(owner)) == 1


async def test_hours_through_a_night_without_an_hour(services: Services, client: GraphQLClient) -> None:
    """A local time that does not exist that night moves to the end of the gap; the week stays publishable."""
    shop = await make_shop(services, time_zone="America/New_York", weekly=None, service={"maximum_advance_days": 400})
    owner = Visitor(client.signed_in(shop.owner.token), shop)
    await _published(owner, hours(("02:30", "04:00")))
    found = await owner.search(_day(1), _day(50))
    local = {
        instant(s).astimezone(ZoneInfo("America/New_York")).strftime("%H:%M")
        for d in found["days"]
        for s in d["starts"]
    }
    assert local == {"02:30", "02:45", "03:00", "03:15", "03:30"}


async def test_replayed_it_is_published_once(owner: Visitor) -> None:
    first = await _published(owner, ALL_DAY, idempotencyKey="hours of spring")
    assert await _published(owner, ALL_DAY, idempotencyKey="hours of spring") == first
    refused = await owner.publish(ALL_DAY, idempotencyKey="hours of spring", slotIntervalMinutes=20)
    assert refused["__typename"] == "IdempotencyConflict"
    assert len(await _versions(owner)) == 2


async def test_one_who_left_replays_nothing(services: Services, client: GraphQLClient) -> None:
    """The answer holds bookings: it is for those who may still publish."""
    linked = await make_person(services, "linked")
    shop = await make_shop(services, linked=linked)
    guest, provider = Visitor(client, shop), Visitor(client.signed_in(linked.token), shop)
    owner = Visitor(client.signed_in(shop.owner.token), shop)
    admin, demoted = await colleague(client, shop, Role.ADMIN), await colleague(client, shop, Role.STAFF)
    made = await guest.booked(at(3, 10))
    person = shop.people["staff"].user_id
    await rows_of(shop, "UPDATE membership SET role = 'admin' WHERE user_id = :id RETURNING id", id=person)
    for visitor in (admin, demoted, provider):
        answer = await _published(visitor, [], idempotencyKey="mine")
        assert [each["booking"]["id"] for each in answer["affectedBookings"]] == [made.id]
        assert await visitor.publish([], idempotencyKey="mine") == answer
    await rows_of(shop, "UPDATE membership SET role = 'staff' WHERE user_id = :id RETURNING id", id=person)
    await rows_of(shop, "DELETE FROM membership WHERE user_id = :id RETURNING id", id=shop.people["admin"].user_id)
    await rows_of(shop, "UPDATE provider SET user_id = NULL RETURNING id")
    unknown = await owner.publish([], ownerId="prv_01h2xcejqtf2nbrexx3vqjhp41")
    assert unknown["__typename"] == "NotFound"
    assert await admin.publish([], idempotencyKey="mine") == unknown
    assert await provider.publish([], idempotencyKey="mine") == unknown
    refused = await demoted.publish([], idempotencyKey="mine")
    assert (refused["__typename"], refused["rule"]) == ("NotAllowed", "role")


async def test_what_is_told(owner: Visitor) -> None:
    await _published(owner, hours(("09:00", "10:00"))[:1])
    events = await rows_of(
        owner.shop,
        "SELECT type, subject_id, payload FROM outbox_event WHERE type = 'schedule.published' ORDER BY id DESC LIMIT 1",
    )
    assert events == [
        {
            "type": "schedule.published",
            "subject_id": owner.shop.provider_uuids[0],
            "payload": {"number": 2},
        }
    ]
    [entry] = await rows_of(
        owner.shop, "SELECT after, actor FROM audit_entry WHERE action = 'schedule.published' ORDER BY id DESC LIMIT 1"
    )
    assert entry["actor"] == "owner"
    assert entry["after"]["weekly"] == [{"weekday": 0, "open": [[540, 600]], "breaks": []}]


async def test_an_owner_of_the_wrong_kind(owner: Visitor) -> None:
    answer = await owner.client.raw(op.PUBLISH, {"input": {"ownerId": owner.shop.venue_id, "weekly": ALL_DAY}})
    assert answer["errors"][0]["extensions"]["violations"] == [
        {"path": "input.ownerId", "message": "expected an id that begins with prv_ or act_"}
    ]


HISTORY = """
query ($id: ID!) {
  provider(id: $id) {
    schedules {
      id number effectiveFrom effectiveTo slotIntervalMinutes publishedAt supersededAt
      weekly { weekday open { start end } breaks { start end } }
    }
  }
}
"""


async def test_every_version_is_kept_and_shown(guest: Visitor, owner: Visitor, statements: StatementLog) -> None:
    """Newest first; hours are public."""
    night = hours(("22:00", "04:00"), breaks=(("01:00", "01:30"),))[:1]
    await _published(owner, night, effectiveFrom=_day(5).isoformat())
    await _published(owner, ALL_DAY[:1], effectiveFrom=_day(5).isoformat(), slotIntervalMinutes=30)
    statements.clear()
    found = (await guest.client(HISTORY, {"id": guest.shop.provider_id}))["schedules"]
    assert len(statements) <= 4
    assert [
        (one["number"], one["effectiveFrom"], one["effectiveTo"], one["supersededAt"] is None) for one in found
    ] == [
        (3, f"{_day(5)}", None, True),
        (2, f"{_day(5)}", None, False),
        (1, f"{_today()}", f"{_day(5)}", True),
    ]
    assert found[0]["weekly"] == [{"weekday": "MONDAY", "open": [{"start": "00:00", "end": "24:00"}], "breaks": []}]
    assert found[1]["weekly"] == [
        {
            "weekday": "MONDAY",
            "open": [{"start": "22:00", "end": "04:00"}],
            "breaks": [{"start": "01:00", "end": "01:30"}],
        }
    ]
    node = "query ($id: ID!) { node(id: $id) { ... on ScheduleVersion { weekly { weekday } slotIntervalMinutes } } }"
    assert await guest.client(node, {"id": found[0]["id"]}) == {
        "weekly": [{"weekday": "MONDAY"}],
        "slotIntervalMinutes": 30,
    }
