"""Publishing hours with a choice for each booking that they leave outside: all of it, or nothing."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from typing import Any

import pytest

from app.commands.schedule_resolution import DEFAULT_REASON
from app.core.ids import IdKind, decode_id
from app.resolvers.context import Services
from tests.classes import Class, make_class
from tests.fixtures_api import GraphQLClient, MovableClock, StatementLog
from tests.journey import Made, Visitor, account, audit_of, hours, live_time, rows_of
from tests.schema.operations import BOOKING, ERRORS
from tests.schema.test_schedule_preview import PREVIEW
from tests.shop import at, iso, make_person, make_shop

AFFECTED = f"affectedBookings {{ reason booking {{ {BOOKING} }} alternatives {{ startsAt sessionId remaining }} }}"
PUBLISH = f"""
mutation ($input: PublishScheduleInput!) {{
  publishSchedule(input: $input) {{
    __typename
    ... on PublishSchedulePayload {{ schedule {{ id number }} {AFFECTED} }}
    ... on PreviewOutdated {{ {AFFECTED} }}
    ... on NotAllowed {{ rule }}
    {ERRORS}
  }}
}}
"""
MORNINGS = hours(("09:00", "12:00"))


@pytest.fixture
async def guest(services: Services, client: GraphQLClient) -> Visitor:
    return Visitor(client, await make_shop(services))


@pytest.fixture
async def owner(guest: Visitor, client: GraphQLClient) -> Visitor:
    return Visitor(client.signed_in(guest.shop.owner.token), guest.shop)


def _day(days: int) -> date:
    return at(days, 0).date()


def _choice(made: Made, action: str, **more: Any) -> dict[str, Any]:
    return {"bookingId": made.id, "action": action, **more}


async def _publish(visitor: Visitor, *resolutions: dict[str, Any], **extra: Any) -> dict[str, Any]:
    wanted = {"ownerId": visitor.shop.provider_id, "weekly": MORNINGS, "resolutions": resolutions, **extra}
    answer: dict[str, Any] = await visitor.client(PUBLISH, {"input": wanted})
    return answer


async def _published(visitor: Visitor, *resolutions: dict[str, Any], **extra: Any) -> dict[str, Any]:
    answer = await _publish(visitor, *resolutions, **extra)
    assert answer["__typename"] == "PublishSchedulePayload", answer
    return answer


async def _token(visitor: Visitor, weekly: list[dict[str, Any]] | None = None, **extra: Any) -> str:
    wanted = {"ownerId": visitor.shop.provider_id, "weekly": MORNINGS if weekly is None else weekly, **extra}
    return str((await visitor.client(PREVIEW, {"input": wanted}))["previewToken"])


def _standing(answer: dict[str, Any]) -> list[str]:
    return [one["booking"]["id"] for one in answer["affectedBookings"]]


async def _count(visitor: Visitor) -> int:
    return len(await rows_of(visitor.shop, "SELECT id FROM schedule_version"))


# ── what is chosen ────────────────────────────────────────────────────────────────────────────────────


async def test_one_of_each(guest: Visitor, owner: Visitor) -> None:
    kept, offered, moved, cancelled, unnamed = [await guest.booked(at(3, hour)) for hour in (14, 15, 16, 17, 18)]
    inside = await guest.booked(at(3, 9))
    held = await guest.held(at(4, 20))
    answer = await _published(
        owner,
        _choice(kept, "KEEP"),
        _choice(offered, "OFFER_ALTERNATIVES"),
        _choice(moved, "RESCHEDULE", startsAt=iso(at(3, 9, 30)), reason="Mornings only"),
        _choice(cancelled, "CANCEL"),
        previewToken=await _token(owner),
    )
    assert _standing(answer) == [kept.id, offered.id, unnamed.id]
    assert [len(one["alternatives"]) for one in answer["affectedBookings"]] == [6, 6, 6]
    seen = {made.id: await guest.read(made, made.token) for made in (kept, offered, moved, cancelled, unnamed, inside)}
    assert (seen[moved.id]["startsAt"], seen[moved.id]["status"]) == (iso(at(3, 9, 30)), "CONFIRMED")
    assert seen[moved.id]["price"] == moved.answer["price"]
    assert seen[cancelled.id]["status"] == "CANCELLED"
    last = seen[cancelled.id]["transitions"][-1]
    assert (last["reason"], last["actor"]) == (DEFAULT_REASON, "owner")
    for made in (kept, offered, unnamed, inside):
        assert (seen[made.id]["startsAt"], seen[made.id]["version"]) == (
            made.answer["startsAt"],
            made.answer["version"],
        )
    assert (await guest.book(held))["__typename"] == "CreateBookingPayload"  # what is held stands, too
    assert [entry["reason"] for entry in await audit_of(guest.shop, moved)][-1] == "Mornings only"
    live = {start for start, _, _ in await live_time(guest.shop)}
    assert at(3, 17) not in live
    assert {at(3, 14), at(3, 15), at(3, 18), at(3, 9), at(3, 9, 30), at(4, 20)} <= live


async def test_what_was_offered_is_written_down(guest: Visitor, owner: Visitor) -> None:
    """So that the customer can be told: with the event, and what of it is still free once everything is done."""
    offered, moved = await guest.booked(at(3, 15)), await guest.booked(at(3, 16))
    answer = await _published(
        owner,
        _choice(offered, "OFFER_ALTERNATIVES"),
        _choice(moved, "RESCHEDULE", startsAt=iso(at(3, 11, 30))),
    )
    expected = [iso(at(3, *when)) for when in ((11, 0), (10, 45), (10, 30), (10, 15), (10, 0), (9, 45))]
    assert [slot["startsAt"] for slot in answer["affectedBookings"][0]["alternatives"]] == expected
    [event] = await rows_of(
        guest.shop,
        "SELECT subject_id, payload FROM outbox_event WHERE type = 'booking.alternatives_offered'",
    )
    assert event["subject_id"] == decode_id(IdKind.BOOKING, offered.id)
    told = [slot["startsAt"].replace("+00:00", "Z") for slot in event["payload"]["alternatives"]]
    assert (told, event["payload"]["status"]) == (expected, "confirmed")
    entry = (await audit_of(guest.shop, offered))[-1]
    assert (entry["action"], entry["actor"]) == ("booking.alternatives_offered", "owner")
    assert len(entry["after"]["alternatives"]) == 6


async def test_a_cancellation_makes_room(guest: Visitor, owner: Visitor) -> None:
    """Cancelled first, then moved in order: each may take what the one before gave back."""
    over = await guest.booked(at(3, 11, 45))
    first, second = await guest.booked(at(3, 14)), await guest.booked(at(3, 15))
    await _published(
        owner,
        _choice(first, "RESCHEDULE", startsAt=iso(at(3, 11, 30))),
        _choice(second, "RESCHEDULE", startsAt=iso(at(3, 11, 0))),
        _choice(over, "CANCEL", reason="  "),
    )
    assert (await guest.read(first, first.token))["startsAt"] == iso(at(3, 11, 30))
    assert (await guest.read(second, second.token))["startsAt"] == iso(at(3, 11))


async def test_the_provider_may_choose(services: Services, client: GraphQLClient) -> None:
    linked = await make_person(services, "linked")
    shop = await make_shop(services, linked=linked)
    made = await Visitor(client, shop).booked(at(3, 20))
    answer = await _published(Visitor(client.signed_in(linked.token), shop), _choice(made, "CANCEL", reason="Holiday"))
    assert _standing(answer) == []
    assert [entry["actor"] for entry in await audit_of(shop, made)][-1] == "provider"


async def test_done_once(guest: Visitor, owner: Visitor) -> None:
    moved, kept = await guest.booked(at(3, 14)), await guest.booked(at(3, 15))
    choices = (_choice(moved, "RESCHEDULE", startsAt=iso(at(3, 9))), _choice(kept, "KEEP"))
    first = await _published(owner, *choices, idempotencyKey="once")
    assert await _published(owner, *choices, idempotencyKey="once") == first
    assert (await guest.read(moved, moved.token))["version"] == moved.answer["version"] + 1
    conflict = await _publish(owner, *choices[:1], idempotencyKey="once")
    assert conflict["__typename"] == "IdempotencyConflict"


# ── what cannot be ────────────────────────────────────────────────────────────────────────────────────


async def test_refused_in_one_nothing_is_done(guest: Visitor, owner: Visitor) -> None:
    taken = await guest.booked(at(3, 10))
    moved, cancelled, kept = [await guest.booked(at(3, hour)) for hour in (14, 15, 16)]
    stranger = await account(owner.client, guest.shop, "stranger")
    unknown = "bkg_01h2xcejqtf2nbrexx3vqjhp41"
    before = [await guest.read(made, made.token) for made in (taken, moved, cancelled, kept)]
    live, versions = await live_time(guest.shop), await _count(owner)
    cancel = _choice(cancelled, "CANCEL")
    cases: list[tuple[list[dict[str, Any]], str, str]] = [
        ([cancel, _choice(moved, "RESCHEDULE", startsAt=iso(at(3, 10)))], "1.startsAt", "is booked"),
        ([cancel, _choice(moved, "RESCHEDULE", startsAt=iso(at(3, 15)))], "1.startsAt", "Closed"),
        ([cancel, _choice(moved, "RESCHEDULE", startsAt=iso(at(3, 9, 7)))], "1.startsAt", "every 15 minutes"),
        ([cancel, _choice(moved, "RESCHEDULE", startsAt=iso(at(-2, 9)))], "1.startsAt", "Closed"),
        ([cancel, _choice(moved, "RESCHEDULE", startsAt=iso(at(3, 14)))], "1.startsAt", "already is"),
        ([cancel, _choice(moved, "RESCHEDULE")], "1.startsAt", "is needed"),
        ([cancel, _choice(moved, "KEEP", startsAt=iso(at(3, 9)))], "1.startsAt", "RESCHEDULE alone"),
        ([cancel, _choice(cancelled, "KEEP")], "1.bookingId", "input.resolutions.0"),
        ([cancel, _choice(taken, "CANCEL")], "1.bookingId", "is no booking that these hours leave outside"),
        ([cancel, {"bookingId": unknown, "action": "KEEP"}], "1.bookingId", "is no booking that these hours"),
        ([cancel, {"bookingId": unknown, "action": "CANCEL"}], "1.bookingId", "is no booking that these hours"),
        ([{**cancel, "reason": "\u202e"}], "0.reason", "invisible character"),
        ([{**cancel, "reason": "é" * 501}], "0.reason", "500"),
        ([cancel] * 201, "", "at most 200"),
    ]
    for resolutions, path, message in cases:
        refused = await _publish(owner, *resolutions)
        assert refused["__typename"] == "InvalidInput", (path, refused)
        [violation] = refused["violations"][:1]
        assert violation["path"] == f"input.resolutions.{path}".rstrip("."), refused
        assert message in violation["message"]
    assert (await _publish(stranger, cancel))["__typename"] == "NotFound"
    answer = await owner.client.raw(
        PUBLISH,
        {
            "input": {
                "ownerId": guest.shop.provider_id,
                "weekly": MORNINGS,
                "resolutions": [{"bookingId": "prv_01h2xcejqtf2nbrexx3vqjhp41", "action": "KEEP"}],
            }
        },
    )
    [violation] = answer["errors"][0]["extensions"]["violations"]
    assert violation["path"] == "input.resolutions.0.bookingId"
    assert [await guest.read(made, made.token) for made in (taken, moved, cancelled, kept)] == before
    assert (await live_time(guest.shop), await _count(owner)) == (live, versions)


async def test_a_booking_that_cannot_be_changed(guest: Visitor, owner: Visitor, clock: MovableClock) -> None:
    """One that is under way is not moved; the refusal says why."""
    made = await guest.booked(at(3, 20))
    clock.move_to(at(3, 12))
    await owner.stepped(made, "CHECKED_IN")
    refused = await _publish(owner, _choice(made, "RESCHEDULE", startsAt=iso(at(4, 9))))
    [violation] = refused["violations"]
    assert violation["path"] == "input.resolutions.0.action"
    assert "CHECKED_IN" in violation["message"]


async def test_another_shop_s_booking(services: Services, client: GraphQLClient, owner: Visitor) -> None:
    """Hidden is unknown."""
    elsewhere = Visitor(client, await make_shop(services))
    theirs = await elsewhere.booked(at(3, 20))
    refused = await _publish(owner, _choice(theirs, "CANCEL"))
    [violation] = refused["violations"]
    assert violation["path"] == "input.resolutions.0.bookingId"
    assert (await elsewhere.read(theirs, theirs.token))["status"] == "CONFIRMED"


# ── a preview that is no longer true ──────────────────────────────────────────────────────────────────


async def test_bookings_that_came_since(guest: Visitor, owner: Visitor, statements: StatementLog) -> None:
    first = await guest.booked(at(3, 14))
    token = await _token(owner)
    await guest.booked(at(3, 9))  # inside: no matter
    assert (await _published(owner, previewToken=token, effectiveFrom=None))["schedule"]["number"] == 2
    token = await _token(owner, effectiveFrom=_day(1).isoformat())
    late = Visitor(owner.client, owner.shop)
    await owner.publish(hours(("00:00", "24:00")))
    second = await late.booked(at(3, 15))
    refused = await _publish(owner, _choice(first, "CANCEL"), previewToken=token, effectiveFrom=_day(1).isoformat())
    assert (refused["__typename"], refused["code"]) == ("PreviewOutdated", "PREVIEW_OUTDATED")
    assert _standing(refused) == [first.id, second.id]
    assert all(len(one["alternatives"]) == 6 for one in refused["affectedBookings"])
    assert (await guest.read(first, first.token))["status"] == "CONFIRMED"
    assert await _count(owner) == 3
    again = await _token(owner, effectiveFrom=_day(1).isoformat())
    statements.clear()
    await _published(owner, _choice(first, "CANCEL"), previewToken=again, effectiveFrom=_day(1).isoformat())
    assert len(statements) <= 30


@pytest.mark.parametrize("change", ["moved", "cancelled"])
async def test_bookings_that_changed_since(guest: Visitor, owner: Visitor, change: str) -> None:
    made, other = await guest.booked(at(3, 14)), await guest.booked(at(3, 18))
    token = await _token(owner)
    if change == "moved":
        assert (await owner.move(made, at(3, 16)))["__typename"] == "Booking"
    else:
        await guest.cancel(made, accessToken=made.token)
    refused = await _publish(owner, previewToken=token)
    assert refused["__typename"] == "PreviewOutdated"
    assert _standing(refused) == ([made.id, other.id] if change == "moved" else [other.id])


async def test_a_token_of_a_day_ago(guest: Visitor, owner: Visitor, clock: MovableClock) -> None:
    made = await guest.booked(at(5, 14))
    day: dict[str, Any] = {"effectiveFrom": _day(4).isoformat()}
    token = await _token(owner, **day)
    clock.move(timedelta(hours=23, minutes=59))
    assert (await _published(owner, previewToken=token, **day))["schedule"]["number"] == 2
    clock.move(timedelta(0))
    token = await _token(owner, **day)
    clock.move(timedelta(hours=24, seconds=1))
    refused = await _publish(owner, previewToken=token, **day)
    assert (refused["__typename"], _standing(refused)) == ("PreviewOutdated", [made.id])
    assert "24 hours" in refused["message"]


async def test_a_token_of_other_hours(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, providers=2)
    owner = Visitor(client.signed_in(shop.owner.token), shop)
    token = await _token(owner)
    altered = ("A" if token[20] != "A" else "B").join((token[:20], token[21:]))
    assert (await _publish(owner, previewToken=token, weekly=list(reversed(MORNINGS))))["__typename"] == (
        "PublishSchedulePayload"
    )  # the same week, written down in another order
    for extra in (
        {"weekly": hours(("09:00", "13:00"))},
        {"slotIntervalMinutes": 30},
        {"effectiveFrom": _day(1).isoformat()},
        {"ownerId": shop.provider_ids[1]},
        {"previewToken": altered},
        {"previewToken": ""},
        {"previewToken": "💈"},
        {"previewToken": "A" * 10_000},
    ):
        refused = await _publish(owner, **{"previewToken": token, **extra})
        assert refused["__typename"] == "InvalidInput", (extra, refused)
        assert [violation["path"] for violation in refused["violations"]] == ["input.previewToken"]


async def test_two_publishers_at_once(guest: Visitor, owner: Visitor) -> None:
    """Both looked, both choose: one wins, the other is told that things changed."""
    made = await guest.booked(at(3, 14))
    token = await _token(owner)
    answers = await asyncio.gather(
        *(
            _publish(owner, _choice(made, "RESCHEDULE", startsAt=iso(at(3, 9, 30 * n))), previewToken=token)
            for n in range(2)
        )
    )
    assert sorted(answer["__typename"] for answer in answers) == ["PreviewOutdated", "PublishSchedulePayload"]
    assert len([start for start, _, _ in await live_time(guest.shop)]) == 1


async def test_bookings_and_publishers_at_once(guest: Visitor, owner: Visitor) -> None:
    """Whoever comes first: a booking is listed, or it was refused, or it came after and nobody lost it."""
    made = [await guest.booked(at(3, hour)) for hour in (13, 14, 15, 16)]
    token = await _token(owner)
    answers = await asyncio.gather(
        *(guest.cancel(one, accessToken=one.token) for one in made[:2]),
        *(owner.move(one, at(4, 9)) for one in made[2:3]),
        _publish(owner, *(_choice(one, "CANCEL") for one in made), previewToken=token),
        _publish(owner, *(_choice(one, "CANCEL") for one in reversed(made)), previewToken=token),
    )
    kinds = [answer["__typename"] for answer in answers[3:]]
    assert set(kinds) <= {"PreviewOutdated", "PublishSchedulePayload"}
    assert kinds.count("PublishSchedulePayload") <= 1
    statuses = {(await guest.read(one, one.token))["status"] for one in made}
    assert statuses <= {"CANCELLED", "CONFIRMED"}


# ── activities ────────────────────────────────────────────────────────────────────────────────────────

LATE = [{"weekday": day["weekday"], "open": [{"start": "10:00", "end": "13:00"}]} for day in hours()]


@pytest.fixture
async def yoga(services: Services, client: GraphQLClient) -> Class:
    return await make_class(client, services, capacity=4)


async def _of_class(yoga: Class, *resolutions: dict[str, Any], **extra: Any) -> dict[str, Any]:
    wanted = {
        "ownerId": yoga.activity_id,
        "weekly": LATE,
        "slotIntervalMinutes": 60,
        "resolutions": resolutions,
        **extra,
    }
    answer: dict[str, Any] = await yoga.owner(PUBLISH, {"input": wanted})
    return answer


async def test_sessions_that_are_no_more(yoga: Class) -> None:
    """Bookings of sessions that the hours lose are affected; other sessions are where they can go."""
    made = await yoga.booked((await yoga.at(at(3, 9)))["id"], 2)
    inside = await yoga.booked((await yoga.at(at(3, 10)))["id"], 3)
    wanted = {"ownerId": yoga.activity_id, "weekly": LATE, "slotIntervalMinutes": 60}
    seen = await yoga.owner(PREVIEW, {"input": wanted})
    assert [(one["booking"]["id"], one["reason"]) for one in seen["affectedBookings"]] == [(made.id, "CLOSED")]
    starts = [slot["startsAt"] for slot in seen["affectedBookings"][0]["alternatives"]]
    # 10:00 has one place left; 12:00 is not there yet, and will be.
    assert starts[:2] == [iso(at(3, 11)), iso(at(3, 12))]
    answer = await _of_class(yoga, previewToken=seen["previewToken"])
    assert [one["booking"]["id"] for one in answer["affectedBookings"]] == [made.id]
    assert [slot["startsAt"] for slot in answer["affectedBookings"][0]["alternatives"]] == starts
    assert all(slot["sessionId"] for slot in answer["affectedBookings"][0]["alternatives"][:2])
    assert (await yoga.at(at(3, 9)))["isLegacy"]
    assert [session["startsAt"] for session in await yoga.sessions(at(3, 0).date())] == [
        iso(at(3, hour)) for hour in (10, 11, 12)
    ]
    for one in (made, inside):
        assert (await yoga.guest.read(one, one.token))["status"] == "CONFIRMED"


async def test_to_another_session(yoga: Class) -> None:
    """Also to one that the new hours bring; a session that nobody is left in ends."""
    session = (await yoga.at(at(3, 9)))["id"]
    moved, cancelled = await yoga.booked(session, 2), await yoga.booked(session)
    answer = await _of_class(yoga, _choice(moved, "RESCHEDULE", startsAt=iso(at(3, 12))), _choice(cancelled, "CANCEL"))
    assert (answer["__typename"], answer["affectedBookings"]) == ("PublishSchedulePayload", [])
    assert (await yoga.guest.read(moved, moved.token))["startsAt"] == iso(at(3, 12))
    assert (await yoga.at(at(3, 12)))["placesTaken"] == 2
    left = await yoga.at(at(3, 9))
    assert (left["status"], left["placesTaken"]) == ("CANCELLED", 0)


async def test_a_session_that_cannot_be_had(yoga: Class) -> None:
    await yoga.booked((await yoga.at(at(3, 10)))["id"], 4)
    made = await yoga.booked((await yoga.at(at(3, 9)))["id"])
    for start, message in ((at(3, 10), "are taken"), (at(3, 9, 30), "no session"), (at(3, 9), "already is")):
        refused = await _of_class(yoga, _choice(made, "RESCHEDULE", startsAt=iso(start)))
        [violation] = refused["violations"]
        assert violation["path"] == "input.resolutions.0.startsAt"
        assert message in violation["message"], violation
    assert not (await yoga.at(at(3, 9)))["isLegacy"]


async def test_a_session_booked_since(yoga: Class) -> None:
    wanted = {"ownerId": yoga.activity_id, "weekly": LATE, "slotIntervalMinutes": 60}
    token = (await yoga.owner(PREVIEW, {"input": wanted}))["previewToken"]
    made = await yoga.booked((await yoga.at(at(3, 9)))["id"])
    refused = await _of_class(yoga, previewToken=token)
    assert refused["__typename"] == "PreviewOutdated"
    assert [one["booking"]["id"] for one in refused["affectedBookings"]] == [made.id]
    assert refused["affectedBookings"][0]["alternatives"][0]["startsAt"] == iso(at(3, 10))


async def test_a_new_interval_makes_other_sessions(yoga: Class) -> None:
    """The same opening with another grid: what is not on it any more is legacy."""
    made = await yoga.booked((await yoga.at(at(3, 10)))["id"])
    answer = await _of_class(yoga, weekly=MORNINGS, slotIntervalMinutes=90)
    assert [one["booking"]["id"] for one in answer["affectedBookings"]] == [made.id]
    assert [slot["startsAt"] for slot in answer["affectedBookings"][0]["alternatives"]][:2] == [
        iso(at(3, 10, 30)),
        iso(at(3, 9)),
    ]
