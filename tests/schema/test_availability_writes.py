"""Each kind of write is seen by whoever keeps what is behind a search, the moment it is committed.

That no command forgets to tell is seen to in all tests, by facts_guard.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.commands.calendar_source import Polled, Reading, connect_calendar, record_poll
from app.commands.exception import ExceptionRequest, create_exception, remove_exception
from app.commands.expiry import expire_holds
from app.commands.offer import remove_offer
from app.commands.provider import create_provider, update_provider
from app.commands.resource import update_resource
from app.commands.service import update_service
from app.commands.time_off import TimeOffRequest, create_time_off, remove_time_off
from app.commands.venue import update_venue
from app.core.database import Database, Tx
from app.domain.busy_calendar import SourceStatus
from app.domain.errors import NotFound
from app.domain.plan import Slot
from app.domain.pricing import PriceType
from app.domain.schedule import ExceptionKind
from app.domain.search import AvailabilitySearch
from app.models import CalendarSource
from app.queries.availability_facts import Told
from app.queries.availability_read import find_free_times
from app.queries.facts_cache import FactsReader
from app.queries.schedule import OwnerKind
from app.queries.tenancy import Tenancy, bind
from app.resolvers.context import Services
from tests import facts_guard
from tests.classes import make_class
from tests.facts import Follower
from tests.fixtures_api import GraphQLClient, MovableClock
from tests.journey import Visitor, hours, rows_of
from tests.rooms import Room, change_room, make_room, need_any
from tests.shop import TEST, Shop, at, make_shop, set_active, set_offer


@dataclass(slots=True)
class Place:
    """A shop with two providers who need one of two rooms."""

    services: Services
    shop: Shop
    guest: Visitor
    owner: Visitor
    room: Room
    clock: MovableClock

    @property
    def tenancy(self) -> Tenancy:
        return Tenancy(self.shop.organization_uuid, "owner")

    async def change(self, command: Callable[..., Awaitable[Any]], *given: Any, **named: Any) -> Any:
        """In a transaction of its own."""
        async with self.services.database.transaction() as tx:
            await bind(tx, organization_id=self.shop.organization_uuid, clock_offset=self.services.clock.offset)
            return await command(tx, *given, **named)


@pytest.fixture
async def place(services: Services, client: GraphQLClient, clock: MovableClock) -> Place:
    shop = await make_shop(services, providers=2, slot_interval=30)
    room = await make_room(shop, 2)
    await need_any(shop, room)
    owner = Visitor(client.signed_in(shop.owner.token), shop)
    return Place(services, shop, Visitor(client, shop), owner, room, clock)


# ── every change is seen ──────────────────────────────────────────────────────────────────────────────

Steps = AsyncIterator[None]
"""After each step something must be told."""


async def _hold_and_release(place: Place) -> Steps:
    held = await place.guest.held(at(3, 9))
    yield
    await place.guest.extend(held)
    yield
    await place.guest.release(held)
    yield


async def _lapse_and_sweep(place: Place) -> Steps:
    await place.guest.held(at(3, 9))
    yield
    place.clock.move(timedelta(hours=1))
    await place.change(expire_holds, 100)
    yield


async def _book_move_and_cancel(place: Place) -> Steps:
    made = await place.guest.booked(at(3, 9))
    yield
    answer = await place.owner.move(made, at(4, 9))
    assert "message" not in answer, answer
    yield
    answer = await place.owner.cancel(made)
    assert "message" not in answer, answer
    yield


async def _offers(place: Place) -> Steps:
    await set_offer(place.shop, 0, price_minor=900)
    yield
    shop = place.shop
    ids = {"provider_id": shop.provider_uuids[0], "service_id": shop.service_uuids[0]}
    await place.change(remove_offer, shop.organization_uuid, TEST, **ids)
    yield
    await set_offer(place.shop, 0, duration_minutes=45)
    yield


async def _service(place: Place) -> Steps:
    shop = place.shop
    for values in (
        {"buffer_before_minutes": 10, "buffer_after_minutes": 20},
        {"duration_minutes": 20},
        {"maximum_duration_minutes": 90},
        {"advance_notice_minutes": 90, "maximum_advance_days": 6, "cancellation_notice_minutes": 1},
        {"price_minor": 5, "price_type": PriceType.HOURLY},
        {"requires_approval": True, "max_group_size": 3},
    ):
        await place.change(update_service, shop.organization_uuid, TEST, shop.service_uuids[0], values)
        yield
    for is_active in (False, True):
        await set_active(shop, "service", shop.service_uuids[0], is_active)
        yield


async def _provider(place: Place) -> Steps:
    shop = place.shop
    for values in (
        {"time_zone": "Asia/Tokyo"},
        {"works_on_holidays": True},
        {"daily_booking_limit": 2},
        {"weekly_booking_limit": 3},
    ):
        await place.change(update_provider, shop.organization_uuid, TEST, shop.provider_uuids[0], values)
        yield
    for is_active in (False, True):
        await set_active(shop, "provider", shop.provider_uuids[0], is_active)
        yield


async def _venue(place: Place) -> Steps:
    shop = place.shop
    for values in ({"time_zone": "Asia/Tokyo"}, {"country": "ES", "region": None}, {"country": "ES", "region": "MD"}):
        await place.change(update_venue, shop.organization_uuid, TEST, shop.venue_uuid, values, datetime.now(UTC))
        yield
    for is_active in (False, True):
        await set_active(shop, "venue", shop.venue_uuid, is_active)
        yield


async def _schedule(place: Place) -> Steps:
    answer = await place.owner.publish(hours(("09:00", "12:00")))
    assert answer["__typename"] == "PublishSchedulePayload", answer
    yield


async def _exceptions(place: Place) -> Steps:
    day = at(4, 0).date()
    owners = ((OwnerKind.PROVIDER, place.shop.provider_uuids[1]), (OwnerKind.VENUE, place.shop.venue_uuid))
    for kind, owner_id in owners:
        request = ExceptionRequest(kind, owner_id, ExceptionKind.CLOSED, day, day)
        made = await place.change(create_exception, place.tenancy, request, actor=TEST, now=datetime.now(UTC))
        yield
        await place.change(remove_exception, place.tenancy, made.record.id, actor=TEST, now=datetime.now(UTC))
        yield


async def _time_off(place: Place) -> Steps:
    for subject in (
        {"provider_id": place.shop.provider_uuids[1], "resource_id": None, "unit_number": None},
        {"provider_id": None, "resource_id": place.room.uuid, "unit_number": 2},
    ):
        dates = {"starts_at": at(4, 9), "ends_at": at(4, 11), "from_date": None, "to_date": None, "reason": None}
        request = TimeOffRequest(**subject, **dates)  # type: ignore[arg-type]
        made = await place.change(create_time_off, place.tenancy, request, actor=TEST, now=datetime.now(UTC))
        yield
        await place.change(remove_time_off, place.tenancy, made.time_off.record.id, actor=TEST, now=datetime.now(UTC))
        yield


async def _external_calendar(place: Place) -> Steps:
    now = datetime.now(UTC)
    values = {"url": f"https://calendar.example/{place.shop.provider_id}.ics", "name": "Home"}
    source = await place.change(
        connect_calendar, place.shop.organization_uuid, TEST, place.shop.provider_uuids[0], values
    )
    for spans in ([(at(3, 9), at(3, 11))], []):
        reading = Reading(spans, (at(0, 0), at(90, 0)), "UTC", str(spans).encode())
        polled = Polled(now, SourceStatus.ACTIVE, timedelta(hours=1), reading=reading)
        await place.change(_record, source, polled)
        yield


async def _record(tx: Tx, source: CalendarSource, polled: Polled) -> bool:
    row = await tx.get_one(CalendarSource, source.id)
    return await record_poll(tx, row, polled)


async def _resources(place: Place) -> Steps:
    await change_room(place.shop, place.room, quantity=3)
    yield
    await change_room(place.shop, place.room, is_active=False)
    yield
    await change_room(place.shop, place.room, is_active=True)
    yield
    await need_any(place.shop, place.room, quantity=2)
    yield


async def _sessions(place: Place) -> Steps:
    """A class takes the time of those who lead it."""
    await make_class(place.guest.client, place.services, shop=place.shop, led_by_first=True)
    yield


WRITES: dict[str, Callable[[Place], Steps]] = {
    write.__name__.strip("_"): write
    for write in (
        _hold_and_release,
        _lapse_and_sweep,
        _book_move_and_cancel,
        _offers,
        _service,
        _provider,
        _venue,
        _schedule,
        _exceptions,
        _time_off,
        _external_calendar,
        _resources,
        _sessions,
    )
}


CHANGED = {
    "hold_and_release": {"allocation": "status expires_at"},
    "book_move_and_cancel": {"allocation": "id subject_id busy starts_at ends_at status booking_id expires_at"},
    "offers": {"offer": "price_minor duration_minutes is_active"},
    "service": {
        "service": "price_minor price_type duration_minutes maximum_duration_minutes buffer_before_minutes"
        " buffer_after_minutes advance_notice_minutes maximum_advance_days cancellation_notice_minutes"
        " requires_approval max_group_size is_active"
    },
    "provider": {"provider": "time_zone works_on_holidays daily_booking_limit weekly_booking_limit is_active"},
    "venue": {"venue": "time_zone country region is_active"},
    "schedule": {"schedule_version": "id owner_id effective slot_interval_minutes weekly superseded_at"},
    "exceptions": {
        "schedule_exception": "owner_id kind days open breaks slot_interval_minutes reason removed_at",
    },
    "time_off": {"blocked_time": "id subject_id starts_at ends_at kind reason removed_at"},
    "resources": {
        "resource": "is_active",
        "resource_unit": "id resource_id number is_active",
        "resource_need": "owner_id position quantity resource_ids",
    },
}
"""What searches read, by the write above that changes it."""
NEVER_CHANGED = {
    "organization": "id currency",
    "venue": "id",
    "provider": "id venue_id",
    "service": "id organization_id",
    "offer": "provider_id service_id",
    "resource": "id venue_id",
}


OF_THE_EPOCH = {"price_rule": "organization_id is_active occupancy_from_bps occupancy_to_bps"}
"""What makes all facts of the organization anew (test_shown_prices.py)."""


def _columns(*tables: dict[str, str]) -> set[tuple[str, str]]:
    return {(table, column) for each in tables for table, columns in each.items() for column in columns.split()}


async def test_for_each_column_that_searches_read_there_is_a_write(place: Place) -> None:
    read = {(row["table"], row["column"]) for row in await rows_of(place.shop, facts_guard.COLUMNS)}
    assert read == _columns(*CHANGED.values(), NEVER_CHANGED, OF_THE_EPOCH)
    assert not _columns(*CHANGED.values()) & _columns(NEVER_CHANGED)


async def _contents(place: Place) -> dict[tuple[str, str], dict[str, Any]]:
    """Each row of the organization, by its table and key."""
    tables = {table for table, _ in _columns(*CHANGED.values())}
    query = " UNION ALL ".join(f"SELECT '{table}' AS name, to_jsonb(t) AS row FROM {table} t" for table in tables)
    rows = [(one["name"], one["row"]) for one in await rows_of(place.shop, query)]
    return {(name, row.get("id") or row["provider_id"] + row["service_id"]): row for name, row in rows}


def _differences(
    before: dict[tuple[str, str], dict[str, Any]], after: dict[tuple[str, str], dict[str, Any]]
) -> set[tuple[str, str]]:
    """Columns of rows that differ, all of those that came or went."""
    found = set()
    for key in before.keys() | after.keys():
        was, now = before.get(key, {}), after.get(key, {})
        found |= {(key[0], column) for column in was | now if column not in was or was[column] != now.get(column)}
    return found


@pytest.mark.parametrize("name", WRITES)
async def test_what_was_kept_is_known_to_be_old(place: Place, name: str) -> None:
    database: Database = place.services.database
    everyone = Follower(database, place.shop)
    first = Follower(database, place.shop, (place.shop.provider_uuids[0],))
    await everyone.look()
    await first.look()
    changed, contents = set(), await _contents(place)
    async for _ in WRITES[name](place):
        assert (await everyone.look()).told is Told.CHANGED
        await first.look()
        assert (await everyone.look()).told is (await first.look()).told is Told.UNCHANGED
        contents, before = await _contents(place), contents
        changed |= _differences(before, contents)
    assert _columns(CHANGED.get(name, {})) <= changed


@pytest.mark.parametrize("name", WRITES)
async def test_an_answer_from_the_caches_is_that_of_the_database(place: Place, name: str) -> None:
    """The API keeps what it read; somebody who keeps nothing reads again."""
    search = AvailabilitySearch(place.shop.service_uuids[0], None, _day(2), _day(8), ZoneInfo("UTC"), None, 1)
    bare = FactsReader(place.services.database)
    async for _ in WRITES[name](place):
        answers: list[list[list[Slot]] | None] = []
        for reader in (place.services.facts, bare):
            try:
                found = await find_free_times(
                    reader, search, place.clock.now(), user_id=None, spend=lambda _count: None
                )
            except NotFound:
                answers.append(None)
            else:
                answers.append([found.times.slots(_day(day)) for day in range(2, 9)])
        assert answers[0] == answers[1]


# ── side by side ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_venues_day_rules_who_came_while_it_was_made(place: Place) -> None:
    """Neither of the two transactions sees the other."""
    shop, now = place.shop, datetime.now(UTC)
    request = ExceptionRequest(OwnerKind.VENUE, shop.venue_uuid, ExceptionKind.CLOSED, _day(4), _day(4))
    facts = {"name": "Newcomer", "works_on_holidays": False, "languages": []}
    everyone = Follower(place.services.database, shop)
    await everyone.look()
    async with place.services.database.transaction() as tx:
        await bind(tx, organization_id=shop.organization_uuid)
        await create_exception(tx, place.tenancy, request, actor=TEST, now=now)
        services = shop.service_uuids[:1]
        made = await place.change(create_provider, shop.organization_uuid, TEST, shop.venue_uuid, facts, services)
        await everyone.look()
    newcomer = Follower(place.services.database, shop, (made.id,))
    await everyone.look()
    await newcomer.look()
    assert everyone.told[-2:] == [Told.CHANGED, Told.CHANGED]


async def test_rooms_count_for_whom_came_to_need_them_meanwhile(place: Place) -> None:
    shop = place.shop
    room = await make_room(shop, 1)
    everyone = Follower(place.services.database, shop)
    await everyone.look()
    async with place.services.database.transaction() as tx:
        await bind(tx, organization_id=shop.organization_uuid)
        await update_resource(tx, shop.organization_uuid, TEST, room.uuid, {"quantity": 3})
        await need_any(shop, room)
        await everyone.look()
    await everyone.look()
    assert everyone.told[-2:] == [Told.CHANGED, Told.CHANGED]


async def test_searches_beside_a_write_leave_nothing_old_behind(place: Place) -> None:
    """What they find may be from before or after it; whoever comes then finds what is there."""
    search = AvailabilitySearch(place.shop.service_uuids[0], None, _day(2), _day(8), ZoneInfo("UTC"), None, 1)
    bare = FactsReader(place.services.database)

    async def free(reader: FactsReader) -> list[Slot]:
        found = await find_free_times(reader, search, place.clock.now(), user_id=None, spend=lambda _count: None)
        return found.times.slots(_day(3))

    for hour in range(9, 15):
        await asyncio.gather(place.guest.booked(at(3, hour)), *(free(place.services.facts) for _ in range(4)))
        assert await free(place.services.facts) == await free(bare)


def _day(days: int) -> date:
    return at(days, 0).date()
