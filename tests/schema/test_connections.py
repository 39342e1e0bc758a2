"""Lists by pages, filters, nested reads and how many statements they take."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from app.resolvers.context import Services
from tests.factories import Catalogue, join, make, make_catalogue, make_provider, make_service, make_venue
from tests.fixtures_api import GraphQLClient, StatementLog

PAGE = "edges { cursor node { id name } } pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"
ARGUMENTS = "$first: Int, $after: String, $last: Int, $before: String"
PASSED = "first: $first, after: $after, last: $last, before: $before"
PROVIDERS = f"""
query ($id: ID!, $filter: ProviderFilter, $sort: ProviderSort, {ARGUMENTS}) {{
  providers(organizationId: $id, filter: $filter, sort: $sort, {PASSED}) {{ {PAGE} }}
}}
"""
SERVICES = f"""
query ($id: ID!, $filter: ServiceFilter, $sort: ServiceSort, {ARGUMENTS}) {{
  services(organizationId: $id, filter: $filter, sort: $sort, {PASSED}) {{ {PAGE} }}
}}
"""
NAMES = ["Ángel", "beatriz", "Carla", "Çetin", "Diego", "Élodie", "Ñandú 100%", "O_Brien", "Zoë"]


def names(page: dict[str, Any]) -> list[str]:
    return [edge["node"]["name"] for edge in page["edges"]]


@pytest.fixture
async def team(catalogue: Catalogue) -> Catalogue:
    """Nine providers in all, besides Ana."""
    for name in reversed(NAMES):
        await make_provider(catalogue.owner.client, catalogue.venue["id"], name=name)
    return catalogue


async def test_names_sort_as_people_expect(team: Catalogue, client: GraphQLClient) -> None:
    page = await client(PROVIDERS, {"id": team.id})
    assert names(page) == ["Ana", "Ángel", *NAMES[1:]]
    page = await client(PROVIDERS, {"id": team.id, "sort": "NAME_DESC"})
    assert names(page) == ["Ana", "Ángel", *NAMES[1:]][::-1]
    page = await client(PROVIDERS, {"id": team.id, "sort": "CREATED_ASC"})
    assert names(page) == ["Ana", *reversed(NAMES)]
    page = await client(PROVIDERS, {"id": team.id, "sort": None})
    assert names(page)[0] == "Ana"


@pytest.mark.parametrize("sort", ["NAME_ASC", "NAME_DESC", "CREATED_ASC", "RATING_DESC"])
@pytest.mark.parametrize("size", [1, 3, 10])
async def test_pages_meet_in_both_directions(team: Catalogue, client: GraphQLClient, sort: str, size: int) -> None:
    whole = names(await client(PROVIDERS, {"id": team.id, "sort": sort}))
    assert len(whole) == 10
    forward: list[str] = []
    cursor = None
    while True:
        page = await client(PROVIDERS, {"id": team.id, "sort": sort, "first": size, "after": cursor})
        assert page["pageInfo"]["hasPreviousPage"] is (cursor is not None)
        forward += names(page)
        cursor = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert forward == whole
    backward: list[str] = []
    cursor = None
    while True:
        page = await client(PROVIDERS, {"id": team.id, "sort": sort, "last": size, "before": cursor})
        assert page["pageInfo"]["hasNextPage"] is (cursor is not None)
        backward = names(page) + backward
        cursor = page["pageInfo"]["startCursor"]
        if not page["pageInfo"]["hasPreviousPage"]:
            break
    assert backward == whole


async def test_between_two_cursors(team: Catalogue, client: GraphQLClient) -> None:
    edges = (await client(PROVIDERS, {"id": team.id}))["edges"]
    page = await client(PROVIDERS, {"id": team.id, "after": edges[2]["cursor"], "before": edges[6]["cursor"]})
    assert names(page) == [edge["node"]["name"] for edge in edges[3:6]]
    assert page["pageInfo"]["hasNextPage"] is True
    empty = await client(PROVIDERS, {"id": team.id, "after": edges[9]["cursor"]})
    assert empty["edges"] == []
    assert empty["pageInfo"]["startCursor"] is None


def forged(*parts: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


SOME_ID = "01890000-0000-7000-8000-000000000000"


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "é",
        "====",
        "A" * 100_000,
        base64.urlsafe_b64encode(b"\xff\xfe").decode(),
        base64.urlsafe_b64encode(b"[" * 3_000).decode(),
        forged("name", "a"),
        forged("name", "a", "not a uuid"),
        forged("name", "a\0b", SOME_ID),
        forged("name", "\ud800", SOME_ID),
        forged("name", 5, SOME_ID),
        forged("created", "2026-01-01T00:00:00Z", SOME_ID),
        forged("name", None, SOME_ID),
        forged({"name": 1}, [], SOME_ID),
    ],
)
async def test_hostile_cursors(catalogue: Catalogue, client: GraphQLClient, cursor: str) -> None:
    for argument in ("after", "before"):
        answer = await client.raw(PROVIDERS, {"id": catalogue.id, argument: cursor})
        (error,) = answer["errors"]
        assert error["extensions"]["code"] == "BAD_INPUT"
        assert error["extensions"]["violations"][0]["path"] == argument


@pytest.mark.parametrize(
    ("sort", "cursor"),
    [
        ("PRICE_ASC", forged("price", 2**70, SOME_ID)),
        ("PRICE_ASC", forged("price", 1.5, SOME_ID)),
        ("PRICE_ASC", forged("price", True, SOME_ID)),
        ("CREATED_ASC", forged("created", "yesterday", SOME_ID)),
        ("CREATED_ASC", forged("created", "9999-12-31T23:59:59Z", SOME_ID)),
        ("CREATED_ASC", forged("created", "2026-01-01T00:00:00", SOME_ID)),
    ],
)
async def test_hostile_cursors_of_other_kinds(
    catalogue: Catalogue, client: GraphQLClient, sort: str, cursor: str
) -> None:
    answer = await client.raw(SERVICES, {"id": catalogue.id, "sort": sort, "after": cursor})
    assert answer["errors"][0]["extensions"]["code"] == "BAD_INPUT"


@pytest.mark.parametrize(
    ("arguments", "paths"),
    [
        ({"first": 0}, ["first"]),
        ({"first": 101}, ["first"]),
        ({"last": -1}, ["last"]),
        ({"first": 5, "last": 5}, ["last"]),
        ({"first": 0, "last": 1_000}, ["first", "last", "last"]),
    ],
)
async def test_page_sizes(
    catalogue: Catalogue, client: GraphQLClient, arguments: dict[str, int], paths: list[str]
) -> None:
    answer = await client.raw(PROVIDERS, {"id": catalogue.id, **arguments})
    assert [each["path"] for each in answer["errors"][0]["extensions"]["violations"]] == paths


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("angel", ["Ángel"]),
        ("NANDU", ["Ñandú 100%"]),
        ("100%", ["Ñandú 100%"]),
        ("%", ["Ñandú 100%"]),
        ("_", ["O_Brien"]),
        ("\\", []),
        ("zoe", ["Zoë"]),
        ("'; DROP TABLE provider; --", []),
        ("  ", ["Ana", "Ángel", *NAMES[1:]]),
    ],
)
async def test_search_by_text(team: Catalogue, client: GraphQLClient, text: str, found: list[str]) -> None:
    assert names(await client(PROVIDERS, {"id": team.id, "filter": {"text": text}})) == found


async def test_filters_of_providers(team: Catalogue, client: GraphQLClient, services: Services) -> None:
    owner = team.owner.client
    venue = await make_venue(owner, team.id, name="Otra")
    await make_service(owner, team.id, name="Masaje", category="Relajación")
    beto = await make_provider(owner, venue["id"], name="Beto", serviceIds=[team.service["id"]])

    async def found(asking: GraphQLClient, **wanted: Any) -> list[str]:
        return names(await asking(PROVIDERS, {"id": team.id, "filter": wanted}))

    assert await found(client, venueId=venue["id"]) == ["Beto"]
    assert await found(client, serviceId=team.service["id"]) == ["Ana", "Beto"]
    assert await found(client, category="PELO") == ["Ana", "Beto"]
    assert await found(client, category="relajacion") == []
    assert await found(client, category="pelo", venueId=venue["id"]) == ["Beto"]
    assert await found(client, venueId="ven_01h2xcejqtf2nbrexx3vqjhp41") == []
    await make(owner, "deactivateProvider", providerId=beto["id"])
    staff = await join(services, team, client, "STAFF")
    assert await found(client, isActive=False) == []
    assert "Beto" not in await found(client)
    assert await found(staff.client, isActive=False) == ["Beto"]
    assert "Beto" in await found(staff.client)
    answer = await client.raw(PROVIDERS, {"id": team.id, "filter": {"text": "a\u0007"}})
    assert answer["errors"][0]["extensions"]["violations"][0]["path"] == "filter.text"


async def test_filters_of_services(catalogue: Catalogue, client: GraphQLClient) -> None:
    owner = catalogue.owner.client
    await make_service(owner, catalogue.id, name="Afeitado", category="Barba", subcategory="Clásica", priceMinor=50)
    await make_service(owner, catalogue.id, name="Color", category="Pelo", tags=["Rápido"], priceType="CUSTOM")
    hidden = await make_service(owner, catalogue.id, name="Oculto", priceMinor=9)
    await make(owner, "deactivateService", serviceId=hidden["id"])

    async def found(sort: str = "NAME_ASC", **wanted: Any) -> list[str]:
        return names(await client(SERVICES, {"id": catalogue.id, "filter": wanted, "sort": sort}))

    assert await found() == ["Afeitado", "Color", "Corte"]
    assert await found("PRICE_ASC") == ["Afeitado", "Corte", "Color"]
    assert await found("PRICE_DESC") == ["Color", "Corte", "Afeitado"]
    assert await found("CREATED_ASC") == ["Corte", "Afeitado", "Color"]
    assert await found(category="barba") == ["Afeitado"]
    assert await found(subcategory="clasica") == ["Afeitado"]
    assert await found(text="co") == ["Color", "Corte"]
    assert await found(tag="rapido") == ["Color"]
    assert await found(priceType="CUSTOM") == ["Color"]
    assert await found(providerId=catalogue.provider["id"]) == ["Corte"]
    assert await found(isActive=False) == []
    assert await found(isActive=True) == ["Afeitado", "Color", "Corte"]
    everything = await owner(SERVICES, {"id": catalogue.id})
    assert names(everything) == ["Afeitado", "Color", "Corte", "Oculto"]


async def test_nothing_is_read_across_organizations(
    catalogue: Catalogue, services: Services, client: GraphQLClient
) -> None:
    other = await make_catalogue(services, client)
    filters = ({"venueId": other.venue["id"]}, {"serviceId": other.service["id"]})
    for wanted in filters:
        assert names(await client(PROVIDERS, {"id": catalogue.id, "filter": wanted})) == []
    shown = await catalogue.owner.client(PROVIDERS, {"id": other.id, "filter": {"isActive": False}})
    assert names(shown) == []


# ── statements ────────────────────────────────────────────────────────────────────────────────────────

SHOP = """
query ($slug: String) { organization(slug: $slug) { id name currency venues { id name address timeZone
  providers { id name services { id name durationMinutes price { amount currency } } } } } }
"""


async def test_a_whole_shop_takes_four_batches(
    team: Catalogue, client: GraphQLClient, statements: StatementLog
) -> None:
    statements.clear()
    shop = await client(SHOP, {"slug": team.organization["slug"]})
    assert len(shop["venues"][0]["providers"]) == 10
    # Entering and the organization; then one binding and one select for venues, providers and services.
    assert len(statements) == 8


async def test_a_page_of_providers_takes_one_statement_and_its_count_another(
    team: Catalogue, client: GraphQLClient, statements: StatementLog
) -> None:
    statements.clear()
    await client(PROVIDERS, {"id": team.id})
    assert len(statements) == 1
    statements.clear()
    data = await client(
        "query ($id: ID!) { providers(organizationId: $id, first: 2) { totalCount edges { node { name } } } }",
        {"id": team.id},
    )
    assert data["totalCount"] == 10
    assert len(data["edges"]) == 2
    assert len(statements) == 2


async def test_a_page_of_services_takes_two_statements_and_its_count_two_more(
    team: Catalogue, client: GraphQLClient, statements: StatementLog
) -> None:
    statements.clear()
    await client(SERVICES, {"id": team.id})
    assert len(statements) == 2
    statements.clear()
    document = "query ($id: ID!) { services(organizationId: $id, first: 2) { totalCount edges { node { name } } } }"
    assert (await client(document, {"id": team.id}))["totalCount"] == 1
    assert len(statements) == 4


async def test_nested_fields_are_read_in_batches(team: Catalogue, statements: StatementLog) -> None:
    statements.clear()
    document = """
    query ($id: ID!) { providers(organizationId: $id, first: 10) { edges { node {
      timeZone venue { name embedKey } services { name }
      offers { durationMinutes price { amountMinor } service { name } }
    } } } }
    """
    await team.owner.client(document, {"id": team.id})
    # The page 1; venues 2, services 2, offers 2; then what offers point at 2 and the currency 2.
    assert len(statements) <= 11


@pytest.mark.parametrize("kind", ["organization", "venue", "provider", "service"])
async def test_one_by_its_id_takes_two_statements(
    catalogue: Catalogue, client: GraphQLClient, statements: StatementLog, kind: str
) -> None:
    statements.clear()
    row_id = getattr(catalogue, kind)["id"]
    assert await client("query ($id: ID!) { node(id: $id) { __typename id } }", {"id": row_id}) == {
        "__typename": kind.capitalize(),
        "id": row_id,
    }
    assert len(statements) == 2


@pytest.mark.parametrize(
    "wrong", ["", "x", "evt_01h2xcejqtf2nbrexx3vqjhp41", "prv_short", "PRV_01h2xcejqtf2nbrexx3vqjhp41"]
)
async def test_nodes_that_cannot_be(client: GraphQLClient, wrong: str) -> None:
    answer = await client.raw("query ($id: ID!) { node(id: $id) { id } }", {"id": wrong})
    assert answer["errors"][0]["extensions"]["code"] == "BAD_INPUT"
    assert answer["errors"][0]["extensions"]["violations"][0]["path"] == "id"
