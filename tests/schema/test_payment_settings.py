"""An organization's terms of payment."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from app.core.ids import IdKind
from app.queries.payment_settings import default_settings
from app.resolvers.context import Services
from tests.factories import ERRORS, Catalogue, join, make_organization
from tests.fixtures_api import GraphQLClient, StatementLog
from tests.journey import rows_of
from tests.schema.test_venue import journal_of
from tests.shop import make_shop

PUBLIC = (
    "processor acceptsPayNow acceptsPayOnArrival paymentWindowMinutes taxBps taxIncluded taxLabel depositBps"
    " lateRefundBps lateFeeBps noShowRefundBps noShowFeeBps"
)
FOR_STAFF = (
    "guestFeeBps memberFeeBps payoutDelayDays payoutMinimumMinor priceFloorBps priceCeilingBps priceFloorMinor"
    " priceCeilingMinor"
)
FIELDS = f"paymentSettings {{ {PUBLIC} {FOR_STAFF} }}"
READ = f"query ($id: ID!) {{ organization(id: $id) {{ {FIELDS} }} }}"
UPDATE = f"""
mutation ($input: UpdatePaymentSettingsInput!) {{ updatePaymentSettings(input: $input) {{ __typename
  ... on UpdatePaymentSettingsPayload {{ organization {{ id {FIELDS} }} }} {ERRORS} }} }}
"""
ALL: dict[str, Any] = {
    "processor": "MERCADOPAGO",
    "acceptsPayNow": True,
    "acceptsPayOnArrival": False,
    "paymentWindowMinutes": 1_440,
    "taxBps": 2_100,
    "taxIncluded": False,
    "taxLabel": "IVA 21 % 🇦🇷",
    "depositBps": 3_000,
    "lateRefundBps": 5_000,
    "lateFeeBps": 2_500,
    "noShowRefundBps": 0,
    "noShowFeeBps": 10_000,
    "guestFeeBps": 1_000,
    "memberFeeBps": 0,
    "payoutDelayDays": 0,
    "payoutMinimumMinor": 2**53 - 1,
    "priceFloorBps": 5_000,
    "priceCeilingBps": 110_000,
    "priceFloorMinor": 100,
    "priceCeilingMinor": 100,
}


async def _update(client: GraphQLClient, organization_id: str, **values: Any) -> dict[str, Any]:
    answer: dict[str, Any] = await client(UPDATE, {"input": {"organizationId": organization_id, **values}})
    return answer


async def _updated(client: GraphQLClient, organization_id: str, **values: Any) -> dict[str, Any]:
    answer = await _update(client, organization_id, **values)
    assert answer["__typename"] == "UpdatePaymentSettingsPayload", answer
    found: dict[str, Any] = answer["organization"]["paymentSettings"]
    return found


async def test_every_field_is_kept_and_the_others_stay(catalogue: Catalogue) -> None:
    owner = catalogue.owner.client
    before = (await owner(READ, {"id": catalogue.id}))["paymentSettings"]
    assert (before["processor"], before["depositBps"], before["taxBps"]) == ("STRIPE", 10_000, 0)
    assert await _updated(owner, catalogue.id, **ALL) == ALL
    assert await _updated(owner, catalogue.id, taxBps=1_050) == {**ALL, "taxBps": 1_050}
    nothing = {"depositBps": None, "guestFeeBps": None, "priceFloorMinor": None, "priceCeilingBps": None}
    assert await _updated(owner, catalogue.id, **nothing) == {**ALL, "taxBps": 1_050, **nothing, "depositBps": 10_000}
    assert (await owner(READ, {"id": catalogue.id}))["paymentSettings"]["taxLabel"] == "IVA 21 % 🇦🇷"


async def test_guests_see_what_concerns_them(catalogue: Catalogue, client: GraphQLClient) -> None:
    await _updated(catalogue.owner.client, catalogue.id, **ALL)
    seen = (await client(READ, {"id": catalogue.id}))["paymentSettings"]
    public = set(PUBLIC.split())
    assert {name: value for name, value in seen.items() if name in public} == {
        name: value for name, value in ALL.items() if name in public
    }
    assert {seen[name] for name in FOR_STAFF.split()} == {None}


async def test_only_admins_change_them(catalogue: Catalogue, services: Services, client: GraphQLClient) -> None:
    staff = await join(services, catalogue, client, "STAFF")
    refused = await _update(staff.client, catalogue.id, taxBps=1)
    assert (refused["__typename"], refused["rule"]) == ("NotAllowed", "role")
    admin = await join(services, catalogue, client, "ADMIN")
    assert (await _updated(admin.client, catalogue.id, taxBps=1))["taxBps"] == 1
    stranger = await make_organization(staff.client)
    assert (await _update(staff.client, stranger["id"], taxBps=5))["__typename"] == "UpdatePaymentSettingsPayload"
    assert (await _update(catalogue.owner.client, stranger["id"], taxBps=7))["__typename"] == "NotFound"
    anonymous = await client.raw(UPDATE, {"input": {"organizationId": catalogue.id, "taxBps": 7}})
    assert anonymous["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize(
    ("values", "paths"),
    [
        ({"paymentWindowMinutes": 4, "taxBps": -1, "lateFeeBps": 10_001}, None),
        ({"depositBps": 0}, None),
        ({"paymentWindowMinutes": 1_441, "payoutDelayDays": 366}, None),
        ({"payoutMinimumMinor": -1, "priceFloorBps": 10_001, "priceCeilingBps": 9_999}, None),
        ({"taxLabel": ""}, None),
        ({"taxLabel": "\u202eIVA"}, None),
        ({"taxLabel": "x" * 41}, None),
        ({"acceptsPayNow": False, "acceptsPayOnArrival": False}, {"input.acceptsPayOnArrival"}),
        ({"priceFloorMinor": 101, "priceCeilingMinor": 100}, {"input.priceCeilingMinor"}),
        (dict.fromkeys(("processor", "taxBps", "taxIncluded", "taxLabel", "payoutDelayDays", "acceptsPayNow")), None),
    ],
)
async def test_what_they_cannot_be(catalogue: Catalogue, values: dict[str, Any], paths: set[str] | None) -> None:
    answer = await _update(catalogue.owner.client, catalogue.id, **values)
    assert answer["__typename"] == "InvalidInput", answer
    assert {one["path"] for one in answer["violations"]} == (paths or {f"input.{name}" for name in values})


async def test_they_are_judged_with_what_is_there(catalogue: Catalogue) -> None:
    owner = catalogue.owner.client
    await _updated(owner, catalogue.id, acceptsPayNow=False, priceFloorMinor=500)
    refused = await _update(owner, catalogue.id, acceptsPayOnArrival=False, priceCeilingMinor=499)
    paths = {one["path"] for one in refused["violations"]}
    assert paths == {"input.acceptsPayOnArrival", "input.priceCeilingMinor"}


async def test_a_change_is_written_down_and_told(catalogue: Catalogue, services: Services) -> None:
    owner, key = catalogue.owner.client, str(uuid4())
    first = await _updated(owner, catalogue.id, payoutDelayDays=3, idempotencyKey=key)
    assert await _updated(owner, catalogue.id, payoutDelayDays=3, idempotencyKey=key) == first
    await _updated(owner, catalogue.id, taxBps=2_100)
    await _updated(owner, catalogue.id, taxBps=2_100)  # no change
    audit, events = await journal_of(services, catalogue.id, catalogue.id, IdKind.ORGANIZATION)
    changes = [one for one in audit if one["action"] == "payment_settings.updated"]
    assert [(one["before"], one["after"]) for one in changes] == [
        ({"payout_delay_days": 7}, {"payout_delay_days": 3}),
        ({"tax_bps": 0}, {"tax_bps": 2_100}),
    ]
    told = [name for name, _ in events if name in {"payment_settings.updated", "prices.changed"}]
    assert told == ["payment_settings.updated", "payment_settings.updated", "prices.changed"]
    conflict = await _update(owner, catalogue.id, payoutDelayDays=4, idempotencyKey=key)
    assert conflict["__typename"] == "IdempotencyConflict"


async def test_two_first_changes_at_once_are_both_kept(catalogue: Catalogue) -> None:
    owner = catalogue.owner.client
    await asyncio.gather(
        _updated(owner, catalogue.id, taxBps=500), _updated(owner, catalogue.id, paymentWindowMinutes=10)
    )
    found = (await owner(READ, {"id": catalogue.id}))["paymentSettings"]
    assert (found["taxBps"], found["paymentWindowMinutes"]) == (500, 10)


async def test_the_defaults_are_those_of_the_columns(services: Services) -> None:
    shop = await make_shop(services)
    await rows_of(
        shop, "INSERT INTO payment_settings (organization_id) VALUES (:id) RETURNING 1", id=shop.organization_uuid
    )
    [row] = await rows_of(shop, "SELECT * FROM payment_settings")
    defaults = default_settings(shop.organization_uuid)
    del row["updated_at"]
    assert row == {name: getattr(defaults, name) for name in row}


async def test_budget(catalogue: Catalogue, statements: StatementLog) -> None:
    statements.clear()
    await _updated(catalogue.owner.client, catalogue.id, idempotencyKey=str(uuid4()), **ALL)
    assert len(statements) <= 13, statements.statements
