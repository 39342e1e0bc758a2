"""The places of a session, live: each change once, in order, also for those who were away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.domain.live_codec import Cursor
from app.resolvers.live_session import SessionKind, SessionUpdate
from tests.classes import AFTER_NOON, Class, make_class
from tests.fixtures_api import GraphQLClient, MovableClock, RunningApi, make_settings, serve
from tests.fixtures_live import RunningRelay, before, in_time
from tests.journey import instant
from tests.live_client import LiveStream, OperationFailed, live_socket
from tests.shop import at

WATCH = """
subscription ($id: ID!, $after: String) { session(id: $id, after: $after) {
  kind cursor sessionId capacityRemaining status isLegacy cause } }
"""


@pytest.fixture
async def yoga(running: RunningApi, client: GraphQLClient, relay: RunningRelay) -> Class:
    assert relay is not None
    return await make_class(client, running.api.services)


@dataclass(slots=True)
class Watch:
    stream: LiveStream
    cursor: str = ""

    async def next(self, kind: str = "CHANGE") -> tuple[int, str | None]:
        """Places left, and why."""
        event = await self.stream.next()
        assert event["kind"] == kind, event
        self.cursor = event["cursor"]
        return event["capacityRemaining"], event["cause"]


@asynccontextmanager
async def watching(url: str, session_id: str, after: str | None = None) -> AsyncIterator[Watch]:
    async with live_socket(url) as socket:
        yield Watch(await socket.subscribe(WATCH, id=session_id, after=after))


async def test_each_change_once(running: RunningApi, yoga: Class) -> None:
    session = await yoga.at(at(3, 9))
    async with watching(running.socket_url, session["id"]) as watch:
        first = await watch.stream.next()
        assert first == {
            "kind": "SNAPSHOT",
            "cursor": first["cursor"],
            "sessionId": session["id"],
            "capacityRemaining": 10,
            "status": "OPEN",
            "isLegacy": False,
            "cause": None,
        }
        held = await yoga.held(session["id"], 3)
        assert await watch.next() == (7, "HELD")
        made = await yoga.guest.book(held)
        await yoga.guest.extend(await yoga.held(session["id"]))
        assert await watch.next() == (6, "HELD")
        # Booking and extending change no number, so nobody is told.
        link = {"bookingId": made["booking"]["id"], "accessToken": made["accessToken"]}
        query = "mutation ($i: CancelBookingInput!) { cancelBooking(input: $i) { __typename } }"
        assert await yoga.client(query, {"i": {**link, "reason": "Ill"}}) == {"__typename": "Booking"}
        assert await watch.next() == (9, "CANCELLED")
        await yoga.guest.release(await yoga.held(session["id"], 2))
        assert await watch.next() == (7, "HELD")
        assert await watch.next() == (9, "RELEASED")
        await watch.stream.nothing()


async def test_what_the_staff_and_the_schedule_do(running: RunningApi, yoga: Class) -> None:
    nine = await yoga.at(at(3, 9))
    await yoga.booked(nine["id"], 4)
    async with watching(running.socket_url, nine["id"]) as watch:
        assert await watch.next("SNAPSHOT") == (6, None)
        await yoga.staff("changeSessionCapacity", nine["id"], capacity=5)
        assert await watch.next() == (1, "CAPACITY")
        await yoga.staff("closeSession", nine["id"])
        event = await watch.stream.next()
        assert (event["capacityRemaining"], event["status"]) == (0, "CLOSED")
        await yoga.staff("reopenSession", nine["id"])
        assert await watch.next() == (1, "CAPACITY")
        await yoga.publish(AFTER_NOON)
        event = await watch.stream.next()
        assert (event["capacityRemaining"], event["isLegacy"], event["cause"]) == (0, True, "SCHEDULE")
        await watch.stream.nothing()


async def test_moving_tells_both_sessions(running: RunningApi, yoga: Class) -> None:
    nine, ten = await yoga.at(at(3, 9)), await yoga.at(at(3, 10))
    made = await yoga.booked(nine["id"], 4)
    async with (
        watching(running.socket_url, nine["id"]) as here,
        watching(running.socket_url, ten["id"]) as there,
    ):
        assert [await here.next("SNAPSHOT"), await there.next("SNAPSHOT")] == [(6, None), (10, None)]
        await yoga.guest.move(made, sessionId=ten["id"], accessToken=made.token)
        assert [await here.next(), await there.next()] == [(10, "RESCHEDULED"), (6, "RESCHEDULED")]


async def test_a_hold_that_runs_out_gives_its_places_back_by_itself(
    database_url: str, redis_url: str, relay: RunningRelay, http: Any
) -> None:
    """Nobody sweeps here: time alone does it, and the sweep's own event later says nothing new."""

    async def lapse(_number: int, ttl_s: int) -> None:
        async with serve(make_settings(database_url, redis_url, hold_ttl_s=ttl_s)) as quick:
            yoga = await make_class(GraphQLClient(http, quick.graphql_url), quick.api.services)
            session = await yoga.at(at(3, 9))
            async with watching(quick.socket_url, session["id"]) as watch:
                assert await watch.next("SNAPSHOT") == (10, None)
                for places in (4, 1):  # the second one frees the lapsed places as it comes
                    held = await yoga.held(session["id"], places)
                    told = await watch.next()
                    before(instant(held.answer["expiresAt"]))
                    assert told == (10 - places, "HELD")
                    assert await watch.next() == (10, "TIME")

    await in_time(lapse)
    assert relay is not None


async def test_a_hold_that_runs_out_while_its_news_is_sent(
    running: RunningApi, yoga: Class, monkeypatch: pytest.MonkeyPatch, clock: MovableClock
) -> None:
    """However long the sending takes, the places that came back meanwhile are told at once."""
    session = await yoga.at(at(3, 9))
    told = SessionKind.change

    def slowly(kind: SessionKind, *facts: Any) -> SessionUpdate:
        clock.move(timedelta(hours=1))
        return told(kind, *facts)

    async with watching(running.socket_url, session["id"]) as watch:
        assert await watch.next("SNAPSHOT") == (10, None)
        monkeypatch.setattr(SessionKind, "change", slowly)
        await yoga.held(session["id"], 4)
        assert await watch.next() == (6, "HELD")
        assert await watch.next() == (10, "TIME")


async def test_who_was_away_gets_what_they_missed(running: RunningApi, yoga: Class, relay: RunningRelay) -> None:
    session = await yoga.at(at(3, 9))
    async with watching(running.socket_url, session["id"]) as watch:
        await watch.next("SNAPSHOT")
        await yoga.held(session["id"], 1)
        assert await watch.next() == (9, "HELD")
    held = await yoga.held(session["id"], 2)
    await yoga.held(session["id"], 3)
    await yoga.guest.release(held)
    await relay.catch_up()
    async with watching(running.socket_url, session["id"], watch.cursor) as back:
        assert [await back.next() for _ in range(3)] == [(7, "HELD"), (4, "HELD"), (6, "RELEASED")]
        await back.stream.nothing()
        await yoga.held(session["id"], 6)
        assert await back.next() == (0, "HELD")
    async with watching(running.socket_url, session["id"], back.cursor) as again:
        await again.stream.nothing()


async def test_events_without_a_number_yet(running: RunningApi, yoga: Class, relay: RunningRelay) -> None:
    """Committed before the snapshot, numbered after it: told once."""
    session = await yoga.at(at(3, 9))
    await relay.catch_up()
    await relay.pause()
    await yoga.held(session["id"], 2)
    async with watching(running.socket_url, session["id"]) as watch:
        assert await watch.next("SNAPSHOT") == (8, None)
        relay.start()
        await watch.stream.nothing()
        await yoga.held(session["id"], 1)
        assert await watch.next() == (7, "HELD")


async def test_cursors_that_do_not_fit(running: RunningApi, yoga: Class) -> None:
    session = await yoga.at(at(3, 9))
    ahead = Cursor(2**40, datetime.now(UTC)).encode()
    async with watching(running.socket_url, session["id"], ahead) as watch:
        assert await watch.next("RESYNC") == (10, None)
    async with watching(running.socket_url, session["id"], "nonsense") as watch:
        with pytest.raises(OperationFailed) as failed:
            await watch.next()
        assert failed.value.code == "BAD_INPUT"
    for missing, code in (("ses_01h2xcejqtf2nbrexx3vqjhp41", "NOT_FOUND"), (yoga.activity_id, "BAD_INPUT")):
        async with watching(running.socket_url, missing) as watch:
            with pytest.raises(OperationFailed) as failed:
                await watch.next()
            assert failed.value.code == code


async def test_hidden_sessions_cannot_be_watched(running: RunningApi, yoga: Class) -> None:
    session = await yoga.at(at(3, 9))
    off = "mutation ($i: DeactivateActivityInput!) { deactivateActivity(input: $i) { __typename } }"
    await yoga.owner(off, {"i": {"activityId": yoga.activity_id}})
    async with watching(running.socket_url, session["id"]) as watch:
        with pytest.raises(OperationFailed) as failed:
            await watch.next()
        assert failed.value.code == "NOT_FOUND"
