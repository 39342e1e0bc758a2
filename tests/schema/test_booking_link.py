"""Secret links: finding a booking by its code, renewing its link, claiming it for an account."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from app.domain.membership import Role
from app.resolvers.context import Services
from tests.fixtures_api import GraphQLClient, MovableClock, RunningApi, StatementLog, make_settings, serve
from tests.journey import ANA, Answer, Made, Visitor, account, audit_of, colleague, rows_of
from tests.promos import make_promo
from tests.shop import at, make_person, make_shop

_ERRORS = "... on Error { code message } ... on InvalidInput { violations { path } }"
FIND = """
mutation ($input: FindBookingInput!) { findBooking(input: $input) {
  __typename ... on FindBookingPayload { accessToken booking { id number } } ... on Error { code message }
  ... on RateLimited { retryAfterSeconds }
} }
"""
RENEW = f"""
mutation ($input: RenewBookingLinkInput!) {{ renewBookingLink(input: $input) {{
  __typename ... on RenewBookingLinkPayload {{ accessToken booking {{ id version }} }} {_ERRORS}
  ... on NotAllowed {{ rule }} ... on StaleVersion {{ currentVersion }}
}} }}
"""
CLAIM = f"""
mutation ($input: ClaimBookingInput!) {{ claimBooking(input: $input) {{
  __typename ... on ClaimBookingPayload {{ booking {{ id version customer {{ id name email phone }} }} }} {_ERRORS}
  ... on NotAllowed {{ rule }}
}} }}
"""
KEY = "0b9f1a52-6f6e-4a0e-9c0e-3f1f6a6c8f01"


@pytest.fixture
async def guest(services: Services, client: GraphQLClient) -> Visitor:
    return Visitor(client, await make_shop(services))


async def _find(guest: Visitor, code: str, email: str = ANA["email"], **headers: str) -> Answer:
    wanted = {"organizationId": guest.shop.organization_id, "confirmationCode": code, "email": email}
    answer: Answer = await guest.client(FIND, {"input": wanted}, **headers)
    return answer


async def _renew(visitor: Visitor, made: Made, **extra: Any) -> Answer:
    answer: Answer = await visitor.client(RENEW, {"input": {"bookingId": made.id, **extra}})
    return answer


async def _claim(visitor: Visitor, token: str, **extra: Any) -> Answer:
    answer: Answer = await visitor.client(CLAIM, {"input": {"accessToken": token, **extra}})
    return answer


# ── by code ───────────────────────────────────────────────────────────────────────────────────────────


async def test_a_booking_is_found_however_its_code_is_typed(guest: Visitor) -> None:
    made = await guest.booked(at(2, 10))
    code = made.answer["confirmationCode"]
    for typed in (code, code.lower(), f" {code[:4]}-{code[4:]} ", " ".join(code.lower())):
        found = await _find(guest, typed, " ANA@Example.com ")
        assert found == {
            "__typename": "FindBookingPayload",
            "accessToken": made.token,
            "booking": {"id": made.id, "number": made.answer["number"]},
        }


async def test_whatever_is_wrong_the_answer_is_the_same(
    guest: Visitor, services: Services, client: GraphQLClient, statements: StatementLog
) -> None:
    made = await guest.booked(at(2, 10))
    code = made.answer["confirmationCode"]
    other = Visitor(client, await make_shop(services))
    owned = await (await account(client, guest.shop, "eva")).booked(at(2, 12), customer=ANA)
    answers, costs = [], []
    for visitor, typed, email in (
        (guest, "ABCDEFGH", ANA["email"]),
        (guest, code, "eve@example.com"),
        (guest, code, "no e-mail at all"),
        (guest, code, ""),
        (guest, "", ANA["email"]),
        (guest, "\U0001f600" * 10_000, "\U0001f600" * 1_000),
        (guest, "O0I1O0I1", ANA["email"]),
        (other, code, ANA["email"]),
        (guest, owned.answer["confirmationCode"], ANA["email"]),
    ):
        statements.clear()
        answers.append(await _find(visitor, typed, email))
        costs.append(len(statements))
    assert all(answer == answers[0] for answer in answers), answers
    assert answers[0]["__typename"] == "NotFound"
    assert set(costs) == {2}


async def test_what_is_long_past_is_not_found(guest: Visitor, clock: MovableClock) -> None:
    made = await guest.booked(at(2, 10))
    clock.move_to(at(32, 10, 29))
    assert (await _find(guest, made.answer["confirmationCode"]))["__typename"] == "FindBookingPayload"
    clock.move_to(at(32, 10, 31))
    assert (await _find(guest, made.answer["confirmationCode"]))["__typename"] == "NotFound"


async def test_guesses_are_limited_and_those_who_find_theirs_are_not(
    database_url: str, redis_url: str, http: httpx.AsyncClient
) -> None:
    settings = make_settings(
        database_url,
        redis_url,
        booking_lookup_limit_per_address=3,
        booking_lookup_limit=5,
        trusted_proxies=["127.0.0.1"],
    )
    async with serve(settings) as api:
        guest = Visitor(GraphQLClient(http, api.graphql_url), await make_shop(api.api.services))
        code = (await guest.booked(at(2, 10))).answer["confirmationCode"]
        one, two = ({"x-forwarded-for": f"198.51.100.{number}"} for number in (1, 2))
        for _ in range(5):
            assert (await _find(guest, code, **one))["__typename"] == "FindBookingPayload"
        guesses = [_find(guest, "ABCDEFGH", **one) for _ in range(8)]
        kinds = sorted(answer["__typename"] for answer in await asyncio.gather(*guesses))
        assert kinds == ["NotFound"] * 3 + ["RateLimited"] * 5
        refused = await _find(guest, code, **one)
        assert (refused["__typename"], 0 < refused["retryAfterSeconds"] <= 900) == ("RateLimited", True)
        assert (await _find(guest, code, **two))["__typename"] == "FindBookingPayload"
        kinds = [(await _find(guest, "ABCDEFGH", **two))["__typename"] for _ in range(3)]
        assert kinds == ["NotFound", "NotFound", "RateLimited"]  # five in all at this organization


# ── renewing ──────────────────────────────────────────────────────────────────────────────────────────


async def test_the_old_link_is_void_at_once(guest: Visitor, client: GraphQLClient) -> None:
    made = await guest.booked(at(2, 10))
    renewed = await _renew(guest, made, accessToken=made.token, expectedVersion=1, idempotencyKey=KEY)
    assert (renewed["__typename"], renewed["booking"]["version"]) == ("RenewBookingLinkPayload", 2)
    assert renewed["accessToken"] != made.token
    assert (await guest.cancel(made, accessToken=made.token))["__typename"] == "NotFound"
    assert (await _renew(guest, made, accessToken=made.token))["__typename"] == "NotFound"
    again = await _renew(guest, made, accessToken=made.token, expectedVersion=1, idempotencyKey=KEY)
    assert again == renewed
    by_staff = await _renew(await colleague(client, guest.shop, Role.STAFF), made)
    assert by_staff["__typename"] == "RenewBookingLinkPayload"
    assert (await guest.read(made, by_staff["accessToken"]))["id"] == made.id
    again = await _renew(guest, made, accessToken=made.token, expectedVersion=1, idempotencyKey=KEY)
    assert again["__typename"] == "NotFound"  # what it made is void, too
    entries = [entry for entry in await audit_of(guest.shop, made) if entry["action"] == "booking.link_renewed"]
    assert [entry["after"]["access_version"] for entry in entries] == [2, 3]


async def test_what_the_old_link_showed_opens_nothing_either(
    guest: Visitor, running: RunningApi, http: httpx.AsyncClient
) -> None:
    """Whoever had it has read the confirmation code and the e-mail address, and may have the calendar's address."""
    shows = (
        "query ($id: ID!, $token: String!) { booking(id: $id, accessToken: $token) { confirmationCode calendarUrl } }"
    )
    made = await guest.booked(at(2, 10))
    seen = await guest.client(shows, {"id": made.id, "token": made.token})
    token = (await _renew(guest, made, accessToken=made.token))["accessToken"]
    assert (await _find(guest, seen["confirmationCode"]))["__typename"] == "NotFound"
    renewed = await guest.client(shows, {"id": made.id, "token": token})
    assert (await _find(guest, renewed["confirmationCode"]))["accessToken"] == token
    old, new = [
        await http.get(
            running.url + urlsplit(one["calendarUrl"]).path, params={"token": urlsplit(one["calendarUrl"]).query[6:]}
        )
        for one in (seen, renewed)
    ]
    assert (old.status_code, new.status_code) == (404, 200)
    assert renewed["confirmationCode"] not in new.text


async def test_who_may_renew(services: Services, client: GraphQLClient) -> None:
    linked = await make_person(services, "doer")
    shop = await make_shop(services, linked=linked)
    guest = Visitor(client, shop)
    made = await guest.booked(at(2, 10))
    refused = await _renew(Visitor(client.signed_in(linked.token), shop), made)
    assert (refused["__typename"], refused["rule"]) == ("NotAllowed", "link_of_customer")
    assert (await _renew(guest, made))["__typename"] == "NotFound"
    assert (await _renew(await account(client, shop, "eve"), made))["__typename"] == "NotFound"
    stale = await _renew(guest, made, accessToken=made.token, expectedVersion=2**31 - 1)
    assert (stale["__typename"], stale["currentVersion"]) == ("StaleVersion", 1)
    own = await account(client, shop, "eva")
    booked = await own.booked(at(2, 12), customer=None)
    assert (await _renew(own, booked))["__typename"] == "RenewBookingLinkPayload"


# ── claiming ──────────────────────────────────────────────────────────────────────────────────────────


async def test_a_claimed_booking_is_the_accounts(guest: Visitor, client: GraphQLClient) -> None:
    person = await guest.shop.person("eva")
    eva = Visitor(client.signed_in(person.token), guest.shop)
    details = {"name": "Evita", "email": person.email, "phone": "+54 11 4321-5678"}
    made = await guest.booked(at(2, 10), customer=details)
    claimed = await _claim(eva, made.token)
    assert claimed["__typename"] == "ClaimBookingPayload", claimed
    customer = claimed["booking"]["customer"]
    assert (customer["name"], customer["email"], customer["phone"]) == ("eva", person.email, "+541143215678")
    assert await _claim(eva, made.token) == claimed
    assert (await eva.read(made))["id"] == made.id
    refused = await _claim(await account(client, guest.shop, "eve"), made.token)
    assert (refused["__typename"], refused["rule"]) == ("NotAllowed", "claimed_by_another")
    entries = [entry for entry in await audit_of(guest.shop, made) if entry["action"] == "booking.claimed"]
    assert [entry["actor"] for entry in entries] == ["customer"]
    assert set(entries[0]["before"]) == set(entries[0]["after"]) == {"customer_id", "version"}
    # The next one goes to the record that is there, which keeps what the account was known by.
    later = await guest.booked(at(3, 10), customer={"name": "Another", "email": "another@example.com"})
    assert (await _claim(eva, later.token))["booking"]["customer"] == claimed["booking"]["customer"]
    assert (await eva.cancel(later))["__typename"] == "Booking"


async def test_an_account_keeps_its_own_name(guest: Visitor, client: GraphQLClient) -> None:
    """Whoever claims may be another person: the next booking is not made in the guest's name."""
    made = await guest.booked(at(2, 10), customer={**ANA, "phone": "+54 11 4321-5678"})
    customer = (await _claim(await account(client, guest.shop, "bob"), made.token))["booking"]["customer"]
    assert customer["name"] != ANA["name"]
    assert customer["email"] != ANA["email"]
    assert customer["phone"] is None


async def test_nobody_claims_without_link_and_account(guest: Visitor, client: GraphQLClient) -> None:
    made = await guest.booked(at(2, 10))
    eva = await account(client, guest.shop, "eva")
    unsigned = await client.raw(CLAIM, {"input": {"accessToken": made.token}})
    assert unsigned["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    for token in ("", "x", made.token[:-1], made.token + "x", made.id, "\U0001f600." * 9):
        assert (await _claim(eva, token))["__typename"] == "NotFound", token
    renewed = await _renew(guest, made, accessToken=made.token)
    assert (await _claim(eva, made.token))["__typename"] == "NotFound"
    assert (await _claim(eva, renewed["accessToken"]))["__typename"] == "ClaimBookingPayload"


async def test_of_two_accounts_at_once_one_gets_it(guest: Visitor, client: GraphQLClient) -> None:
    made = await guest.booked(at(2, 10))
    people = [await account(client, guest.shop, name) for name in ("one", "two")]
    answers = await asyncio.gather(*(_claim(person, made.token) for person in people for _ in range(3)))
    kinds = [answer["__typename"] for answer in answers]
    assert sorted(kinds) == ["ClaimBookingPayload"] * 3 + ["NotAllowed"] * 3
    assert len(set(kinds[:3])) == len(set(kinds[3:])) == 1
    rows = await rows_of(guest.shop, "SELECT version FROM booking WHERE id IS NOT NULL")
    assert [row["version"] for row in rows] == [2]


async def test_budgets(guest: Visitor, client: GraphQLClient, statements: StatementLog) -> None:
    made = await guest.booked(at(2, 10))
    eva = await account(client, guest.shop, "eva")
    statements.clear()
    await _find(guest, made.answer["confirmationCode"])
    assert len(statements) <= 8, statements.statements
    statements.clear()
    await _renew(guest, made, accessToken=made.token, idempotencyKey=KEY)
    assert len(statements) <= 8, statements.statements
    token = (await _renew(guest, made, accessToken=made.token, idempotencyKey=KEY))["accessToken"]
    statements.clear()
    assert (await _claim(eva, token))["__typename"] == "ClaimBookingPayload"
    assert len(statements) <= 8, statements.statements


async def test_a_used_promo_code_counts_for_the_account(guest: Visitor, client: GraphQLClient) -> None:
    await make_promo(client, guest.shop, "ONCE", customerLimit=1)
    made = await guest.booked(at(2, 10), promoCode="ONCE")
    eva = await account(client, guest.shop, "eva")
    assert (await _claim(eva, made.token))["__typename"] == "ClaimBookingPayload"
    held = await eva.held(at(2, 12))
    refused = await eva.book(held, customer={"name": "Eva", "email": "eva.other@example.com"}, promoCode="ONCE")
    assert [one["path"] for one in refused["violations"]] == ["input.promoCode"], refused
