"""Presence over real sockets of two API processes that share one Valkey: who is online, and how many look at a day."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from app.core.ids import IdKind, encode_id, new_id
from app.domain.presence import ONLINE, Look, LookKind, text_of
from app.resolvers.context import RequestContext
from app.resolvers.live_presence import PresenceWanted, presence_channel, read_people
from app.resolvers.presence import Presence, PresenceRules
from tests.adapters.presence_twin import MemoryBoard
from tests.factories import make
from tests.fixtures_api import GraphQLClient, MovableClock, RunningApi, make_settings, serve
from tests.fixtures_live import search_of, watching
from tests.jobs.loops import until
from tests.journey import rows_of
from tests.live_client import LiveStream, OperationFailed, live_socket
from tests.shop import at, make_person, make_shop, set_active
from tests.slot_watching import looking_at, slot_of

pytestmark = pytest.mark.usefixtures("relay")

DAY = at(3, 0)
QUICK = PresenceRules(beat_s=0.1, linger_s=0.4, tell_s=0.1, jitter_s=0.05, is_blurred=False)
WATCH = """
subscription ($input: PresenceInput!) { presence(input: $input) {
  kind gone providers { providerId isOnline days { date viewers { atLeast atMost } } } } }
"""


@pytest.fixture(scope="module")
async def apis(database_url: str, redis_url: str) -> AsyncIterator[tuple[RunningApi, RunningApi]]:
    settings = make_settings(database_url, redis_url)
    async with serve(settings) as one, serve(settings) as other:
        for running in (one, other):
            running.api.services.presence.rules = QUICK
        yield one, other


@dataclass(slots=True)
class Seen:
    """What a client knows, by folding what it is told."""

    stream: LiveStream
    people: dict[str, dict[str, Any]]
    told: int = 0

    async def next(self) -> dict[str, Any]:
        event = await self.stream.next()
        assert event["kind"] == ("CHANGE" if self.told else "SNAPSHOT")
        assert event["kind"] != "CHANGE" or event["providers"] or event["gone"], "a change that changes nothing"
        self.told += 1
        for person in event["providers"]:
            assert self.people.get(person["providerId"]) != person, "told again"
            self.people[person["providerId"]] = person
        for gone in event["gone"]:
            del self.people[gone]
        return event

    async def until_viewers(self, provider_id: str, *expected: tuple[int, int | None] | None) -> None:
        """Of each day."""
        wanted = [None if one is None else {"atLeast": one[0], "atMost": one[1]} for one in expected]
        while [day["viewers"] for day in self.people.get(provider_id, {"days": []})["days"]] != wanted:
            await self.next()

    async def until_online(self, provider_id: str, expected: bool | None) -> None:
        while not self.told or self.people[provider_id]["isOnline"] is not expected:
            await self.next()


@asynccontextmanager
async def seeing(running: RunningApi, asked: dict[str, Any], days: int = 1) -> AsyncIterator[Seen]:
    dates = {"from": f"{DAY:%Y-%m-%d}", "to": f"{at(2 + days, 0):%Y-%m-%d}"}
    async with live_socket(running.socket_url) as socket:
        yield Seen(await socket.subscribe(WATCH, input={**dates, **asked}), {})


async def test_viewers_of_all_processes(apis: tuple[RunningApi, RunningApi]) -> None:
    one, other = apis
    shop = await make_shop(one.api.services, providers=2)
    first, second = shop.provider_ids
    async with seeing(one, {"providerIds": [first, second]}, days=2) as seen, AsyncExitStack() as others:
        await seen.until_viewers(first, (0, 0), (0, 0))
        for number in range(4):
            watcher = watching((one, other)[number % 2].socket_url, search_of(shop, DAY, providerIds=[first]))
            await others.enter_async_context(watcher)
        await seen.until_viewers(first, (3, 5), (0, 0))
        await seen.until_viewers(second, (0, 0), (0, 0))
        # Who looks at anyone looks at both; who has a slot of the list open is no second person.
        await others.enter_async_context(watching(other.socket_url, search_of(shop, DAY, days=2)))
        await others.enter_async_context(looking_at(other.socket_url, slot_of(shop, at(3, 10), first)))
        await seen.until_viewers(second, (1, 2), (1, 2))
        await seen.until_viewers(first, (3, 5), (1, 2))
        # Nobody looks at a day in particular who has a month before them.
        await others.enter_async_context(watching(one.socket_url, search_of(shop, DAY, days=30)))
        for _ in range(2):
            await others.enter_async_context(looking_at(one.socket_url, slot_of(shop, at(4, 10), second)))
        await others.enter_async_context(looking_at(one.socket_url, slot_of(shop, at(4, 11), second)))
        await seen.until_viewers(second, (1, 2), (3, 5))
        await others.aclose()
        await seen.until_viewers(first, (0, 0), (0, 0))
        await seen.until_viewers(second, (0, 0), (0, 0))
        await seen.stream.nothing()
    for running in apis:
        presence = running.api.services.presence

        async def is_quiet(presence: Presence = presence) -> bool:
            return presence._task is None and not (presence._looks or presence._asked)

        await until(is_quiet)


async def test_who_is_online(apis: tuple[RunningApi, RunningApi], client: GraphQLClient) -> None:
    one, other = apis
    services = one.api.services
    ana = await make_person(services, "ana")
    shop = await make_shop(services, providers=2, linked=ana)
    [row] = await rows_of(shop, "SELECT id FROM provider WHERE user_id = :ana", ana=ana.user_id)
    linked = encode_id(IdKind.PROVIDER, row["id"])
    [alone] = {*shop.provider_ids} - {linked}
    async with seeing(one, {"venueId": shop.venue_id}) as seen:
        await seen.until_online(linked, False)
        assert seen.people[alone]["isOnline"] is None  # nobody acts as this one
        async with live_socket(other.socket_url, ana.token):
            await seen.until_online(linked, True)
            await seen.stream.nothing(QUICK.linger_s * 2)  # the socket alone keeps them there
        await seen.until_online(linked, False)

        # A request is a sign of life, too.
        async def call() -> None:
            while True:  # one alone may be over before anybody looks, where the machine is slow
                await GraphQLClient(client.http, other.graphql_url, ana.token)("{ __typename }")
                await asyncio.sleep(0.1)

        calling = asyncio.create_task(call())
        await seen.until_online(linked, True)
        calling.cancel()
        await asyncio.wait([calling])
        await seen.until_online(linked, False)
        async with live_socket(one.socket_url, ana.token):
            await seen.until_online(linked, True)
            owner = GraphQLClient(client.http, one.graphql_url, shop.owner.token)
            made = await make(owner, "updateProvider", providerId=linked, showsPresence=False)
            assert made["id"] == linked
            async with seeing(other, {"providerIds": [linked]}) as later:
                await later.until_viewers(linked, (0, 0))
                assert later.people[linked]["isOnline"] is None
        # Whoever does not want to be seen is not, from the next time that anything else is told.
        await seen.until_online(linked, None)


async def test_who_is_told_of_is_still_there(apis: tuple[RunningApi, RunningApi]) -> None:
    one, _ = apis
    shop = await make_shop(one.api.services, providers=2)
    first, second = shop.provider_ids
    async with seeing(one, {"providerIds": [first, second]}) as seen, seeing(one, {"providerIds": [second]}) as only:
        await seen.until_viewers(first, (0, 0))
        await only.until_viewers(second, (0, 0))
        await set_active(shop, "provider", shop.provider_uuids[1], is_active=False)
        async with watching(one.socket_url, search_of(shop, DAY)):
            while second in seen.people:
                await seen.next()
            with pytest.raises(OperationFailed) as failed:
                await only.next()
            assert failed.value.code == "NOT_FOUND"
            await seen.until_viewers(first, (1, 2))


async def test_without_valkey_nothing_is_known(apis: tuple[RunningApi, RunningApi]) -> None:
    one, _ = apis
    shop = await make_shop(one.api.services)
    presence, board = one.api.services.presence, MemoryBoard()
    real, presence._board = presence._board, board
    try:
        async with seeing(one, {"providerIds": [shop.provider_id]}) as seen:
            await seen.until_viewers(shop.provider_id, (0, 0))
            board.is_away = True
            await seen.until_viewers(shop.provider_id, None)
            async with watching(one.socket_url, search_of(shop, DAY)) as watcher:
                await watcher.next("SNAPSHOT")  # what looks is served as ever
            board.is_away = False
            await seen.until_viewers(shop.provider_id, (0, 0))
    finally:
        presence._board = real


async def test_no_secret_leaves_the_process(apis: tuple[RunningApi, RunningApi], redis_url: str) -> None:
    """Nothing of who looks is written anywhere, and nothing at all that nobody asked about."""
    one, other = apis
    shop, quiet = await make_shop(one.api.services), await make_shop(one.api.services)
    valkey = Redis.from_url(redis_url)
    async with (
        watching(other.socket_url, search_of(shop, DAY)),
        watching(other.socket_url, search_of(quiet, DAY)),
        seeing(one, {"venueId": shop.venue_id}) as seen,
    ):
        await seen.until_viewers(shop.provider_id, (1, 2))
        assert not await valkey.exists(f"turnero:presence:{quiet.service_uuids[0]}")
        [note] = (await valkey.hgetall(f"turnero:presence:{shop.service_uuids[0]}")).values()
        until_s, _, counts = note.decode().strip("[]").partition(",")
        assert (float(until_s) > 0, counts) == (True, f'{{"l{DAY:%Y-%m-%d}":1}}')
    await valkey.aclose()


async def test_what_is_blurred_is_never_more_than_there_is(running: RunningApi, clock: MovableClock) -> None:
    shop = await make_shop(running.api.services)
    context = RequestContext(services=running.api.services, request_id="test")
    wanted = PresenceWanted((shop.provider_uuids[0],), None, DAY.date(), DAY.date())
    channel, [person] = await presence_channel(context, wanted), await read_people(context, wanted)
    seen: dict[int, set[int]] = {}
    for number in range(30):
        clock.move(timedelta(minutes=10 * number))
        for count in range(25):
            counts = {person.provider_id: {text_of(LookKind.LIST, DAY.date()): count}}
            [(_, found)] = channel._see_one(person, [DAY.date()], counts).days
            assert found is not None
            assert found.at_least <= count
            seen.setdefault(count, set()).add(found.at_least)
    # At the edge of a range nobody knows whether the next one has come.
    assert [seen[count] for count in (0, 1, 2, 3, 4, 21)] == [{0}, {0, 1}, {1}, {1, 3}, {3}, {11, 21}]


# ── the register alone ────────────────────────────────────────────────────────────────────────────────


async def test_a_process_is_quiet_unless_somebody_is_there() -> None:
    board, account, service = MemoryBoard(ttl_s=5), new_id(), new_id()
    one, other = Presence(board, QUICK), Presence(board, QUICK)
    assert one._task is None
    look = Look(LookKind.LIST, frozenset({service}), DAY.date(), DAY.date())
    with one.looking(look), one.looking(look):
        leave = one.stay(account)
        await one.turn()
        await one.turn()
        assert board.notes == {}, "nobody asked"
        with other.asking([service, account]):
            await until(lambda: _is(other, {service: {f"l{DAY:%Y-%m-%d}": 2}, account: {ONLINE: 1}}), 5)
    leave()
    one.note(account)
    await until(lambda: _is_over(one), 5)
    await until(lambda: _is_over(other), 5)
    assert board.notes == {}, "what a process told it takes back"
    for presence in (one, other):
        await presence.stop()


async def _is(presence: Presence, counts: object) -> bool:
    await asyncio.sleep(0)
    return presence.counts == counts


async def _is_over(presence: Presence) -> bool:
    return presence._task is None


# ── what is refused ───────────────────────────────────────────────────────────────────────────────────


async def test_what_cannot_be_asked(running: RunningApi) -> None:
    services = running.api.services
    shop, stranger, gone = [await make_shop(services, providers=2) for _ in range(3)]
    await set_active(gone, "provider", gone.provider_uuids[0], is_active=False)
    await set_active(stranger, "venue", stranger.venue_uuid, is_active=False)
    mine = shop.provider_ids
    for asked, expected in (
        ({"providerIds": [mine[0], gone.provider_ids[1]]}, "NOT_FOUND"),
        ({"providerIds": [gone.provider_id]}, "NOT_FOUND"),
        ({"providerIds": gone.provider_ids}, "NOT_FOUND"),
        ({"venueId": stranger.venue_id}, "NOT_FOUND"),
        ({"venueId": f"ven_{'0' * 25}1"}, "NOT_FOUND"),
        ({"providerIds": []}, "BAD_INPUT"),
        ({"providerIds": mine * 26}, "BAD_INPUT"),
        ({"providerIds": [shop.service_id]}, "BAD_INPUT"),
        ({"providerIds": ["\ud83d\ude00"]}, "BAD_INPUT"),
        ({}, "BAD_INPUT"),
        ({"providerIds": mine, "venueId": shop.venue_id}, "BAD_INPUT"),
        ({"venueId": shop.venue_id, "to": "1999-01-01"}, "BAD_INPUT"),
        ({"venueId": shop.venue_id, "from": "9999-12-31", "to": "9999-12-31"}, "BAD_INPUT"),
        ({"venueId": shop.venue_id, "to": f"{at(17, 0):%Y-%m-%d}"}, "BAD_INPUT"),
    ):
        async with seeing(running, asked) as seen:
            with pytest.raises(OperationFailed) as failed:
                await seen.next()
            assert failed.value.code == expected, asked
