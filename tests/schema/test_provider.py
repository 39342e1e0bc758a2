"""Providers and what they offer."""

from __future__ import annotations

from typing import Any

import pytest

from app.core.ids import IdKind, decode_id
from app.resolvers.context import Services
from tests.factories import (
    Catalogue,
    call,
    make,
    make_catalogue,
    make_provider,
    make_service,
    refused,
    someone,
)
from tests.fixtures_api import GraphQLClient
from tests.schema.test_venue import journal_of

READ = """
query ($id: ID!) { provider(id: $id) {
  id name timeZone venue { id } services { id } offers { durationMinutes price { amountMinor } service { id } }
} }
"""


async def test_made_with_its_services(catalogue: Catalogue, client: GraphQLClient) -> None:
    made = await make_provider(
        catalogue.owner.client, catalogue.venue["id"], name="Ana", bio=" \n", serviceIds=[catalogue.service["id"]] * 2
    )
    assert made["bio"] is None
    assert made["timeZone"] == "America/Argentina/Buenos_Aires"
    shown = await client(READ, {"id": made["id"]})
    assert shown["venue"] == {"id": catalogue.venue["id"]}
    assert shown["services"] == [{"id": catalogue.service["id"]}]
    (offer,) = shown["offers"]
    assert (offer["durationMinutes"], offer["price"]) == (30, {"amountMinor": 150_000})


async def test_its_own_zone_goes_before_the_venues(catalogue: Catalogue) -> None:
    client = catalogue.owner.client
    made = await make_provider(client, catalogue.venue["id"], timeZone="Asia/Jerusalem")
    assert made["timeZone"] == "Asia/Jerusalem"
    changed = await make(client, "updateProvider", providerId=made["id"], timeZone=None)
    assert changed["timeZone"] == "America/Argentina/Buenos_Aires"


async def test_presence_is_shown_unless_it_is_switched_off(catalogue: Catalogue, client: GraphQLClient) -> None:
    owner = catalogue.owner.client
    made = await make_provider(owner, catalogue.venue["id"], name="Seen")
    hidden = await make_provider(owner, catalogue.venue["id"], name="Hidden", showsPresence=False)
    one = "query ($id: ID!) { provider(id: $id) { showsPresence } }"
    many = "query ($id: ID!) { providers(organizationId: $id, first: 10) { edges { node { id showsPresence } } } }"

    async def shown() -> list[bool]:
        edges = (await client(many, {"id": catalogue.organization["id"]}))["edges"]
        listed = {edge["node"]["id"]: edge["node"]["showsPresence"] for edge in edges}
        alone = [(await client(one, {"id": each["id"]}))["showsPresence"] for each in (made, hidden)]
        assert alone == [listed[each["id"]] for each in (made, hidden)]
        return alone

    assert await shown() == [True, False]
    await make(owner, "updateProvider", providerId=made["id"], showsPresence=False)
    await make(owner, "updateProvider", providerId=hidden["id"], name="Still hidden")
    assert await shown() == [False, False]
    faults = await refused(owner, "updateProvider", providerId=made["id"], showsPresence=None)
    assert set(faults) == {"input.showsPresence"}


async def test_nothing_of_another_organization(catalogue: Catalogue, services: Services, client: GraphQLClient) -> None:
    other = await make_catalogue(services, client)
    owner = catalogue.owner.client
    foreign = {
        "createProvider": {"venueId": catalogue.venue["id"], "name": "A", "serviceIds": [other.service["id"]]},
        "createService": {
            "organizationId": catalogue.id,
            "name": "A",
            "category": "B",
            "priceMinor": 1,
            "providerIds": [catalogue.provider["id"], other.provider["id"]],
        },
        "setOffer": {"providerId": catalogue.provider["id"], "serviceId": other.service["id"]},
        "removeOffer": {"providerId": other.provider["id"], "serviceId": other.service["id"]},
        "updateProvider": {"providerId": other.provider["id"], "name": "A"},
        "deactivateProvider": {"providerId": other.provider["id"]},
        "updateService": {"serviceId": other.service["id"], "name": "A"},
        "deactivateService": {"serviceId": other.service["id"]},
    }
    for operation, values in foreign.items():
        result = await call(owner, operation, **values)
        assert (operation, result) == (
            operation,
            {"__typename": "NotFound", "code": "NOT_FOUND", "message": "Nothing that you can see has this id."},
        )
    assert len((await client(READ, {"id": catalogue.provider["id"]}))["services"]) == 1


@pytest.mark.parametrize(
    ("values", "paths"),
    [
        ({"name": "\u200b"}, {"input.name"}),
        ({"bio": "x" * 5_001}, {"input.bio"}),
        ({"userEmail": "no address"}, {"input.userEmail"}),
        ({"userEmail": "nobody.at.all@example.com"}, {"input.userEmail"}),
    ],
)
async def test_what_it_cannot_be(catalogue: Catalogue, values: dict[str, Any], paths: set[str]) -> None:
    facts = {"venueId": catalogue.venue["id"], "name": "A", **values}
    assert set(await refused(catalogue.owner.client, "createProvider", **facts)) == paths


async def test_an_account_acts_as_one_provider(catalogue: Catalogue, services: Services, client: GraphQLClient) -> None:
    owner, venue = catalogue.owner.client, catalogue.venue["id"]
    person = await someone(services, client)
    made = await make_provider(owner, venue, userEmail=person.email.upper())
    facts = {"venueId": venue, "name": "B", "userEmail": person.email}
    assert set(await refused(owner, "createProvider", **facts)) == {"input.userEmail"}
    await make(owner, "updateProvider", providerId=made["id"], userEmail=None)
    await make(owner, "createProvider", **facts)


async def test_offers(catalogue: Catalogue, client: GraphQLClient) -> None:
    owner, provider = catalogue.owner.client, catalogue.provider["id"]
    service = await make_service(owner, catalogue.id, name="Barba", maximumDurationMinutes=90)
    pair = {"providerId": provider, "serviceId": service["id"]}
    offer = await make(owner, "setOffer", **pair, priceMinor=99, durationMinutes=45)
    assert (offer["isActive"], offer["price"], offer["durationMinutes"]) == (True, {"amountMinor": 99}, 45)
    offer = await make(owner, "setOffer", **pair, priceMinor=None)
    assert (offer["price"], offer["durationMinutes"]) == ({"amountMinor": 150_000}, 30)
    removed = await make(owner, "removeOffer", **pair)
    assert removed["isActive"] is False
    assert [each["id"] for each in (await client(READ, {"id": provider}))["services"]] == [catalogue.service["id"]]
    offer = await make(owner, "setOffer", **pair, priceMinor=0)
    assert (offer["isActive"], offer["price"]) == (True, {"amountMinor": 0})
    for values in ({"priceMinor": -1}, {"durationMinutes": 0}, {"durationMinutes": 1_441}):
        paths = await refused(owner, "setOffer", **pair, **values)
        assert set(paths) == {f"input.{name}" for name in values}


async def test_each_change_is_told(catalogue: Catalogue, services: Services) -> None:
    owner, provider, service = catalogue.owner.client, catalogue.provider["id"], catalogue.service["id"]
    subject = str(decode_id(IdKind.PROVIDER, provider))
    offered = str(decode_id(IdKind.SERVICE, service))
    _, events = await journal_of(services, catalogue.id, provider, IdKind.PROVIDER)
    assert events[-2:] == [("offer.updated", offered), ("offer.updated", subject)]
    steps: list[tuple[str, dict[str, Any], list[tuple[str, str]]]] = [
        ("updateProvider", {"providerId": provider, "name": "Otra"}, [("provider.described", subject)]),
        ("updateProvider", {"providerId": provider, "name": "Otra"}, []),
        ("updateProvider", {"providerId": provider, "timeZone": "UTC"}, [("provider.updated", subject)]),
        (
            "setOffer",
            {"providerId": provider, "serviceId": service, "priceMinor": 5},
            [("offer.updated", offered), ("offer.updated", subject)],
        ),
        ("setOffer", {"providerId": provider, "serviceId": service, "priceMinor": 5}, []),
        (
            "deactivateProvider",
            {"providerId": provider},
            [("provider.updated", subject), ("offer.updated", offered)],
        ),
        ("deactivateProvider", {"providerId": provider}, []),
        (
            "reactivateProvider",
            {"providerId": provider},
            [("provider.updated", subject), ("offer.updated", offered)],
        ),
        ("updateService", {"serviceId": service, "priceMinor": 7}, [("service.updated", offered)]),
        ("deactivateService", {"serviceId": service}, [("service.updated", offered)]),
    ]
    for operation, values, told in steps:
        seen = len(events)
        await make(owner, operation, **values)
        _, events = await journal_of(services, catalogue.id, provider, IdKind.PROVIDER)
        assert (operation, events[seen:]) == (operation, told)
    audit, _ = await journal_of(services, catalogue.id, provider, IdKind.PROVIDER)
    assert [entry["action"] for entry in audit] == [
        "provider.created",
        "provider.updated",
        "provider.updated",
        "offer.updated",
        "provider.deactivated",
        "provider.reactivated",
    ]
    assert audit[3]["before"] == {"price_minor": None}


async def test_a_deactivated_provider(catalogue: Catalogue, client: GraphQLClient) -> None:
    owner, provider = catalogue.owner.client, catalogue.provider["id"]
    closed = await make(owner, "deactivateProvider", providerId=provider)
    assert closed["isActive"] is False
    answer = await client.raw(READ, {"id": provider})
    assert answer["errors"][0]["extensions"] == {"code": "NOT_FOUND"}
    assert (await owner(READ, {"id": provider}))["id"] == provider
    lists = """
    query ($venue: ID, $service: ID!) {
      venue(id: $venue) { providers { id } } service(id: $service) { providers { id } }
    }
    """
    shown = await client(lists, {"venue": catalogue.venue["id"], "service": catalogue.service["id"]})
    assert shown == {"venue": {"providers": []}, "service": {"providers": []}}
