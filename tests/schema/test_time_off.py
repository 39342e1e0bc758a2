"""Time off: of providers, and of a room's unit that is being painted."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from typing import Any

import pytest

from app.commands import time_off as commands
from app.core.ids import IdKind, encode_id
from app.domain.membership import Role
from app.queries import exception as queries
from app.resolvers.context import Services
from tests.classes import make_class
from tests.fixtures_api import GraphQLClient, MovableClock, StatementLog
from tests.journey import Visitor, account, colleague, live_time, next_change, rows_of
from tests.rooms import make_room, need_any
from tests.schema.operations import ERRORS
from tests.shop import at, iso, make_person, make_shop

TIME_OFF = "id startsAt endsAt reason providerId resourceId unitNumber"
CREATE = f"""
mutation ($input: CreateTimeOffInput!) {{
  createTimeOff(input: $input) {{
    __typename
    ... on CreateTimeOffPayload {{
      timeOff {{ {TIME_OFF} }} affectedBookings {{ reason booking {{ id }} alternatives {{ startsAt }} }}
    }}
    ... on NotAllowed {{ rule }}
    {ERRORS}
  }}
}}
"""
REMOVE = f"""
mutation ($input: RemoveTimeOffInput!) {{
  removeTimeOff(input: $input) {{
    __typename ... on RemoveTimeOffPayload {{ timeOff {{ {TIME_OFF} }} }} ... on NotAllowed {{ rule }} {ERRORS}
  }}
}}
"""
OF_PROVIDER = f"query ($id: ID!) {{ provider(id: $id) {{ timeOff {{ {TIME_OFF} }} }} }}"
NODE = f"""
query ($id: ID!) {{
  node(id: $id) {{ ... on TimeOff {{ {TIME_OFF} }} ... on Resource {{ timeOff {{ id unitNumber }} }} }}
}}
"""


@pytest.fixture
async def guest(services: Services, client: GraphQLClient) -> Visitor:
    return Visitor(client, await make_shop(services))


@pytest.fixture
async def owner(guest: Visitor, client: GraphQLClient) -> Visitor:
    return Visitor(client.signed_in(guest.shop.owner.token), guest.shop)


def _day(days: int) -> date:
    return at(days, 0).date()


async def _create(visitor: Visitor, **extra: Any) -> dict[str, Any]:
    wanted = {"providerId": visitor.shop.provider_id, **extra}
    answer: dict[str, Any] = await visitor.client(CREATE, {"input": wanted})
    return answer


async def _created(visitor: Visitor, **extra: Any) -> dict[str, Any]:
    answer = await _create(visitor, **extra)
    assert answer["__typename"] == "CreateTimeOffPayload", answer
    return answer


def _between(days: int, first: int, last: int) -> dict[str, str]:
    return {"startsAt": iso(at(days, first)), "endsAt": iso(at(days, last))}


async def _remove(visitor: Visitor, created: dict[str, Any], **extra: Any) -> dict[str, Any]:
    answer: dict[str, Any] = await visitor.client(REMOVE, {"input": {"timeOffId": created["timeOff"]["id"], **extra}})
    return answer


async def test_nothing_is_offered_then(guest: Visitor, owner: Visitor) -> None:
    created = await _created(owner, **_between(3, 10, 12), reason="Dentist")
    assert (created["timeOff"]["providerId"], created["timeOff"]["reason"]) == (guest.shop.provider_id, "Dentist")
    starts = {f"{start:%H:%M}" for start in await guest.starts(_day(3))}
    assert {"09:30", "12:00"} <= starts
    assert not {"09:45", "10:00", "11:45"} & starts
    refused = await guest.hold(at(3, 11))
    assert (refused["__typename"], refused["reason"]) == ("SlotUnavailable", "TIME_OFF")
    assert "Dentist" not in str(refused)
    gone = await _remove(owner, created)
    assert gone["timeOff"] == created["timeOff"]
    await guest.held(at(3, 11))
    assert (await _remove(owner, created))["__typename"] == "NotFound"


async def test_whole_days_of_the_provider_s_zone(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, time_zone="America/New_York", service={"maximum_advance_days": 400})
    owner, guest = Visitor(client.signed_in(shop.owner.token), shop), Visitor(client, shop)
    day = next_change("America/New_York", forward=True)
    created = await _created(owner, **{"from": f"{day}", "to": f"{day}"})
    starts_at, ends_at = (created["timeOff"][name] for name in ("startsAt", "endsAt"))
    assert (starts_at[10:], ends_at[10:]) == ("T05:00:00Z", "T04:00:00Z")  # 23 hours
    assert await guest.starts(day) == []


async def test_bookings_in_it_stand(guest: Visitor, owner: Visitor, statements: StatementLog) -> None:
    inside, across = await guest.booked(at(3, 10)), await guest.booked(at(3, 11, 45))
    before = await guest.booked(at(3, 9, 30))
    held = await guest.held(at(3, 11))
    taken = await live_time(guest.shop)
    statements.clear()
    created = await _created(owner, **_between(3, 10, 12))
    assert len(statements) <= 17, statements.statements
    assert [(one["booking"]["id"], one["reason"]) for one in created["affectedBookings"]] == [
        (inside.id, "TIME_OFF"),
        (across.id, "TIME_OFF"),
    ]
    assert created["affectedBookings"][0]["alternatives"][0]["startsAt"] == iso(at(3, 9))
    assert await live_time(guest.shop) == taken
    assert (await guest.book(held))["__typename"] == "CreateBookingPayload"
    assert (await guest.read(before, before.token))["status"] == "CONFIRMED"


async def test_a_unit_of_a_room(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, providers=2)
    room = await make_room(shop, 2)
    await need_any(shop, room)
    guest, owner = Visitor(client, shop), Visitor(client.signed_in(shop.owner.token), shop)
    wanted = {"providerId": None, "resourceId": room.id, "unitNumber": 1}
    created = await _created(owner, **wanted, **_between(3, 10, 12), reason="Paint")
    assert (created["timeOff"]["resourceId"], created["timeOff"]["unitNumber"]) == (room.id, 1)
    await guest.held(at(3, 10))
    refused = await guest.hold(at(3, 10))
    assert refused["reason"] == "RESOURCE"
    whose = "query ($id: ID!) { node(id: $id) { ... on TimeOff { provider { id } resource { id } } } }"
    found = await owner.client(whose, {"id": created["timeOff"]["id"]})
    assert found == {"provider": None, "resource": {"id": room.id}}
    off = await _created(owner, **_between(8, 10, 12))
    found = await owner.client(whose, {"id": off["timeOff"]["id"]})
    assert found == {"provider": {"id": shop.provider_id}, "resource": None}
    await _remove(owner, off)
    listed = await owner.client(NODE, {"id": room.id})
    assert listed == {"timeOff": [{"id": created["timeOff"]["id"], "unitNumber": 1}]}
    assert await guest.client(NODE, {"id": room.id}) == {"timeOff": []}
    events = await rows_of(shop, "SELECT subject_id FROM outbox_event WHERE type = 'time_off.changed' ORDER BY id")
    assert [event["subject_id"] for event in events] == [room.units[0], *[shop.provider_uuids[0]] * 2]
    for number in (0, 3, -1):
        refused = await _create(owner, **{**wanted, "unitNumber": number}, **_between(4, 10, 12))
        assert refused["violations"][0]["path"] == "input.unitNumber"
    assert (await _remove(owner, created))["__typename"] == "RemoveTimeOffPayload"
    await guest.held(at(3, 10))


async def test_each_resource_has_a_list_of_its_own(
    services: Services, client: GraphQLClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "LIST_LIMIT", 2)
    shop = await make_shop(services)
    owner = Visitor(client.signed_in(shop.owner.token), shop)
    busy, quiet = await make_room(shop), await make_room(shop, 2)
    for day in (4, 3, 2):
        await _created(owner, providerId=None, resourceId=busy.id, unitNumber=1, **_between(day, 10, 12))
    await _created(owner, providerId=None, resourceId=quiet.id, unitNumber=2, **_between(9, 10, 12))
    found = await owner.client(
        "query ($id: ID!) { venue(id: $id) { resources { id timeOff { startsAt unitNumber } } } }",
        {"id": shop.venue_id},
    )
    assert {each["id"]: each["timeOff"] for each in found["resources"]} == {
        busy.id: [{"startsAt": iso(at(day, 10)), "unitNumber": 1} for day in (2, 3)],
        quiet.id: [{"startsAt": iso(at(9, 10)), "unitNumber": 2}],
    }


async def test_bookings_of_sessions_that_one_leads(services: Services, client: GraphQLClient) -> None:
    yoga = await make_class(client, services, led_by_first=True)
    made = await yoga.booked((await yoga.at(at(3, 10)))["id"])
    owner = Visitor(yoga.owner, yoga.shop)
    created = await _created(owner, **_between(3, 10, 11))
    assert [one["booking"]["id"] for one in created["affectedBookings"]] == [made.id]


async def test_who_may(services: Services, client: GraphQLClient) -> None:
    linked = await make_person(services, "linked")
    shop, elsewhere = await make_shop(services, linked=linked), await make_shop(services)
    provider = Visitor(client.signed_in(linked.token), shop)
    admin, staff = [await colleague(client, shop, role) for role in (Role.ADMIN, Role.STAFF)]
    stranger = await account(client, shop, "stranger")
    foreign = Visitor(client.signed_in(elsewhere.owner.token), shop)
    room = await make_room(shop)
    made = await _created(provider, **_between(3, 10, 12), reason="Private")
    of_room = {"providerId": None, "resourceId": room.id, "unitNumber": 1}
    painted = await _created(admin, **of_room, **_between(3, 10, 12))
    for visitor, kind in ((staff, "NotAllowed"), (stranger, "NotFound"), (foreign, "NotFound")):
        assert (await _create(visitor, **_between(4, 10, 12)))["__typename"] == kind
        assert (await _create(visitor, **of_room, **_between(4, 10, 12)))["__typename"] == kind
        assert (await _remove(visitor, made))["__typename"] == kind
    assert (await _create(provider, **of_room, **_between(4, 10, 12)))["__typename"] == "NotFound"
    assert (await _remove(provider, painted))["__typename"] == "NotFound"
    for visitor in (staff, provider, admin):
        [seen] = (await visitor.client(OF_PROVIDER, {"id": shop.provider_id}))["timeOff"]
        assert seen["reason"] == "Private"
        assert (await visitor.client(NODE, {"id": made["timeOff"]["id"]}))["reason"] == "Private"
    for visitor in (stranger, Visitor(client, shop), foreign):
        assert (await visitor.client(OF_PROVIDER, {"id": shop.provider_id}))["timeOff"] == []
        answer = await visitor.client.raw(NODE, {"id": made["timeOff"]["id"]})
        assert answer["errors"][0]["extensions"] == {"code": "NOT_FOUND"}
    answer = await client.raw(CREATE, {"input": {"providerId": shop.provider_id, **_between(3, 10, 12)}})
    assert answer["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    entries = await rows_of(
        shop, "SELECT action, actor, after FROM audit_entry WHERE action LIKE 'time_off.%' ORDER BY id"
    )
    assert [(entry["action"], entry["actor"]) for entry in entries] == [
        ("time_off.created", "provider"),
        ("time_off.created", "admin"),
    ]
    assert entries[0]["after"]["reason"] == "Private"
    events = await rows_of(
        shop, "SELECT subject_id, payload FROM outbox_event WHERE type = 'time_off.changed' ORDER BY id"
    )
    assert encode_id(IdKind.PROVIDER, events[0]["subject_id"]) == shop.provider_id
    assert "Private" not in str(events[0]["payload"])


_TEN, _TWELVE = iso(at(3, 10)), iso(at(3, 12))
BAD: list[tuple[dict[str, Any], str]] = [
    ({}, "input.startsAt"),
    ({"startsAt": _TEN}, "input.endsAt"),
    ({"endsAt": _TEN}, "input.startsAt"),
    ({"from": f"{_day(3)}"}, "input.to"),
    ({"to": f"{_day(3)}"}, "input.from"),
    ({"startsAt": _TEN, "endsAt": _TWELVE, "from": f"{_day(3)}", "to": f"{_day(3)}"}, "input.startsAt"),
    ({"startsAt": _TWELVE, "endsAt": _TEN}, "input.endsAt"),
    ({"startsAt": _TEN, "endsAt": _TEN}, "input.endsAt"),
    ({"startsAt": iso(at(-3, 10)), "endsAt": iso(at(-3, 12))}, "input.endsAt"),
    ({"from": f"{_day(4)}", "to": f"{_day(3)}"}, "input.to"),
    ({"from": f"{_day(3)}", "to": f"{_day(3 + 366)}"}, "input.to"),
    ({"startsAt": "2199-01-01T00:00:00Z", "endsAt": "2199-01-02T00:00:00Z"}, "input.startsAt"),
    ({"startsAt": _TEN, "endsAt": _TWELVE, "providerId": None}, "input.providerId"),
    ({"startsAt": _TEN, "endsAt": _TWELVE, "resourceId": "res_01h2xcejqtf2nbrexx3vqjhp41"}, "input.providerId"),
    (
        {"startsAt": _TEN, "endsAt": _TWELVE, "providerId": None, "resourceId": "res_01h2xcejqtf2nbrexx3vqjhp41"},
        "input.unitNumber",
    ),
    ({"startsAt": _TEN, "endsAt": _TWELVE, "unitNumber": 1}, "input.unitNumber"),
    ({"startsAt": _TEN, "endsAt": _TWELVE, "reason": "x" * 501}, "input.reason"),
]


@pytest.mark.parametrize(("wanted", "path"), BAD, ids=range(len(BAD)))
async def test_what_cannot_be(owner: Visitor, wanted: dict[str, Any], path: str) -> None:
    refused = await _create(owner, **wanted)
    assert refused["__typename"] == "InvalidInput", refused
    assert [violation["path"] for violation in refused["violations"]] == [path]


@pytest.mark.parametrize(
    "wanted",
    [
        {"startsAt": "2026-03-29T02:30:00", "endsAt": _TWELVE},
        {"startsAt": _TEN, "endsAt": "9999-12-31T23:59:59Z"},
        {"from": "9999-12-31", "to": "9999-12-31"},
        {"startsAt": _TEN, "endsAt": _TWELVE, "reason": "a\u0000b"},
        {"startsAt": _TEN, "endsAt": _TWELVE, "providerId": "💈"},
        {"startsAt": _TEN, "endsAt": _TWELVE, "unitNumber": 2**31},
    ],
    ids=range(6),
)
async def test_absurd_values(owner: Visitor, wanted: dict[str, Any]) -> None:
    """Refused at the edge, in whichever way, and never as a failure of ours."""
    answer = await owner.client.raw(CREATE, {"input": {"providerId": owner.shop.provider_id, **wanted}})
    if answer.get("data"):
        assert answer["data"]["createTimeOff"]["__typename"] == "InvalidInput"
    else:
        codes = {error.get("extensions", {}).get("code") for error in answer["errors"]}
        assert codes == {"BAD_INPUT"}
    assert await rows_of(owner.shop, "SELECT 1 FROM blocked_time") == []


async def test_times_may_overlap_and_go_one_by_one(guest: Visitor, owner: Visitor) -> None:
    """Two that overlap: the time is free again when both are gone. Their rows stay."""
    first, second = await _created(owner, **_between(3, 10, 12)), await _created(owner, **_between(3, 11, 13))
    await _remove(owner, first)
    assert (await guest.hold(at(3, 11, 30)))["reason"] == "TIME_OFF"
    await guest.held(at(3, 10))
    await _remove(owner, second)
    await guest.held(at(3, 11, 30))
    rows = await rows_of(guest.shop, "SELECT removed_at FROM blocked_time")
    assert [row["removed_at"] is None for row in rows] == [False, False]


async def test_booking_and_time_off_at_once(guest: Visitor, owner: Visitor) -> None:
    """Whoever comes first: a guest is refused, or the booking stands and is told."""
    answers = await asyncio.gather(
        guest.hold(at(3, 10)), _create(owner, **_between(3, 10, 12)), guest.hold(at(3, 11)), guest.hold(at(3, 12))
    )
    kinds = [answer["__typename"] for answer in answers]
    assert kinds[1] == "CreateTimeOffPayload"
    assert kinds[3] == "HoldSlotPayload"
    for answer in (answers[0], answers[2]):
        assert answer["__typename"] == "HoldSlotPayload" or answer["reason"] in {"TIME_OFF", "HELD"}
    assert {f"{start:%H:%M}" for start in await guest.starts(_day(3))}.isdisjoint({"10:00", "11:00", "12:00"})


async def test_removed_twice_at_once(services: Services, client: GraphQLClient) -> None:
    """Of a room's unit as of a provider: the second finds nothing, and nothing is told twice."""
    shop = await make_shop(services)
    room = await make_room(shop)
    owner = Visitor(client.signed_in(shop.owner.token), shop)
    of_unit = {"providerId": None, "resourceId": room.id, "unitNumber": 1}
    for whose in ({}, of_unit):
        created = await _created(owner, **whose, **_between(3, 10, 12))
        answers = await asyncio.gather(*(_remove(owner, created) for _ in range(3)))
        assert sorted(each["__typename"] for each in answers) == ["NotFound", "NotFound", "RemoveTimeOffPayload"]
    audit = await rows_of(shop, "SELECT 1 FROM audit_entry WHERE action = 'time_off.removed'")
    assert len(audit) == 2


async def test_over_it_is_not_listed(owner: Visitor, clock: MovableClock) -> None:
    for day in (4, 2):
        await _created(owner, **_between(day, 10, 12))
    ids = [each["startsAt"] for each in (await owner.client(OF_PROVIDER, {"id": owner.shop.provider_id}))["timeOff"]]
    assert ids == [iso(at(2, 10)), iso(at(4, 10))]
    clock.move(timedelta(days=3))
    [left] = (await owner.client(OF_PROVIDER, {"id": owner.shop.provider_id}))["timeOff"]
    assert left["startsAt"] == iso(at(4, 10))


async def test_done_once(guest: Visitor, owner: Visitor) -> None:
    await guest.booked(at(3, 10))
    first = await _created(owner, **_between(3, 10, 12), idempotencyKey="once")
    assert await _created(owner, **_between(3, 10, 12), idempotencyKey="once") == first
    assert len(first["affectedBookings"]) == 1
    assert (await _create(owner, **_between(3, 10, 13), idempotencyKey="once"))["__typename"] == "IdempotencyConflict"
    gone = await _remove(owner, first, idempotencyKey="gone")
    assert await _remove(owner, first, idempotencyKey="gone") == gone


async def test_not_without_end(owner: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "TIMES_MAXIMUM", 2)
    for day in (2, 3):
        await _created(owner, **_between(day, 10, 12))
    refused = await _create(owner, **_between(4, 10, 12))
    assert (refused["__typename"], refused["rule"]) == ("NotAllowed", "time_off_limit")
