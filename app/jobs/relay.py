"""The relay: numbers what was committed and puts it on the stream, as long as the worker lives."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress

import structlog

from app.commands.relay import BATCH, mark_published, number_events
from app.core.database import Database
from app.core.outages import Outage
from app.ports import EventStream, StreamUnavailable
from app.queries.event import LogState, encode_event, events_after, log_state

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 0.2
"""How long an event waits at most when its ring was lost."""
HELD_BACK_S = (0.005, 0.05)
"""Pause while an older transaction is open: it grows from the first to the second, slowly. Most are over in a moment,
and each event behind them waits for the next look."""
HELD_BACK_GROWTH = 1.1
STREAM_BACKLOG = 100_000
"""After a long outage of the stream only so many of the newest are put on it; readers have read the rest."""


class Relay:
    """Any number may run at once: the row `relay_state` is locked while numbers are given."""

    def __init__(self, database: Database, stream: EventStream) -> None:
        self._database = database
        self._stream = stream
        self._attached = asyncio.Event()
        self._rung = asyncio.Event()
        self._must_publish = asyncio.Event()
        self._must_check_history = True
        self._unpublished_since: int | None = None
        self._held_back_s = HELD_BACK_S[0]

    async def run(self) -> None:
        """Until cancelled. Outages of either server are waited out; Valkey's never holds up the numbers."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._number_all())
            tasks.create_task(self._publish_all())
            tasks.create_task(self._listen())

    # ── numbers ───────────────────────────────────────────────────────────────────────────────────────

    async def _number_all(self) -> None:
        outage = Outage("relay.numbering")
        while True:
            self._rung.clear()
            try:
                pause_s = await self._look()
            except Exception as error:
                self._must_check_history = True  # the server that comes back may know less
                await asyncio.sleep(outage.failed(error))
                continue
            outage.ok()
            await self._wait(pause_s)

    async def _look(self) -> float:
        """Number what is due; how many seconds to wait before the next look."""
        async with self._database.snapshot() as tx:
            state = await log_state(tx)
        self._stream.attach(state.installation_id)
        self._attached.set()
        if self._must_check_history:
            # Before any number is given, which could hide what this looks for; without Valkey later.
            with suppress(StreamUnavailable):
                await self._check_history()
        self._step_in(state)
        if not state.is_waiting:
            self._held_back_s = HELD_BACK_S[0]
            return LOOK_EVERY_S
        async with self._database.transaction() as tx:
            numbered = await number_events(tx)
        if numbered:
            self._must_publish.set()
            self._held_back_s = HELD_BACK_S[0]
            # There may be more: what is held back now will not ring again.
            return 0.0 if numbered == BATCH else HELD_BACK_S[0]
        pause_s = self._held_back_s
        self._held_back_s = min(HELD_BACK_S[1], pause_s * HELD_BACK_GROWTH)
        return pause_s

    def _step_in(self, state: LogState) -> None:
        """Who gave the numbers publishes at once. When that did not happen until the next look, somebody else must."""
        published = state.published_position
        is_behind = published < state.last_position
        if is_behind and self._unpublished_since == published:
            self._must_publish.set()
        self._unpublished_since = published if is_behind else None

    async def _wait(self, pause_s: float) -> None:
        if pause_s < LOOK_EVERY_S:  # held back: a ring would change nothing
            await asyncio.sleep(pause_s)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._rung.wait()

    # ── the stream ────────────────────────────────────────────────────────────────────────────────────

    async def _publish_all(self) -> None:
        outage = Outage("relay.publishing")
        while True:
            await self._must_publish.wait()
            self._must_publish.clear()
            try:
                await self._check_history()
                while await self._publish_batch():
                    pass
            except Exception as error:
                self._must_check_history = True
                await asyncio.sleep(outage.failed(error))
                self._must_publish.set()
            else:
                outage.ok()

    async def _publish_batch(self) -> bool:
        """True when there may be more. Raises StreamUnavailable."""
        async with self._database.snapshot() as tx:
            state = await log_state(tx)
            after = max(state.published_position, state.last_position - STREAM_BACKLOG)
            events = await events_after(tx, after, BATCH)
        if not events:
            return False
        numbered = [(event.position, encode_event(event)) for event in events if event.position is not None]
        await self._stream.publish(numbered)
        async with self._database.transaction() as tx:
            await mark_published(tx, numbered[-1][0])
        return len(events) == BATCH

    async def _check_history(self) -> None:
        """A stream that is ahead of the database tells of a history that was undone, by a restored backup say."""
        if not self._must_check_history:
            return
        streamed = await self._stream.last_position()  # first the stream: numbers are committed before they are on it
        async with self._database.snapshot() as tx:
            state = await log_state(tx)
        if streamed > state.last_position:
            log.warning("relay.stream_reset", streamed=streamed, last_position=state.last_position)
            await self._stream.reset()
        self._must_check_history = False

    async def _listen(self) -> None:
        outage = Outage("relay.doorbell")
        await self._attached.wait()
        while True:
            try:
                async with aclosing(self._stream.rings()) as rings:
                    async for _ in rings:
                        outage.ok()
                        self._rung.set()
            except StreamUnavailable as error:
                await asyncio.sleep(outage.failed(error))
