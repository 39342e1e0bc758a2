"""Polling calendars elsewhere: what a poll writes, when the next one is, and what a worker's death leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest

from app.adapters.calendar_feed import HttpCalendarFetcher
from app.adapters.calendar_reader import ChildCalendarReader, read_calendar
from app.commands.actor import SYSTEM
from app.commands.calendar_source import POLL, ask_for_due, disconnect_calendar
from app.commands.job import enqueue
from app.core.database import Database
from app.core.ids import new_id
from app.domain.busy_calendar import HORIZON, CalendarRefused, Span, fingerprint, poll_delay, window_of
from app.jobs.calendars import BROKEN, KEPT, KEPT_REMOVED, LANES, CalendarPolling
from app.jobs.registry import JobServices
from app.jobs.runner import Runner
from app.ports import CalendarBusy, FeedProblem
from app.queries.calendar_source import lock_source
from tests.adapters.feed_twin import FeedsInMemory, etag_of, ok, wire_server
from tests.jobs.ground import Ground, rows

URL = "https://calendar.example.com/secret.ics"
INTERVAL = timedelta(minutes=15)
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


@dataclass(slots=True)
class ReaderInProcess:
    """Implements CalendarReader without a child; how often it was asked."""

    count: int = 0
    is_let: asyncio.Event | None = None
    is_asked: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self, body: bytes, home: ZoneInfo, window: Span) -> CalendarBusy | FeedProblem:
        self.count += 1
        self.is_asked.set()
        if self.is_let is not None:
            await self.is_let.wait()
        try:
            return read_calendar(body, home, window)
        except CalendarRefused as refusal:
            return FeedProblem(str(refusal), is_refused=True)


@dataclass(slots=True)
class World:
    """One source, polled when a test says so."""

    database: Database
    ground: Ground
    source: UUID
    feeds: FeedsInMemory = field(default_factory=FeedsInMemory)
    reader: ReaderInProcess = field(default_factory=ReaderInProcess)

    def runner(self, **options: Any) -> Runner:
        services = JobServices(self.database, timedelta(hours=72), timedelta(hours=48))
        handlers = CalendarPolling(self.feeds, self.reader, INTERVAL).handlers()
        return Runner(self.database, services, handlers, **{"lease": timedelta(seconds=5), **options})

    async def ask(self, kind: str = POLL) -> UUID:
        async with self.database.transaction() as tx:
            return await enqueue(tx, kind, {"sourceId": str(self.source)}, organization_id=None)

    async def run(self, kind: str = POLL) -> None:
        """One job, to its end."""
        job_id = await self.ask(kind)
        runner = self.runner()
        await runner.start(job_id)
        await runner.stop(30)
        ((done_at, error),) = await rows(self.database, "SELECT done_at, last_error FROM job WHERE id = :id", id=job_id)
        assert done_at is not None, error

    async def poll(self, *events: str | FeedProblem) -> dict[str, Any]:
        """What the source is once its server answered with these events, or with a problem."""
        (first, *_) = events or ("",)
        self.feeds.bodies[URL] = first if isinstance(first, FeedProblem) else calendar(*map(str, events))
        await self.run()
        return await self.state()

    async def state(self) -> dict[str, Any]:
        names = (
            *("status", "etag", "failures", "last_error", "event_count", "last_polled_at", "last_success_at"),
            *("next_poll_at", "covered_until", "removed_at"),
        )
        query = f"SELECT {', '.join(names)}, turnero_now() AS now FROM calendar_source WHERE id = :id"
        (found,) = await rows(self.database, query, id=self.source)
        return dict(zip((*names, "now"), found, strict=True))

    async def busy(self) -> list[tuple[UUID, datetime, datetime]]:
        query = (
            "SELECT id, starts_at, ends_at FROM blocked_time WHERE source_id = :id AND kind = 'external'"
            " AND subject_id = :provider AND removed_at IS NULL ORDER BY starts_at"
        )
        found = await rows(self.database, query, id=self.source, provider=self.ground.provider)
        return [(row[0], row[1], row[2]) for row in found]

    async def spans(self) -> list[Span]:
        return [(start, end) for _, start, end in await self.busy()]

    async def told(self) -> Sequence[tuple[Any, ...]]:
        query = "SELECT subject_id, payload FROM outbox_event WHERE type = 'external_busy.changed' ORDER BY id"
        return await rows(self.database, query)


@pytest.fixture
async def world(database: Database, ground: Ground) -> World:
    source = await make_source(database, ground)
    return World(database, ground, source)


async def make_source(database: Database, ground: Ground, url: str = URL) -> UUID:
    source = new_id()
    query = (
        "INSERT INTO calendar_source (id, organization_id, provider_id, url, name)"
        " VALUES (:id, :organization, :provider, :url, 'Mine') RETURNING id"
    )
    values = {"id": source, "organization": ground.organization, "provider": ground.provider, "url": url}
    await rows(database, query, **values)
    return source


def calendar(*events: str) -> bytes:
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0"]
    for event in filter(None, events):
        lines += ["BEGIN:VEVENT", *event.split(";;"), "END:VEVENT"]
    return "\r\n".join([*lines, "END:VCALENDAR", ""]).encode()


def hour(day: int, start: int = 10) -> str:
    return f"DTSTART:{TODAY + timedelta(days=day):%Y%m%d}T{start:02}0000Z;;DURATION:PT1H"


def span(day: int, start: int = 10) -> Span:
    return TODAY + timedelta(days=day, hours=start), TODAY + timedelta(days=day, hours=start + 1)


def minutes_until(state: dict[str, Any], name: str = "next_poll_at") -> float:
    wait: timedelta = state[name] - state["now"]
    return wait.total_seconds() / 60


async def test_first_poll(world: World) -> None:
    state = await world.poll(hour(3), hour(5))
    assert await world.spans() == [span(3), span(5)]
    assert (state["status"], state["event_count"], state["failures"], state["last_error"]) == ("active", 2, 0, None)
    assert state["etag"] == etag_of(world.feeds.bodies[URL])  # type: ignore[arg-type]
    assert state["last_success_at"] == state["last_polled_at"] <= state["now"]
    assert 13 <= minutes_until(state) <= 17
    provider = world.ground.provider
    assert await world.told() == [(provider, {"providerId": str(provider), "sourceId": str(world.source)})]
    audit = await rows(world.database, "SELECT action, actor, before, after FROM audit_entry WHERE action LIKE 'cal%'")
    assert audit == [("calendar.active", "system", {"status": "waiting"}, {"status": "active"})]


async def test_nothing_changed_nothing_written(world: World) -> None:
    await world.poll(hour(3))
    before = await world.busy()
    await world.poll(hour(3))
    assert world.feeds.asked == [(URL, None), (URL, etag_of(calendar(hour(3))))]
    assert (await world.busy(), world.reader.count, len(await world.told())) == (before, 1, 1)


async def test_a_server_without_validators_that_stamps_each_answer(world: World) -> None:
    world.feeds.has_validators = False
    await world.poll(hour(3) + ";;DTSTAMP:20260101T000000Z")
    await world.poll(hour(3) + ";;DTSTAMP:20260101T000001Z")
    assert (world.reader.count, len(await world.told())) == (1, 1)
    assert fingerprint(calendar(hour(3))) != fingerprint(calendar(hour(4)))


async def test_only_what_differs_is_written(world: World) -> None:
    await world.poll(hour(3), hour(5), hour(7))
    before = {(start, end): row_id for row_id, start, end in await world.busy()}
    await world.poll(hour(3), hour(6), hour(7))
    after = {(start, end): row_id for row_id, start, end in await world.busy()}
    assert list(after) == [span(3), span(6), span(7)]
    assert (after[span(3)], after[span(7)]) == (before[span(3)], before[span(7)])
    await world.poll("")
    assert (await world.spans(), len(await world.told())) == ([], 3)
    ((count,),) = await rows(world.database, "SELECT count(*) FROM blocked_time WHERE removed_at IS NOT NULL")
    assert count == 4, "what was busy once is known"


async def test_what_is_over_stays(world: World) -> None:
    await world.poll(hour(3))
    await rows(
        world.database,
        "UPDATE blocked_time SET starts_at = starts_at - interval '30 days', ends_at = ends_at - interval '30 days'"
        " RETURNING id",
    )
    await world.poll(hour(5))
    assert await world.spans() == [span(-27), span(5)]


async def test_read_again_where_it_reaches_too_short_or_the_zone_changed(world: World) -> None:
    daily = f"DTSTART;VALUE=DATE:{TODAY + timedelta(days=1):%Y%m%d};;RRULE:FREQ=WEEKLY"
    await world.poll(daily)
    count = len(await world.busy())
    assert count >= HORIZON // timedelta(days=7)
    state = await world.state()
    assert state["covered_until"] == window_of(state["now"])[1]
    await rows(
        world.database, "UPDATE calendar_source SET covered_until = covered_until - interval '2 days' RETURNING id"
    )
    await world.poll(daily)
    assert (world.reader.count, world.feeds.asked[-1]) == (2, (URL, None))
    await rows(world.database, "UPDATE provider SET time_zone = 'Asia/Tokyo' RETURNING id")
    await world.poll(daily)
    assert (world.reader.count, world.feeds.asked[-1]) == (3, (URL, None))
    (first, *_) = await world.spans()
    assert first[0].hour == 15, "midnight of Tokyo"


@pytest.mark.parametrize(
    ("problem", "status"),
    [
        (FeedProblem("The server cannot answer now (status 500)."), "failing"),
        (FeedProblem("The address leads into a private network.", is_refused=True), "refused"),
    ],
)
async def test_a_problem_keeps_what_was_read_last(world: World, problem: FeedProblem, status: str) -> None:
    await world.poll(hour(3))
    etag = (await world.state())["etag"]
    waits = []
    for count in range(1, 8):
        state = await world.poll(problem)
        assert (state["status"], state["failures"], state["last_error"]) == (status, count, problem.reason)
        waits.append(minutes_until(state))
    assert await world.spans() == [span(3)]
    assert all(
        0.85 * minutes <= wait <= 1.15 * minutes
        for minutes, wait in zip((15, 30, 60, 120, 240, 360, 360), waits, strict=True)
    )
    assert max(waits) <= 360
    assert (state["etag"], len(await world.told())) == (etag, 1)
    assert state["last_success_at"] < state["last_polled_at"]
    audit = "SELECT action, reason FROM audit_entry WHERE action LIKE 'calendar%' ORDER BY id"
    assert await rows(world.database, audit) == [("calendar.active", None), (f"calendar.{status}", problem.reason)]
    state = await world.poll(hour(3))
    assert (state["status"], state["failures"], state["last_error"]) == ("active", 0, None)
    assert world.feeds.asked[-1] == (URL, etag), "the server may say that it is as it was"
    assert 13 <= minutes_until(state) <= 17


async def test_what_nobody_foresaw_is_told_and_waits(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job does not break: it would tell nobody, and ask again as soon as ever."""
    await world.poll(hour(3))

    async def break_down(*_: object) -> CalendarBusy:
        raise OverflowError("a number of twenty digits")

    with monkeypatch.context() as broken:
        broken.setattr(ReaderInProcess, "read", break_down)
        await world.poll(hour(4))
        state = await world.poll(hour(5))
    assert (state["status"], state["failures"], state["last_error"]) == ("failing", 2, BROKEN.reason)
    assert 25 <= minutes_until(state) <= 35
    assert await world.spans() == [span(3)]
    assert (await world.poll(hour(6)))["status"] == "active"
    assert await world.spans() == [span(6)]


async def test_a_malformed_calendar_is_refused_and_told(world: World) -> None:
    await world.poll(hour(3))
    world.feeds.bodies[URL] = calendar(hour(4))[:-15]
    await world.run()
    state = await world.state()
    assert (state["status"], state["last_error"]) == ("refused", "The calendar breaks off before its end.")
    assert await world.spans() == [span(3)]


async def test_what_could_not_be_read_is_told_until_it_is_mended(world: World) -> None:
    warning = "An event could not be read and blocks no time; see line 7 of the calendar."
    for _ in range(2):
        state = await world.poll(hour(3), "DTSTART:tomorrow")
        assert (state["status"], state["last_error"]) == ("active", warning)
    assert (await world.poll(hour(3)))["last_error"] is None


async def test_the_servers_patience_is_kept(world: World) -> None:
    state = await world.poll(FeedProblem("Later.", retry_after=timedelta(hours=9)))
    assert minutes_until(state) == pytest.approx(540, abs=1)
    state = await world.poll(FeedProblem("Later.", retry_after=timedelta(seconds=1)))
    assert minutes_until(state) > 25


def test_delays() -> None:
    day = timedelta(days=1)
    for chance in (0.0, 0.5, 1.0):
        assert poll_delay(day, 10**9, None, chance) <= day
        assert poll_delay(INTERVAL, 10**9, None, chance) <= timedelta(hours=6)
        assert poll_delay(INTERVAL, 0, None, chance) >= INTERVAL * 0.9


async def test_disconnected_meanwhile(world: World) -> None:
    world.feeds.bodies[URL] = calendar(hour(3))
    world.reader.is_let = asyncio.Event()
    job_id = await world.ask()
    runner = world.runner()
    await runner.start(job_id)
    await world.reader.is_asked.wait()
    async with world.database.transaction() as tx:
        source = await lock_source(tx, world.source)
        await disconnect_calendar(tx, world.ground.organization, SYSTEM, source)
    world.reader.is_let.set()
    await runner.stop(30)
    assert (await world.busy(), await world.told()) == ([], [])
    assert (await world.state())["removed_at"] is not None
    await world.run()
    assert world.reader.count == 1, "it is not asked any more"


async def test_an_older_poll_changes_nothing(world: World) -> None:
    """Two polls at once: the one that began first ends last."""
    world.feeds.bodies[URL] = calendar(hour(3))
    slow = World(world.database, world.ground, world.source, world.feeds, ReaderInProcess(is_let=asyncio.Event()))
    job_id = await slow.ask()
    runner = slow.runner()
    await runner.start(job_id)
    await slow.reader.is_asked.wait()
    await world.poll(hour(5))
    assert slow.reader.is_let is not None
    slow.reader.is_let.set()
    await runner.stop(30)
    assert await world.spans() == [span(5)]


async def test_a_worker_that_dies_in_the_middle(world: World) -> None:
    """It never wrote anything; another takes the job over, and the first, if it comes back, changes nothing."""
    world.feeds.bodies[URL] = calendar(hour(3))
    dead = World(world.database, world.ground, world.source, world.feeds, ReaderInProcess(is_let=asyncio.Event()))
    job_id = await dead.ask()
    stopped = dead.runner(lease=timedelta(hours=1))  # or it might renew what is taken from it below
    await stopped.start(job_id)
    await dead.reader.is_asked.wait()
    assert await world.busy() == []
    await rows(
        world.database,
        "UPDATE job SET lease_until = turnero_now() - interval '1 s' WHERE id = :id RETURNING 1",
        id=job_id,
    )
    other = world.runner()
    await other.start(job_id)
    await other.stop(30)
    assert await world.spans() == [span(3)]
    assert dead.reader.is_let is not None
    dead.reader.is_let.set()
    await stopped.stop(30)
    assert (await world.spans(), len(await world.told())) == ([span(3)], 1)
    assert (await rows(world.database, "SELECT fence FROM job WHERE id = :id", id=job_id)) == [(2,)]


async def test_the_whole_way(world: World) -> None:
    """A real server, client and child."""
    async with wire_server() as wire:
        url = wire.add("/a", ok(calendar(hour(3)), 'ETag: "a"'))
        await rows(world.database, "UPDATE calendar_source SET url = :url RETURNING 1", url=url)
        fetcher = HttpCalendarFetcher(allow_private=True, allow_plain_http=True)
        job_id = await world.ask()
        services = JobServices(world.database, timedelta(hours=72), timedelta(hours=48))
        runner = Runner(world.database, services, CalendarPolling(fetcher, ChildCalendarReader(), INTERVAL).handlers())
        await runner.start(job_id)
        await runner.stop(60)
        await fetcher.close()
    assert await world.spans() == [span(3)]
    assert (await world.state())["etag"] == '"a"'


# ── who is asked ──────────────────────────────────────────────────────────────────────────────────────


async def open_polls(database: Database) -> list[str]:
    query = "SELECT args ->> 'sourceId' FROM job WHERE kind = :kind AND done_at IS NULL ORDER BY id"
    return [row[0] for row in await rows(database, query, kind=POLL)]


async def test_few_at_a_time_longest_due_first(world: World) -> None:
    sources = [world.source]
    for number in range(LANES + 2):
        sources.append(await make_source(world.database, world.ground, f"{URL}?{number}"))
        query = (
            "UPDATE calendar_source SET next_poll_at = turnero_now() - :n * interval '1 min' WHERE id = :id RETURNING 1"
        )
        await rows(world.database, query, id=sources[-1], n=number + 1)
    await world.run("poll_calendars")
    wanted = [str(source) for source in reversed(sources)]
    assert sorted(await open_polls(world.database)) == sorted(wanted[:LANES])
    await world.run("poll_calendars")
    assert len(await open_polls(world.database)) == LANES, "those that are asked for are not asked for again"
    async with world.database.transaction() as tx:
        assert await ask_for_due(tx, LANES + 1, 1) == 1, "one that ends asks for the next"
    assert wanted[LANES] in await open_polls(world.database)


async def test_those_that_end_ask_for_the_next(world: World) -> None:
    for number in range(3):
        await make_source(world.database, world.ground, f"{URL}?{number}")
    await world.run("poll_calendars")
    await world.run()
    assert len(world.feeds.asked) == 1
    assert len(await open_polls(world.database)) == 4
    (count,) = (await rows(world.database, "SELECT count(*) FROM calendar_source WHERE next_poll_at < turnero_now()"))[
        0
    ]
    assert count == 0


async def test_copies_are_not_kept_for_ever(world: World) -> None:
    await world.poll(hour(3), hour(5), hour(7), hour(9), hour(11))
    (old, removed, ended_lately, removed_lately, _) = await world.busy()
    ended = (
        "UPDATE blocked_time SET (starts_at, ends_at) = (starts_at - shift, ends_at - shift)"
        " FROM (SELECT CAST(:kept AS interval)) AS by (shift) WHERE id = :id RETURNING 1"
    )
    taken = "UPDATE blocked_time SET removed_at = turnero_now() - CAST(:kept AS interval) WHERE id = :id RETURNING 1"
    hours, ago = timedelta(hours=2), timedelta(days=12)  # the first of them is three days ahead
    await rows(world.database, ended, kept=KEPT + ago, id=old[0])
    await rows(world.database, ended, kept=ago, id=ended_lately[0])
    await rows(world.database, taken, kept=KEPT_REMOVED + hours, id=removed[0])
    await rows(world.database, taken, kept=KEPT_REMOVED - hours, id=removed_lately[0])
    await world.run("purge_external_busy")
    left = {found for (found,) in await rows(world.database, "SELECT id FROM blocked_time")}
    assert left == {ended_lately[0], removed_lately[0], (await world.busy())[-1][0]}
