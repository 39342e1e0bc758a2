"""A slot that somebody looks at, over a real socket: each conflict once, as it happens, with what else could be had."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from app.resolvers.live_slot import SlotRequest
from tests.classes import Class, make_class
from tests.factories import make
from tests.fixtures_api import GraphQLClient, MovableClock, RunningApi, StatementLog, make_settings, serve
from tests.fixtures_live import Guest, RunningRelay, before, in_time, publish
from tests.journey import instant
from tests.listening import until
from tests.live_client import OperationFailed
from tests.shop import Shop, at, iso, make_shop, set_active
from tests.slot_watching import SlotScreen, looking_at, slot_of

pytestmark = pytest.mark.usefixtures("relay")

TEN = at(3, 10)
QUARTER = timedelta(minutes=15)


@pytest.fixture
async def shop(running: RunningApi) -> Shop:
    return await make_shop(running.api.services, providers=2)


@pytest.fixture
def guest(client: GraphQLClient, shop: Shop) -> Guest:
    return Guest(client, shop)


def near(start: Any) -> list[str]:
    """The five nearest starts of whom somebody has half an hour from then on."""
    return [iso(start + n * QUARTER) for n in (-2, 2, -3, 3, -4)]


async def test_each_step_of_somebody_elses_booking(running: RunningApi, guest: Guest, shop: Shop) -> None:
    first, second = shop.provider_ids
    async with looking_at(running.socket_url, slot_of(shop, TEN, first)) as screen:
        snapshot = await screen.event("SNAPSHOT")
        assert (snapshot["status"], snapshot["cause"], snapshot["alternatives"]) == ("FREE", None, [])
        assert snapshot["slot"]["startsAt"] == iso(TEN)
        assert (snapshot["slot"]["providerIds"], snapshot["slot"]["price"]["amount"]) == ([first], "10.00")

        held = await guest.hold(TEN, provider=first)
        event = await screen.event()
        assert (event["status"], event["cause"], event["slot"]) == ("HELD", "HELD", None)
        # The other one at the same time, then the nearest times of the same person.
        assert screen.alternatives == [iso(TEN), *near(TEN)[:4]]
        assert [slot["providerIds"] for slot in event["alternatives"]] == [[second], *[[first]] * 4]
        await guest.release(held)
        assert await screen.next() == ("FREE", "RELEASED")

        booked = await guest.book(await guest.hold(TEN, provider=first))
        assert [await screen.next(), await screen.next()] == [("HELD", "HELD"), ("TAKEN", "BOOKED")]
        await guest.move(booked, TEN + timedelta(hours=5))
        assert await screen.next() == ("FREE", "RESCHEDULED")
        await screen.stream.nothing()


async def test_anyone_is_free_while_one_of_them_is(running: RunningApi, guest: Guest, shop: Shop) -> None:
    first, second = shop.provider_ids
    async with looking_at(running.socket_url, slot_of(shop, TEN)) as screen:
        assert (await screen.event("SNAPSHOT"))["slot"]["remaining"] == 2
        await guest.book(await guest.hold(TEN, provider=first))
        event = await screen.event()
        assert (event["status"], event["slot"]["providerIds"]) == ("FREE", [second])
        held = await guest.hold(TEN, provider=second)
        assert await screen.next() == ("HELD", "HELD")
        assert screen.alternatives == near(TEN)
        # An alternative that goes is no alternative any more.
        for provider in (first, second):
            await guest.hold(TEN - 4 * QUARTER, provider=provider)
        while iso(TEN - 4 * QUARTER) in screen.alternatives:
            assert (await screen.next())[0] == "HELD"
        await guest.book(held)
        assert await screen.next() == ("TAKEN", "BOOKED")


async def test_ones_own_hold_is_no_conflict(running: RunningApi, guest: Guest, shop: Shop) -> None:
    first = shop.provider_ids[0]
    held = await guest.hold(TEN, provider=first)
    other = await guest.hold(TEN + timedelta(hours=3), provider=first)
    asked, url = slot_of(shop, TEN, first), running.socket_url
    async with (
        looking_at(url, asked, token=held["holdToken"]) as mine,
        looking_at(url, asked, token=other["holdToken"]) as others,
        looking_at(url, asked, token="nonsense\ud83d\ude00") as strangers,
        looking_at(url, slot_of(shop, TEN + QUARTER, first), token=held["holdToken"]) as beside,
    ):
        assert await mine.next("SNAPSHOT") == ("YOURS", None)
        assert mine.last["slot"]["startsAt"] == iso(TEN)
        assert [await one.next("SNAPSHOT") for one in (others, strangers)] == [("HELD", None)] * 2
        # Nobody else's hold is in the way of it; whoever holds it may change their mind.
        assert await beside.next("SNAPSHOT") == ("FREE", None)
        booked = await guest.book(held)
        assert await others.next() == ("TAKEN", "BOOKED")
        await mine.stream.nothing()
        await guest.cancel(booked)
        assert [await mine.next(), await others.next()] == [("FREE", "CANCELLED")] * 2
        await guest.hold(TEN, provider=first)
        assert [await mine.next(), await beside.next()] == [("HELD", "HELD")] * 2


async def test_price_hours_and_people(running: RunningApi, client: GraphQLClient, shop: Shop) -> None:
    owner = client.signed_in(shop.owner.token)
    async with looking_at(running.socket_url, slot_of(shop, TEN, shop.provider_id)) as screen:
        await screen.next("SNAPSHOT")
        await make(owner, "updateService", serviceId=shop.service_id, priceMinor=2_500)
        assert await screen.next() == ("FREE", "PRICE")
        assert screen.last["slot"]["price"]["amount"] == "25.00"
        weekday = TEN.strftime("%A").upper()
        hours = [{"weekday": weekday, "open": [{"start": "12:00", "end": "13:00"}], "breaks": []}]
        await publish(client, shop, hours)
        assert await screen.next() == ("CLOSED", "SCHEDULE")
        assert screen.alternatives[:3] == [iso(TEN), iso(at(3, 12)), iso(at(3, 12, 15))]
        await set_active(shop, "provider", shop.provider_uuids[1], is_active=False)
        await screen.next()
        assert screen.alternatives == [iso(at(3, 12, minute)) for minute in (0, 15, 30)]
        await set_active(shop, "service", shop.service_uuids[0], is_active=False)
        assert await screen.next() == ("CLOSED", "SCHEDULE")
        assert screen.alternatives == []
        await screen.stream.nothing()


async def test_it_lapses_and_passes_by_itself(database_url: str, redis_url: str, client: GraphQLClient) -> None:
    async def lapse(_number: int, ttl_s: int) -> None:
        async with serve(make_settings(database_url, redis_url, hold_ttl_s=ttl_s)) as quick:
            shop = await make_shop(quick.api.services)
            held = await Guest(GraphQLClient(client.http, quick.graphql_url), shop).hold(TEN)
            asked = slot_of(shop, TEN)
            async with (
                looking_at(quick.socket_url, asked) as screen,
                looking_at(quick.socket_url, asked, token=held["holdToken"]) as mine,
            ):
                seen = [await screen.next("SNAPSHOT"), await mine.next("SNAPSHOT")]
                before(instant(held["hold"]["expiresAt"]))
                assert seen == [("HELD", None), ("YOURS", None)]
                assert [await screen.next(), await mine.next()] == [("FREE", "RELEASED")] * 2

    async def become_too_soon(_number: int, moment_s: int) -> None:
        async with serve(make_settings(database_url, redis_url)) as api:
            shop = await make_shop(api.api.services, service={"advance_notice_minutes": 60})
            guest = Guest(GraphQLClient(client.http, api.graphql_url), shop)
            await guest.book(await guest.hold(TEN + timedelta(minutes=30)))
            edge = TEN - timedelta(hours=1)
            api.clock.move_to(edge - timedelta(seconds=moment_s))
            async with (
                looking_at(api.socket_url, slot_of(shop, TEN)) as screen,
                looking_at(api.socket_url, slot_of(shop, TEN + timedelta(days=400))) as far,
            ):
                seen = await screen.next("SNAPSHOT")
                before(edge, api.clock.now())
                assert seen == ("FREE", None)
                assert await screen.next() == ("PASSED", "TIME")
                assert screen.alternatives[0] == iso(TEN + timedelta(minutes=60))
                assert await far.next("SNAPSHOT") == ("CLOSED", None)

    await in_time(lapse)
    await in_time(become_too_soon)


async def test_who_was_away_gets_each_change(
    running: RunningApi, guest: Guest, shop: Shop, relay: RunningRelay, client: GraphQLClient
) -> None:
    first = shop.provider_ids[0]
    asked, url = slot_of(shop, TEN, first), running.socket_url
    async with looking_at(url, asked) as screen:
        await screen.next("SNAPSHOT")
        cursor = screen.cursor
    booked = await guest.book(await guest.hold(TEN, provider=first))
    await guest.cancel(booked)
    await guest.hold(TEN, provider=first)
    await relay.catch_up()
    missed = [("HELD", "HELD"), ("TAKEN", "BOOKED"), ("FREE", "CANCELLED"), ("HELD", "HELD")]
    # The same to one who comes alone, and to one who finds others there.
    for others in range(2):
        async with looking_at(url, asked) as there:
            if others:
                assert await there.next("SNAPSHOT") == ("HELD", None)
            async with looking_at(url, asked, after=cursor) as back:
                assert [await back.next() for _ in missed] == missed
                await back.stream.nothing()
    async with looking_at(url, asked, after=back.cursor) as again:
        await again.stream.nothing()
        await publish(client, shop, [])
        assert await again.next() == ("CLOSED", "SCHEDULE")
    async with looking_at(url, asked, after=cursor) as late:
        assert await late.next("RESYNC") == ("CLOSED", None)
    async with looking_at(url, asked, after="nonsense") as wrong:
        with pytest.raises(OperationFailed) as failed:
            await wrong.next()
        assert failed.value.code == "BAD_INPUT"


async def test_coming_back_in_the_midst_of_changes(running: RunningApi, guest: Guest, shop: Shop) -> None:
    """Whenever one comes back, alone or to others: each change once, in order."""
    first = shop.provider_ids[0]
    asked, url, turns = slot_of(shop, TEN, first), running.socket_url, 12
    async with looking_at(url, asked) as screen:
        await screen.next("SNAPSHOT")
        cursor = screen.cursor

    async def come_back(after_s: float) -> list[str]:
        await asyncio.sleep(after_s)
        async with looking_at(url, asked, after=cursor) as back:
            return [(await back.next())[0] for _ in range(turns * 2)]

    async def hold_and_release() -> None:
        for _ in range(turns):
            await guest.release(await guest.hold(TEN, provider=first))

    seen, _ = await asyncio.gather(
        asyncio.gather(*(come_back(number * 0.05) for number in range(12))), hold_and_release()
    )
    assert seen == [["HELD", "FREE"] * turns] * 12


async def test_events_without_a_number_are_told_once(
    running: RunningApi, guest: Guest, shop: Shop, relay: RunningRelay
) -> None:
    asked, url = slot_of(shop, TEN, shop.provider_id), running.socket_url
    async with looking_at(url, asked) as early:
        await early.next("SNAPSHOT")
        await relay.catch_up()
        await relay.pause()
        await guest.hold(TEN, provider=shop.provider_id)
        async with looking_at(url, slot_of(shop, TEN, shop.provider_id, partySize=1, durationMinutes=30)) as screen:
            assert await screen.next("SNAPSHOT") == ("HELD", None)
            relay.start()
            assert await early.next() == ("HELD", "HELD")
            await screen.stream.nothing()


async def test_all_who_look_at_one_slot_share_one_channel(running: RunningApi, guest: Guest, shop: Shop) -> None:
    channels = running.api.services.slot_channels
    asked = slot_of(shop, TEN, *shop.provider_ids)
    turned = {**asked, "providerIds": asked["providerIds"][::-1]}
    async with (
        looking_at(running.socket_url, asked) as one,
        looking_at(running.socket_url, turned) as two,
        looking_at(running.socket_url, slot_of(shop, TEN)) as other,
    ):
        for screen in (one, two, other):
            await screen.next("SNAPSHOT")
        known = [(wanted, channel) for (wanted, _), channel in channels.items() if isinstance(wanted, SlotRequest)]
        ours = [channel for wanted, channel in known if wanted.service_id == shop.service_uuids[0]]
        assert sorted(len(channel._listeners) for channel in ours) == [1, 2]
        held = await guest.hold(TEN, provider=shop.provider_id)
        events = [await screen.event() for screen in (one, two)]
        assert events[0] == events[1]
        await guest.release(held)
        assert {await screen.next() for screen in (one, two)} == {("FREE", "RELEASED")}
    await until(lambda: not any(channel._listeners or channel._task for channel in ours))
    assert [channel._task for channel in ours] == [None, None], "nobody listens, and it still reads"


async def test_what_it_costs(running: RunningApi, guest: Guest, shop: Shop, statements: StatementLog) -> None:
    asked = slot_of(shop, TEN, shop.provider_id)
    statements.clear()
    async with looking_at(running.socket_url, asked) as first:
        await first.next("SNAPSHOT")
        assert len(statements) <= 2 + 2 * 4
        statements.clear()
        async with looking_at(running.socket_url, asked) as second:
            await second.next("SNAPSHOT")
            assert len(statements) == 2  # may it be looked at? The rest is known
            held = await guest.hold(TEN, provider=shop.provider_id)
            spent = len(statements)
            assert [await first.next(), await second.next()] == [("HELD", "HELD")] * 2
            assert len(statements) == spent, "an event is told from what it says alone"
            await guest.release(held)


# ── sessions ──────────────────────────────────────────────────────────────────────────────────────────


async def yoga_of(running: RunningApi, client: GraphQLClient) -> tuple[Class, dict[str, Any]]:
    yoga = await make_class(client, running.api.services)
    return yoga, await yoga.at(at(3, 9))


async def test_places_of_a_session(running: RunningApi, client: GraphQLClient, clock: MovableClock) -> None:
    yoga, session = await yoga_of(running, client)
    url, asked = running.socket_url, {"sessionId": session["id"], "partySize": 4}
    held = await yoga.held(session["id"], 3)
    async with looking_at(url, asked) as screen, looking_at(url, asked, token=held.token) as mine:
        snapshot = await screen.event("SNAPSHOT")
        assert (snapshot["status"], snapshot["slot"]["remaining"]) == ("FREE", 7)
        assert (snapshot["slot"]["sessionId"], snapshot["slot"]["price"]["amount"]) == (session["id"], "15.00")
        assert await mine.next("SNAPSHOT") == ("YOURS", None)
        other = await yoga.held(session["id"], 4)
        assert [await screen.next(), await mine.next()] == [("HELD", "HELD"), ("YOURS", "HELD")]
        assert screen.alternatives[0] == iso(at(3, 10))
        assert session["id"] not in [slot["sessionId"] for slot in screen.last["alternatives"]]
        await yoga.guest.book(other)
        await screen.stream.nothing()  # three of them are still held: it may come free again
        await yoga.guest.book(held)
        assert await screen.next() == ("TAKEN", "BOOKED")
        await mine.stream.nothing()
        await yoga.staff("changeSessionCapacity", session["id"], capacity=12)
        assert [await screen.next(), await mine.next()] == [("FREE", "CAPACITY"), ("YOURS", "CAPACITY")]
        await yoga.staff("closeSession", session["id"])
        assert await screen.next() == ("CLOSED", "CAPACITY")
        cursor = screen.cursor
    async with looking_at(url, asked, after=cursor) as back:
        await back.stream.nothing()
        await yoga.staff("reopenSession", session["id"])
        assert (await back.next())[0] == "FREE"
    async with looking_at(url, asked, after=cursor) as late:
        assert await late.next("RESYNC") == ("FREE", None)

    async def begin(number: int, moment_s: int) -> None:
        start = at(3, 9 + number)
        other = await yoga.at(start)
        clock.move_to(start - timedelta(seconds=moment_s))
        async with looking_at(url, {"sessionId": other["id"], "partySize": 4}) as screen:
            snapshot = await screen.next("SNAPSHOT")
            before(start, clock.now())
            assert snapshot == ("FREE", None)
            assert await screen.next() == ("PASSED", "TIME")

    await in_time(begin)


# ── what is refused ───────────────────────────────────────────────────────────────────────────────────


async def refusal(screen: SlotScreen) -> tuple[str, list[str]]:
    with pytest.raises(OperationFailed) as failed:
        await screen.next()
    found = failed.value.errors[0]["extensions"].get("violations", ())
    return failed.value.code, [violation["path"] for violation in found]


async def test_what_cannot_be_watched(running: RunningApi, client: GraphQLClient, shop: Shop) -> None:
    stranger = await make_shop(running.api.services)
    gone = await make_shop(running.api.services, providers=2)
    await set_active(gone, "provider", gone.provider_uuids[0], is_active=False)
    _, session = await yoga_of(running, client)
    bad = "BAD_INPUT"
    items = [{"serviceId": shop.service_id}]
    for asked, expected in (
        (slot_of(shop, TEN, stranger.provider_id), ("NOT_FOUND", [])),
        (slot_of(gone, TEN, gone.provider_id), ("NOT_FOUND", [])),
        (slot_of(shop, TEN, serviceId=f"svc_{'0' * 25}1"), ("NOT_FOUND", [])),
        ({"sessionId": f"ses_{'0' * 25}1"}, ("NOT_FOUND", [])),
        (slot_of(shop, TEN, partySize=-1), (bad, ["input.partySize"])),
        (slot_of(shop, TEN, partySize=1_001, durationMinutes=0), (bad, ["input.durationMinutes", "input.partySize"])),
        (slot_of(shop, TEN, durationMinutes=31), (bad, ["input.durationMinutes"])),
        (slot_of(shop, TEN, providerIds=[]), (bad, ["input.providerIds"])),
        (slot_of(shop, TEN, items=items), (bad, ["input.serviceId"])),
        ({"items": items * 6, "startsAt": iso(TEN)}, (bad, ["input.items"])),
        ({"serviceId": shop.service_id}, (bad, ["input.startsAt"])),
        ({"startsAt": iso(TEN)}, (bad, ["input.serviceId"])),
        ({"sessionId": session["id"], "startsAt": iso(TEN)}, (bad, ["input.startsAt"])),
        ({"sessionId": session["id"], "partySize": 0}, (bad, ["input.partySize"])),
        (slot_of(shop, TEN, startsAt="9999-12-31T23:59:59Z"), (bad, [])),
        (slot_of(shop, TEN, startsAt="2030-01-01T10:00:00"), (bad, [])),
    ):
        async with looking_at(running.socket_url, asked) as screen:
            code, paths = await refusal(screen)
            assert (code, paths if expected[1] else []) == expected, asked


async def test_starts_that_are_none(running: RunningApi, shop: Shop) -> None:
    for start, status in (
        ("1970-01-01T00:00:00Z", "PASSED"),
        (iso(at(-1, 10)), "PASSED"),
        ("2200-01-01T00:00:00Z", "CLOSED"),
        ("2199-12-31T23:59:00Z", "CLOSED"),
        (iso(TEN + timedelta(minutes=1)), "CLOSED"),
        (iso(TEN + timedelta(seconds=1)), "CLOSED"),
    ):
        async with looking_at(running.socket_url, slot_of(shop, TEN, startsAt=start)) as screen:
            assert await screen.next("SNAPSHOT") == (status, None), start


async def test_a_visit(running: RunningApi, client: GraphQLClient) -> None:
    shop = await make_shop(running.api.services, providers=2, more_services=({},))
    guest, (first, second) = Guest(client, shop), shop.provider_ids
    cut, dye = shop.service_ids
    items = [{"serviceId": cut, "providerId": first}, {"serviceId": dye, "providerId": first}]
    asked = {"items": items, "startsAt": iso(TEN)}
    async with looking_at(running.socket_url, asked) as screen:
        assert (await screen.event("SNAPSHOT"))["slot"]["endsAt"] == iso(TEN + timedelta(hours=1))
        held = await guest.hold(TEN + timedelta(minutes=30), provider=first)
        assert await screen.next() == ("HELD", "HELD")
        assert screen.last["alternatives"][0]["startsAt"] == iso(TEN)
        assert second in screen.last["alternatives"][0]["providerIds"]
        await guest.book(held)
        assert await screen.next() == ("TAKEN", "BOOKED")
