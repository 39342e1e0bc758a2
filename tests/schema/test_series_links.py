"""The secret links of a series: all its dates are one customer's, until one of them is another's."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from app.core.ids import IdKind, decode_id
from app.resolvers.context import Services
from tests.fixtures_api import GraphQLClient, StatementLog
from tests.journey import ANA, Answer, Visitor, account, rows_of
from tests.recurring import Regular, cancel, local, move, weekly
from tests.schema.test_booking_link import FIND
from tests.shop import Shop, make_shop

ERRORS = "... on Error { code } ... on NotAllowed { rule }"
RENEW = f"""
mutation ($input: RenewBookingLinkInput!) {{ renewBookingLink(input: $input) {{
  __typename ... on RenewBookingLinkPayload {{ accessToken seriesAccessToken booking {{ id }} }} {ERRORS} }} }}
"""
CLAIM = f"""
mutation ($input: ClaimBookingInput!) {{ claimBooking(input: $input) {{ __typename
  ... on ClaimBookingPayload {{ booking {{ id customer {{ name }}
    series {{ id customer {{ name }} bookings {{ id }} }} }} }} {ERRORS} }} }}
"""
OF_BOOKING = """query ($id: ID!, $token: String) { booking(id: $id, accessToken: $token) {
  seriesPosition series { id bookings { id } } } }"""


@pytest.fixture
async def shop(services: Services) -> Shop:
    return await make_shop(services)


@pytest.fixture
async def made(shop: Shop, client: GraphQLClient) -> Answer:
    regular, start = Regular(client, shop), local(shop, 7, 10)
    return await regular.made(start, 3_000, **weekly(3))


def link_of(shop: Shop, booking_id: str, version: int = 1) -> str:
    return shop.services.tokens.guest_token(decode_id(IdKind.BOOKING, booking_id), version)


def ids_of(made: Answer) -> list[str]:
    return [one["id"] for one in made["series"]["bookings"]]


async def renew(client: GraphQLClient, booking_id: str, token: str | None = None, **extra: Any) -> Answer:
    wanted = {"bookingId": booking_id, "accessToken": token, **extra}
    answer: Answer = await client(RENEW, {"input": wanted})
    return answer


async def claim(visitor: Visitor, token: str) -> Answer:
    answer: Answer = await visitor.client(CLAIM, {"input": {"accessToken": token}})
    return answer


async def seen_by(regular: Regular, made: Answer, token: str | None) -> list[str] | None:
    """Ids of the dates that it shows; None: it opens nothing."""
    answer = await regular.read(made["series"]["id"], token)
    if answer.get("errors"):
        return None
    return [one["id"] for one in answer["data"]["bookingSeries"]["bookings"]]


async def test_one_date_that_is_claimed_is_no_more_theirs(shop: Shop, client: GraphQLClient, made: Answer) -> None:
    """Neither side sees the other's, and the series' link cancels and moves what is left of it."""
    guest, eva = Regular(client, shop), await account(client, shop, "eva")
    first, second, third = ids_of(made)
    claimed = await claim(eva, link_of(shop, first))
    assert (claimed["__typename"], claimed["booking"]["series"]) == ("ClaimBookingPayload", None)
    of_eva = Regular(eva.client, shop)
    assert await seen_by(of_eva, made, None) is None
    assert await seen_by(of_eva, made, link_of(shop, first)) is None
    alone = await eva.client(OF_BOOKING, {"id": first, "token": None})
    assert alone == {"seriesPosition": 1, "series": None}
    for token in (made["accessToken"], link_of(shop, second)):
        assert await seen_by(guest, made, token) == [second, third]
    assert (await cancel(client, made, "ONE", position=1))["__typename"] == "InvalidInput"
    moved = await move(client, made, "ALL", localTime="11:00")
    assert moved["__typename"] == "RescheduleRecurringBookingPayload", moved
    cancelled = await cancel(client, made, "ALL")
    assert [one["seriesPosition"] for one in cancelled["cancelled"]] == [2, 3]
    rows = await rows_of(shop, "SELECT status, version FROM booking ORDER BY series_index")
    assert (rows[0]["status"], rows[0]["version"]) == ("confirmed", 2)
    owner = Regular(client.signed_in(shop.owner.token), shop)
    assert await seen_by(owner, made, None) == [first, second, third]


async def test_renewing_one_makes_void_what_opened_it(shop: Shop, client: GraphQLClient, made: Answer) -> None:
    guest, (first, second, _) = Regular(client, shop), ids_of(made)
    old_code = made["series"]["bookings"][1]["confirmationCode"]
    key = "5e0f9d5a-2c39-4d55-9a53-9d4e4c1d6a01"
    renewed = await renew(client, first, link_of(shop, first), idempotencyKey=key)
    assert renewed["__typename"] == "RenewBookingLinkPayload", renewed
    for token in (made["accessToken"], link_of(shop, first), link_of(shop, second)):
        assert await seen_by(guest, made, token) is None
    wanted = {"organizationId": shop.organization_id, "confirmationCode": old_code, "email": ANA["email"]}
    assert (await client(FIND, {"input": wanted}))["__typename"] == "NotFound"
    for token in (renewed["accessToken"], renewed["seriesAccessToken"]):
        assert await seen_by(guest, made, token) == ids_of(made)
    assert await renew(client, first, link_of(shop, first), idempotencyKey=key) == renewed
    rows = await rows_of(shop, "SELECT version, access_version FROM booking")
    assert {(row["version"], row["access_version"]) for row in rows} == {(2, 2)}
    entries = await rows_of(shop, "SELECT action FROM audit_entry WHERE action LIKE '%link_renewed'")
    assert sorted(row["action"] for row in entries) == ["booking.link_renewed"] * 3 + ["series.link_renewed"]


async def test_what_was_claimed_has_a_link_of_its_own(shop: Shop, client: GraphQLClient, made: Answer) -> None:
    """Renewing it leaves the guest's as they are, and the other way round."""
    guest, eva = Regular(client, shop), await account(client, shop, "eva")
    first, second, third = ids_of(made)
    await claim(eva, link_of(shop, first))
    own = await renew(eva.client, first)
    assert (own["__typename"], own["seriesAccessToken"]) == ("RenewBookingLinkPayload", None)
    assert await seen_by(guest, made, made["accessToken"]) == [second, third]
    await renew(client, second, link_of(shop, second))
    shown = await client(OF_BOOKING, {"id": first, "token": own["accessToken"]})
    assert shown["series"] is None


async def test_a_series_is_claimed_with_its_link(
    shop: Shop, client: GraphQLClient, made: Answer, statements: StatementLog
) -> None:
    eva, bob = await account(client, shop, "eva"), await account(client, shop, "bob")
    first, second, third = ids_of(made)
    await claim(bob, link_of(shop, second))
    for token in (made["accessToken"] + "x", made["accessToken"].partition(".")[0] + "."):
        assert (await claim(eva, token))["__typename"] == "NotFound"
    statements.clear()
    claimed = await claim(eva, made["accessToken"])
    assert len(statements) <= 18, statements.statements
    assert claimed["__typename"] == "ClaimBookingPayload", claimed
    series = claimed["booking"]["series"]
    assert (claimed["booking"]["id"], series["bookings"]) == (first, [{"id": first}, {"id": third}])
    assert series["customer"] == claimed["booking"]["customer"]
    assert await claim(eva, made["accessToken"]) == claimed
    refused = await claim(bob, made["accessToken"])
    assert (refused["__typename"], refused["rule"]) == ("NotAllowed", "claimed_by_another")
    assert await seen_by(Regular(eva.client, shop), made, None) == [first, third]
    assert (await cancel(eva.client, made, "ALL"))["__typename"] == "CancelRecurringBookingPayload"


async def test_of_two_accounts_at_once_one_gets_it(shop: Shop, client: GraphQLClient, made: Answer) -> None:
    people = [await account(client, shop, name) for name in ("one", "two")]
    tries = [claim(person, made["accessToken"]) for person in people for _ in range(2)]
    tries += [renew(client, ids_of(made)[2], link_of(shop, ids_of(made)[2]))]
    *claims, _ = await asyncio.gather(*tries)
    kinds = [answer["__typename"] for answer in claims]
    owners = await rows_of(shop, "SELECT DISTINCT customer_id FROM booking")
    assert len(owners) == 1  # all the same one's: an account's, or the guest's where the link was renewed first
    if "ClaimBookingPayload" in kinds:
        assert set(kinds) <= {"ClaimBookingPayload", "NotAllowed", "NotFound"}
        (series,) = await rows_of(shop, "SELECT customer_id FROM booking_series")
        assert series["customer_id"] == owners[0]["customer_id"]
    else:
        assert set(kinds) == {"NotFound"}
