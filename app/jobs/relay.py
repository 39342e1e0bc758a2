"""The relay: numbers what was committed and puts it on the stream, as long as the worker lives."""

from __future__ import annotations

import asyncio
import time
from contextlib import aclosing, suppress

import structlog

from app.commands.relay import BATCH, Numbered, mark_published, number_events
from app.core.database import Database
from app.core.outages import Outage
from app.ports import EventStream, StreamUnavailable
from app.queries.event import bodies_after, log_state

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 0.2
"""How long an event waits at most when its ring was lost."""
HELD_BACK_S = (0.005, 0.05)
"""Pause while an older transaction is open: it grows from the first to the second, slowly. Most are over in a moment,
and each event behind them waits for the next look."""
HELD_BACK_GROWTH = 1.1
QUIET_S = 0.02
"""After so long without a ring it is noted how far the stream is; before, the next numbers take the note along."""
STREAM_BACKLOG = 100_000
"""After a long outage of the stream only so many of the newest are put on it; readers have read the rest."""
AT_HAND = 1_000
"""Bodies kept for a stream that is away; then they are read again."""


class Relay:
    """Any number may run at once: the row `relay_state` is locked while numbers are given."""

    def __init__(self, database: Database, stream: EventStream) -> None:
        self._database = database
        self._stream = stream
        self._attached = asyncio.Event()
        self._rung = asyncio.Event()
        self._must_publish = asyncio.Event()
        self._must_check_history = True
        self._at_hand: list[tuple[int, bytes]] = []
        self._must_read = True
        """Not all that is to be published is at hand."""
        self._streamed = 0
        """The stream has had every event up to here, as far as we know."""
        self._noted = 0
        """The database knows that it had those up to here."""
        self._behind_since: tuple[int, float] | None = None
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
                outage.ok()
                await self._wait(pause_s)
            except Exception as error:
                self._must_check_history = True  # the server that comes back may know less
                await asyncio.sleep(outage.failed(error))

    async def _look(self) -> float:
        """Number what is due; how many seconds to wait before the next look."""
        if self._must_check_history:
            # Before any number is given, which could hide what this looks for; without Valkey later.
            with suppress(StreamUnavailable):
                await self._check_history()
        streamed = self._streamed
        numbered = await number_events(self._database, published=streamed)
        self._stream.attach(numbered.installation_id)
        self._attached.set()
        if streamed > numbered.last_position:
            self._must_check_history = True
            return 0.0
        self._noted = max(numbered.published_position, streamed if numbered.count else 0)
        self._streamed = max(self._streamed, numbered.published_position)
        if numbered.count:
            self._hand_over(numbered)
            self._held_back_s = HELD_BACK_S[0]
        else:
            self._step_in(numbered)
        if numbered.count == BATCH:
            return 0.0
        if not numbered.is_held_back:
            self._held_back_s = HELD_BACK_S[0]
            return LOOK_EVERY_S
        pause_s = self._held_back_s
        self._held_back_s = min(HELD_BACK_S[1], pause_s * HELD_BACK_GROWTH)
        return pause_s

    def _hand_over(self, numbered: Numbered) -> None:
        """Who gave the numbers publishes at once, with the bodies at hand if there are not too many."""
        if numbered.bodies is None or len(self._at_hand) + numbered.count > AT_HAND:
            self._at_hand.clear()
            self._must_read = True
        else:
            first = numbered.last_position + 1
            self._at_hand += [(first + place, body.encode()) for place, body in enumerate(numbered.bodies)]
        self._must_publish.set()

    def _step_in(self, numbered: Numbered) -> None:
        """When somebody who gave numbers has not published them until the next look, somebody else must."""
        published = self._streamed
        if published >= numbered.last_position:
            self._behind_since = None
        elif self._behind_since is None or self._behind_since[0] != published:
            self._behind_since = published, time.monotonic()
        elif time.monotonic() - self._behind_since[1] >= LOOK_EVERY_S:
            self._behind_since = None
            self._must_read = True
            self._must_publish.set()

    async def _wait(self, pause_s: float) -> None:
        """Until it rings, or so long. In the quiet it is noted what was published."""
        if await self._rings_within(min(pause_s, QUIET_S)) or pause_s <= QUIET_S:
            return
        if self._noted < self._streamed:
            streamed = self._streamed
            await mark_published(self._database, streamed)
            self._noted = streamed
        await self._rings_within(pause_s - QUIET_S)

    async def _rings_within(self, pause_s: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._rung.wait()
        return self._rung.is_set()

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
                self._must_check_history = self._must_read = True
                await asyncio.sleep(outage.failed(error))
                self._must_publish.set()
            else:
                outage.ok()

    async def _publish_batch(self) -> bool:
        """True when there may be more. Raises StreamUnavailable."""
        events, self._at_hand = self._at_hand, []
        if events and events[0][0] != self._streamed + 1:
            # Another relay gave the numbers before these. Nothing may go past those, so that the stream has them all.
            self._streamed = max(self._streamed, await self._stream.last_position())
        if self._must_read or (events and events[0][0] != self._streamed + 1):
            self._must_read = False
            events = await self._read_unpublished()
            self._must_read |= len(events) == BATCH
        if not events:
            return False
        await self._stream.publish(events)
        self._streamed = max(self._streamed, events[-1][0])
        return self._must_read or bool(self._at_hand)

    async def _read_unpublished(self) -> list[tuple[int, bytes]]:
        async with self._database.snapshot() as tx:
            state = await log_state(tx)
            known = max(state.published_position, self._streamed)
            return await bodies_after(tx, max(known, state.last_position - STREAM_BACKLOG), BATCH)

    async def _check_history(self) -> None:
        """A stream that is ahead of the database tells of a history that was undone, by a restored backup say."""
        if not self._must_check_history:
            return
        async with self._database.snapshot() as tx:
            self._stream.attach((await log_state(tx)).installation_id)
        self._attached.set()
        self._at_hand.clear()
        self._must_read = True
        self._streamed = 0
        streamed = await self._stream.last_position()  # first the stream: numbers are committed before they are on it
        async with self._database.snapshot() as tx:
            state = await log_state(tx)
        if streamed > state.last_position:
            log.warning("relay.stream_reset", streamed=streamed, last_position=state.last_position)
            await self._stream.reset()
        self._streamed = min(state.published_position, state.last_position)
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
