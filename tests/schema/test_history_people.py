"""The people of a booking, its recipient and its address, as they were at an instant."""

from __future__ import annotations

from app.domain.membership import Role
from app.resolvers.context import Services
from tests.classes import make_class
from tests.fixtures_api import GraphQLClient, MovableClock
from tests.groups import booked_as, change, named
from tests.journey import Answer, Made, Visitor, colleague, instant
from tests.shop import at, make_shop

AS_OF = """
query ($id: ID!, $token: String, $at: DateTime!) { booking(id: $id, accessToken: $token) { asOf(at: $at) {
  partySize participants { name email status } recipient { name phone } address { street city } } } }
"""
ENTRIES = "query ($id: ID!) { booking(id: $id) { history(first: 50) { edges { node { action at } } } } }"


async def as_of(client: GraphQLClient, made: Made, when: str) -> Answer:
    found: Answer = await client(AS_OF, {"id": made.id, "at": when, "token": made.token})
    return found["asOf"]  # type: ignore[no-any-return]


async def test_who_came_then(services: Services, client: GraphQLClient, clock: MovableClock) -> None:
    """Each change takes effect with its entry, and what was before stays readable."""
    yoga = await make_class(client, services)
    staff = (await colleague(client, yoga.shop, Role.STAFF)).client
    held = await yoga.held((await yoga.at(at(3, 9)))["id"], 3)
    made = await booked_as(yoga, held, participants=named("Ana", "Beto"), recipient={"name": "Luz"})
    people = {one["name"]: one["id"] for one in made.answer["booking"]["participants"]}
    await change(client, "addParticipants", made, participants=named("Caro"), unnamed=1)
    await change(client, "updateParticipant", made, participantId=people["Ana"], email="ana@example.com")
    await change(client, "removeParticipants", made, participantIds=[people["Beto"]])
    clock.move_to(at(3, 9, 10))
    ana = {"participantId": people["Ana"], "is_staff": True}
    await change(staff, "markParticipant", made, **ana, status="NO_SHOW")
    entries = [edge["node"] for edge in (await staff(ENTRIES, {"id": made.id}))["history"]["edges"]]
    seen = []
    for entry in entries:
        if entry["action"] != "booking.created":
            state = await as_of(client, made, entry["at"])
            people_then = [f"{one['name']} {one['status']}" for one in state["participants"]]
            seen.append((entry["action"].removeprefix("booking."), state["partySize"], people_then))
            assert state["recipient"] == {"name": "Luz", "phone": None}
    expected = "EXPECTED"
    named_ = [f"Ana {expected}", f"Beto {expected}"]
    assert [one for one in seen if one[0].startswith("participant")] == [
        ("participants_named", 3, named_),
        ("participants_added", 5, [*named_, f"Caro {expected}"]),
        ("participant_updated", 5, [*named_, f"Caro {expected}"]),
        ("participants_removed", 4, [f"Ana {expected}", f"Caro {expected}"]),
        ("participant_marked", 4, ["Ana NO_SHOW", f"Caro {expected}"]),
    ]
    before = await as_of(client, made, entries[2]["at"])
    assert before["participants"][0]["email"] is None
    assert (await as_of(client, made, entries[-1]["at"]))["participants"][0]["email"] == "ana@example.com"
    assert instant(entries[0]["at"]) <= instant(entries[-1]["at"])


async def test_where_it_was(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, service={"is_at_customers": True})
    guest = Visitor(client, shop)
    home = {"street": "Thames 1500", "city": "Rosario"}
    made = await guest.booked(at(3, 10), address=home)
    created = (await colleague(client, shop, Role.STAFF)).client
    first = (await created(ENTRIES, {"id": made.id}))["history"]["edges"][0]["node"]["at"]
    assert (await as_of(client, made, first))["address"] == home
