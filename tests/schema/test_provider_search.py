"""`providers`: found by place, words, price, languages and rating."""

from __future__ import annotations

import json
import random
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from app.core.ids import IdKind, decode_id, encode_id
from app.domain.provider_search import ProviderSort, ProviderWanted
from app.models import Provider
from app.queries.pagination import PageRequest
from app.queries.provider_free import Offers, SoonestSlot
from app.queries.provider_search import ProviderSearch
from app.queries.tenancy import bind
from app.resolvers.context import Services
from tests.city import CENTRE, EVERYBODY, OBELISK, SEARCH, City
from tests.factories import call, make_catalogue
from tests.fixtures_api import GraphQLClient, StatementLog

# ── words ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("Fernandes", ["María"]),  # Fernández
        ("FERNÁNDEZ", ["María"]),
        ("Fenandez maria", ["María"]),
        ("lukasz", ["Łukasz"]),
        ("psicologo", ["Łukasz"]),
        ("sicologo", ["Łukasz"]),
        ("kinesiologia", ["Nord"]),
        ("quinesiologia", ["Nord"]),  # two letters
        ("quinesiolojia", []),  # three
        ("gomes", ["Ana"]),
        ("corte", ["Ana", "María"]),  # a service
        ("korte", ["Ana", "María"]),
        ("pelo", ["Ana", "María"]),  # a category
        ("clasica", ["María"]),  # a subcategory
        ("corte gomez", ["Ana"]),  # one word here, one there
        ("corte nowak", []),
        ("terapya pareja", ["Łukasz"]),
        ("zoe", ["Zoë"]),
        ("🦊", ["Zoë"]),
        ("ruiz", ["Inés"]),  # a part of a word
        ("brien", ["Inés"]),
        ("100%", ["Inés"]),
        ("%", ["Inés"]),
        ("_", []),
        ("\\", []),
        ("mar", ["María"]),
        ("ma", ["María"]),
        ("xyzzy", []),
        ("'; DROP TABLE provider; --", []),
        ("  ", EVERYBODY),
    ],
)
async def test_words(city: City, words: str, found: list[str]) -> None:
    assert await city.names(text=words) == found
    # Whatever the order, they are the same people.
    if found != EVERYBODY:
        assert sorted(await city.names("RELEVANCE", text=words)) == sorted(found)


async def test_the_most_relevant_come_first(city: City) -> None:
    assert await city.names("RELEVANCE", text="ana") == ["Ana"]
    assert (await city.names("RELEVANCE", text="no"))[0] in {"Łukasz", "Nord"}
    assert await city.names("RELEVANCE", text="pol") == ["Nord"]


@pytest.mark.parametrize("words", ["a\0b", "a\u0007", "a" * 201, "x" * 10_000, "\u202eanA", "\ud800"])
async def test_words_that_cannot_be(city: City, words: str) -> None:
    answer = await city.client.http.post(
        city.client.url,
        content=json.dumps({"query": SEARCH, "variables": {"id": city.catalogue.id, "filter": {"text": words}}}),
        headers={"content-type": "application/json"},
    )
    assert answer.status_code in {200, 400}
    assert answer.json()["errors"][0]["extensions"]["code"] == "BAD_INPUT"


@pytest.mark.parametrize("words", ["!!!", "\u00bf?", "...", " \u00ab \u00bb ;"])
@pytest.mark.parametrize("sort", ["NAME_ASC", "RELEVANCE"])
async def test_punctuation_alone(city: City, words: str, sort: str) -> None:
    assert await city.violations(sort, text=words) == ["filter.text"]
    assert await city.names(text=f"{words} zoe {words}") == ["Zo\u00eb"]


async def test_many_words_and_combining_marks(city: City) -> None:
    assert await city.names(text=" ".join(["maria"] * 33)) == ["María"]
    assert await city.names(text="Mari\u0301a") == ["María"]
    assert await city.names(text="\uff2d\uff21\uff32\uff29\uff21") == ["María"]  # full width


# ── places ────────────────────────────────────────────────────────────────────────────────────────────


async def test_within_a_radius_and_how_far(city: City) -> None:
    page = await city.page("DISTANCE_ASC", {"near": {**OBELISK, "radiusKm": 10}})
    found = [(edge["node"]["name"].split()[0], edge["distanceKm"]) for edge in page["edges"]]
    assert {name for name, _ in found[:2]} == {"Inés", "María"}
    assert [distance for _, distance in found[:2]] == [0, 0]
    assert found[2][0] == "Ana"
    assert found[2][1] == pytest.approx(8.21, abs=0.1)
    assert await city.names(near={**OBELISK, "radiusKm": 8}) == ["Inés", "María"]
    assert await city.names(near={**OBELISK, "radiusKm": 1e-3}) == ["Inés", "María"]
    assert await city.names("RATING_DESC", near={**OBELISK, "radiusKm": 9}) == ["María", "Ana", "Inés"]


async def test_everywhere_is_everybody_with_a_place(city: City) -> None:
    found = await city.names("DISTANCE_ASC", near={"latitude": 34.6037, "longitude": 121.6184, "radiusKm": 20_038})
    assert sorted(found) == sorted(set(EVERYBODY) - {"Łukasz"})
    assert set(found[-2:]) == {"Inés", "María"}  # at the antipodes
    page = await city.page("DISTANCE_ASC", {"near": {**OBELISK, "radiusKm": 20_038}})
    assert page["edges"][-1]["distanceKm"] < 20_016


async def test_across_the_date_line_and_round_the_pole(city: City) -> None:
    for longitude in (180, -180):
        page = await city.page("DISTANCE_ASC", {"near": {"latitude": -16.8, "longitude": longitude, "radiusKm": 20}})
        assert sorted(edge["node"]["name"].split()[0] for edge in page["edges"]) == ["Tui", "Zoë"]
        assert [edge["distanceKm"] for edge in page["edges"]] == pytest.approx([5.32, 5.32], abs=0.02)
    for longitude in (-180, -90, 0, 77, 180):
        assert await city.names(near={"latitude": 89.95, "longitude": longitude, "radiusKm": 6}) == ["Nord"]
    assert await city.names(near={"latitude": -90, "longitude": 0, "radiusKm": 6}) == []


@pytest.mark.parametrize(
    ("near", "paths"),
    [
        ({"latitude": 90.1, "longitude": 0, "radiusKm": 1}, ["filter.near.latitude"]),
        ({"latitude": 0, "longitude": -180.5, "radiusKm": 1}, ["filter.near.longitude"]),
        ({"latitude": 0, "longitude": 0, "radiusKm": 0}, ["filter.near.radiusKm"]),
        ({"latitude": 0, "longitude": 0, "radiusKm": -1}, ["filter.near.radiusKm"]),
        ({"latitude": 0, "longitude": 0, "radiusKm": 1e9}, ["filter.near.radiusKm"]),
        ({"latitude": 1e308, "longitude": -1e308, "radiusKm": 1e308}, ["latitude", "longitude", "radiusKm"]),
    ],
)
async def test_places_that_cannot_be(city: City, near: dict[str, float], paths: list[str]) -> None:
    found = await city.violations("DISTANCE_ASC", near=near)
    assert [path.split(".")[-1] for path in found] == [path.split(".")[-1] for path in paths]
    assert all(path.startswith("filter.near.") for path in found)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
async def test_coordinates_that_are_no_numbers(city: City, value: str) -> None:
    body = (
        '{"query": %s, "variables": {"id": "%s", "filter": {"near": {"latitude": %s, "longitude": 0, "radiusKm": 1}}}}'
    )
    content = body % (json.dumps(SEARCH), city.catalogue.id, value)
    answer = await city.client.http.post(city.client.url, content=content, headers={"content-type": "application/json"})
    assert answer.json()["errors"][0]["extensions"]["code"] in {"BAD_INPUT", "BAD_REQUEST", "GRAPHQL_VALIDATION_FAILED"}


# ── services and prices ───────────────────────────────────────────────────────────────────────────────


async def test_prices(city: City) -> None:
    """María 900 and 2000, Ana 1000, Łukasz 70000, Zoë 750 (500 an hour for 90 minutes), Tui 2250; others have none."""
    assert await city.names("PRICE_ASC") == [
        "Zoë",
        "María",
        "Ana",
        "Tui",
        "Łukasz",
        *sorted_by_id(city, "Nord", "Inés"),
    ]
    falling = await city.names("PRICE_DESC")
    assert falling[:5] == ["Łukasz", "Tui", "Ana", "María", "Zoë"]
    assert set(falling[5:]) == {"Nord", "Inés"}
    assert await city.names(price={"minimumMinor": 1_000}) == ["Ana", "Łukasz", "María", "Tui"]
    assert await city.names(price={"maximumMinor": 900}) == ["María", "Zoë"]
    assert await city.names(price={"minimumMinor": 901, "maximumMinor": 1_999}) == ["Ana"]
    assert await city.names(price={"minimumMinor": 0}) == ["Ana", "Łukasz", "María", "Tui", "Zoë"]
    assert await city.names("PRICE_DESC", price={"minimumMinor": 1_000}) == ["Łukasz", "Tui", "María", "Ana"]
    assert await city.names(price={}) == EVERYBODY


def sorted_by_id(city: City, *names: str) -> list[str]:
    return sorted(names, key=lambda name: city.providers[name])


async def test_of_one_and_the_same_service(city: City) -> None:
    corte, barba = city.services["Corte"], city.services["Barba"]
    assert await city.names("PRICE_ASC", serviceId=corte) == ["María", "Ana"]
    assert await city.names("PRICE_DESC", serviceId=corte) == ["Ana", "María"]
    assert await city.names(serviceId=corte, price={"minimumMinor": 1_500}) == []
    assert await city.names(serviceId=barba, price={"minimumMinor": 1_500}) == ["María"]
    assert await city.names(category="pelo", price={"minimumMinor": 1_500}) == ["María"]
    assert await city.names("PRICE_ASC", category="PELO") == ["María", "Ana"]
    assert await city.names("PRICE_DESC", category="movimiento") == ["Tui", "Zoë", "Nord"]
    assert await city.names(category="Pelo", serviceId=city.services["Yoga"]) == []
    assert await city.names(category="Ninguna") == []
    assert await city.names(serviceId=city.services["A medida"], price={"maximumMinor": 10**15}) == []


@pytest.mark.parametrize(
    ("wanted", "paths"),
    [
        ({"price": {"minimumMinor": -1}}, ["filter.price.minimumMinor"]),
        ({"price": {"minimumMinor": 2, "maximumMinor": 1}}, ["filter.price.maximumMinor"]),
        ({"minimumRating": 5.1}, ["filter.minimumRating"]),
        ({"minimumRating": -0.1}, ["filter.minimumRating"]),
        ({"languages": ["es", "klingonisch"]}, ["filter.languages.1"]),
        ({"languages": ["e\0"]}, ["filter.languages.0"]),
        ({"languages": ["es"] * 21}, ["filter.languages"]),
        ({"languages": ["x" * 10_000]}, ["filter.languages.0"]),
        ({"serviceId": "prv_01h2xcejqtf2nbrexx3vqjhp41"}, ["filter.serviceId"]),
    ],
)
async def test_what_cannot_be(city: City, wanted: dict[str, Any], paths: list[str]) -> None:
    assert await city.violations(**wanted) == paths


@pytest.mark.parametrize(
    ("sort", "needed"),
    [("DISTANCE_ASC", "filter.near"), ("SOONEST_ASC", "filter.availability"), ("RELEVANCE", "filter.text")],
)
async def test_orders_that_need_something(city: City, sort: str, needed: str) -> None:
    answer = await city.client.raw(SEARCH, {"id": city.catalogue.id, "sort": sort})
    (violation,) = answer["errors"][0]["extensions"]["violations"]
    assert violation == {"path": "sort", "message": f"{sort} needs {needed}"}


# ── languages and ratings ─────────────────────────────────────────────────────────────────────────────


async def test_languages(city: City) -> None:
    assert await city.names(languages=["es"]) == ["Ana", "María"]
    assert await city.names(languages=["es-ar"]) == ["Ana", "María"]
    assert await city.names(languages=["es-MX"]) == []
    assert await city.names(languages=["EN"]) == ["María", "Zoë"]
    assert await city.names(languages=["en-GB"]) == ["Zoë"]
    assert await city.names(languages=["de", "sm"]) == ["Łukasz", "Tui"]
    assert await city.names(languages=["zh"]) == ["Inés"]
    assert await city.names(languages=["zh-Hant"]) == ["Inés"]
    assert await city.names(languages=["he"]) == []
    assert await city.names(languages=[]) == EVERYBODY
    page = await city.page(filter={"languages": ["pl"]})
    assert page["edges"][0]["node"]["languages"] == ["pl", "de-CH"]


async def test_ratings(city: City) -> None:
    assert await city.names(minimumRating=4.5) == ["María", "Tui", "Zoë"]
    assert await city.names(minimumRating=0) == ["Ana", "María", "Nord", "Tui", "Zoë"]
    assert (await city.names("RATING_DESC"))[:1] == ["Zoë"]
    assert set((await city.names("RATING_DESC"))[-2:]) == {"Inés", "Łukasz"}


async def test_languages_of_a_provider(city: City) -> None:
    owner = city.catalogue.owner.client
    answer = await call(
        owner, "createProvider", venueId=city.venues[CENTRE], name="No", languages=["es", "español", "a-b"]
    )
    assert [each["path"] for each in answer["violations"]] == ["input.languages.1", "input.languages.2"]
    answer = await call(owner, "updateProvider", providerId=city.providers["Ana"], languages=["es"] * 21)
    assert [each["path"] for each in answer["violations"]] == ["input.languages"]
    document = """mutation ($input: UpdateProviderInput!) { updateProvider(input: $input) {
      __typename ... on UpdateProviderPayload { provider { languages } } } }"""
    wanted = {"providerId": city.catalogue.provider["id"], "languages": ["ES-ar", "en", "es-AR", "zh-hant-tw"]}
    changed = await owner(document, {"input": wanted})
    assert changed["provider"]["languages"] == ["es-AR", "en", "zh-Hant-TW"]


# ── the rest ──────────────────────────────────────────────────────────────────────────────────────────


async def test_other_tenants_are_not_found(city: City, services: Services, client: GraphQLClient) -> None:
    other = await make_catalogue(services, client)
    assert await city.names(serviceId=other.service["id"]) == []
    assert await city.names(venueId=other.venue["id"]) == []
    answer = await client.raw(SEARCH, {"id": "org_01h2xcejqtf2nbrexx3vqjhp41"})
    assert answer["errors"][0]["extensions"]["code"] == "NOT_FOUND"
    shown = await client(SEARCH, {"id": other.id, "filter": {"text": "fernandez"}})
    assert shown["edges"] == []
    # The staff of one is a stranger to the other.
    page = await other.owner.client(SEARCH, {"id": city.catalogue.id, "filter": {"isActive": False}})
    assert page["edges"] == []
    page = await city.catalogue.owner.client(SEARCH, {"id": city.catalogue.id, "filter": {"isActive": False}})
    assert [edge["node"]["id"] for edge in page["edges"]] == [city.catalogue.provider["id"]]


async def test_any_filters_together(city: City) -> None:
    """No combination fails, and each filter only ever takes away."""
    pool: list[dict[str, Any]] = [
        {"text": "a"},
        {"text": "maria corte"},
        {"near": {**OBELISK, "radiusKm": 9}},
        {"category": "Pelo"},
        {"serviceId": city.services["Corte"]},
        {"price": {"minimumMinor": 900}},
        {"languages": ["es"]},
        {"minimumRating": 3},
        {"venueId": city.venues[CENTRE]},
        {"isActive": True},
    ]
    alone = [set(await city.names(**wanted)) for wanted in pool]
    drawn = random.Random(7)
    for _ in range(40):
        chosen = drawn.sample(range(len(pool)), drawn.randint(2, 5))
        wanted = {name: value for index in chosen for name, value in pool[index].items()}
        sort = drawn.choice(["NAME_ASC", "RATING_DESC", "PRICE_ASC", "PRICE_DESC"])
        found = set(await city.names(sort, **wanted))
        last = {next(iter(pool[index])): index for index in chosen}
        assert found <= set.intersection(*(alone[index] for index in last.values()))


async def test_one_statement(city: City, statements: StatementLog) -> None:
    statements.clear()
    document = """query ($id: ID!, $filter: ProviderFilter) { providers(organizationId: $id, filter: $filter) {
      edges { node { name venue { name } services { name } } } } }"""
    await city.client(document, {"id": city.catalogue.id, "filter": {"text": "fernandes"}})
    assert len(statements) <= 5  # the page, then one binding and one select for venues and services
    statements.clear()
    await city.page("DISTANCE_ASC", {"near": {**OBELISK, "radiusKm": 9}, "text": "corte", "price": {"minimumMinor": 1}})
    assert len(statements) == 2  # and the count


async def test_what_is_found_reads_like_a_provider(city: City, services: Services) -> None:
    async def ask(_offers: Offers) -> dict[UUID, SoonestSlot]:
        raise AssertionError("nobody asked for free time")

    organization_id = decode_id(IdKind.ORGANIZATION, city.catalogue.id)
    search = ProviderSearch(services.database, organization_id, None, services.clock.now(), ProviderWanted(), ask)
    page = await search.page(ProviderSort.NAME_ASC, PageRequest(100))
    async with services.database.transaction() as tx:
        await bind(tx, organization_id=organization_id)
        rows = {row.id: row for row in await tx.scalars(select(Provider))}
    assert len(page.hits) > 5
    for hit in page.hits:
        row = rows[hit.provider.id]
        for column in [each.key for each in Provider.__mapper__.columns]:
            assert getattr(hit.provider, column) == getattr(row, column), column
        assert hit.provider.public_id == encode_id(IdKind.PROVIDER, row.id)
