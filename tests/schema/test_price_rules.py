"""Rules of prices, as owners and admins make them."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest

from app.commands.price_rule import ACTIVE_MAXIMUM
from app.core.ids import IdKind
from app.resolvers.context import Services
from tests.classes import make_class
from tests.factories import FIELDS, Catalogue, call, join, make, make_catalogue, refused
from tests.fixtures_api import GraphQLClient, StatementLog
from tests.journey import rows_of
from tests.price_terms import add_rule, rule_id, switch_off
from tests.schema.test_venue import journal_of
from tests.shop import make_shop

LIST = f"""
query ($id: ID!, $active: Boolean) {{
  organization(id: $id) {{ priceRules(isActive: $active) {{ {FIELDS["PriceRule"]} }} }} }}
"""
NODE = "query ($id: ID!) { node(id: $id) { id ... on PriceRule { name version } } }"


async def _made(catalogue: Catalogue, **values: Any) -> dict[str, Any]:
    facts = {"organizationId": catalogue.id, "name": "Fin de semana", "rateBps": 2_000, **values}
    return await make(catalogue.owner.client, "createPriceRule", **facts)


async def _names(client: GraphQLClient, organization_id: str, active: bool | None = None) -> list[str] | None:
    found = (await client(LIST, {"id": organization_id, "active": active}))["priceRules"]
    return None if found is None else [one["name"] for one in found]


async def test_all_that_it_can_have(catalogue: Catalogue) -> None:
    values: dict[str, Any] = {
        "name": "Noches de verano 🌙",
        "rateBps": -1_550,
        "amountMinor": 0,
        "atMostMinor": 50_000,
        "priority": 1_000,
        "isExclusive": True,
        "weekdays": ["SUNDAY", "FRIDAY", "FRIDAY"],
        "hours": {"from": "22:00", "to": "02:00"},
        "leadTime": {"fromMinutes": 0, "toMinutes": 1_440},
        "occupancy": {"fromBps": 5_000, "toBps": None},
        "seasons": [
            {"first": "2026-12-01", "last": "2027-02-28", "everyYear": True},
            {"first": "2026-07-06", "last": "2026-07-19"},
        ],
        "serviceIds": [catalogue.service["id"]],
        "providerIds": [catalogue.provider["id"], catalogue.provider["id"]],
    }
    made = await _made(catalogue, **values)
    expected = {
        **values,
        "id": made["id"],
        "isActive": True,
        "version": 1,
        "weekdays": ["FRIDAY", "SUNDAY"],
        "seasons": [values["seasons"][0], {**values["seasons"][1], "everyYear": False}],
        "activityIds": [],
        "providerIds": [catalogue.provider["id"]],
    }
    assert made == expected
    client = catalogue.owner.client
    assert (await client(LIST, {"id": catalogue.id, "active": None}))["priceRules"] == [expected]
    nothing: dict[str, Any] = {
        "hours": None,
        "leadTime": None,
        "occupancy": {},
        "seasons": [],
        "weekdays": [],
        "serviceIds": [],
        "providerIds": [],
        "atMostMinor": None,
    }
    changed = await make(client, "updatePriceRule", priceRuleId=made["id"], **nothing)
    assert changed == {**expected, **nothing, "occupancy": None, "version": 2}


async def test_either_a_rate_or_an_amount(catalogue: Catalogue) -> None:
    client, path = catalogue.owner.client, {"input.rateBps"}
    wanted = {"organizationId": catalogue.id, "name": "A"}
    assert set(await refused(client, "createPriceRule", **wanted)) == path
    assert set(await refused(client, "createPriceRule", **wanted, rateBps=1, amountMinor=1)) == path
    made = await _made(catalogue)
    assert set(await refused(client, "updatePriceRule", priceRuleId=made["id"], amountMinor=-5)) == path
    changed = await make(client, "updatePriceRule", priceRuleId=made["id"], amountMinor=-5, rateBps=0)
    assert (changed["rateBps"], changed["amountMinor"]) == (0, -5)


@pytest.mark.parametrize(
    ("values", "paths"),
    [
        ({"name": " "}, {"name"}),
        ({"name": "x" * 101}, {"name"}),
        ({"name": "\u202eeslaf"}, {"name"}),
        ({"rateBps": -10_001}, {"rateBps"}),
        ({"rateBps": 100_001}, {"rateBps"}),
        ({"rateBps": 0, "amountMinor": 10**12 + 1}, {"amountMinor"}),
        ({"rateBps": 0, "amountMinor": -(2**53) + 1}, {"amountMinor"}),
        ({"atMostMinor": -1, "priority": 1_001}, {"atMostMinor", "priority"}),
        ({"priority": -2_147_483_648}, {"priority"}),
        ({"hours": {"from": "24:00", "to": "24:00"}}, {"hours"}),
        ({"leadTime": {"fromMinutes": -1}, "occupancy": {"toBps": 10_001}}, {"leadTime", "occupancy"}),
        ({"leadTime": {"fromMinutes": 60, "toMinutes": 60}}, {"leadTime"}),
        ({"leadTime": {"toMinutes": 2_147_483_647}, "occupancy": {"toBps": 0}}, {"leadTime", "occupancy"}),
        ({"seasons": [{"first": "2026-02-01", "last": "2026-01-31"}]}, {"seasons.0"}),
        ({"seasons": [{"first": "2026-01-01", "last": "2026-01-01"}] * 21}, {"seasons"}),
    ],
)
async def test_what_it_cannot_be(catalogue: Catalogue, values: dict[str, Any], paths: set[str]) -> None:
    facts: dict[str, Any] = {"organizationId": catalogue.id, "name": "A", "rateBps": 1, **values}
    found = await refused(catalogue.owner.client, "createPriceRule", **facts)
    assert set(found) == {f"input.{path}" for path in paths}
    assert await _names(catalogue.owner.client, catalogue.id) == []


@pytest.mark.parametrize(
    "values",
    [
        {"rateBps": 2**31},
        {"amountMinor": 2**53},
        {"seasons": [{"first": "9999-12-31", "last": "9999-12-31"}]},
        {"seasons": [{"first": "2026-02-30", "last": "2026-03-01"}]},
        {"hours": {"from": "25:00", "to": "26:00"}},
        {"weekdays": ["SOMEDAY"]},
        {"serviceIds": ["prv_01h2xcejqtf2nbrexx3vqjhp41"]},
        {"providerIds": ["nonsense"] * 3},
        {"activityIds": ["act_01h2xcejqtf2nbrexx3vqjhp41"] * 101},
    ],
)
async def test_what_is_no_value_at_all(catalogue: Catalogue, values: dict[str, Any]) -> None:
    document = "mutation ($input: CreatePriceRuleInput!) { createPriceRule(input: $input) { __typename } }"
    facts = {"organizationId": catalogue.id, "name": "A", "rateBps": 1, **values}
    answer = await catalogue.owner.client.raw(document, {"input": facts})
    assert answer["errors"], answer


async def test_rules_of_others_do_not_exist(catalogue: Catalogue, services: Services, client: GraphQLClient) -> None:
    other = await make_catalogue(services, client)
    made, theirs = await _made(catalogue), other.owner.client
    for operation in ("updatePriceRule", "deactivatePriceRule", "reactivatePriceRule"):
        assert (await call(theirs, operation, priceRuleId=made["id"]))["__typename"] == "NotFound"
    for foreign in ({"serviceIds": [other.service["id"]]}, {"providerIds": [other.provider["id"]]}):
        wanted = {"organizationId": catalogue.id, "name": "A", "rateBps": 1, **foreign}
        assert (await call(catalogue.owner.client, "createPriceRule", **wanted))["__typename"] == "NotFound"
        changed = await call(catalogue.owner.client, "updatePriceRule", priceRuleId=made["id"], **foreign)
        assert changed["__typename"] == "NotFound"
    answer = await theirs.raw(NODE, {"id": made["id"]})
    assert answer["errors"][0]["extensions"]["code"] == "NOT_FOUND"
    assert (await catalogue.owner.client(NODE, {"id": made["id"]}))["version"] == 1
    assert await _names(client, catalogue.id) is None
    assert await _names(theirs, catalogue.id) is None


async def test_staff_read_them_and_change_none(catalogue: Catalogue, services: Services, client: GraphQLClient) -> None:
    made = await _made(catalogue)
    staff = (await join(services, catalogue, client, "STAFF")).client
    assert await _names(staff, catalogue.id) == ["Fin de semana"]
    for operation, values in (
        ("createPriceRule", {"organizationId": catalogue.id, "name": "A", "rateBps": 1}),
        ("updatePriceRule", {"priceRuleId": made["id"], "rateBps": 1}),
        ("deactivatePriceRule", {"priceRuleId": made["id"]}),
    ):
        answer = await call(staff, operation, **values)
        assert (answer["__typename"], answer["rule"]) == ("NotAllowed", "role")


async def test_switched_off_and_on_again(catalogue: Catalogue) -> None:
    client = catalogue.owner.client
    first, _ = await _made(catalogue, name="One"), await _made(catalogue, name="Two", priority=5)
    assert await _names(client, catalogue.id) == ["Two", "One"]
    off = await make(client, "deactivatePriceRule", priceRuleId=first["id"])
    assert (off["isActive"], off["version"]) == (False, 2)
    assert (await make(client, "deactivatePriceRule", priceRuleId=first["id"]))["version"] == 2
    assert (await _names(client, catalogue.id), await _names(client, catalogue.id, False)) == (["Two", "One"], ["One"])
    assert (await make(client, "reactivatePriceRule", priceRuleId=first["id"]))["version"] == 3


async def test_what_changed_is_written_down_and_told_once(catalogue: Catalogue, services: Services) -> None:
    client, key = catalogue.owner.client, str(uuid4())
    made = await _made(catalogue, idempotencyKey=key)
    assert await _made(catalogue, idempotencyKey=key) == made
    await make(client, "updatePriceRule", priceRuleId=made["id"], name="Otra", rateBps=2_000)
    await make(client, "updatePriceRule", priceRuleId=made["id"], name="Otra")
    await make(client, "deactivatePriceRule", priceRuleId=made["id"])
    audit, events = await journal_of(services, catalogue.id, made["id"], IdKind.PRICE_RULE)
    assert [one["action"] for one in audit] == ["price_rule.created", "price_rule.updated", "price_rule.deactivated"]
    assert (audit[0]["after"]["rate_bps"], audit[0]["before"]) == (2_000, None)
    assert audit[1]["before"] == {"name": "Fin de semana", "version": 1}
    assert audit[1]["after"] == {"name": "Otra", "version": 2}
    told = [name for name, _ in events if name.startswith("price")]
    expected = [one for action in ("created", "updated", "deactivated") for one in (action, None)]
    assert told == [f"price_rule.{one}" if one else "prices.changed" for one in expected]


async def test_at_most_a_hundred_count(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services)
    rule = await add_rule(shop, rate_bps=100)
    columns = "name, rate_bps, id, organization_id"
    await rows_of(
        shop,
        f"INSERT INTO price_rule ({columns}) SELECT 'Many', 100, uuidv7(), :id FROM generate_series(2, :n) RETURNING 1",
        id=shop.organization_uuid,
        n=ACTIVE_MAXIMUM,
    )
    owner = client.signed_in(shop.owner.token)
    wanted = {"organizationId": shop.organization_id, "name": "A", "rateBps": 1}
    one_more = await call(owner, "createPriceRule", **wanted)
    assert (one_more["__typename"], one_more["rule"]) == ("NotAllowed", "price_rules_limit")
    await switch_off(shop, rule)
    answers = await asyncio.gather(
        call(owner, "createPriceRule", **wanted), call(owner, "reactivatePriceRule", priceRuleId=rule_id(rule))
    )
    assert sorted(one["__typename"] for one in answers).count("NotAllowed") == 1
    [row] = await rows_of(shop, "SELECT count(*) AS active FROM price_rule WHERE is_active")
    assert row["active"] == ACTIVE_MAXIMUM


async def test_about_activities(services: Services, client: GraphQLClient) -> None:
    yoga = await make_class(client, services)
    ids = [yoga.activity_id]
    wanted = {"organizationId": yoga.shop.organization_id, "name": "A", "rateBps": 1, "activityIds": ids}
    assert (await make(yoga.owner, "createPriceRule", **wanted))["activityIds"] == ids


async def test_budget(catalogue: Catalogue, statements: StatementLog) -> None:
    statements.clear()
    made = await _made(catalogue, serviceIds=[catalogue.service["id"]], idempotencyKey=str(uuid4()))
    assert len(statements) <= 14, statements.statements
    statements.clear()
    await make(catalogue.owner.client, "updatePriceRule", priceRuleId=made["id"], rateBps=5)
    assert len(statements) <= 10, statements.statements
