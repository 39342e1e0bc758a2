"""Closed days and special hours: of providers, venues and activities."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from typing import Any

import pytest

from app.core.ids import IdKind, encode_id
from app.domain.membership import Role
from app.resolvers.context import Services
from tests.classes import Class, make_class
from tests.fixtures_api import GraphQLClient, MovableClock, StatementLog
from tests.journey import Visitor, account, colleague, hours, instant, live_time, next_change, rows_of
from tests.schema.operations import ERRORS
from tests.shop import OFFICE, at, iso, make_person, make_shop

EXCEPTION = "id kind from to open { start end } breaks { start end } slotIntervalMinutes reason"
AFFECTED = "affectedBookings { reason booking { id status } alternatives { startsAt } }"
CREATE = f"""
mutation ($input: CreateScheduleExceptionInput!) {{
  createScheduleException(input: $input) {{
    __typename
    ... on CreateScheduleExceptionPayload {{ exception {{ {EXCEPTION} }} {AFFECTED} }}
    ... on NotAllowed {{ rule }}
    {ERRORS}
  }}
}}
"""
REMOVE = f"""
mutation ($input: RemoveScheduleExceptionInput!) {{
  removeScheduleException(input: $input) {{
    __typename
    ... on RemoveScheduleExceptionPayload {{ exception {{ {EXCEPTION} }} {AFFECTED} }}
    ... on NotAllowed {{ rule }}
    {ERRORS}
  }}
}}
"""
OF_PROVIDER = f"query ($id: ID!) {{ provider(id: $id) {{ exceptions {{ {EXCEPTION} }} }} }}"
OF_VENUE = f"query ($id: ID!) {{ venue(id: $id) {{ exceptions {{ {EXCEPTION} }} }} }}"
NODE = f"query ($id: ID!) {{ node(id: $id) {{ ... on ScheduleException {{ {EXCEPTION} }} }} }}"
NOON = {"open": [{"start": "12:00", "end": "14:00"}]}


@pytest.fixture
async def guest(services: Services, client: GraphQLClient) -> Visitor:
    return Visitor(client, await make_shop(services))


@pytest.fixture
async def owner(guest: Visitor, client: GraphQLClient) -> Visitor:
    return Visitor(client.signed_in(guest.shop.owner.token), guest.shop)


def _day(days: int) -> date:
    return at(days, 0).date()


async def _create(visitor: Visitor, first: int, last: int | None = None, **extra: Any) -> dict[str, Any]:
    """CLOSED on days from today on, unless `extra` says otherwise."""
    wanted = {
        "ownerId": visitor.shop.provider_id,
        "kind": "CLOSED",
        "from": f"{_day(first)}",
        "to": f"{_day(first if last is None else last)}",
        **extra,
    }
    answer: dict[str, Any] = await visitor.client(CREATE, {"input": wanted})
    return answer


async def _created(visitor: Visitor, first: int, last: int | None = None, **extra: Any) -> dict[str, Any]:
    answer = await _create(visitor, first, last, **extra)
    assert answer["__typename"] == "CreateScheduleExceptionPayload", answer
    return answer


async def _special(visitor: Visitor, first: int, last: int | None = None, **extra: Any) -> dict[str, Any]:
    return await _created(visitor, first, last, **{"kind": "SPECIAL_HOURS", **NOON, **extra})


async def _remove(visitor: Visitor, created: dict[str, Any], **extra: Any) -> dict[str, Any]:
    wanted = {"exceptionId": created["exception"]["id"], **extra}
    answer: dict[str, Any] = await visitor.client(REMOVE, {"input": wanted})
    return answer


async def _clock_starts(visitor: Visitor, days: int) -> list[str]:
    return [f"{start:%H:%M}" for start in await visitor.starts(_day(days))]


async def test_closed_days_offer_nothing(guest: Visitor, owner: Visitor) -> None:
    created = await _created(owner, 3, 5, reason="Fumigación 🪳")
    assert {key: created["exception"][key] for key in ("kind", "from", "to", "open", "reason")} == {
        "kind": "CLOSED",
        "from": f"{_day(3)}",
        "to": f"{_day(5)}",
        "open": [],
        "reason": "Fumigación 🪳",
    }
    counts = [len(await guest.starts(_day(day))) for day in (2, 3, 4, 5, 6)]
    assert counts == [95, 0, 0, 0, 96]  # the last service of the evening before would run into a closed day
    refused = await guest.hold(at(4, 10))
    assert (refused["reason"], refused["alternatives"][0]["startsAt"]) == ("CLOSED", iso(at(2, 23, 30)))
    assert (await _remove(owner, created))["__typename"] == "RemoveScheduleExceptionPayload"
    assert len(await guest.starts(_day(4))) == 96
    assert (await _remove(owner, created))["__typename"] == "NotFound"


async def test_what_is_removed_is_kept_in_the_books(guest: Visitor, owner: Visitor) -> None:
    """The row and both entries stay; the days may be ruled anew."""
    first = await _created(owner, 3, 4)
    await _remove(owner, first)
    second = await _special(owner, 3)
    rows = await rows_of(guest.shop, "SELECT id, removed_at FROM schedule_exception ORDER BY created_at")
    assert [encode_id(IdKind.EXCEPTION, row["id"]) for row in rows] == [
        made["exception"]["id"] for made in (first, second)
    ]
    assert [row["removed_at"] is None for row in rows] == [False, True]
    assert await _clock_starts(guest, 3) == ["12:00", "12:15", "12:30", "12:45", "13:00", "13:15", "13:30"]


async def test_special_hours_rule_instead_of_the_week(guest: Visitor, owner: Visitor) -> None:
    """With breaks, an interval of their own, and a night that runs into the next day."""
    await owner.publish(hours(("09:00", "10:00")), slotIntervalMinutes=30)
    created = await _special(
        owner,
        3,
        open=[{"start": "12:00", "end": "14:00"}, {"start": "23:00", "end": "01:00"}],
        breaks=[{"start": "13:00", "end": "13:30"}],
        slotIntervalMinutes=20,
    )
    assert created["exception"]["open"][1] == {"start": "23:00", "end": "01:00"}
    assert await _clock_starts(guest, 3) == ["12:00", "12:20", "23:00", "23:20", "23:40"]
    assert await _clock_starts(guest, 4) == ["00:00", "00:20", "09:00", "09:30"]
    assert await _clock_starts(guest, 2) == ["09:00", "09:30"]
    await _special(owner, 6)
    assert await _clock_starts(guest, 6) == ["12:00", "12:30", "13:00", "13:30"]  # the interval of the week


async def test_bookings_on_them_stand(guest: Visitor, owner: Visitor, statements: StatementLog) -> None:
    inside, outside, evening = [await guest.booked(at(3, *when)) for when in ((12, 30), (9, 0), (20, 0))]
    other_day = await guest.booked(at(4, 9))
    held = await guest.held(at(3, 18))
    taken = await live_time(guest.shop)
    statements.clear()
    answer = await _special(owner, 3)
    assert len(statements) <= 18, statements.statements
    assert [(one["booking"]["id"], one["reason"]) for one in answer["affectedBookings"]] == [
        (outside.id, "CLOSED"),
        (evening.id, "CLOSED"),
    ]
    assert answer["affectedBookings"][0]["alternatives"][0]["startsAt"] == iso(at(3, 12))
    assert await live_time(guest.shop) == taken
    assert (await guest.book(held))["__typename"] == "CreateBookingPayload"
    for made in (inside, outside, evening, other_day):
        assert (await guest.read(made, made.token))["status"] == "CONFIRMED"
    assert (await _remove(owner, answer))["affectedBookings"] == []


async def test_removing_special_hours_may_leave_bookings_outside(guest: Visitor, owner: Visitor) -> None:
    await owner.publish(hours(("09:00", "12:00")))
    created = await _special(owner, 3)
    made = await guest.booked(at(3, 13))
    gone = await _remove(owner, created)
    assert [one["booking"]["id"] for one in gone["affectedBookings"]] == [made.id]
    assert gone["affectedBookings"][0]["alternatives"][0]["startsAt"] == iso(at(3, 11, 30))


async def test_a_venue_rules_everyone_there(services: Services, client: GraphQLClient) -> None:
    """A provider's own goes before it."""
    shop = await make_shop(services, providers=2, weekly=OFFICE)
    guest, owner = Visitor(client, shop), Visitor(client.signed_in(shop.owner.token), shop)
    one, two = shop.provider_ids
    first = await guest.booked(at(3, 9), hold={"providerId": one})
    second = await guest.booked(at(3, 10), hold={"providerId": two})
    await _special(owner, 3, ownerId=two, open=[{"start": "10:00", "end": "11:00"}])
    closed = await _created(owner, 2, 4, ownerId=shop.venue_id)
    assert [each["booking"]["id"] for each in closed["affectedBookings"]] == [first.id]
    assert closed["affectedBookings"][0]["alternatives"][0]["startsAt"] == iso(at(1, 16, 30))
    assert await guest.starts(_day(3), providerIds=[one]) == []
    assert [f"{start:%H:%M}" for start in await guest.starts(_day(3), providerIds=[two])] == ["10:30"]
    assert await guest.starts(_day(2)) == []
    assert (await guest.read(second, second.token))["status"] == "CONFIRMED"
    events = await rows_of(
        shop, "SELECT subject_id, payload FROM outbox_event WHERE type = 'exception.changed' ORDER BY id"
    )
    assert [event["subject_id"] for event in events[:1]] == [shop.provider_uuids[1]]
    assert {event["subject_id"] for event in events[1:]} == {*shop.provider_uuids, shop.venue_uuid}
    assert "reason" not in events[0]["payload"]


async def test_an_activity_s_sessions_follow(services: Services, client: GraphQLClient) -> None:
    yoga: Class = await make_class(client, services)
    owner = Visitor(yoga.owner, yoga.shop)
    own = await _created(owner, 3, ownerId=yoga.activity_id)
    assert await yoga.sessions(_day(3)) == []
    assert len(await yoga.sessions(_day(4))) == 3
    await _remove(owner, own)
    assert len(await yoga.sessions(_day(3))) == 3
    await _created(owner, 4, ownerId=yoga.shop.venue_id)
    assert await yoga.sessions(_day(4)) == []
    subjects = await rows_of(
        yoga.shop, "SELECT subject_id FROM outbox_event WHERE type = 'exception.changed' ORDER BY id DESC LIMIT 2"
    )
    assert {row["subject_id"] for row in subjects} == {yoga.activity_uuid, *yoga.shop.provider_uuids}


async def test_why_is_for_few_eyes(services: Services, client: GraphQLClient) -> None:
    linked = await make_person(services, "linked")
    shop = await make_shop(services, linked=linked)
    guest, owner = Visitor(client, shop), Visitor(client.signed_in(shop.owner.token), shop)
    created = await _created(owner, 3, reason="Surgery")
    venue = await _created(owner, 9, ownerId=shop.venue_id, reason="Flood")
    staff = await colleague(client, shop, Role.STAFF)
    stranger = await account(client, shop, "stranger")
    provider = Visitor(client.signed_in(linked.token), shop)
    for visitor, reason, flood in (
        (owner, "Surgery", "Flood"),
        (staff, "Surgery", "Flood"),
        (provider, "Surgery", None),
        (stranger, None, None),
        (guest, None, None),
    ):
        [seen] = (await visitor.client(OF_PROVIDER, {"id": shop.provider_id}))["exceptions"]
        assert (seen["id"], seen["from"], seen["reason"]) == (created["exception"]["id"], f"{_day(3)}", reason)
        [at_venue] = (await visitor.client(OF_VENUE, {"id": shop.venue_id}))["exceptions"]
        assert (at_venue["id"], at_venue["reason"]) == (venue["exception"]["id"], flood)
        assert (await visitor.client(NODE, {"id": created["exception"]["id"]}))["reason"] == reason
    await _remove(owner, created)
    assert (await owner.client(OF_PROVIDER, {"id": shop.provider_id}))["exceptions"] == []
    answer = await owner.client.raw(NODE, {"id": created["exception"]["id"]})
    assert answer["errors"][0]["extensions"] == {"code": "NOT_FOUND"}


async def test_what_is_over_is_not_listed(owner: Visitor, clock: MovableClock) -> None:
    for day in (6, 2, 4):
        await _created(owner, day)
    listed = (await owner.client(OF_PROVIDER, {"id": owner.shop.provider_id}))["exceptions"]
    assert [each["from"] for each in listed] == [f"{_day(day)}" for day in (2, 4, 6)]
    clock.move(timedelta(days=4))
    listed = (await owner.client(OF_PROVIDER, {"id": owner.shop.provider_id}))["exceptions"]
    assert [each["from"] for each in listed] == [f"{_day(day)}" for day in (4, 6)]


async def test_who_may(services: Services, client: GraphQLClient) -> None:
    linked = await make_person(services, "linked")
    shop, elsewhere = await make_shop(services, linked=linked), await make_shop(services)
    provider = Visitor(client.signed_in(linked.token), shop)
    admin, staff = [await colleague(client, shop, role) for role in (Role.ADMIN, Role.STAFF)]
    stranger = await account(client, shop, "stranger")
    foreign = Visitor(client.signed_in(elsewhere.owner.token), shop)
    made = await _created(provider, 2)
    await _created(admin, 3)
    venue = await _created(admin, 2, ownerId=shop.venue_id)
    for visitor, kind in ((staff, "NotAllowed"), (stranger, "NotFound"), (foreign, "NotFound")):
        assert (await _create(visitor, 5))["__typename"] == kind
        assert (await _create(visitor, 5, ownerId=shop.venue_id))["__typename"] == kind
        assert (await _remove(visitor, made))["__typename"] == kind
    assert (await _create(provider, 5, ownerId=shop.venue_id))["__typename"] == "NotFound"
    assert (await _remove(provider, venue))["__typename"] == "NotFound"
    assert (await _remove(provider, made))["__typename"] == "RemoveScheduleExceptionPayload"
    answer = await client.raw(
        CREATE, {"input": {"ownerId": shop.provider_id, "kind": "CLOSED", "from": f"{_day(5)}", "to": f"{_day(5)}"}}
    )
    assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    entries = await rows_of(
        shop, "SELECT action, actor, before, after FROM audit_entry WHERE action LIKE 'exception.%' ORDER BY id"
    )
    assert [(entry["action"], entry["actor"]) for entry in entries] == [
        ("exception.created", "provider"),
        ("exception.created", "admin"),
        ("exception.created", "admin"),
        ("exception.removed", "provider"),
    ]
    assert entries[3]["before"] == entries[0]["after"]


NINE_TO_FIVE = {"start": "09:00", "end": "17:00"}
BAD: list[tuple[dict[str, Any], list[str]]] = [
    ({"from": f"{_day(-3)}"}, ["input.from"]),
    ({"from": f"{_day(4)}", "to": f"{_day(3)}"}, ["input.to"]),
    ({"to": f"{_day(3 + 366)}"}, ["input.to"]),
    ({"from": "2199-01-01", "to": "2199-01-01"}, ["input.from"]),
    ({"open": [NINE_TO_FIVE]}, ["input.open"]),
    ({"breaks": [NINE_TO_FIVE], "slotIntervalMinutes": 5}, ["input.breaks", "input.slotIntervalMinutes"]),
    ({"kind": "SPECIAL_HOURS"}, ["input.open"]),
    ({"kind": "SPECIAL_HOURS", "open": [{"start": "09:00", "end": "09:00"}]}, ["input.open.0.end"]),
    ({"kind": "SPECIAL_HOURS", "open": [NINE_TO_FIVE, {"start": "16:00", "end": "18:00"}]}, ["input.open.1"]),
    (
        {
            "kind": "SPECIAL_HOURS",
            "to": f"{_day(4)}",
            "open": [{"start": "08:00", "end": "09:00"}, {"start": "20:00", "end": "08:30"}],
        },
        ["input.open.0"],
    ),
    (
        {"kind": "SPECIAL_HOURS", "open": [NINE_TO_FIVE], "breaks": [{"start": "17:00", "end": "18:00"}]},
        ["input.breaks.0"],
    ),
    ({"kind": "SPECIAL_HOURS", "open": [NINE_TO_FIVE], "slotIntervalMinutes": 0}, ["input.slotIntervalMinutes"]),
    ({"kind": "SPECIAL_HOURS", "open": [NINE_TO_FIVE], "slotIntervalMinutes": -1}, ["input.slotIntervalMinutes"]),
    ({"kind": "SPECIAL_HOURS", "open": [NINE_TO_FIVE] * 25}, ["input.open"]),
    ({"reason": "x" * 501}, ["input.reason"]),
    ({"reason": "\u202e"}, ["input.reason"]),
]


@pytest.mark.parametrize(("wanted", "paths"), BAD, ids=range(len(BAD)))
async def test_what_cannot_be(owner: Visitor, wanted: dict[str, Any], paths: list[str]) -> None:
    refused = await _create(owner, 3, **wanted)
    assert refused["__typename"] == "InvalidInput", refused
    assert [violation["path"] for violation in refused["violations"]] == paths


@pytest.mark.parametrize(
    "wanted",
    [
        {"from": "9999-12-31"},
        {"to": "0001-01-01"},
        {"from": "2026-02-30"},
        {"kind": "HOLIDAY"},
        {"kind": "SPECIAL_HOURS", "open": [{"start": "25:00", "end": "26:00"}]},
        {"kind": "SPECIAL_HOURS", "open": [{"start": "-1:00", "end": "💈"}]},
        {"kind": "SPECIAL_HOURS", **NOON, "slotIntervalMinutes": 2**31},
        {"reason": "a\u0000b"},
    ],
    ids=range(8),
)
async def test_absurd_values(owner: Visitor, wanted: dict[str, Any]) -> None:
    """Refused at the edge, in whichever way, and never as a failure of ours."""
    full = {"ownerId": owner.shop.provider_id, "kind": "CLOSED", "from": f"{_day(3)}", "to": f"{_day(3)}", **wanted}
    answer = await owner.client.raw(CREATE, {"input": full})
    if answer.get("data"):
        assert answer["data"]["createScheduleException"]["__typename"] == "InvalidInput"
    else:
        codes = {error.get("extensions", {}).get("code") for error in answer["errors"]}
        assert codes == {"BAD_INPUT"}
    assert await rows_of(owner.shop, "SELECT 1 FROM schedule_exception") == []


@pytest.mark.parametrize("owner_id", ["svc_01h2xcejqtf2nbrexx3vqjhp41", "prv_", "", "💈"])
async def test_an_owner_that_is_none(owner: Visitor, owner_id: str) -> None:
    wanted = {"ownerId": owner_id, "kind": "CLOSED", "from": f"{_day(3)}", "to": f"{_day(3)}"}
    answer = await owner.client.raw(CREATE, {"input": wanted})
    [violation] = answer["errors"][0]["extensions"]["violations"]
    assert violation["path"] == "input.ownerId"


async def test_days_that_another_one_rules(owner: Visitor) -> None:
    await _created(owner, 3, 6)
    refused = await _create(owner, 6, 8)
    [violation] = refused["violations"]
    assert violation["path"] == "input.from"
    assert f"{_day(3)} to {_day(6)}" in violation["message"]
    await _created(owner, 7, 8)
    await _created(owner, 3, 6, ownerId=owner.shop.venue_id)  # another owner's


async def test_the_same_days_twice_at_once(owner: Visitor) -> None:
    answers = await asyncio.gather(*(_create(owner, 3, 4 + n) for n in range(4)))
    assert sorted(answer["__typename"] for answer in answers) == [
        "CreateScheduleExceptionPayload",
        *["InvalidInput"] * 3,
    ]


async def test_done_once(guest: Visitor, owner: Visitor) -> None:
    await guest.booked(at(3, 9))
    first = await _created(owner, 3, idempotencyKey="once")
    assert await _created(owner, 3, idempotencyKey="once") == first
    assert len(first["affectedBookings"]) == 1
    assert (await _create(owner, 4, idempotencyKey="once"))["__typename"] == "IdempotencyConflict"
    gone = await _remove(owner, first, idempotencyKey="gone")
    assert await _remove(owner, first, idempotencyKey="gone") == gone


async def test_today_is_that_of_the_owner(services: Services, client: GraphQLClient, clock: MovableClock) -> None:
    shop = await make_shop(services, time_zone="Pacific/Kiritimati")
    owner = Visitor(client.signed_in(shop.owner.token), shop)
    clock.move_to(at(2, 11))  # 01:00 of the next day there
    assert (await _create(owner, 2))["violations"][0]["path"] == "input.from"
    await _created(owner, 3)


async def test_on_the_day_clocks_change(services: Services, client: GraphQLClient) -> None:
    """Special hours from midnight to three: two hours where one is skipped, four where one is repeated."""
    for forward, expected in ((True, 2 * 4 - 1), (False, 4 * 4 - 1)):
        shop = await make_shop(
            services, time_zone="America/New_York", weekly=None, service={"maximum_advance_days": 400}
        )
        owner = Visitor(client.signed_in(shop.owner.token), shop)
        day = next_change("America/New_York", forward=forward)
        dates: dict[str, Any] = {"from": f"{day}", "to": f"{day}"}
        await _created(owner, 0, kind="SPECIAL_HOURS", open=[{"start": "00:00", "end": "03:00"}], **dates)
        found = await Visitor(client, shop).search(day)
        starts = [instant(start) for start in found["days"][0]["starts"]]
        assert len(starts) == expected


async def test_the_live_view_learns_of_it(guest: Visitor, owner: Visitor) -> None:
    """Everyone concerned is told: a provider as its own subject, without a word of why."""
    await _created(owner, 3, reason="Secret")
    [event] = await rows_of(guest.shop, "SELECT subject_id, payload FROM outbox_event WHERE type = 'exception.changed'")
    assert encode_id(IdKind.PROVIDER, event["subject_id"]) == guest.shop.provider_id
    assert "Secret" not in str(event["payload"])
