"""What is written in the journal is told as well: every change leaves an event, whoever may care for it."""

from __future__ import annotations

from typing import Any

from app.core.ids import IdKind
from app.resolvers.context import Services
from app.resolvers.live_availability import CONFIGURATION_EVENTS
from tests.factories import Catalogue, join, make, make_service
from tests.fixtures_api import GraphQLClient
from tests.schema.test_venue import journal_of


async def test_every_change_of_the_catalogue(catalogue: Catalogue, services: Services, client: GraphQLClient) -> None:
    owner, venue, provider = catalogue.owner.client, catalogue.venue["id"], catalogue.provider["id"]

    async def told() -> list[str]:
        _, events = await journal_of(services, catalogue.id, catalogue.id, IdKind.ORGANIZATION)
        return [type_ for type_, _ in events]

    assert (await told())[:3] == ["organization.created", "venue.created", "service.created"]
    room = await make(owner, "createResource", venueId=venue, name="Hall", kind="ROOM", quantity=1)
    member = await join(services, catalogue, client, "STAFF")
    alone = await make(owner, "createProvider", venueId=venue, name="Beto")
    steps: list[tuple[str, dict[str, Any], str]] = [
        ("updateOrganization", {"organizationId": catalogue.id, "name": "Otra"}, "organization.updated"),
        ("updateVenue", {"venueId": venue, "name": "Otra"}, "venue.described"),
        ("updateProvider", {"providerId": provider, "bio": "Hola"}, "provider.described"),
        ("updateProvider", {"providerId": alone["id"], "languages": ["es"]}, "provider.described"),
        ("updateResource", {"resourceId": room["id"], "name": "Sala", "kind": "EQUIPMENT"}, "resource.updated"),
        ("removeMember", {"organizationId": catalogue.id, "userId": member.id}, "membership.removed"),
    ]
    before = await told()
    assert before[-2:] == ["membership.created", "provider.created"]
    for operation, values, event in steps:
        await make(owner, operation, **values)
        after = await told()
        assert (operation, after[len(before) :]) == (operation, [event])
        assert event not in CONFIGURATION_EVENTS, "nobody who looks at free times reads anew"
        before = after
    await make_service(owner, catalogue.id, name="Barba")
    assert (await told())[-1] == "service.created"
