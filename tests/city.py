"""An organization with people all over the world, whom searches look for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from app.core.database import SYSTEM_ROLE, Database
from app.core.ids import IdKind, decode_id
from app.resolvers.context import Services
from tests.factories import Catalogue, make, make_catalogue, make_provider, make_service, make_venue
from tests.fixtures_api import GraphQLClient, RunningApi

SEARCH = """
query (
  $id: ID!, $filter: ProviderFilter, $sort: ProviderSort, $first: Int, $after: String, $last: Int, $before: String
) {
  providers(
    organizationId: $id, filter: $filter, sort: $sort, first: $first, after: $after, last: $last, before: $before
  ) {
    edges { cursor distanceKm soonestSlot { startsAt } node { id name languages rating } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor } totalCount
  }
}
"""
OBELISK = {"latitude": -34.6037, "longitude": -58.3816}
CENTRE, BELGRANO, TAVEUNI, SAMOA, POLE, NOWHERE = "Centro", "Belgrano", "Taveuni", "Samoa", "Polo", "En línea"
PLACES = {
    CENTRE: (-34.6037, -58.3816),
    BELGRANO: (-34.5627, -58.4560),
    TAVEUNI: (-16.8, 179.95),
    SAMOA: (-16.8, -179.95),
    POLE: (90.0, 0.0),
    NOWHERE: (None, None),
}


@dataclass(slots=True)
class City:
    """An organization, as those who search in it see it."""

    catalogue: Catalogue
    client: GraphQLClient
    services: dict[str, str] = field(default_factory=dict)
    venues: dict[str, str] = field(default_factory=dict)
    providers: dict[str, str] = field(default_factory=dict)

    async def page(self, sort: str = "NAME_ASC", filter: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        variables = {"id": self.catalogue.id, "sort": sort, "filter": filter or {}, **more}
        page: dict[str, Any] = await self.client(SEARCH, variables)
        return page

    async def names(self, sort: str = "NAME_ASC", **wanted: Any) -> list[str]:
        """First names, in order."""
        page = await self.page(sort, wanted)
        found = [edge["node"]["name"].split()[0] for edge in page["edges"]]
        assert page["totalCount"] == len(found)
        return found

    async def violations(self, sort: str = "NAME_ASC", **wanted: Any) -> list[str]:
        """Paths of what is refused."""
        answer = await self.client.raw(SEARCH, {"id": self.catalogue.id, "sort": sort, "filter": wanted})
        (error,) = answer["errors"]
        assert error["extensions"]["code"] == "BAD_INPUT", error
        return [each["path"] for each in error["extensions"]["violations"]]


PEOPLE: tuple[tuple[str, str, str | None, float | None, list[str], dict[str, int | None]], ...] = (
    ("María Fernández", CENTRE, "Barbera de niños", 4.5, ["es-AR", "en"], {"Corte": 900, "Barba": None}),
    ("Ana Gómez", BELGRANO, None, 3.0, ["es-AR"], {"Corte": None}),
    ("Łukasz Nowak", NOWHERE, "Psicólogo", None, ["pl", "de-CH"], {"Terapia": 70_000}),
    ("Zoë 🦊 Fox", TAVEUNI, "Yoga & pilates", 5.0, ["en-GB"], {"Yoga": 500}),
    ("Tui Samoa", SAMOA, None, 4.5, ["sm"], {"Yoga": None}),
    ("Nord Pol", POLE, "Kinesiología", 1.5, [], {"A medida": None}),
    ("Inés O'Brien-Ruiz", CENTRE, "100% natural", None, ["zh-Hant-TW"], {}),
)
SERVICES: tuple[dict[str, Any], ...] = (
    {"name": "Corte", "category": "Pelo", "priceMinor": 1_000},
    {"name": "Barba", "category": "Pelo", "priceMinor": 2_000, "subcategory": "Clásica"},
    {"name": "Terapia de pareja", "category": "Salud mental", "priceMinor": 60_000},
    {"name": "Yoga", "category": "Movimiento", "priceMinor": 1_500, "priceType": "HOURLY", "durationMinutes": 90},
    {"name": "A medida", "category": "Movimiento", "priceMinor": 1, "priceType": "CUSTOM"},
)


@pytest.fixture(scope="session")
async def city(running: RunningApi, http: httpx.AsyncClient, database_url: str) -> City:
    """Made once for all tests, which leave it as it is."""
    client = GraphQLClient(http, running.graphql_url)
    catalogue = await make_catalogue(running.api.services, client)
    owner = catalogue.owner.client
    await make(owner, "deactivateProvider", providerId=catalogue.provider["id"])
    await make(owner, "deactivateService", serviceId=catalogue.service["id"])
    city = City(catalogue, client)
    for facts in SERVICES:
        city.services[facts["name"].split()[0]] = (await make_service(owner, catalogue.id, **facts))["id"]
    city.services["A medida"] = city.services.pop("A")
    for name, (latitude, longitude) in PLACES.items():
        place = {} if latitude is None else {"latitude": latitude, "longitude": longitude}
        city.venues[name] = (await make_venue(owner, catalogue.id, name=name, **place))["id"]
    database = Database(database_url, role=SYSTEM_ROLE, pool_size=1)
    for name, venue, bio, rating, languages, offers in PEOPLE:
        made = await make_provider(owner, city.venues[venue], name=name, bio=bio, languages=languages)
        for service, price in offers.items():
            wanted = {"providerId": made["id"], "serviceId": city.services[service], "priceMinor": price}
            await make(owner, "setOffer", **wanted)
        city.providers[name.split()[0]] = made["id"]
        async with database.transaction() as tx:
            provider_id = decode_id(IdKind.PROVIDER, made["id"])
            await tx.execute(text("UPDATE provider SET rating = :r WHERE id = :id"), {"r": rating, "id": provider_id})
    await database.dispose()
    return city


EVERYBODY = ["Ana", "Inés", "Łukasz", "María", "Nord", "Tui", "Zoë"]


@pytest.fixture
async def changing(services: Services, client: GraphQLClient) -> City:
    """One that a test may change."""
    catalogue = await make_catalogue(services, client)
    made = City(catalogue, client)
    for name in ("b", "d", "f", "h"):
        provider = await make_provider(catalogue.owner.client, catalogue.venue["id"], name=name)
        made.providers[name] = provider["id"]
    await make(catalogue.owner.client, "deactivateProvider", providerId=catalogue.provider["id"])
    return made
