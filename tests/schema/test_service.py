"""Services."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.money import MAXIMUM_MINOR
from app.resolvers.context import Services
from tests.factories import Catalogue, call, join, make, make_organization, make_service, refused
from tests.fixtures_api import GraphQLClient

READ = "query ($id: ID!) { service(id: $id) { id isActive price { amountMinor currency amount } providers { id } } }"


async def test_defaults_of_the_contract(catalogue: Catalogue, client: GraphQLClient) -> None:
    made = await make_service(catalogue.owner.client, catalogue.id)
    assert made == {
        "id": made["id"],
        "name": "Corte",
        "description": None,
        "category": "Pelo",
        "subcategory": None,
        "price": {"amountMinor": 150_000, "currency": "ARS", "amount": "1500.00"},
        "priceType": "FIXED",
        "durationMinutes": 30,
        "maximumDurationMinutes": None,
        "bufferBeforeMinutes": 0,
        "bufferAfterMinutes": 0,
        "advanceNoticeMinutes": 1_440,
        "maximumAdvanceDays": 365,
        "cancellationNoticeMinutes": 1_440,
        "requiresApproval": False,
        "maxGroupSize": 1,
        "isActive": True,
        "tags": [],
    }
    assert (await client(READ, {"id": made["id"]}))["providers"] == []


async def test_made_with_all_it_may_have(catalogue: Catalogue, client: GraphQLClient) -> None:
    made = await make_service(
        catalogue.owner.client,
        catalogue.id,
        description="Corte\ny lavado",
        subcategory="Hombre",
        priceType="HOURLY",
        durationMinutes=60,
        maximumDurationMinutes=240,
        bufferBeforeMinutes=5,
        bufferAfterMinutes=10,
        advanceNoticeMinutes=0,
        maximumAdvanceDays=30,
        cancellationNoticeMinutes=0,
        requiresApproval=True,
        maxGroupSize=1_000,
        tags=[" rápido ", "rápido", "niños"],
        providerIds=[catalogue.provider["id"]],
    )
    assert made["tags"] == ["rápido", "niños"]
    assert (await client(READ, {"id": made["id"]}))["providers"] == [{"id": catalogue.provider["id"]}]


async def test_a_quoted_service_has_no_price(catalogue: Catalogue) -> None:
    made = await make_service(catalogue.owner.client, catalogue.id, priceType="CUSTOM", priceMinor=0)
    assert made["price"] is None


async def test_currencies_without_decimals(catalogue: Catalogue) -> None:
    organization = await make_organization(catalogue.owner.client, currency="JPY")
    made = await make_service(catalogue.owner.client, organization["id"], priceMinor=1_500)
    assert made["price"]["amount"] == "1500"


@pytest.mark.parametrize(
    ("values", "paths"),
    [
        ({"priceMinor": -1}, {"input.priceMinor"}),
        (
            {"priceMinor": MAXIMUM_MINOR, "priceType": "HOURLY", "durationMinutes": 120},
            {"input.priceMinor"},
        ),
        ({"durationMinutes": 0}, {"input.durationMinutes"}),
        ({"durationMinutes": 1_441}, {"input.durationMinutes"}),
        ({"durationMinutes": 60, "maximumDurationMinutes": 59}, {"input.maximumDurationMinutes"}),
        ({"maximumDurationMinutes": 1_441}, {"input.maximumDurationMinutes"}),
        (
            {"bufferBeforeMinutes": -1, "bufferAfterMinutes": 1_441},
            {"input.bufferBeforeMinutes", "input.bufferAfterMinutes"},
        ),
        ({"advanceNoticeMinutes": -1}, {"input.advanceNoticeMinutes"}),
        ({"cancellationNoticeMinutes": 2_147_483_647}, {"input.cancellationNoticeMinutes"}),
        ({"maximumAdvanceDays": 0}, {"input.maximumAdvanceDays"}),
        ({"maximumAdvanceDays": 1_096}, {"input.maximumAdvanceDays"}),
        ({"maxGroupSize": 0}, {"input.maxGroupSize"}),
        ({"maxGroupSize": 1_001}, {"input.maxGroupSize"}),
        ({"tags": ["a"] * 21}, {"input.tags"}),
        ({"tags": ["ok", "", "x" * 41]}, {"input.tags.1", "input.tags.2"}),
        ({"category": " "}, {"input.category"}),
        ({"subcategory": "a\nb"}, {"input.subcategory"}),
        ({"description": "\u0000"}, None),
        (
            {"name": "\u202edrow", "durationMinutes": -5, "tags": [""]},
            {"input.name", "input.durationMinutes", "input.tags.0"},
        ),
    ],
)
async def test_what_it_cannot_be(catalogue: Catalogue, values: dict[str, Any], paths: set[str] | None) -> None:
    facts: dict[str, Any] = {"organizationId": catalogue.id, "name": "A", "category": "B", "priceMinor": 1, **values}
    if paths is None:  # refused before it gets here
        with pytest.raises(AssertionError):
            await call(catalogue.owner.client, "createService", **facts)
    else:
        assert set(await refused(catalogue.owner.client, "createService", **facts)) == paths


async def test_update_is_judged_as_a_whole(catalogue: Catalogue) -> None:
    client, service = catalogue.owner.client, catalogue.service["id"]
    changed = await make(client, "updateService", serviceId=service, maximumDurationMinutes=60, tags=["a"])
    assert (changed["maximumDurationMinutes"], changed["tags"]) == (60, ["a"])
    refusal = await refused(client, "updateService", serviceId=service, durationMinutes=61)
    assert set(refusal) == {"input.maximumDurationMinutes"}
    changed = await make(client, "updateService", serviceId=service, durationMinutes=61, maximumDurationMinutes=None)
    assert (changed["durationMinutes"], changed["maximumDurationMinutes"]) == (61, None)
    nulls = {"name": None, "priceMinor": None, "tags": None, "requiresApproval": None, "priceType": None}
    assert set(await refused(client, "updateService", serviceId=service, **nulls)) == {f"input.{key}" for key in nulls}


async def test_staff_change_nothing(catalogue: Catalogue, services: Services, client: GraphQLClient) -> None:
    staff = await join(services, catalogue, client, "STAFF")
    for operation in ("updateService", "deactivateService", "reactivateService"):
        result = await call(staff.client, operation, serviceId=catalogue.service["id"])
        assert (result["__typename"], result["rule"]) == ("NotAllowed", "role")


async def test_a_deactivated_service(catalogue: Catalogue, client: GraphQLClient) -> None:
    owner, service = catalogue.owner.client, catalogue.service["id"]
    assert (await make(owner, "deactivateService", serviceId=service))["isActive"] is False
    answer = await client.raw(READ, {"id": service})
    assert answer["errors"][0]["extensions"] == {"code": "NOT_FOUND"}
    assert (await owner(READ, {"id": service}))["isActive"] is False
    offered = "query ($id: ID!) { provider(id: $id) { services { id } offers { isActive } } }"
    assert await client(offered, {"id": catalogue.provider["id"]}) == {"services": [], "offers": []}
    assert (await make(owner, "reactivateService", serviceId=service))["isActive"] is True
    assert (await client(READ, {"id": service}))["isActive"] is True


async def test_each_mutation_of_a_document_sees_the_ones_before(catalogue: Catalogue) -> None:
    document = """
    mutation ($venue: ID!, $service: ID!) {
      a: createProvider(input: {venueId: $venue, name: "Caro", serviceIds: [$service]}) {
        ... on CreateProviderPayload { provider { venue { providers { name } } } }
      }
      b: createProvider(input: {venueId: $venue, name: "Dani", serviceIds: [$service]}) {
        ... on CreateProviderPayload { provider { venue { providers { name } } } }
      }
    }
    """
    variables = {"venue": catalogue.venue["id"], "service": catalogue.service["id"]}
    data = await catalogue.owner.client(document, variables)
    names = [[each["name"] for each in data[alias]["provider"]["venue"]["providers"]] for alias in "ab"]
    assert names == [["Ana", "Caro"], ["Ana", "Caro", "Dani"]]
