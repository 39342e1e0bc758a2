"""From a hold to a booking."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any
from unittest.mock import ANY
from uuid import uuid4

import pytest

from app.commands import booking as command
from app.core.ids import IdKind, decode_id
from app.domain.membership import Role
from app.resolvers.context import Services
from tests.fixtures_api import GraphQLClient, MovableClock, StatementLog
from tests.journey import ANA, Visitor, account, audit_of, booking_input, colleague, live_time, rows_of
from tests.schema import operations as op
from tests.shop import at, from_today, iso, make_person, make_shop, set_active


@pytest.fixture
async def guest(services: Services, client: GraphQLClient) -> Visitor:
    return Visitor(client, await make_shop(services))


async def test_a_guest_books_what_they_hold(guest: Visitor) -> None:
    held = await guest.held(at(2, 10))
    answer = await guest.book(held, notes=" By the window \r\nplease ", customer={**ANA, "phone": "+54 11 4321-5678"})
    booking = answer["booking"]
    assert (booking["status"], booking["version"]) == ("CONFIRMED", 1)
    assert booking["number"].startswith("TRN-")
    assert len(booking["confirmationCode"]) == 8
    assert (booking["startsAt"], booking["endsAt"]) == (iso(at(2, 10)), iso(at(2, 10, 30)))
    assert (booking["timeZone"], booking["partySize"]) == ("UTC", 1)
    assert (booking["paymentMethod"], booking["paymentStatus"]) == ("PAY_ON_ARRIVAL", "UNPAID")
    assert booking["price"] == held.answer["price"]
    assert (booking["expiresAt"], answer["payment"]) == (None, None)
    assert booking["provider"]["id"] == guest.shop.provider_id
    assert booking["service"]["id"] == guest.shop.service_id
    assert booking["items"] == [
        {"startsAt": iso(at(2, 10)), "endsAt": iso(at(2, 10, 30)), "price": {"amountMinor": 1_000}}
    ]
    assert booking["customer"]["phone"] == "+541143215678"
    assert booking["allowedTransitions"] == ["CANCELLED"]
    assert booking["cancellationTerms"] == {
        "refund": {"amountMinor": 0},
        "fee": {"amountMinor": 0},
        "freeUntil": iso(at(1, 10)),
    }
    assert booking["transitions"] == [
        {"from": None, "to": "PENDING", "actor": "guest"},
        {"from": "PENDING", "to": "CONFIRMED", "actor": "guest"},
    ]
    assert await live_time(guest.shop) == [(at(2, 10), at(2, 10, 30), "booked")]
    [stored] = await rows_of(guest.shop, "SELECT notes FROM booking")
    assert stored["notes"] == "By the window \nplease"


async def test_what_is_recorded(guest: Visitor) -> None:
    held = await guest.held(at(2, 10))
    headers = {"user-agent": "a browser", "x-request-id": f"request-{uuid4()}"}
    await guest.book(held, headers=headers)
    [entry] = await rows_of(guest.shop, "SELECT * FROM audit_entry WHERE action = 'booking.created'")
    assert (entry["actor"], entry["actor_id"], entry["channel"]) == ("guest", None, "api")
    assert (entry["address"], entry["user_agent"]) == ("127.0.0.1", headers["user-agent"])
    assert entry["request_id"] == headers["x-request-id"]
    assert entry["before"] is None
    assert entry["after"]["status"] == "confirmed"
    events = await rows_of(
        guest.shop,
        "SELECT type, payload FROM outbox_event WHERE type LIKE 'booking.%' OR type LIKE 'alloc%' ORDER BY id",
    )
    assert [event["type"] for event in events] == [
        "allocation.claimed",
        "allocation.confirmed",
        "booking.created",
        "booking.confirmed",
    ]
    assert events[-1]["payload"] == {"version": 1, "status": "confirmed"}


async def test_the_same_email_twice_is_two_customers(guest: Visitor) -> None:
    first = await guest.booked(at(2, 10), customer={**ANA, "phone": "+541143215678"})
    second = await guest.booked(at(2, 12), customer={"name": "Mallory", "email": ANA["email"].upper()})
    mine, theirs = first.answer["customer"], second.answer["customer"]
    assert mine["id"] != theirs["id"]
    assert (theirs["name"], theirs["email"], theirs["phone"]) == ("Mallory", ANA["email"], None)
    assert (await guest.read(first, first.token))["customer"]["name"] == "Ana"


async def test_a_guest_with_an_accounts_email_gets_nothing_of_it(guest: Visitor, client: GraphQLClient) -> None:
    owner_of_it = await account(client, guest.shop, "customer")
    mine = await owner_of_it.booked(at(2, 8), customer=None)
    email = mine.answer["customer"]["email"]
    theirs = await guest.booked(at(2, 10), customer={"name": "Mallory", "email": email})
    assert theirs.answer["customer"]["id"] != mine.answer["customer"]["id"]
    listed = await owner_of_it.client(
        "query ($id: ID!) { bookings(organizationId: $id) { edges { node { id } } } }",
        {"id": guest.shop.organization_id},
    )
    assert [edge["node"]["id"] for edge in listed["edges"]] == [mine.id]


async def test_one_who_is_signed_in_needs_to_say_nothing(guest: Visitor, client: GraphQLClient) -> None:
    customer = await account(client, guest.shop, "customer")
    person = guest.shop.people["customer"]
    first = await customer.booked(at(2, 10), customer=None)
    assert first.answer["customer"]["email"] == person.email
    assert first.answer["customer"]["name"] == "customer"
    assert [step["actor"] for step in first.answer["transitions"]] == ["customer", "customer"]
    second = await customer.booked(at(2, 12), customer=None)
    assert second.answer["customer"] == first.answer["customer"]
    assert (await customer.read(first))["id"] == first.id
    [entry] = await audit_of(guest.shop, first)
    assert (entry["actor"], entry["actor_id"]) == ("customer", person.user_id)


async def test_what_one_gives_for_oneself_is_kept(guest: Visitor, client: GraphQLClient) -> None:
    customer = await account(client, guest.shop, "customer")
    first = await customer.booked(at(2, 8), customer=None)
    other = await guest.booked(at(2, 9))
    given = {"name": "Else", "email": "else@example.com", "phone": "+54 11 4321-5678", "locale": "es-AR"}
    second = await customer.booked(at(2, 10), customer=given)
    known = {**given, "id": first.answer["customer"]["id"], "phone": "+541143215678"}
    shown = second.answer["customer"]
    assert shown == {name: known[name] for name in shown}
    # What is left out stays; the same once more is no change.
    third = await customer.booked(at(2, 12), customer={"name": "Elsa", "email": "else@example.com"})
    assert third.answer["customer"] == {**shown, "name": "Elsa"}
    await customer.booked(at(2, 14), customer={"name": "Elsa", "email": "else@example.com"})
    await customer.booked(at(2, 16), customer=None)
    stored = await rows_of(guest.shop, "SELECT name, email, phone, locale FROM customer ORDER BY created_at")
    assert stored[0] == {"name": "Elsa", "email": "else@example.com", "phone": "+541143215678", "locale": "es-AR"}
    assert len(stored) == 2
    assert (await guest.read(other, other.token))["customer"]["name"] == "Ana"
    audited = await rows_of(
        guest.shop,
        "SELECT subject_id, actor, actor_id, before, after FROM audit_entry"
        " WHERE action = 'customer.updated' ORDER BY id",
    )
    person = guest.shop.people["customer"]
    own = decode_id(IdKind.CUSTOMER, first.answer["customer"]["id"])
    assert {(row["subject_id"], row["actor"], row["actor_id"]) for row in audited} == {
        (own, "customer", person.user_id)
    }
    assert audited[0]["before"] == {"name": "customer", "email": person.email, "phone": None, "locale": ANY}
    assert audited[0]["after"] == stored[0] | {"name": "Else"}
    assert [(row["before"], row["after"]) for row in audited[1:]] == [({"name": "Else"}, {"name": "Elsa"})]


async def test_a_first_booking_with_details_is_no_change(guest: Visitor, client: GraphQLClient) -> None:
    customer = await account(client, guest.shop, "customer")
    assert (await customer.booked(at(2, 10))).answer["customer"]["name"] == "Ana"
    assert await rows_of(guest.shop, "SELECT id FROM audit_entry WHERE action = 'customer.updated'") == []


async def test_two_first_bookings_at_once_share_one_record(guest: Visitor, client: GraphQLClient) -> None:
    customer = await account(client, guest.shop, "customer")
    made = await asyncio.gather(*(customer.booked(at(2, hour), customer=None) for hour in (10, 12, 14)))
    assert len({each.answer["customer"]["id"] for each in made}) == 1


async def test_nobody_in_particular_cannot_book(guest: Visitor) -> None:
    refused = await guest.book(await guest.held(at(2, 10)), customer=None)
    assert refused["violations"] == [{"path": "input.customer", "message": "is needed unless you are signed in"}]


async def test_staff_book_for_a_walk_in(guest: Visitor, client: GraphQLClient) -> None:
    staff = await colleague(client, guest.shop, Role.STAFF)
    first = await staff.booked(at(2, 10), customer={"name": "Walk In", "email": "walk.in@example.com"})
    second = await staff.booked(at(2, 12), customer={"name": "Another", "email": "another@example.com"})
    assert [made.answer["customer"]["name"] for made in (first, second)] == ["Walk In", "Another"]
    assert first.answer["transitions"][0]["actor"] == "staff"
    assert first.answer["allowedTransitions"] == ["CANCELLED"]
    assert (await guest.read(first, first.token))["number"] == first.answer["number"]


async def test_a_provider_books_for_a_walk_in(services: Services, client: GraphQLClient) -> None:
    linked = await make_person(services, "linked")
    shop = await make_shop(services, linked=linked)
    provider = Visitor(client.signed_in(linked.token), shop)
    names = ("Walk In", "Another")
    for hour, name in enumerate(names):
        made = await provider.booked(at(2, 10 + hour), customer={"name": name, "email": "walk.in@example.com"})
        assert made.answer["customer"]["name"] == name
        assert made.answer["transitions"][0]["actor"] == "provider"


async def test_what_needs_approval_waits_for_it(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, service={"requires_approval": True})
    made = await Visitor(client, shop).booked(at(2, 10))
    assert made.answer["status"] == "AWAITING_PROVIDER"
    assert [step["to"] for step in made.answer["transitions"]] == ["PENDING", "AWAITING_PROVIDER"]
    assert await live_time(shop) == [(at(2, 10), at(2, 10, 30), "booked")]


async def test_what_is_not_offered(guest: Visitor) -> None:
    held = await guest.held(at(2, 10))
    refused = await guest.book(held, paymentMethod="PAY_NOW")
    assert (refused["__typename"], refused["rule"]) == ("NotAllowed", "pay_now_unavailable")
    assert (await guest.book(held))["__typename"] == "CreateBookingPayload"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", " \u200b "),
        ("name", "a\x01b"),
        ("name", "a\nb"),
        ("name", "\u202eevil"),
        ("name", "a" * 201),
        ("email", "ana"),
        ("email", "ana@"),
        ("email", "ana@exam ple.com"),
        ("email", "a" * 65 + "@example.com"),
        ("email", "ana@example.com\x01"),
        ("phone", "12"),
        ("phone", "011 4321-5678"),
        ("phone", "+999 123456789"),
        ("locale", "Spanish"),
    ],
)
async def test_a_customer_that_cannot_be(guest: Visitor, field: str, value: str) -> None:
    held = await guest.held(at(2, 10))
    refused = await guest.book(held, customer={**ANA, field: value})
    assert refused["__typename"] == "InvalidInput"
    assert [violation["path"] for violation in refused["violations"]] == [f"input.customer.{field}"]
    assert await rows_of(guest.shop, "SELECT id FROM customer") == []
    assert (await guest.release(held))["status"] == "RELEASED"


async def test_everything_wrong_is_told_at_once(guest: Visitor) -> None:
    held = await guest.held(at(2, 10))
    refused = await guest.book(held, customer={"name": "", "email": "x", "phone": "y"}, notes="\x01")
    paths = [violation["path"] for violation in refused["violations"]]
    assert paths == ["input.customer.name", "input.customer.email", "input.customer.phone", "input.notes"]


@pytest.mark.parametrize("name", ["José Ñandú 💈", "👩‍👩‍👧", "שרה כהן", "O'Brien <b>", "李"])
async def test_names_of_any_script(guest: Visitor, name: str) -> None:
    made = await guest.booked(at(2, 10), customer={**ANA, "name": f"  {name} "})
    assert made.answer["customer"]["name"] == name


async def test_a_wrong_token_reads_like_an_unknown_hold(guest: Visitor) -> None:
    held, other = await guest.held(at(2, 10)), await guest.held(at(2, 12))
    unknown = await guest.book(held, holdId="hld_01h2xcejqtf2nbrexx3vqjhp41")
    assert unknown["__typename"] == "NotFound"
    for token in ("", other.token, held.token[:-1]):
        assert await guest.book(held, holdToken=token) == unknown
    assert [status for *_, status in await live_time(guest.shop)] == ["held", "held"]


async def test_a_hold_that_ran_out(guest: Visitor, clock: MovableClock) -> None:
    held = await guest.held(at(2, 10))
    clock.move(timedelta(minutes=10, seconds=1))
    refused = await guest.book(held)
    assert (refused["__typename"], refused["code"]) == ("HoldExpired", "HOLD_EXPIRED")
    assert refused["alternatives"][0]["startsAt"] == iso(at(2, 10))
    assert len(refused["alternatives"]) == 6
    assert await rows_of(guest.shop, "SELECT id FROM booking") == []


async def test_a_hold_becomes_one_booking(guest: Visitor) -> None:
    held = await guest.held(at(2, 10))
    answers = await asyncio.gather(*(guest.book(held) for _ in range(6)))
    assert Counter(answer["__typename"] for answer in answers) == {"CreateBookingPayload": 1, "HoldExpired": 5}
    refused = next(answer for answer in answers if answer["__typename"] == "HoldExpired")
    assert refused["message"] == "This hold has already become a booking."
    assert len(await rows_of(guest.shop, "SELECT id FROM customer")) == 1


async def test_what_is_held_stays_bookable_as_it_was(guest: Visitor, client: GraphQLClient) -> None:
    """Neither a new price nor a closed shop takes back what was promised at the hold."""
    held = await guest.held(at(2, 10))
    shop = guest.shop
    owner = Visitor(client.signed_in(shop.owner.token), shop)
    await owner.publish([])
    await rows_of(shop, "UPDATE service SET price_minor = 9900 RETURNING id")
    await set_active(shop, "service", shop.service_uuids[0], False)
    await set_active(shop, "provider", shop.provider_uuids[0], False)
    answer = await guest.book(held)
    assert answer["booking"]["price"]["amountMinor"] == 1_000


async def test_two_equal_confirmation_codes_are_drawn_again(guest: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    codes = iter(["AAAA2222", "AAAA2222", "BBBB3333"])
    monkeypatch.setattr(command, "confirmation_code", lambda _randomness: next(codes))
    assert (await guest.booked(at(2, 10))).answer["confirmationCode"] == "AAAA2222"
    assert (await guest.booked(at(2, 12))).answer["confirmationCode"] == "BBBB3333"
    assert len(await rows_of(guest.shop, "SELECT id FROM customer")) == 2


async def test_budget(guest: Visitor, client: GraphQLClient, statements: StatementLog) -> None:
    customer = await account(client, guest.shop, "customer")
    ways: list[tuple[Visitor, dict[str, Any]]] = [(guest, {}), (customer, {"customer": None}), (customer, {})]
    for hour, (visitor, extra) in enumerate(ways, 10):
        held = await visitor.held(at(2, hour))
        statements.clear()
        answer = await visitor.book(held, idempotencyKey=str(uuid4()), **extra)
        assert answer["booking"]["transitions"]
        assert len(statements) <= 8, statements.statements


async def test_numbers_rise(guest: Visitor) -> None:
    made = [await guest.booked(at(2, 8 + n)) for n in range(4)]
    numbers = [each.answer["number"] for each in made]
    assert numbers == sorted(set(numbers))
    assert all(number[:9] == f"TRN-{from_today(0, 0).year}-" and len(number) == 15 for number in numbers)


async def test_an_id_of_the_wrong_kind(guest: Visitor) -> None:
    held = await guest.held(at(2, 10))
    answer = await guest.client.raw(op.BOOK, {"input": booking_input(held, holdId=guest.shop.service_id)})
    [error] = answer["errors"]
    assert error["extensions"]["code"] == "BAD_INPUT"
    assert error["extensions"]["violations"] == [
        {"path": "input.holdId", "message": "expected an id that begins with hld_"}
    ]
