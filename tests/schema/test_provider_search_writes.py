"""Whatever is written, a search by availability tells the truth at once: before the worker looks at it and after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from app.commands.provider import create_provider, update_provider
from app.commands.service import update_service
from app.core.database import Database
from app.core.ids import IdKind, encode_id
from app.domain.plan import Window
from app.domain.provider_search import FreeTime, ProviderSort, ProviderWanted
from app.domain.schedule import weekly_hours
from app.queries.pagination import PageRequest
from app.queries.provider_free import Offers, SoonestSlot, first_slots, read_offers, soonest_of_each
from app.queries.provider_search import ProviderSearch
from app.queries.tenancy import bind
from app.resolvers.context import Services
from tests.classes import make_class
from tests.fixtures_api import GraphQLClient, MovableClock
from tests.journey import Visitor, hours
from tests.rooms import make_room, need_any
from tests.schema.test_availability_writes import WRITES, Place, Steps
from tests.schema.test_provider_search_free import catch_up
from tests.shop import TEST, at, make_shop

Found = dict[UUID, SoonestSlot]


@dataclass(frozen=True, slots=True)
class Times(FreeTime):
    """Between any two instants instead of on whole days, so that each half hour shows by itself."""

    first: datetime = field(kw_only=True)
    past: datetime = field(kw_only=True)

    def window(self) -> Window:
        return Window(self.first, self.past)


def times(first: datetime, past: datetime) -> Times:
    return Times(first.date(), past.date(), ZoneInfo("UTC"), first=first, past=past)


LOOKS = (times(at(3, 9), at(3, 9, 30)), times(at(4, 9, 10), at(4, 12)))
"""The second begins between two starts."""


@dataclass(slots=True)
class Searcher:
    """Searches, and asks the slot engine about everybody: without outlooks and without any cache."""

    place: Place
    asked: int = 0

    async def truth(self) -> list[Found]:
        shop = self.place.shop
        return await self._ask(dict.fromkeys(shop.service_uuids, shop.provider_uuids), *LOOKS)

    async def found(self) -> list[Found]:
        self.asked = 0
        return [await self._search(free) for free in LOOKS]

    async def _search(self, free: FreeTime) -> Found:
        async def ask(offers: Offers) -> Found:
            self.asked += 1
            return (await self._ask(offers, free))[0]

        search = ProviderSearch(
            self.place.services.database,
            self.place.shop.organization_uuid,
            None,
            self.place.clock.now(),
            ProviderWanted(free=free),
            ask,
        )
        page = await search.page(ProviderSort.SOONEST_ASC, PageRequest(20))
        return {hit.provider.id: hit.soonest for hit in page.hits if hit.soonest is not None}

    async def _ask(self, offers: Offers, *looks: FreeTime) -> list[Found]:
        async with self.place.services.database.transaction() as tx:
            await bind(tx, organization_id=self.place.shop.organization_uuid)
            facts = [await read_offers(tx, offers, free.window()) for free in looks]
        now = self.place.clock.now()
        return [soonest_of_each(first_slots(*each, now)) for each in zip(facts, looks, strict=True)]


@pytest.fixture
async def place(services: Services, client: GraphQLClient, clock: MovableClock) -> Place:
    """From nine to ten two people do a service that needs one of two rooms, and a longer one that needs none."""
    other = {"name": "Long", "duration_minutes": 45, "price_minor": 2_000}
    shop = await make_shop(services, providers=2, weekly=None, slot_interval=30, more_services=(other,))
    owner = Visitor(client.signed_in(shop.owner.token), shop)
    for provider_id in shop.provider_ids:
        await owner.publish(hours(("09:00", "10:00")), ownerId=provider_id, slotIntervalMinutes=30)
    room = await make_room(shop, 2)
    await need_any(shop, room)
    return Place(services, shop, Visitor(client, shop), owner, room, clock)


# ── writes that matter here beside those of every search ──────────────────────────────────────────────


async def _mere_time(place: Place) -> Steps:
    """A hold lapses, and nobody sweeps."""
    holds = [await place.guest.held(at(3, 9), providerId=provider_id) for provider_id in place.shop.provider_ids]
    yield
    place.clock.move(timedelta(hours=1))
    yield
    place.clock.move(timedelta(0))
    for hold in holds:
        await place.guest.release(hold)
    yield


async def _the_last_room(place: Place) -> Steps:
    """Both are free, and have no room for the one service: until it is given back, or the hold on it lapses."""
    shop = place.shop
    await need_any(shop, place.room, quantity=2)
    yield
    hold = await place.guest.held(at(4, 9, 30), providerId=shop.provider_ids[0])
    yield
    place.clock.move(timedelta(hours=1))
    yield
    place.clock.move(timedelta(0))
    await place.guest.release(hold)
    await need_any(shop, place.room)
    yield


async def _visit(place: Place) -> Steps:
    """One at nine, the other at half past."""
    people = reversed(place.shop.provider_ids[:2])
    items = [{"serviceId": place.shop.service_id, "providerId": each} for each in people]
    answer = await place.guest.hold(at(4, 9), serviceId=None, items=items)
    assert answer["__typename"] == "HoldSlotPayload", answer
    yield


async def _limits(place: Place) -> Steps:
    shop = place.shop
    made = await place.owner.booked(at(3, 9), hold={"providerId": shop.provider_ids[0]})
    yield
    ids = (shop.organization_uuid, TEST, shop.provider_uuids[0])
    await place.change(update_provider, *ids, {"daily_booking_limit": 1})
    yield
    answer = await place.owner.cancel(made)
    assert "message" not in answer, answer
    yield
    await place.change(update_provider, *ids, {"daily_booking_limit": None})
    yield


async def _rules_of_a_service(place: Place) -> Steps:
    shop = place.shop
    for values in (
        {"duration_minutes": 60},
        {"duration_minutes": 30, "maximum_advance_days": 3},
        {"maximum_advance_days": 90, "advance_notice_minutes": 5 * 1_440},
        {"advance_notice_minutes": 0},
    ):
        await place.change(update_service, shop.organization_uuid, TEST, shop.service_uuids[0], values)
        yield


async def _newcomer(place: Place) -> Steps:
    shop = place.shop
    facts = {"name": "New", "bio": None, "time_zone": None}
    made = await place.change(create_provider, shop.organization_uuid, TEST, shop.venue_uuid, facts, shop.service_uuids)
    shop.provider_uuids.append(made.id)
    yield
    await place.owner.publish(hours(("09:00", "10:00")), ownerId=encode_id(IdKind.PROVIDER, made.id))
    yield


async def _classes(place: Place) -> Steps:
    """Who leads one has no time for others, and has it again when it is cancelled."""
    weekly = tuple(weekly_hours(day, [(9 * 60, 10 * 60)]) for day in range(7))
    made = await make_class(place.guest.client, place.services, shop=place.shop, weekly=weekly, led_by_first=True)
    yield
    answer = await made.staff("cancelSession", (await made.at(at(3, 9)))["id"], reason="Ill")
    assert "message" not in answer, answer
    yield


FIRST = (_mere_time, _the_last_room, _limits, _rules_of_a_service, _visit, _newcomer)
LAST = ("schedule", "provider", "venue")
"""Longer hours than others reckon with, and hours moved out of sight."""
SHORT_HORIZON = ("rules_of_a_service", 2)
ORDER: dict[str, Callable[[Place], Steps]] = {
    **{write.__name__.strip("_"): write for write in FIRST},
    **{name: write for name, write in WRITES.items() if name not in LAST and name != "sessions"},
    "classes": _classes,
    **{name: WRITES[name] for name in LAST},
}


async def test_every_kind_of_write_is_seen_at_once(place: Place, worker: Database) -> None:
    searcher = Searcher(place)
    await catch_up(worker)
    before = await searcher.truth()
    for name, write in ORDER.items():
        step, changes = 0, 0
        async for _ in write(place):
            step += 1
            truth = await searcher.truth()
            assert await searcher.found() == truth, (name, step, "before the worker looked")
            await catch_up(worker)
            assert await searcher.found() == truth, (name, step, "after the worker looked")
            # Nobody needs to be asked then, but for what is near a service's horizon: some time between now and the 28
            # hours after it, so that both looks may be. (The clock that was moved is not the worker's.)
            assert not searcher.asked or place.clock.offset or (name, step) == SHORT_HORIZON, (name, step)
            changes += truth != before
            before = truth
        assert changes, f"{name} changes nothing, so this proves nothing of it"
