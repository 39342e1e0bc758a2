"""How somebody comes back to a slot's channel: with each change since a cursor, up to where the others are.

What many missed is read and played once: who comes after finds it in the channel's history.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from app.domain.live import AvailabilityCause
from app.domain.live_codec import Cursor
from app.domain.live_update import EventKind
from app.domain.slot_watch import SlotLook
from app.queries.availability_search import aside
from app.resolvers.live_entrance import CLOCK_SKEW, NUMBER_WAIT_S
from app.resolvers.slot_fold import PATIENCE, Reading, SlotFold, SlotUpdate, Told, is_due

if TYPE_CHECKING:
    from app.resolvers.slot_channel import SlotChannel, SlotRun

TRIES = 6
"""One more than a channel has patience."""


async def missed_since(channel: SlotChannel, after: str, cursor: Cursor) -> list[SlotUpdate]:
    """As of the very moment at which it returns. Raises StreamUnavailable and what reading raises."""
    await _let_time_pass(channel, cursor)
    for _ in range(TRIES):
        known = channel.run.history.missed(after)
        if known is not None:
            return [told.update for told in known]
        await channel.once(after, partial(_find, channel, after, cursor))
    return [channel.whole(EventKind.RESYNC)]


async def _find(channel: SlotChannel, after: str, cursor: Cursor) -> None:
    """Put what is missed into the channel's history, for all who come back with this cursor."""
    for _ in range(TRIES):
        run = channel.run
        found = await _opening(channel, run, cursor)
        if found is not None:
            run.history.opened(after, found, run.history.number)
            return


async def _let_time_pass(channel: SlotChannel, cursor: Cursor) -> None:
    """A clock ahead of ours has told what ours has not come to yet."""
    ahead, due = cursor.at - channel.clock(), channel.run.fold.next_tick()
    if due is not None and due <= cursor.at and ahead <= CLOCK_SKEW:
        await asyncio.sleep(max(0.0, ahead.total_seconds()))


async def _opening(channel: SlotChannel, run: SlotRun, cursor: Cursor) -> list[Told] | None:
    """What is missed. None: that cannot be said; try again."""
    number, reading = run.history.number, await channel.source.read(cursor)
    if reading.is_waiting and run.patience:
        # The channel may not have them yet, and nobody can say before they have numbers.
        run.patience -= 1
        await asyncio.sleep(NUMBER_WAIT_S / PATIENCE)
        return None
    if reading.is_waiting or reading.missed is None:
        return [replace(run.told, update=channel.whole(EventKind.RESYNC))] if channel.run is run else None
    replay = _Replay(channel, reading.fold, await aside(reading.fold.people, reading.fold.look))
    await replay.play(reading)
    await channel.until_reached(reading.position)
    await replay.pass_time(run)
    later = run.history.since(number)
    if channel.run is not run or later is None:
        return None
    for told in later:
        if told.position > reading.position:
            replay.add(told)
    # Of time, or of what has no number yet: as it stands now.
    replay.add(replace(run.told, update=replace(run.told.update, cursor=channel.cursor())))
    return replay.opening


class _Replay:
    """A client's own state as it was at its cursor, moved on to now."""

    def __init__(self, channel: SlotChannel, fold: SlotFold, seen: SlotLook) -> None:
        self.opening: list[Told] = []
        self._channel = channel
        self._fold = fold
        self._seen = seen

    async def play(self, reading: Reading) -> None:
        fold = self._fold
        for event in reading.missed or ():
            if fold.place.is_new(event):
                if is_due(fold, event.occurred_at):
                    await self._note(await aside(fold.people, fold.pass_time, event.occurred_at))
                await self._note(await aside(fold.people, fold.take, event))
                await asyncio.sleep(0)  # there may be a thousand

    async def pass_time(self, run: SlotRun) -> None:
        """As far as the others have come: they are told of the rest together."""
        if is_due(self._fold, run.at):
            await self._note(await aside(self._fold.people, self._fold.pass_time, run.at))

    async def _note(self, cause: AvailabilityCause | None) -> None:
        fold = self._fold
        look = await aside(fold.people, fold.look)
        if look != self._seen:
            self.add(Told(fold.place.position, look, await self._channel.update(fold, look, cause)))

    def add(self, told: Told) -> None:
        """Told unless it has been seen."""
        if told.look != self._seen:
            self._seen = told.look
            self.opening.append(told)
