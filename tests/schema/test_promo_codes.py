"""Making, changing and listing promo codes; what a holder is told of one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.core.ids import IdKind, encode_id, new_id
from app.domain.membership import Role
from app.resolvers.context import Services
from app.resolvers.promo import GUESSES_PER_HOLD
from tests.fixtures_api import GraphQLClient, MovableClock, StatementLog, make_settings, serve
from tests.journey import Visitor, account, colleague, rows_of
from tests.promos import (
    CHECK,
    CREATE,
    LIST,
    UPDATE,
    call,
    change_promo,
    check,
    make_promo,
    owner_client,
    said,
)
from tests.shop import Shop, at, iso, make_shop


@pytest.fixture
async def guest(services: Services, client: GraphQLClient) -> Visitor:
    return Visitor(client, await make_shop(services))


async def listed(client: GraphQLClient, shop: Shop, **page: Any) -> Any:
    return (await client(LIST, {"id": shop.organization_id, **page}))["promoCodes"]


async def test_a_code_is_kept_in_normal_form(guest: Visitor) -> None:
    made = await make_promo(
        guest.client,
        guest.shop,
        " verano_20 ",
        totalLimit=20,
        customerLimit=1,
        firstBookingOnly=True,
        minimumMinor=500,
        atMostMinor=300,
        validFrom=iso(at(0, 0)),
        validUntil=iso(at(30, 0)),
        serviceIds=[guest.shop.service_id],
        note="Posters",
    )
    assert made["id"].startswith("pro_")
    expected = {
        "code": "VERANO_20",
        "note": "Posters",
        "rateBps": 2_000,
        "amount": None,
        "atMost": {"amountMinor": 300},
        "minimum": {"amountMinor": 500, "currency": "USD"},
        "serviceIds": [guest.shop.service_id],
        "activityIds": [],
        "firstBookingOnly": True,
        "validFrom": iso(at(0, 0)),
        "validUntil": iso(at(30, 0)),
        "totalLimit": 20,
        "customerLimit": 1,
        "uses": 0,
        "isActive": True,
    }
    assert {name: made[name] for name in expected} == expected
    [entry] = await rows_of(guest.shop, "SELECT * FROM audit_entry WHERE action = 'promo_code.created'")
    assert (entry["actor"], entry["after"]["code"]) == ("owner", "VERANO_20")
    node = "query ($id: ID!) { node(id: $id) { ... on PromoCode { code } } }"
    assert (await owner_client(guest.client, guest.shop)(node, {"id": made["id"]}))["code"] == "VERANO_20"


async def test_the_same_code_is_taken_in_one_organization_alone(guest: Visitor, services: Services) -> None:
    await make_promo(guest.client, guest.shop, "VERANO20")
    for again in ("verano20", "Veräno20", "\uff36ERANO20"):
        wanted = {"organizationId": guest.shop.organization_id, "code": again, "rateBps": 1}
        [(path, text)] = said(await call(owner_client(guest.client, guest.shop), CREATE, **wanted))
        assert (path, "taken" in text) == ("input.code", True)
    await make_promo(guest.client, await make_shop(services), "VERANO20")


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ({"code": "ab"}, "input.code"),
        ({"code": "a\x01bcd"}, "input.code"),
        ({"code": "🎉🎉🎉"}, "input.code"),
        ({"code": "\u202eabc"}, "input.code"),
        ({"code": "x" * 5_000}, "input.code"),
        ({"rateBps": 10_001}, "input.rateBps"),
        ({"rateBps": -1}, "input.rateBps"),
        ({"rateBps": 0}, "input.rateBps"),
        ({"rateBps": None}, "input.rateBps"),
        ({"amountMinor": 100}, "input.rateBps"),
        ({"amountMinor": -1, "rateBps": None}, "input.amountMinor"),
        ({"atMostMinor": 0}, "input.atMostMinor"),
        ({"minimumMinor": -1}, "input.minimumMinor"),
        ({"totalLimit": 0}, "input.totalLimit"),
        ({"totalLimit": 2**31 - 1}, "input.totalLimit"),
        ({"customerLimit": -1}, "input.customerLimit"),
        ({"validUntil": iso(at(-1, 0))}, "input.validUntil"),
        ({"validFrom": iso(at(5, 0)), "validUntil": iso(at(5, 0))}, "input.validUntil"),
        ({"note": "a\x01b"}, "input.note"),
        ({"serviceIds": [encode_id(IdKind.SERVICE, new_id())]}, "input.serviceIds"),
        ({"activityIds": [encode_id(IdKind.ACTIVITY, new_id())]}, "input.activityIds"),
    ],
)
async def test_a_code_that_cannot_be(guest: Visitor, values: dict[str, Any], path: str) -> None:
    wanted = {"organizationId": guest.shop.organization_id, "code": "VERANO20", "rateBps": 2_000, **values}
    found = said(await call(owner_client(guest.client, guest.shop), CREATE, **wanted))
    assert path in [one for one, _ in found]
    assert await rows_of(guest.shop, "SELECT id FROM promo_code") == []


@pytest.mark.parametrize(
    "values",
    [
        {"validUntil": "2026-03-04T10:00:00"},
        {"validUntil": "9999-12-31T00:00:00Z"},
        {"amountMinor": 2**53},
        {"note": "a\x00b"},
        {"serviceIds": ["org_01h2xcejqtf2nbrexx3vqjhp41"]},
    ],
)
async def test_what_is_not_even_well_formed(guest: Visitor, values: dict[str, Any]) -> None:
    wanted = {"organizationId": guest.shop.organization_id, "code": "VERANO20", "rateBps": 2_000, **values}
    answer = await owner_client(guest.client, guest.shop).raw(CREATE, {"input": wanted})
    assert answer["errors"][0]["extensions"]["code"] == "BAD_INPUT"


async def test_a_service_of_somebody_else_is_none(guest: Visitor, services: Services) -> None:
    other = await make_shop(services)
    wanted = {"organizationId": guest.shop.organization_id, "code": "VERANO20", "rateBps": 1}
    answer = await call(owner_client(guest.client, guest.shop), CREATE, **wanted, serviceIds=[other.service_id])
    assert said(answer) == [("input.serviceIds", "names something that is not there")]


async def test_only_owners_and_admins_make_and_change_them(guest: Visitor, services: Services) -> None:
    shop, other = guest.shop, await make_shop(services)
    made = await make_promo(guest.client, shop)
    staff, admin = [await colleague(guest.client, shop, role) for role in (Role.STAFF, Role.ADMIN)]
    create = {"organizationId": shop.organization_id, "code": "OTRO", "rateBps": 1}
    update = {"promoCodeId": made["id"], "isActive": False}
    strangers = [await account(guest.client, shop, "stranger"), Visitor(owner_client(guest.client, other), other)]
    for document, values in ((CREATE, create), (UPDATE, update)):
        assert (await guest.client.raw(document, {"input": values}))["errors"][0]["extensions"]["code"] == (
            "UNAUTHENTICATED"
        )
        for stranger in strangers:
            assert (await call(stranger.client, document, **values))["__typename"] == "NotFound"
        assert (await call(staff.client, document, **values))["rule"] == "role"
        assert (await call(admin.client, document, **values))["__typename"].endswith("Payload")


async def test_the_list_is_for_staff(guest: Visitor, statements: StatementLog) -> None:
    shop = guest.shop
    for number in range(3):
        await make_promo(guest.client, shop, f"CODE-{number}")
    staff = await colleague(guest.client, shop, Role.STAFF)
    statements.clear()
    page = await listed(staff.client, shop, first=2)
    assert len(statements) <= 6, statements.statements
    assert [edge["node"]["code"] for edge in page["edges"]] == ["CODE-2", "CODE-1"]
    assert (page["totalCount"], page["pageInfo"]["hasNextPage"]) == (3, True)
    rest = await listed(staff.client, shop, first=2, after=page["pageInfo"]["endCursor"])
    assert [edge["node"]["code"] for edge in rest["edges"]] == ["CODE-0"]
    for stranger in (guest, await account(guest.client, shop, "stranger")):
        assert await listed(stranger.client, shop) is None
    node = "query ($id: ID!) { node(id: $id) { id } }"
    answer = await guest.client.raw(node, {"id": page["edges"][0]["node"]["id"]})
    assert answer["errors"][0]["extensions"]["code"] == "NOT_FOUND"


async def test_a_code_is_extended_and_switched_off(guest: Visitor) -> None:
    made = await make_promo(guest.client, guest.shop, validUntil=iso(at(2, 0)), totalLimit=5, customerLimit=1)
    changed = await change_promo(
        guest.client, guest.shop, made, validUntil=iso(at(9, 0)), totalLimit=None, note="Longer", serviceIds=[]
    )
    assert changed == {**made, "validUntil": iso(at(9, 0)), "totalLimit": None, "note": "Longer"}
    off = await change_promo(guest.client, guest.shop, made, isActive=False)
    assert off == {**changed, "isActive": False}
    assert await change_promo(guest.client, guest.shop, made, isActive=False) == off
    entries = await rows_of(
        guest.shop, "SELECT before, after FROM audit_entry WHERE action = 'promo_code.updated' ORDER BY id"
    )
    assert [entry["after"] for entry in entries][1:] == [{"is_active": False}]


async def test_a_change_that_cannot_be(guest: Visitor) -> None:
    made = await make_promo(guest.client, guest.shop, validFrom=iso(at(3, 0)), validUntil=iso(at(5, 0)))
    owner = owner_client(guest.client, guest.shop)
    for values, path in (
        ({"validUntil": iso(at(3, 0))}, "input.validUntil"),
        ({"validFrom": iso(at(6, 0))}, "input.validFrom"),
        ({"totalLimit": 0}, "input.totalLimit"),
        ({"isActive": None}, "input.isActive"),
        ({"firstBookingOnly": None}, "input.firstBookingOnly"),
        ({"serviceIds": None}, "input.serviceIds"),
        ({"serviceIds": [encode_id(IdKind.SERVICE, new_id())]}, "input.serviceIds"),
    ):
        found = said(await call(owner, UPDATE, promoCodeId=made["id"], **values))
        assert [one for one, _ in found] == [path], values
    unknown = await call(owner, UPDATE, promoCodeId="pro_01h2xcejqtf2nbrexx3vqjhp41", isActive=False)
    assert unknown["__typename"] == "NotFound"


async def test_the_same_request_twice_makes_one(guest: Visitor) -> None:
    key = str(uuid4())
    first = await make_promo(guest.client, guest.shop, idempotencyKey=key)
    assert await make_promo(guest.client, guest.shop, idempotencyKey=key) == first
    wanted = {"organizationId": guest.shop.organization_id, "code": "OTRO", "rateBps": 2_000, "idempotencyKey": key}
    other = await call(owner_client(guest.client, guest.shop), CREATE, **wanted)
    assert other["__typename"] == "IdempotencyConflict"


# ── what a holder is told ─────────────────────────────────────────────────────────────────────────────


async def test_the_price_with_a_code_before_booking(guest: Visitor, statements: StatementLog) -> None:
    await make_promo(guest.client, guest.shop, customerLimit=1)
    held = await guest.held(at(2, 10))
    statements.clear()
    assert await check(guest.client, held, "verano20") == {
        "isUsable": True,
        "reason": None,
        "message": None,
        "price": {"amountMinor": 800},
        "discount": {"amountMinor": 200},
        "dueNow": {"amountMinor": 800},
        "priceLines": [
            {"kind": "BASE", "label": "Service", "amount": {"amountMinor": 1_000}},
            {"kind": "PROMO", "label": "VERANO20", "amount": {"amountMinor": -200}},
        ],
    }
    assert len(statements) <= 3, statements.statements
    assert (await guest.book(held))["booking"]["price"]["amountMinor"] == 1_000  # looking is not using


async def test_nobody_learns_which_codes_exist(guest: Visitor, services: Services) -> None:
    shop, other = guest.shop, await make_shop(services)
    await make_promo(guest.client, shop, "SOON", validFrom=iso(at(5, 0)))
    off = await make_promo(guest.client, shop, "OFF")
    await change_promo(guest.client, shop, off, isActive=False)
    await make_promo(guest.client, other, "THEIRS")
    held = await guest.held(at(2, 10))
    answers = [await check(guest.client, held, code) for code in ("NONE", "SOON", "OFF", "THEIRS", "", "🎉", "a" * 999)]
    assert [answer["reason"] for answer in answers] == ["UNKNOWN"] * 7
    assert all(answer == answers[0] for answer in answers)
    assert answers[0]["price"] == {"amountMinor": 1_000}
    booked = [await guest.book(held, promoCode=code) for code in ("NONE", "OFF")]
    assert said(booked[0]) == said(booked[1]) == [("input.promoCode", "is no code that can be used here")]


async def test_a_code_that_is_none_here_takes_no_longer(guest: Visitor, statements: StatementLog) -> None:
    """Else the time that an answer takes would tell."""
    await make_promo(guest.client, guest.shop, "SOON", customerLimit=1, validFrom=iso(at(5, 0)))
    off = await make_promo(guest.client, guest.shop, "OFF", firstBookingOnly=True)
    await change_promo(guest.client, guest.shop, off, isActive=False)
    customer = await account(guest.client, guest.shop, "customer")
    held, counts = await customer.held(at(2, 10)), []
    for code in ("NONE", "SOON", "OFF"):
        statements.clear()
        assert (await check(customer.client, held, code))["reason"] == "UNKNOWN"
        counts.append(len(statements))
    assert counts == [counts[0]] * 3


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"minimumMinor": 1_001}, "BELOW_MINIMUM"),
        ({"validUntil": "moved"}, "EXPIRED"),
        ({"serviceIds": "other"}, "OTHER_SERVICES"),
    ],
)
async def test_why_a_code_does_not_count(
    services: Services, client: GraphQLClient, clock: MovableClock, values: dict[str, Any], reason: str
) -> None:
    shop = await make_shop(services, more_services=({},))
    facts = {**values}
    if "serviceIds" in facts:
        facts["serviceIds"] = [shop.service_ids[1]]
    if "validUntil" in facts:
        facts["validUntil"] = iso(at(2, 0))
    await make_promo(client, shop, **facts)
    clock.move(timedelta(days=2) if reason == "EXPIRED" else timedelta(0))
    guest = Visitor(client, shop)
    held = await guest.held(at(4, 10))
    answer = await check(client, held, "VERANO20")
    assert (answer["isUsable"], answer["reason"]) == (False, reason)
    assert answer["message"].startswith("This is a code ")
    assert (await guest.book(held, promoCode="VERANO20"))["__typename"] == "InvalidInput"


async def test_limits_of_a_customer_are_told_to_that_customer_alone(guest: Visitor) -> None:
    await make_promo(guest.client, guest.shop, "ONCE", customerLimit=1)
    await make_promo(guest.client, guest.shop, "FIRST", firstBookingOnly=True)
    customer = await account(guest.client, guest.shop, "customer")
    await customer.booked(at(2, 8), promoCode="ONCE", customer=None)
    held = await customer.held(at(2, 10))
    assert (await check(customer.client, held, "ONCE"))["reason"] == "USED_BY_CUSTOMER"
    assert (await check(customer.client, held, "FIRST"))["reason"] == "FIRST_BOOKING_ONLY"
    assert [(await check(guest.client, held, code))["isUsable"] for code in ("ONCE", "FIRST")] == [True, True]


async def test_a_hold_of_somebody_else_tells_nothing(guest: Visitor) -> None:
    await make_promo(guest.client, guest.shop)
    held, other = await guest.held(at(2, 10)), await guest.held(at(2, 12))
    for hold_id, token in ((held.id, other.token), ("hld_01h2xcejqtf2nbrexx3vqjhp41", held.token)):
        answer = await guest.client.raw(CHECK, {"id": hold_id, "token": token, "code": "VERANO20"})
        assert answer["errors"][0]["extensions"]["code"] == "NOT_FOUND"
    await guest.release(held)
    answer = await guest.client.raw(CHECK, {"id": held.id, "token": held.token, "code": "VERANO20"})
    assert answer["errors"][0]["extensions"]["code"] == "BAD_INPUT"


async def test_codes_cannot_be_guessed_with_one_hold(guest: Visitor) -> None:
    await make_promo(guest.client, guest.shop)
    held = await guest.held(at(2, 10))
    for number in range(GUESSES_PER_HOLD // 2):
        assert (await check(guest.client, held, "VERANO20"))["isUsable"] is True  # no guess, and no way round the count
        assert (await check(guest.client, held, f"GUESS-{number}"))["isUsable"] is False
        assert (await guest.book(held, promoCode=f"OTHER-{number}"))["__typename"] == "InvalidInput"
    answer = await guest.client.raw(CHECK, {"id": held.id, "token": held.token, "code": "VERANO20"})
    assert answer["errors"][0]["extensions"]["code"] == "RATE_LIMITED"
    assert (await guest.book(held, promoCode="VERANO20"))["__typename"] == "RateLimited"
    assert (await guest.book(held))["__typename"] == "CreateBookingPayload"


async def test_codes_cannot_be_guessed_from_one_address(database_url: str, redis_url: str, http: Any) -> None:
    async with serve(make_settings(database_url, redis_url, promo_guess_limit_per_address=4)) as running:
        client = GraphQLClient(http, running.graphql_url)
        guest = Visitor(client, await make_shop(running.api.services))
        await make_promo(client, guest.shop)
        holds = [await guest.held(at(2, 8 + number)) for number in range(5)]
        for held in holds[:4]:
            assert (await check(client, held, "GUESS"))["isUsable"] is False
        answer = await client.raw(CHECK, {"id": holds[4].id, "token": holds[4].token, "code": "VERANO20"})
        assert answer["errors"][0]["extensions"]["code"] == "RATE_LIMITED"


async def test_a_repeat_is_answered_however_many_codes_were_guessed(database_url: str, redis_url: str) -> None:
    """By others from the same address, while its first answer was on its way."""
    settings = make_settings(database_url, redis_url, promo_guess_limit_per_address=1, trusted_proxies=["127.0.0.1"])
    there = {"X-Forwarded-For": "198.51.100.77"}
    async with serve(settings) as running, httpx.AsyncClient(headers=there) as http:
        client = GraphQLClient(http, running.graphql_url)
        guest = Visitor(client, await make_shop(running.api.services))
        await make_promo(client, guest.shop)
        held, other, key = await guest.held(at(2, 8)), await guest.held(at(2, 9)), str(uuid4())
        first = await guest.book(held, promoCode="VERANO20", idempotencyKey=key)
        assert (await check(client, other, "GUESS"))["isUsable"] is False
        assert await guest.book(held, promoCode="VERANO20", idempotencyKey=key) == first
        assert (await guest.book(other, promoCode="VERANO20"))["__typename"] == "RateLimited"
