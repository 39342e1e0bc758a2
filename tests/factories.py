"""People and a catalogue for tests, made through the public API."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

from app.core.ids import IdKind, encode_id
from app.resolvers.context import Services
from tests.fixtures_api import GraphQLClient
from tests.shop import make_person

_NUMBERS = itertools.count(1)

ERRORS = "... on Error { code message } ... on InvalidInput { violations { path message } } ... on NotAllowed { rule }"
SERVICE = (
    "id name description category subcategory price { amountMinor currency amount } priceType durationMinutes"
    " maximumDurationMinutes bufferBeforeMinutes bufferAfterMinutes advanceNoticeMinutes maximumAdvanceDays"
    " cancellationNoticeMinutes requiresApproval maxGroupSize isActive tags"
)
FIELDS = {
    "Organization": "id slug name currency locale country",
    "Venue": "id name timeZone address latitude longitude embedKey isActive",
    "Provider": "id name bio timeZone rating isActive",
    "Service": SERVICE,
    "Resource": "id name kind quantity isActive",
    "Activity": (
        "id name description category price { amountMinor currency amount } capacity durationMinutes"
        " advanceNoticeMinutes maximumAdvanceDays sessionHorizonDays cancellationNoticeMinutes maxPartySize tags"
        " isActive"
    ),
    "Offer": "isActive durationMinutes price { amountMinor } provider { id } service { id }",
    "PriceRule": (
        "id name isActive priority isExclusive rateBps amountMinor atMostMinor weekdays hours { from to }"
        " leadTime { fromMinutes toMinutes } occupancy { fromBps toBps } seasons { first last everyYear } serviceIds"
        " activityIds providerIds version"
    ),
    "Membership": "id userId role organization { id }",
}


@dataclass(frozen=True, slots=True)
class Someone:
    """A person and a client that speaks for them."""

    id: str
    email: str
    client: GraphQLClient


async def someone(services: Services, client: GraphQLClient, name: str = "someone") -> Someone:
    """A new person, signed in."""
    person = await make_person(services, name)
    return Someone(encode_id(IdKind.USER, person.user_id), person.email, client.signed_in(person.token))


def mutation(operation: str) -> str:
    """`createVenue` → its document, which asks for every leaf of what it changes."""
    verb_noun = operation[0].upper() + operation[1:]
    noun = next(noun for noun in FIELDS if verb_noun.endswith(noun) or (noun == "Membership" and "Member" in verb_noun))
    field = noun[0].lower() + noun[1:]
    shown = "membershipId" if operation == "removeMember" else f"{field} {{ {FIELDS[noun]} }}"
    return (
        f"mutation ($input: {verb_noun}Input!) {{ {operation}(input: $input) {{ __typename"
        f" ... on {verb_noun}Payload {{ {shown} }} {ERRORS} }} }}"
    )


async def call(client: GraphQLClient, operation: str, **values: Any) -> dict[str, Any]:
    """The member of the union."""
    result: dict[str, Any] = await client(mutation(operation), {"input": values})
    return result


async def make(client: GraphQLClient, operation: str, **values: Any) -> dict[str, Any]:
    """The thing made. Fails on errors."""
    result = await call(client, operation, **values)
    name = result.pop("__typename")
    assert name.endswith("Payload"), (name, result)
    made: dict[str, Any] = next(iter(result.values()))
    return made


async def refused(client: GraphQLClient, operation: str, **values: Any) -> dict[str, str]:
    """Violations by path. Fails on anything but InvalidInput."""
    result = await call(client, operation, **values)
    assert result["__typename"] == "InvalidInput", result
    return {violation["path"]: violation["message"] for violation in result["violations"]}


def slug() -> str:
    return f"made-{next(_NUMBERS)}"


async def make_organization(client: GraphQLClient, **values: Any) -> dict[str, Any]:
    return await make(client, "createOrganization", **{"name": "Barbería", "slug": slug(), "currency": "ARS", **values})


async def make_venue(client: GraphQLClient, organization_id: str, **values: Any) -> dict[str, Any]:
    facts = {"name": "Palermo", "timeZone": "America/Argentina/Buenos_Aires", **values}
    return await make(client, "createVenue", organizationId=organization_id, **facts)


async def make_provider(client: GraphQLClient, venue_id: str, **values: Any) -> dict[str, Any]:
    return await make(client, "createProvider", venueId=venue_id, **{"name": "Ana", **values})


async def make_service(client: GraphQLClient, organization_id: str, **values: Any) -> dict[str, Any]:
    facts = {"name": "Corte", "category": "Pelo", "priceMinor": 150_000, **values}
    return await make(client, "createService", organizationId=organization_id, **facts)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """An organization with one of everything."""

    owner: Someone
    organization: dict[str, Any]
    venue: dict[str, Any]
    provider: dict[str, Any]
    service: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.organization["id"])


async def make_catalogue(services: Services, client: GraphQLClient) -> Catalogue:
    owner = await someone(services, client, "owner")
    organization = await make_organization(owner.client)
    venue = await make_venue(owner.client, organization["id"])
    service = await make_service(owner.client, organization["id"])
    provider = await make_provider(owner.client, venue["id"], serviceIds=[service["id"]])
    return Catalogue(owner, organization, venue, provider, service)


async def join(services: Services, catalogue: Catalogue, client: GraphQLClient, role: str) -> Someone:
    """A new member."""
    member = await someone(services, client, role.lower())
    await make(catalogue.owner.client, "addMember", organizationId=catalogue.id, email=member.email, role=role)
    return member
