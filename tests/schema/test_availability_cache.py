"""The caches behind a search: one round trip, what is remembered and for how long, and life without them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from app.adapters.facts_cache import ValkeyFactsCache
from app.adapters.valkey import connect
from app.commands.service import update_service
from app.core.database import APP_ROLE, Database
from app.core.metrics import REGISTRY
from app.domain import slots as engine
from app.domain.plan import Slot, Window
from app.domain.search import AvailabilitySearch
from app.queries import facts_cache, facts_codec
from app.queries.availability_facts import STATEMENT, Told
from app.queries.availability_read import find_free_times
from app.queries.facts_cache import Entry, FactsReader, LocalFacts, coming_weeks, whole_weeks
from app.queries.facts_codec import decode_facts, encode_facts
from app.queries.tenancy import bind
from app.resolvers.context import Services
from tests.adapters.facts_twin import MemoryFacts
from tests.facts import TODAY, ask, content
from tests.fixtures_api import GraphQLClient, MovableClock, StatementLog, make_settings, serve
from tests.jobs.valkey_server import ValkeyServer
from tests.journey import Visitor, hours
from tests.rooms import make_room, need_any
from tests.shop import OFFICE, TEST, Shop, at, make_shop
from tests.wire import wiretapped

MEGABYTES = 50_000_000
STARTS = "query ($input: AvailabilityInput!) { availability(input: $input) { cursor days { date starts } } }"


def _day(days: int) -> date:
    return at(days, 0).date()


def _search(shop: Shop, first: int = 2, last: int = 8, **values: Any) -> AvailabilitySearch:
    people = values.pop("people", None)
    search = AvailabilitySearch(shop.service_uuids[0], people, _day(first), _day(last), ZoneInfo("UTC"), None, 1)
    return replace(search, **values)


async def _slots(reader: FactsReader, search: AvailabilitySearch, now: datetime | None = None) -> list[list[Slot]]:
    found = await find_free_times(reader, search, now or datetime.now(UTC), user_id=None, spend=lambda _count: None)
    days = (search.to_date - search.from_date).days
    return [found.times.slots(search.from_date + timedelta(days=day)) for day in range(days + 1)]


def _reader(services: Services, shared: Any = None, **options: Any) -> FactsReader:
    return FactsReader(services.database, **{"local_bytes": MEGABYTES, "shared": shared, **options})


def _lookups(layer: str, outcome: str) -> float:
    return REGISTRY.get_sample_value("turnero_facts_lookups_total", {"layer": layer, "outcome": outcome}) or 0


# ── round trips ───────────────────────────────────────────────────────────────────────────────────────


async def test_a_search_is_one_statement_and_the_next_slot_beyond_one_more(
    services: Services, client: GraphQLClient, statements: StatementLog
) -> None:
    shop = await make_shop(services, weekly=None)
    guest, owner = Visitor(client, shop), Visitor(client.signed_in(shop.owner.token), shop)
    await owner.publish(hours(("10:00", "10:30")))
    await guest.booked(at(2, 10))
    for who in (client, owner.client, client):  # from PostgreSQL, then from the cache
        statements.clear()
        await who(STARTS, guest.search_variables(_day(2)))
        assert statements.statements == [STATEMENT]
        statements.clear()
        found = await guest.search(_day(2))
        assert found["nextAvailable"]["startsAt"].startswith(_day(3).isoformat())
        assert len(statements) == 2, statements.statements
        statements.clear()
        await guest.search(_day(3))
        assert len(statements) == 1, statements.statements


@pytest.mark.parametrize("caches", [{}, {"facts_cache_mb": 0, "facts_cache_shared_s": 0}], ids=["kept", "bare"])
async def test_it_is_one_round_trip_without_begin_and_commit(
    services: Services, database_url: str, redis_url: str, client: GraphQLClient, caches: dict[str, int]
) -> None:
    shop = await make_shop(services, providers=3)
    async with wiretapped(database_url) as tap, serve(make_settings(tap.url, redis_url, **caches)) as api:
        tapped = Visitor(GraphQLClient(client.http, api.graphql_url), shop)
        for _ in range(2):  # a connection learns the statement once
            await tapped.client(STARTS, tapped.search_variables(_day(2), _day(8)))
        tap.clear()
        await tapped.client(STARTS, tapped.search_variables(_day(2), _day(8)))
        assert tap.about(shop.service_uuids[0].bytes) == ["BES"]  # Bind, Execute, Sync: one flight there, one back


# ── in the process ────────────────────────────────────────────────────────────────────────────────────


async def test_neighbouring_windows_and_other_zones_share_what_was_read(services: Services) -> None:
    reader = _reader(services)
    shop = await make_shop(services, providers=2)
    hits, misses = _lookups("process", "hit"), _lookups("process", "miss")
    monday = whole_weeks(Window(at(8, 0), at(8, 1))).from_utc
    first = (monday - at(0, 0)).days
    for search in (
        _search(shop, first, first + 6),
        _search(shop, first + 2, first + 2),
        _search(shop, first + 1, first + 4, time_zone=ZoneInfo("Asia/Tokyo")),
        _search(shop, first, first + 3, duration_minutes=30),
    ):
        assert await _slots(reader, search) == await _slots(FactsReader(services.database), search)
    assert (_lookups("process", "hit") - hits, _lookups("process", "miss") - misses) == (3, 1)
    await _slots(reader, _search(shop, first, first, people=(shop.provider_uuids[0],)))
    assert _lookups("process", "miss") - misses == 2


async def test_only_the_one_whose_time_changed_is_computed_again(
    services: Services, client: GraphQLClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[int] = []
    free_masks = engine.free_masks

    def counted(plans: Any, *arguments: Any) -> Any:
        computed.append(len(plans))
        return free_masks(plans, *arguments)

    monkeypatch.setattr(engine, "free_masks", counted)
    shop = await make_shop(services, providers=5)
    reader, search = _reader(services), _search(shop)
    await _slots(reader, search)
    await _slots(reader, search)
    assert computed == [5]
    await Visitor(client, shop).booked(at(3, 9), hold={"providerId": shop.provider_ids[2]})
    before = await _slots(reader, search)
    assert computed == [5, 1]
    assert before == await _slots(FactsReader(services.database), search)
    assert len(before[1][36].provider_ids) == 4


async def test_those_who_share_rooms_are_computed_together(services: Services, client: GraphQLClient) -> None:
    shop = await make_shop(services, providers=3)
    await need_any(shop, await make_room(shop, 2))
    reader, search = _reader(services), _search(shop)
    await _slots(reader, search)
    await Visitor(client, shop).booked(at(3, 9))
    assert await _slots(reader, search) == await _slots(FactsReader(services.database), search)


async def test_the_passing_of_time_is_seen_though_nothing_is_written(
    services: Services, client: GraphQLClient, clock: MovableClock
) -> None:
    rules = {"advance_notice_minutes": 60, "maximum_advance_days": 3}
    shop = await make_shop(services, weekly=OFFICE, slot_interval=30, service=rules)
    clock.move_to(at(1, 9, 55))
    guest = Visitor(client, shop)
    await guest.held(at(1, 14))
    reader, bare = _reader(services), FactsReader(services.database)
    lapses_at = at(1, 9, 55) + timedelta(seconds=600)
    moments = [at(1, 9, 55), at(1, 10), at(1, 10) + timedelta(microseconds=1), lapses_at - timedelta(seconds=9)]
    moments += [lapses_at + timedelta(seconds=30), at(1, 10, 31), at(1, 23, 59), at(2, 0), at(2, 9), at(1, 9, 55)]
    answers = []
    for now in moments:
        answers.append(await _slots(reader, _search(shop, 1, 7), now))
        assert answers[-1] == await _slots(bare, _search(shop, 1, 7), now), now
    starts = [[slot.starts_at for day in answer for slot in day] for answer in answers]
    assert at(1, 11) in starts[1]
    assert at(1, 11) not in starts[2]
    assert at(1, 14) not in starts[3]
    assert at(1, 14) in starts[4]
    assert at(5, 9) not in starts[6]
    assert at(5, 9) in starts[7]
    assert starts[-1] == starts[0]


async def test_a_change_of_the_rules_is_no_change_of_anybodys_time(services: Services) -> None:
    """The same people, plans and claims: only the notice is another."""
    shop = await make_shop(services)
    reader, now = _reader(services), at(1, 9)
    assert len((await _slots(reader, _search(shop, 1, 1), now))[0]) == 60
    async with services.database.transaction() as tx:
        await bind(tx, organization_id=shop.organization_uuid)
        values = {"advance_notice_minutes": 120}
        await update_service(tx, shop.organization_uuid, TEST, shop.service_uuids[0], values)
    assert len((await _slots(reader, _search(shop, 1, 1), now))[0]) == 52


async def test_memory_is_bounded_and_what_was_not_asked_for_goes_first(services: Services) -> None:
    shops = [await make_shop(services) for _ in range(4)]
    entries = [Entry((await ask(services.database, shop)).facts) for shop in shops]
    keys = [(shop.service_uuids[0], None) for shop in shops]
    local = LocalFacts(1)
    local.keep(keys[0], entries[0])
    assert local.bytes == 0
    starts = entries[0].facts.starts
    assert local.find(keys[0], starts) is None
    room = LocalFacts(3 * entries[0].bytes + entries[0].bytes // 2)
    for key, entry in zip(keys[:3], entries[:3], strict=True):
        room.keep(key, entry)
    assert room.find(keys[0], starts) is entries[0]
    room.keep(keys[3], entries[3])
    assert [room.find(key, starts) is not None for key in keys] == [True, False, True, True]
    room.keep(keys[3], entries[3])
    assert room.bytes == sum(entries[number].bytes for number in (0, 2, 3))
    for week in range(facts_cache.RANGES_EACH + 3):
        moved = Window(starts.from_utc + timedelta(days=9 * week), starts.to_utc + timedelta(days=9 * week))
        room.keep(keys[3], Entry(replace(entries[3].facts, starts=moved)))
    assert room.find(keys[3], starts) is None
    assert room.find(keys[3], moved) is not None


# ── shared ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def other(database_url: str) -> AsyncIterator[Database]:
    """Another process's connections."""
    database = Database(database_url, role=APP_ROLE, pool_size=1)
    yield database
    await database.dispose()


async def _warm(reader: FactsReader, search: AvailabilitySearch) -> None:
    """What is asked for twice is shared."""
    await _slots(reader, search)
    await _slots(reader, search)
    await reader.close()


async def test_another_process_finds_what_one_has_read(services: Services, other: Database) -> None:
    shared = MemoryFacts()
    shop, stranger = await make_shop(services, providers=2), await make_shop(services)
    one, two = _reader(services, shared), FactsReader(other, local_bytes=MEGABYTES, shared=shared)
    await _warm(one, _search(stranger))
    await _slots(two, _search(stranger))  # it learns whose database it is
    await _slots(one, _search(shop))
    await one.close()
    assert len(shared.values) == 1, "once is not often"
    await _warm(one, _search(shop))
    hits = _lookups("shared", "hit")
    assert await _slots(two, _search(shop)) == await _slots(one, _search(shop))
    assert _lookups("shared", "hit") == hits + 1
    await _slots(two, _search(shop))
    assert _lookups("shared", "hit") == hits + 1, "now it is in the process"


async def test_what_is_shared_and_old_is_brought_up_to_date(
    services: Services, client: GraphQLClient, other: Database
) -> None:
    shared = MemoryFacts()
    shop = await make_shop(services, providers=2)
    await _warm(_reader(services, shared), _search(shop))
    await Visitor(client, shop).booked(at(3, 9))
    reader = FactsReader(other, local_bytes=MEGABYTES, shared=shared)
    await _slots(reader, _search(await make_shop(services)))
    stale = _lookups("shared", "stale")
    assert await _slots(reader, _search(shop)) == await _slots(FactsReader(other), _search(shop))
    assert _lookups("shared", "stale") == stale + 1


async def test_without_a_cache_in_the_process_the_shared_one_serves(services: Services) -> None:
    shared = MemoryFacts()
    shop = await make_shop(services)
    await _warm(_reader(services, shared), _search(shop))
    bare = FactsReader(services.database, shared=shared)
    await _slots(bare, _search(shop))
    hits = _lookups("shared", "hit")
    await _slots(bare, _search(shop))
    assert _lookups("shared", "hit") == hits + 1


async def test_who_asks_for_everything_fills_no_shared_memory(services: Services) -> None:
    shared = MemoryFacts()
    shop = await make_shop(services, providers=3)
    reader = _reader(services, shared)
    for search in (
        _search(shop, people=tuple(shop.provider_uuids[:2])),
        _search(shop, -3_000, -2_999),
        _search(shop, 3_000, 3_003),
    ):
        await _warm(reader, search)
    assert shared.values == {}
    await _warm(reader, _search(shop, people=(shop.provider_uuids[0],)))
    assert len(shared.values) == 1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda value: value[:0],
        lambda value: bytes(len(value)),
        lambda value: value[:-1],
        lambda value: value[:40] + bytes([value[40] ^ 1]) + value[41:],
        lambda value: value + b"x",
    ],
)
async def test_bytes_that_are_not_whole_are_a_miss(services: Services, other: Database, spoil: Any) -> None:
    shared = MemoryFacts()
    shop = await make_shop(services)
    await _warm(_reader(services, shared), _search(shop))
    shared.values = {key: (spoil(value), ends_at) for key, (value, ends_at) in shared.values.items()}
    reader = FactsReader(other, local_bytes=MEGABYTES, shared=shared)
    await _slots(reader, _search(await make_shop(services)))
    errors = _lookups("shared", "error")
    assert await _slots(reader, _search(shop)) == await _slots(FactsReader(other), _search(shop))
    assert _lookups("shared", "error") == errors + 1


async def test_bytes_of_another_key_are_not_taken_for_these(services: Services) -> None:
    facts = (await ask(services.database, await make_shop(services, providers=2))).facts
    value = encode_facts("one", facts)
    assert decode_facts("two", value, TODAY) is None
    again = decode_facts("one", value, TODAY)
    assert again is not None
    assert content(again) == content(facts)
    assert (again.service, again.versions, again.epoch) == (facts.service, facts.versions, facts.epoch)
    assert list(again.versions) == list(facts.versions)


async def test_another_encoding_is_not_read(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when another release runs beside this one."""
    shared = MemoryFacts()
    shop = await make_shop(services)
    facts = (await ask(services.database, shop)).facts
    with monkeypatch.context() as later:
        for module in (facts_cache, facts_codec):
            later.setattr(module, "ENCODING", facts_codec.ENCODING + 1)
        await _warm(_reader(services, shared), _search(shop))
        value = encode_facts("one", facts)
    assert decode_facts("one", value, TODAY) is None
    assert decode_facts("one", encode_facts("one", facts), TODAY) is not None
    await _warm(_reader(services, shared), _search(shop))
    assert len(shared.values) == 2, "each release has a key of its own"


@pytest.mark.parametrize("body", [b"", b"\xc1", msgspec.msgpack.encode(["of", "some", "other", "shape"])])
async def test_a_right_checksum_makes_no_facts(body: bytes) -> None:
    assert decode_facts("one", facts_codec.digest("one", body) + body, TODAY) is None


async def test_what_is_too_old_to_tell_is_read_whole(services: Services) -> None:
    shop = await make_shop(services)
    facts = (await ask(services.database, shop)).facts
    later = await ask(services.database, shop, known=facts, today=TODAY + timedelta(days=2 * 366))
    assert later.told is Told.UNCHANGED
    assert later.facts.service.holidays_to.year > facts.service.holidays_to.year


async def test_the_coming_weeks_are_those_a_month_view_asks_for() -> None:
    for hour in range(0, 24 * 8, 7):
        now = at(0, 0) + timedelta(hours=hour)
        coming = coming_weeks(now)
        assert coming.from_utc <= now < coming.from_utc + timedelta(days=7)
        assert coming.from_utc.weekday() == 0
        for days in (1, 7, 28):
            weeks = whole_weeks(Window(now, now + timedelta(days=days)))
            assert weeks.from_utc == coming.from_utc
            assert weeks.to_utc <= coming.to_utc


# ── without them ──────────────────────────────────────────────────────────────────────────────────────


async def test_the_shared_cache_may_go_and_come_back_at_any_time(
    services: Services, client: GraphQLClient, other: Database
) -> None:
    shop = await make_shop(services, providers=2)
    guest, bare = Visitor(client, shop), FactsReader(other)
    with ValkeyServer() as server:
        valkey = connect(server.url)
        reader = FactsReader(services.database, shared=ValkeyFactsCache(valkey))

        async def look(hour: int) -> None:
            await guest.booked(at(3, hour))
            for _ in range(2):
                assert await _slots(reader, _search(shop)) == await _slots(bare, _search(shop))
            await reader.close()

        await look(9)
        await valkey.flushall()
        await look(10)
        server.kill()
        await look(11)
        server.start()
        await look(12)
        await valkey.aclose()
