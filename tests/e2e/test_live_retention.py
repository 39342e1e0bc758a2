"""A cursor that is older than the events that are kept: every subscription begins anew, and says so."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from app.commands.purge import purge_events
from app.schema.root import schema
from tests.bulk import Planner
from tests.classes import make_class
from tests.fixtures_api import GraphQLClient, RunningApi, make_settings, serve
from tests.fixtures_live import RunningRelay, search_of
from tests.journey import Visitor
from tests.live_client import live_socket
from tests.shop import Shop, at, iso, make_shop
from tests.slot_watching import slot_of
from tests.waiting import waiting

DAY = at(3, 0)
TEN = at(3, 10)


@dataclass(frozen=True, slots=True)
class Watched:
    """A subscription's arguments: their types, and what they are."""

    types: str
    values: dict[str, Any]

    def document(self, field: str) -> str:
        given = " ".join(f"{name}: ${name}" for name in self.values)
        declared = self.types and f"{self.types}, "
        return f"subscription ({declared}$after: String) {{ {field}({given} after: $after) {{ kind cursor }} }}"


async def _everything(running: RunningApi, client: GraphQLClient, shop: Shop) -> dict[str, Watched]:
    """Something to look at for each subscription that has a cursor."""
    owner = client.signed_in(shop.owner.token)
    booked = await Visitor(client, shop).booked(TEN)
    plan = await Planner(owner, shop).planned(DAY, at(4, 0))
    yoga = await make_class(client, running.api.services, capacity=1)
    session = await yoga.at(at(3, 9))
    await yoga.booked(session["id"])
    entry = await waiting(client, sessionId=session["id"])
    days = search_of(shop, DAY)
    venue = {"venueId": shop.venue_id, "serviceIds": shop.service_ids}
    return {
        "availability": Watched("$input: AvailabilityInput!", {"input": days}),
        "venueAvailability": Watched(
            "$input: VenueAvailabilityInput!",
            {"input": {**venue, **{name: days[name] for name in ("from", "to", "timeZone")}}},
        ),
        "slotWatch": Watched("$input: SlotWatchInput!", {"input": slot_of(shop, at(3, 12))}),
        "session": Watched("$id: ID!", {"id": session["id"]}),
        "booking": Watched("$id: ID!, $accessToken: String", {"id": booked.id, "accessToken": booked.token}),
        "providerCalendar": Watched(
            "$providerId: ID!, $from: Date!, $to: Date!",
            {"providerId": shop.provider_id, "from": iso(DAY)[:10], "to": iso(DAY)[:10]},
        ),
        "notifications": Watched("", {}),
        "waitlistEntry": Watched("$accessToken: String", {"accessToken": entry.token}),
        "bulkChange": Watched("$id: ID!", {"id": plan["id"]}),
    }


async def _first_events(api: RunningApi, shop: Shop, everything: dict[str, Watched], **after: str) -> dict[str, Any]:
    """Of each subscription, on one socket of the owner's."""
    async with live_socket(api.socket_url, shop.owner.token) as socket:
        streams = {
            name: await socket.subscribe(one.document(name), **one.values, after=after.get(name))
            for name, one in everything.items()
        }
        return {name: await stream.next() for name, stream in streams.items()}


async def test_older_than_what_is_kept(
    running: RunningApi, client: GraphQLClient, relay: RunningRelay, database_url: str, redis_url: str
) -> None:
    shop = await make_shop(running.api.services)
    everything = await _everything(running, client, shop)
    fields = schema._schema.subscription_type
    assert fields is not None
    assert set(everything) == {name for name, field in fields.fields.items() if "after" in field.args}
    await relay.catch_up()
    first = await _first_events(running, shop, everything)
    assert {event["kind"] for event in first.values()} == {"SNAPSHOT"}
    cursors = {name: event["cursor"] for name, event in first.items()}

    await Visitor(client, shop).held(at(3, 15))
    await relay.catch_up()
    # Another process: this one may remember by itself what the database does not have any more.
    async with serve(make_settings(database_url, redis_url)) as other:
        async with relay.database.transaction() as tx:
            assert await purge_events(tx, timedelta(days=-1_000), batch=1_000_000) > 0
        late = await _first_events(other, shop, everything, **cursors)
        assert {name: event["kind"] for name, event in late.items()} == dict.fromkeys(everything, "RESYNC")
