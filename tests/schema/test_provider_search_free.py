"""`providers` by availability: exactly those with a free slot, whatever the worker has done already."""

from __future__ import annotations

import base64
import json
import random
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from app.commands.relay import number_events
from app.core.database import Database
from app.jobs.outlook import keep_outlooks
from app.queries import provider_search
from app.resolvers.context import Services
from tests.fixtures_api import GraphQLClient, MovableClock, StatementLog
from tests.journey import Visitor, hours
from tests.schema import operations as op
from tests.shop import Shop, at, iso, make_shop, set_active, set_offer

SEARCH = """
query (
  $id: ID!, $filter: ProviderFilter, $sort: ProviderSort, $first: Int, $after: String, $last: Int, $before: String
) {
  providers(
    organizationId: $id, filter: $filter, sort: $sort, first: $first, after: $after, last: $last, before: $before
  ) {
    edges { cursor distanceKm node { id name }
            soonestSlot { startsAt endsAt serviceId service { id } price { amountMinor currency } } }
    pageInfo { hasNextPage hasPreviousPage startCursor endCursor } totalCount
  }
}
"""
ORDERS = ["NAME_ASC", "NAME_DESC", "CREATED_ASC", "RATING_DESC", "PRICE_ASC", "PRICE_DESC", "SOONEST_ASC"]


async def catch_up(worker: Database) -> None:
    """What the relay and the worker do by themselves, a moment later."""
    while (await number_events(worker)).count:
        pass
    await keep_outlooks(worker)


@dataclass(slots=True)
class Searcher:
    client: GraphQLClient
    shop: Shop

    async def page(self, sort: str = "SOONEST_ASC", *, wanted: dict[str, Any] | None = None, **time: Any) -> Any:
        return await self.client(SEARCH, self.variables(sort, wanted, **time))

    def variables(self, sort: str, wanted: dict[str, Any] | None, **time: Any) -> dict[str, Any]:
        variables: dict[str, Any] = {
            name: time.pop(name) for name in ("first", "after", "last", "before") if name in time
        }
        first, last = time.pop("first_day", at(0, 0).date()), time.pop("last_day", at(9, 0).date())
        asked = {"from": first.isoformat(), "to": last.isoformat(), "timeZone": "UTC", **time}
        filters = {**(wanted or {}), "availability": asked}
        return {**variables, "id": self.shop.organization_id, "sort": sort, "filter": filters}

    async def found(self, sort: str = "SOONEST_ASC", **asked: Any) -> dict[str, str]:
        """First free start by provider, in order."""
        page = await self.page(sort, **asked)
        assert page["totalCount"] == len(page["edges"])
        return {edge["node"]["id"]: edge["soonestSlot"]["startsAt"] for edge in page["edges"]}


def refusal_of(answer: dict[str, Any]) -> list[str]:
    return [each["path"] for each in answer["errors"][0]["extensions"]["violations"]]


async def expected(
    client: GraphQLClient, shop: Shop, first: date, last: date, who: str | None = None, **asked: Any
) -> dict[str, str]:
    """The same from each provider's own free slots: what the search must agree with."""
    firsts: dict[str, str] = {}
    for provider_id in [who] if who else shop.provider_ids:
        for service_id in shop.service_ids:
            wanted = {"serviceId": service_id, "providerIds": [provider_id], "timeZone": "UTC", **asked}
            answer = await client.raw(
                op.AVAILABILITY, {"input": {**wanted, "from": first.isoformat(), "to": last.isoformat()}}
            )
            if answer.get("errors"):  # it does not exist to a guest, or does not allow that length or party
                continue
            starts = [start for day in answer["data"]["availability"]["days"] for start in day["starts"]]
            if starts:
                firsts[provider_id] = min(firsts.get(provider_id, starts[0]), starts[0])
    return firsts


# ── exactness ─────────────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class Trouble:
    """Things that happen in a shop, drawn by lot."""

    client: GraphQLClient
    shop: Shop
    clock: MovableClock
    drawn: random.Random
    held: list[Any] = field(default_factory=list)

    async def happens(self) -> None:
        events = [self.publish, self.take, self.take, self.take, self.give_back, self.switch, self.offer, self.wait]
        await self.drawn.choice(events)()

    async def publish(self) -> None:
        start = self.drawn.randrange(0, 22)
        weekly = self.drawn.sample(hours((f"{start:02}:00", f"{start + 1:02}:30")), 4)
        owner = self.client.signed_in(self.shop.owner.token)
        await owner(op.PUBLISH, {"input": {"ownerId": self.drawn.choice(self.shop.provider_ids), "weekly": weekly}})

    async def take(self) -> None:
        who = self.drawn.choice(self.shop.provider_ids)
        found = await expected(self.client, self.shop, at(0, 0).date(), at(9, 0).date(), who)
        if who in found:
            start = datetime.fromisoformat(found[who])
            answer = await Visitor(self.client, self.shop).hold(start, providerId=who)
            if answer["__typename"] == "HoldSlotPayload":
                self.held.append(answer)

    async def give_back(self) -> None:
        if self.held:
            answer = self.held.pop(self.drawn.randrange(len(self.held)))
            await self.client(op.RELEASE, {"id": answer["hold"]["id"], "token": answer["holdToken"]})

    async def switch(self) -> None:
        who = self.drawn.choice(self.shop.provider_uuids)
        await set_active(self.shop, "provider", who, self.drawn.random() < 0.7)

    async def offer(self) -> None:
        await set_offer(self.shop, self.drawn.randrange(4), duration_minutes=self.drawn.choice([None, 90, 15]))

    async def wait(self) -> None:
        """Holds lapse after ten minutes, whether or not anyone sweeps."""
        self.clock.move(self.clock.offset + timedelta(minutes=self.drawn.choice([5, 11, 45])))


@pytest.mark.parametrize("seed", [1, 2])
async def test_always_those_who_are_free(
    services: Services, client: GraphQLClient, worker: Database, clock: MovableClock, seed: int
) -> None:
    """Random changes; the worker follows now and then; the search agrees with `availability` after each."""
    drawn = random.Random(seed)
    longer = {"name": "Long", "duration_minutes": 60, "advance_notice_minutes": 600, "maximum_advance_days": 3}
    shop = await make_shop(
        services, providers=4, weekly=None, slot_interval=30, more_services=(longer,), service={"max_group_size": 2}
    )
    trouble, searcher = Trouble(client, shop, clock, drawn), Searcher(client, shop)
    for _ in range(4):
        await trouble.publish()
    for _ in range(8):
        await trouble.happens()
        if drawn.random() < 0.5:
            await catch_up(worker)
        first = (datetime.now(UTC) + clock.offset + timedelta(days=drawn.randrange(0, 4))).date()
        last = first + timedelta(days=drawn.randrange(0, 5))
        asked: dict[str, Any] = drawn.choice([{}, {"partySize": 2}, {"durationMinutes": 60}])
        wanted = await expected(client, shop, first, last, **asked)
        found = await searcher.found(first_day=first, last_day=last, **asked)
        assert found == wanted
        assert list(found.values()) == sorted(found.values())
        sort = drawn.choice(ORDERS)
        assert await searcher.found(sort, first_day=first, last_day=last, **asked) == wanted, sort


@pytest.fixture
async def salon(services: Services, client: GraphQLClient) -> Searcher:
    """Five people, of whom number n works from n o'clock for an hour, in half hours."""
    shop = await make_shop(services, providers=5, weekly=None, slot_interval=30)
    owner = client.signed_in(shop.owner.token)
    for number, provider_id in enumerate(shop.provider_ids):
        weekly = hours((f"{number + 1:02}:00", f"{number + 2:02}:00"))
        await owner(op.PUBLISH, {"input": {"ownerId": provider_id, "weekly": weekly, "slotIntervalMinutes": 30}})
    return Searcher(client, shop)


@pytest.mark.parametrize("is_known", [False, True])
async def test_what_the_searcher_learns(salon: Searcher, worker: Database, is_known: bool) -> None:
    if is_known:
        await catch_up(worker)
    day = at(3, 0).date()
    page = await salon.page(first_day=day, last_day=day)
    assert [edge["node"]["id"] for edge in page["edges"]] == salon.shop.provider_ids
    for number, edge in enumerate(page["edges"]):
        start = at(3, number + 1)
        assert edge["soonestSlot"] == {
            "startsAt": iso(start),
            "endsAt": iso(start + timedelta(minutes=30)),
            "serviceId": salon.shop.service_id,
            "service": {"id": salon.shop.service_id},
            "price": {"amountMinor": 1_000, "currency": "USD"},
        }
        assert edge["distanceKm"] is None


@pytest.mark.parametrize("is_known", [False, True])
@pytest.mark.parametrize("sort", ORDERS)
async def test_pages_meet_in_both_directions(salon: Searcher, worker: Database, is_known: bool, sort: str) -> None:
    if is_known:
        await catch_up(worker)
    whole = list(await salon.found(sort))
    assert len(whole) == 5
    for size in (2, 5):
        forward: list[str] = []
        backward: list[str] = []
        after = before = None
        while True:
            page = await salon.page(sort, first=size, after=after)
            forward += [edge["node"]["id"] for edge in page["edges"]]
            assert len(forward) <= len(whole), forward
            after = page["pageInfo"]["endCursor"]
            if not page["pageInfo"]["hasNextPage"]:
                break
        while True:
            page = await salon.page(sort, last=size, before=before)
            backward = [edge["node"]["id"] for edge in page["edges"]] + backward
            assert len(backward) <= len(whole), backward
            before = page["pageInfo"]["startCursor"]
            if not page["pageInfo"]["hasPreviousPage"]:
                break
        assert forward == backward == whole


async def test_a_cursor_stands_while_slots_come_and_go(salon: Searcher, worker: Database) -> None:
    await catch_up(worker)
    guest = Visitor(salon.client, salon.shop)
    ids = salon.shop.provider_ids
    days: dict[str, Any] = {"first_day": at(2, 0).date(), "last_day": at(2, 0).date()}
    page = await salon.page(first=2, **days)
    after = page["pageInfo"]["endCursor"]
    # The third is booked up, and the fourth's first half hour goes.
    for start, who in ((at(2, 3), 2), (at(2, 3, 30), 2), (at(2, 4), 3)):
        await guest.held(start, providerId=ids[who])
        if start.minute:
            await catch_up(worker)
    page = await salon.page(first=2, after=after, **days)
    found = [(edge["node"]["id"], edge["soonestSlot"]["startsAt"]) for edge in page["edges"]]
    assert found == [(ids[3], iso(at(2, 4, 30))), (ids[4], iso(at(2, 5)))]
    assert page["pageInfo"]["hasNextPage"] is False


async def test_one_statement_when_all_is_known(salon: Searcher, worker: Database, statements: StatementLog) -> None:
    document = SEARCH.replace("totalCount", "").replace("service { id }", "")
    await catch_up(worker)
    for sort in ORDERS:
        statements.clear()
        page = await salon.client(document, salon.variables(sort, None))
        assert len(page["edges"]) == 5
        assert len(statements) == 1, sort
    # One hold later its provider alone is asked about: binding, the service's plan and the claims.
    await Visitor(salon.client, salon.shop).held(at(2, 1), providerId=salon.shop.provider_id)
    statements.clear()
    await salon.client(document, salon.variables("NAME_ASC", None))
    assert len(statements) == 4


# ── with other filters ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("is_known", [False, True])
async def test_of_one_and_the_same_service(
    services: Services, client: GraphQLClient, worker: Database, is_known: bool
) -> None:
    """A dear service that is free and a cheap one that is too long for the hours: nobody is free for little money."""
    shop = await make_shop(
        services,
        providers=1,
        weekly=None,
        service={"price_minor": 9_000, "category": "Dear", "max_group_size": 3},
        more_services=({"price_minor": 10, "category": "Cheap", "duration_minutes": 240},),
    )
    owner = client.signed_in(shop.owner.token)
    await owner(op.PUBLISH, {"input": {"ownerId": shop.provider_id, "weekly": hours(("10:00", "11:00"))}})
    if is_known:
        await catch_up(worker)
    searcher = Searcher(client, shop)

    async def is_found(**asked: Any) -> bool:
        return bool(await searcher.found("NAME_ASC", **asked))

    assert await is_found()
    assert await is_found(wanted={"category": "dear"})
    assert await is_found(wanted={"serviceId": shop.service_ids[0]})
    assert await is_found(wanted={"price": {"minimumMinor": 9_000}})
    assert not await is_found(wanted={"category": "cheap"})
    assert not await is_found(wanted={"serviceId": shop.service_ids[1]})
    assert not await is_found(wanted={"price": {"maximumMinor": 100}})
    assert not await is_found(wanted={"text": "nobody"})
    assert await is_found(partySize=3)
    assert not await is_found(partySize=4)
    assert await is_found(durationMinutes=30)
    assert not await is_found(durationMinutes=31)
    assert not await is_found(durationMinutes=240)


async def test_longer_than_usual(services: Services, client: GraphQLClient, worker: Database) -> None:
    """What is kept is of the usual length: a longer one does not fit wherever that does."""
    shop = await make_shop(services, weekly=None, service={"maximum_duration_minutes": 60}, slot_interval=30)
    owner, searcher = Visitor(client.signed_in(shop.owner.token), shop), Searcher(client, shop)
    await owner.publish(hours(("10:00", "11:00")), slotIntervalMinutes=30)
    await owner.booked(at(2, 10))
    await catch_up(worker)
    for minutes, starts in ((30, at(2, 10, 30)), (45, at(3, 10)), (60, at(3, 10)), (61, None)):
        found = await searcher.found(first_day=at(2, 0).date(), last_day=at(3, 0).date(), durationMinutes=minutes)
        assert list(found.values()) == ([] if starts is None else [iso(starts)])


async def test_beyond_what_is_known(salon: Searcher, worker: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outlooks end after nine weeks; what is behind the horizon is known for all time."""
    await catch_up(worker)
    for days in (61, 63, 64, 65, 66, 89):
        day = at(days, 0).date()
        found = await salon.found(first_day=day, last_day=day)
        assert list(found.values()) == [iso(at(days, number + 1)) for number in range(5)], days
    monkeypatch.setattr(provider_search, "ASKED_MOST", 0)
    day = at(367, 0).date()
    assert await salon.found(first_day=day, last_day=day) == {}
    assert await salon.found(first_day=at(-9, 0).date(), last_day=at(-2, 0).date()) == {}


async def test_cursors_that_were_tampered_with(salon: Searcher, worker: Database) -> None:
    await catch_up(worker)
    cursor = (await salon.page(first=1))["pageInfo"]["endCursor"]
    order, start, row_id = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    texts = ((start, 4), (f"{2**40}", 0), (f"{-(2**62)}", 5), (f"{2**63}", None), ("soon", None), ("1.5", None))
    for value, shown in (*texts, (2**40, None), (1.5, None), (None, None)):
        forged = base64.urlsafe_b64encode(json.dumps([order, value, row_id]).encode()).decode().rstrip("=")
        answer = await salon.client.raw(SEARCH, salon.variables("SOONEST_ASC", None, after=forged))
        if shown is None:
            assert refusal_of(answer) == ["after"]
        else:
            assert len(answer["data"]["providers"]["edges"]) == shown
    # Of another day it would be another place.
    other_day: dict[str, Any] = {"first_day": at(3, 0).date(), "after": cursor}
    assert refusal_of(await salon.client.raw(SEARCH, salon.variables("SOONEST_ASC", None, **other_day))) == ["after"]


async def test_pages_that_are_cut(salon: Searcher, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where too many must be asked for one page, it ends early and its cursor goes on."""
    monkeypatch.setattr(provider_search, "ROUNDS", 1)
    ids = salon.shop.provider_ids
    for number in (0, 1, 2):
        for half in (0, 30):
            await Visitor(salon.client, salon.shop).held(at(2, number + 1, half), providerId=ids[number])
    days: dict[str, Any] = {"first_day": at(2, 0).date(), "last_day": at(2, 0).date()}
    found: list[str] = []
    sizes: list[int] = []
    after, goes_on = None, True
    while goes_on:
        page = await salon.page("CREATED_ASC", first=1, after=after, **days)
        found += [edge["node"]["id"] for edge in page["edges"]]
        sizes.append(len(page["edges"]))
        after, goes_on = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
    assert sorted(found) == ids[3:]
    assert sizes[0] == 0


@pytest.mark.parametrize(
    ("time", "path"),
    [
        ({"last_day": at(-1, 0).date()}, "filter.availability.to"),
        ({"last_day": at(62, 0).date()}, "filter.availability.to"),
        ({"first_day": date(1970, 1, 1), "last_day": date(2199, 1, 1)}, "filter.availability.to"),
        ({"durationMinutes": 0}, "filter.availability.durationMinutes"),
        ({"durationMinutes": -5}, "filter.availability.durationMinutes"),
        ({"durationMinutes": 1_441}, "filter.availability.durationMinutes"),
        ({"partySize": 0}, "filter.availability.partySize"),
        ({"partySize": 2_000_000_000}, "filter.availability.partySize"),
    ],
)
async def test_times_that_cannot_be(salon: Searcher, time: dict[str, Any], path: str) -> None:
    assert refusal_of(await salon.client.raw(SEARCH, salon.variables("NAME_ASC", None, **time))) == [path]


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Niue", "Asia/Kathmandu", "America/Havana"])
async def test_dates_are_the_customers(salon: Searcher, worker: Database, zone: str) -> None:
    await catch_up(worker)
    first = at(4, 0).date()
    asked: dict[str, Any] = {"first_day": first, "last_day": first, "timeZone": zone}
    wanted = await expected(salon.client, salon.shop, first, first, timeZone=zone)
    assert wanted
    assert await salon.found(**asked) == wanted
    assert await salon.found(**{**asked, "first_day": date(2199, 12, 30), "last_day": date(2199, 12, 31)}) == {}
