"""A price that staff name for one customer: made, answered by a secret link, held once, booked once."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from app.core.ids import IdKind, encode_id, new_id
from app.domain.membership import Role
from app.resolvers.context import Services
from tests.fixtures_api import GraphQLClient, MovableClock, StatementLog
from tests.journey import Answer, Visitor, account, booking_input, colleague, rows_of
from tests.paying import Payer, Paying
from tests.promos import call, make_promo, said
from tests.schema import operations as op
from tests.shop import Shop, at, iso, make_shop

ERRORS = "... on Error { code message } ... on InvalidInput { violations { path message } } ... on NotAllowed { rule }"
QUOTE = """
  id status customerName customerEmail price { amountMinor currency } total { amountMinor } durationMinutes message
  validUntil answeredAt accessToken service { id } provider { id }
"""


def document(operation: str) -> str:
    name = operation[0].upper() + operation[1:]
    return (
        f"mutation ($input: {name}Input!) {{ {operation}(input: $input) {{ __typename"
        f" ... on {name}Payload {{ priceQuote {{ {QUOTE} }} }} {ERRORS} }} }}"
    )


CREATE, WITHDRAW = document("createPriceQuote"), document("withdrawPriceQuote")
ACCEPT, DECLINE = document("acceptPriceQuote"), document("declinePriceQuote")
READ = f"query ($id: ID, $token: String) {{ priceQuote(id: $id, accessToken: $token) {{ {QUOTE} }} }}"
LIST = f"""
query ($id: ID!, $first: Int) {{ organization(id: $id) {{
  priceQuotes(first: $first) {{ totalCount edges {{ node {{ {QUOTE} }} }} }} }} }}
"""


@pytest.fixture
async def shop(services: Services) -> Shop:
    return await make_shop(services, providers=2, service={"price_type": "custom", "price_minor": 0})


@pytest.fixture
def guest(client: GraphQLClient, shop: Shop) -> Visitor:
    return Visitor(client, shop)


@pytest.fixture
async def staff(client: GraphQLClient, shop: Shop) -> Visitor:
    return await colleague(client, shop, Role.STAFF)


def wanted(shop: Shop, **extra: Any) -> dict[str, Any]:
    facts = {
        "serviceId": shop.service_id,
        "customerName": "Ana",
        "customerEmail": "Ana@example.com",
        "amountMinor": 45_000,
        "message": "A sleeve",
        "validUntil": iso(at(7, 0)),
    }
    return {**facts, **extra}


async def named(staff: Visitor, **extra: Any) -> Answer:
    """An open quote."""
    answer = await call(staff.client, CREATE, **wanted(staff.shop, **extra))
    assert answer["__typename"] == "CreatePriceQuotePayload", answer
    made: Answer = answer["priceQuote"]
    return made


async def accepted(staff: Visitor, guest: Visitor, **extra: Any) -> str:
    """The secret link of a quote that its customer accepted."""
    token: str = (await named(staff, **extra))["accessToken"]
    answer = await call(guest.client, ACCEPT, accessToken=token)
    assert answer["priceQuote"]["status"] == "ACCEPTED", answer
    return token


async def status_of(guest: Visitor, token: str) -> str:
    status: str = (await guest.client(READ, {"token": token}))["status"]
    return status


async def test_from_the_quote_to_the_booking(guest: Visitor, staff: Visitor) -> None:
    made = await named(staff)
    assert made["id"].startswith("pqt_")
    assert (made["status"], made["customerEmail"], made["answeredAt"]) == ("OPEN", "ana@example.com", None)
    assert (made["price"], made["total"]) == ({"amountMinor": 45_000, "currency": "USD"}, {"amountMinor": 45_000})
    token = made["accessToken"]
    assert await guest.client(READ, {"token": token}) == made
    answer = await call(guest.client, ACCEPT, accessToken=token)
    assert (answer["priceQuote"]["status"], answer["priceQuote"]["answeredAt"] is None) == ("ACCEPTED", False)
    held = await guest.held(at(2, 10), priceQuoteToken=token)
    assert held.answer["price"] == {"amountMinor": 45_000, "currency": "USD"}
    assert await status_of(guest, token) == "HELD"
    booked = await guest.book(held)
    assert booked["booking"]["price"]["amountMinor"] == 45_000
    assert await status_of(guest, token) == "BOOKED"
    [row] = await rows_of(guest.shop, "SELECT quote FROM booking")
    [line] = row["quote"]["lines"]
    assert encode_id(IdKind.PRICE_OFFER, type(new_id())(line["sourceId"])) == made["id"]
    events = await rows_of(guest.shop, "SELECT type FROM outbox_event WHERE type LIKE 'price_quote%' ORDER BY id")
    assert [one["type"].removeprefix("price_quote.") for one in events] == ["created", "accepted", "held", "booked"]
    entries = await rows_of(
        guest.shop, "SELECT action, actor FROM audit_entry WHERE action LIKE 'price_quote%' ORDER BY id"
    )
    assert [(one["action"], one["actor"]) for one in entries] == [
        ("price_quote.created", "staff"),
        ("price_quote.accepted", "customer"),
    ]


async def test_without_a_quote_there_is_no_hold(guest: Visitor, staff: Visitor) -> None:
    refused = await guest.hold(at(2, 10))
    message = "is priced by quote: an accepted quote comes before the hold"
    assert said(refused) == [("input.serviceId", message)]
    token = (await named(staff))["accessToken"]
    assert said(await guest.hold(at(2, 10), priceQuoteToken=token)) == [
        ("input.priceQuoteToken", "is of a price that was not accepted yet: acceptPriceQuote comes first")
    ]


async def test_a_quote_is_used_once(guest: Visitor, staff: Visitor) -> None:
    token = await accepted(staff, guest)
    held = await guest.held(at(2, 10), priceQuoteToken=token)
    taken = [("input.priceQuoteToken", "is of a price that another hold has at this moment")]
    assert said(await guest.hold(at(2, 12), priceQuoteToken=token)) == taken
    assert (await guest.book(held))["__typename"] == "CreateBookingPayload"
    booked = [("input.priceQuoteToken", "is of a price that was booked already")]
    assert said(await guest.hold(at(2, 12), priceQuoteToken=token)) == booked


async def test_many_holds_at_once_are_one(guest: Visitor, staff: Visitor) -> None:
    token = await accepted(staff, guest)
    answers = await asyncio.gather(*(guest.hold(at(2, 8 + n), priceQuoteToken=token) for n in range(8)))
    assert Counter(answer["__typename"] for answer in answers) == {"HoldSlotPayload": 1, "InvalidInput": 7}
    assert len(await rows_of(guest.shop, "SELECT id FROM hold")) == 1


async def test_a_hold_that_ends_gives_it_back(guest: Visitor, staff: Visitor, clock: MovableClock) -> None:
    token = await accepted(staff, guest)
    await guest.release(await guest.held(at(2, 10), priceQuoteToken=token))
    assert await status_of(guest, token) == "ACCEPTED"
    first = await guest.held(at(2, 12), priceQuoteToken=token)
    clock.move(timedelta(minutes=11))  # it ran out, whether or not anybody swept
    second = await guest.held(at(2, 14), priceQuoteToken=token)
    assert (await guest.book(first))["__typename"] == "HoldExpired"
    assert (await guest.book(second))["booking"]["price"]["amountMinor"] == 45_000


async def test_a_refused_hold_leaves_it_free(guest: Visitor, staff: Visitor) -> None:
    token = await accepted(staff, guest)
    other = await accepted(staff, guest)
    one: dict[str, Any] = {"providerId": guest.shop.provider_id}
    await guest.held(at(2, 10), priceQuoteToken=other, **one)
    refused = await guest.hold(at(2, 10), priceQuoteToken=token, **one)
    assert refused["__typename"] == "SlotUnavailable"
    assert await status_of(guest, token) == "ACCEPTED"
    await guest.held(at(2, 11), priceQuoteToken=token)


async def test_a_hold_that_lost_its_price_makes_no_booking(guest: Visitor, staff: Visitor) -> None:
    """Its last moment: the price went to another hold between looking and booking."""
    token = await accepted(staff, guest)
    held = await guest.held(at(2, 10), priceQuoteToken=token)
    other = await guest.held(at(2, 12), priceQuoteToken=await accepted(staff, guest))
    await rows_of(
        guest.shop,
        "UPDATE price_offer SET hold_id = (SELECT hold_id FROM price_offer WHERE hold_id <> o.hold_id)"
        " FROM price_offer o WHERE o.id = price_offer.id AND price_offer.hold_id IS NOT NULL RETURNING price_offer.id",
    )
    for one in (held, other):
        assert (await guest.book(one))["__typename"] == "HoldExpired"
    assert await rows_of(guest.shop, "SELECT id FROM booking") == []


async def test_it_is_for_whom_and_what_it_says(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(
        services,
        providers=2,
        service={"price_type": "custom", "maximum_duration_minutes": 240},
        more_services=({"price_type": "custom"},),
    )
    guest, staff = Visitor(client, shop), await colleague(client, shop, Role.STAFF)
    token = await accepted(staff, guest, providerId=shop.provider_ids[1], durationMinutes=120)
    for extra, path in (
        ({"serviceId": shop.service_ids[1]}, "input.serviceId"),
        ({"providerId": shop.provider_ids[0]}, "input.providerId"),
        ({"durationMinutes": 60}, "input.durationMinutes"),
    ):
        assert [one for one, _ in said(await guest.hold(at(2, 10), priceQuoteToken=token, **extra))] == [path]
    held = await guest.held(at(2, 10), priceQuoteToken=token)
    assert held.answer["provider"]["id"] == shop.provider_ids[1]
    assert held.answer["endsAt"] == iso(at(2, 12))


async def test_only_a_single_service_takes_one(guest: Visitor, staff: Visitor) -> None:
    token = await accepted(staff, guest)
    for extra in (
        {"serviceId": None, "items": [{"serviceId": guest.shop.service_id}]},
        {"serviceId": None, "startsAt": None, "sessionId": encode_id(IdKind.SESSION, new_id())},
    ):
        answer = await guest.client(op.HOLD, {"input": {"startsAt": iso(at(2, 10)), "priceQuoteToken": token, **extra}})
        assert said(answer) == [("input.priceQuoteToken", "is for a single service")]


async def test_tokens_that_open_nothing(guest: Visitor, staff: Visitor, services: Services) -> None:
    token, other = await accepted(staff, guest), await accepted(staff, guest)
    elsewhere = await make_shop(services, service={"price_type": "custom"})
    theirs = await accepted(Visitor(guest.client.signed_in(elsewhere.owner.token), elsewhere), guest)
    mixed = f"{token.partition('.')[0]}.{other.partition('.')[2]}"
    for wrong in ("", "x", "\u202e.", mixed, token[:-1], f"{token}x", "a" * 100_000):
        answer = await guest.client.raw(READ, {"token": wrong})
        assert answer["errors"][0]["extensions"]["code"] == "NOT_FOUND", wrong[:50]
        for document_ in (ACCEPT, DECLINE):
            assert (await call(guest.client, document_, accessToken=wrong))["__typename"] == "NotFound"
        assert said(await guest.hold(at(2, 10), priceQuoteToken=wrong)) == [
            ("input.priceQuoteToken", "opens no price that can be used here")
        ]
    refused = await guest.hold(at(2, 10), priceQuoteToken=theirs)
    assert said(refused) == [("input.priceQuoteToken", "opens no price that can be used here")]


async def test_a_price_stands_only_so_long(guest: Visitor, staff: Visitor, clock: MovableClock) -> None:
    open_one, token = (await named(staff))["accessToken"], await accepted(staff, guest)
    clock.move_to(at(7, 0))
    for one in (open_one, token):
        assert await status_of(guest, one) == "EXPIRED"
        assert (await call(guest.client, ACCEPT, accessToken=one))["rule"] == "price_quote_expired"
    assert said(await guest.hold(at(9, 10), priceQuoteToken=token)) == [
        ("input.priceQuoteToken", "is of a price that is not valid any more")
    ]


async def test_what_is_held_in_time_is_booked_after_it(guest: Visitor, staff: Visitor, clock: MovableClock) -> None:
    token = await accepted(staff, guest, validUntil=iso(at(2, 0)))
    clock.move_to(at(2, 0) - timedelta(minutes=1))
    held = await guest.held(at(9, 10), priceQuoteToken=token)
    clock.move_to(at(2, 0) + timedelta(minutes=1))
    assert (await guest.book(held))["__typename"] == "CreateBookingPayload"


async def test_answers(guest: Visitor, staff: Visitor) -> None:
    token = await accepted(staff, guest)
    again = await call(guest.client, ACCEPT, accessToken=token)
    assert again["priceQuote"]["status"] == "ACCEPTED"
    assert (await call(guest.client, DECLINE, accessToken=token))["priceQuote"]["status"] == "DECLINED"
    assert (await call(guest.client, DECLINE, accessToken=token))["priceQuote"]["status"] == "DECLINED"
    assert (await call(guest.client, ACCEPT, accessToken=token))["rule"] == "price_quote_declined"
    actions = await rows_of(guest.shop, "SELECT action FROM audit_entry WHERE action LIKE 'price_quote%' ORDER BY id")
    assert [one["action"] for one in actions] == [
        "price_quote.created",
        "price_quote.accepted",
        "price_quote.declined",
    ]
    held_at = await accepted(staff, guest)
    await guest.held(at(2, 10), priceQuoteToken=held_at)
    assert (await call(guest.client, DECLINE, accessToken=held_at))["rule"] == "price_quote_in_use"
    assert (await call(guest.client, ACCEPT, accessToken=held_at))["priceQuote"]["status"] == "HELD"


async def test_the_same_request_twice_is_answered_once(guest: Visitor, staff: Visitor) -> None:
    key = str(uuid4())
    first = await named(staff, idempotencyKey=key)
    assert await named(staff, idempotencyKey=key) == first
    other = await call(staff.client, CREATE, **wanted(staff.shop, idempotencyKey=key, amountMinor=1))
    assert other["__typename"] == "IdempotencyConflict"
    answers = await asyncio.gather(
        *(call(guest.client, ACCEPT, accessToken=first["accessToken"], idempotencyKey=key) for _ in range(4))
    )
    assert all(answer == answers[0] for answer in answers)
    assert len(await rows_of(guest.shop, "SELECT 1 FROM audit_entry WHERE action = 'price_quote.accepted'")) == 1


async def test_staff_take_it_back(guest: Visitor, staff: Visitor) -> None:
    made = await named(staff)
    await call(guest.client, ACCEPT, accessToken=made["accessToken"])
    answer = await call(staff.client, WITHDRAW, priceQuoteId=made["id"])
    assert answer["priceQuote"]["status"] == "WITHDRAWN"
    assert (await call(staff.client, WITHDRAW, priceQuoteId=made["id"]))["priceQuote"]["status"] == "WITHDRAWN"
    assert (await call(guest.client, ACCEPT, accessToken=made["accessToken"]))["rule"] == "price_quote_withdrawn"
    assert said(await guest.hold(at(2, 10), priceQuoteToken=made["accessToken"])) == [
        ("input.priceQuoteToken", "is of a price that was taken back")
    ]


async def test_a_promise_is_not_taken_back(guest: Visitor, staff: Visitor) -> None:
    made = await named(staff)
    await call(guest.client, ACCEPT, accessToken=made["accessToken"])
    held = await guest.held(at(2, 10), priceQuoteToken=made["accessToken"])
    assert (await call(staff.client, WITHDRAW, priceQuoteId=made["id"]))["rule"] == "price_quote_in_use"
    await guest.book(held)
    assert (await call(staff.client, WITHDRAW, priceQuoteId=made["id"]))["rule"] == "price_quote_in_use"


async def test_an_accepted_price_outlives_a_change_of_the_service(guest: Visitor, staff: Visitor) -> None:
    token = await accepted(staff, guest)
    await rows_of(guest.shop, "UPDATE service SET price_type = 'fixed', price_minor = 100 RETURNING id")
    held = await guest.held(at(2, 10), priceQuoteToken=token)
    assert held.answer["price"]["amountMinor"] == 45_000


@pytest.mark.parametrize(
    ("extra", "path"),
    [
        ({"amountMinor": -1}, "input.amountMinor"),
        ({"amountMinor": 2**53 - 1}, "input.amountMinor"),
        ({"customerName": " \u200b"}, "input.customerName"),
        ({"customerEmail": "ana"}, "input.customerEmail"),
        ({"message": "a\x01b"}, "input.message"),
        ({"message": "a" * 2_001}, "input.message"),
        ({"durationMinutes": 0}, "input.durationMinutes"),
        ({"durationMinutes": 45}, "input.durationMinutes"),
        ({"validUntil": iso(at(-1, 0))}, "input.validUntil"),
        ({"validUntil": iso(at(400, 0))}, "input.validUntil"),
    ],
)
async def test_a_quote_that_cannot_be(staff: Visitor, extra: dict[str, Any], path: str) -> None:
    found = said(await call(staff.client, CREATE, **wanted(staff.shop, **extra)))
    assert [one for one, _ in found] == [path]


async def test_who_may_name_and_see_them(
    guest: Visitor, staff: Visitor, services: Services, statements: StatementLog
) -> None:
    shop, fixed = guest.shop, await make_shop(services)
    made = await named(staff)
    used = await accepted(staff, guest)
    await guest.held(at(2, 10), priceQuoteToken=used)
    statements.clear()
    page = (await staff.client(LIST, {"id": shop.organization_id}))["priceQuotes"]
    assert len(statements) <= 11, statements.statements
    assert page["totalCount"] == 2
    assert [edge["node"]["status"] for edge in page["edges"]] == ["HELD", "OPEN"]
    stranger = await account(guest.client, shop, "stranger")
    theirs = Visitor(guest.client.signed_in(fixed.owner.token), fixed)
    for nobody in (guest, stranger, theirs):
        assert (await nobody.client(LIST, {"id": shop.organization_id}))["priceQuotes"] is None
        answer = await nobody.client.raw(READ, {"id": made["id"]})
        assert answer["errors"][0]["extensions"]["code"] == "NOT_FOUND"
    for nobody in (stranger, theirs):
        assert (await call(nobody.client, CREATE, **wanted(shop)))["__typename"] == "NotFound"
        assert (await call(nobody.client, WITHDRAW, priceQuoteId=made["id"]))["__typename"] == "NotFound"
    assert said(await call(theirs.client, CREATE, **wanted(fixed))) == [
        ("input.serviceId", "has a price of its own: only a service that is priced by quote takes one")
    ]
    foreign = await call(staff.client, CREATE, **wanted(shop, providerId=fixed.provider_id))
    assert foreign["__typename"] == "NotFound"


async def test_a_code_lowers_it_too(guest: Visitor, staff: Visitor) -> None:
    await make_promo(guest.client, guest.shop)
    held = await guest.held(at(2, 10), priceQuoteToken=await accepted(staff, guest))
    made = await guest.book(held, promoCode="VERANO20")
    assert made["booking"]["price"]["amountMinor"] == 36_000


async def test_a_booking_that_expires_unpaid_gives_it_back(paying: Paying) -> None:
    shop = await make_shop(paying.api.api.services, service={"price_type": "custom"})
    payer, staff = Payer(paying.client, shop), await colleague(paying.client, shop, Role.STAFF)
    token = await accepted(staff, payer)
    held = await payer.held(at(3, 10), priceQuoteToken=token)
    booked = await payer.client(op.BOOK, {"input": booking_input(held, paymentMethod="PAY_NOW")})
    assert booked["booking"]["price"]["amountMinor"] == 45_000
    assert await status_of(payer, token) == "BOOKED"
    paying.api.clock.move(timedelta(minutes=31))
    await paying.work("end_payment")
    assert await status_of(payer, token) == "ACCEPTED"
    again = await payer.booked(at(3, 12), hold={"priceQuoteToken": token})
    assert again.answer["price"]["amountMinor"] == 45_000


async def test_budget(guest: Visitor, staff: Visitor, statements: StatementLog) -> None:
    token = await accepted(staff, guest)
    statements.clear()
    held = await guest.held(at(2, 10), providerId=guest.shop.provider_id, priceQuoteToken=token)
    assert len(statements) <= 7, statements.statements
    statements.clear()
    await guest.book(held)
    assert len(statements) <= 8, statements.statements


async def test_a_price_whose_booking_came_back_is_used_up(guest: Visitor, staff: Visitor) -> None:
    await guest.booked(at(2, 10), hold={"priceQuoteToken": (token := await accepted(staff, guest))})
    becomes = "UPDATE booking SET status = :status RETURNING id"
    await rows_of(guest.shop, becomes, status="expired")
    await guest.release(await guest.held(at(2, 12), priceQuoteToken=token))
    await rows_of(guest.shop, becomes, status="confirmed")  # as when a payment lands late
    assert await status_of(guest, token) == "BOOKED"
