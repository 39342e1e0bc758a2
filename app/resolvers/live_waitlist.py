"""An entry of the waitlist, live: its position, its offer and its end, for as long as the viewer may see it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from uuid import UUID

from app.domain.live_codec import Cursor
from app.domain.waitlist import line_of
from app.queries.tenancy import Door
from app.queries.waitlist import SeenEntry
from app.resolvers.context import RequestContext
from app.resolvers.live_availability import EventKind
from app.resolvers.live_person import Heard, Opening, may_change_rights, personal_stream, read_missed, viewer_keys
from app.resolvers.waitlist import NamedEntry, read_entry, see_entry

MOVED = "waitlist.moved"
"""Told of a whole line; a stream passes it on where its own position changed."""


@dataclass(frozen=True, slots=True)
class EntryUpdate:
    """`type` names the event: `waitlist.offered`; of a snapshot: `waitlist.snapshot`."""

    kind: EventKind
    cursor: str
    type: str
    seen: SeenEntry


async def watch_entry(
    context: RequestContext, named: NamedEntry, after: str | None
) -> AsyncGenerator[EntryUpdate, None]:
    """Raises BadInput, NotFound; NotFound also ends the stream of one who may not see the entry any more."""
    seen = await read_entry(context, named)
    subject_id = seen.record.activity_id or seen.record.service_id
    assert subject_id is not None
    source = _EntrySource(context, named, frozenset({named.entry_id, line_of(subject_id)}), seen)
    async with aclosing(personal_stream(context, source, after)) as updates:
        async for update in updates:
            yield update


@dataclass(slots=True)
class _EntrySource:
    """`told`: what the client has seen last."""

    context: RequestContext
    named: NamedEntry
    subjects: frozenset[UUID]
    told: SeenEntry

    async def keys(self) -> tuple[frozenset[UUID], frozenset[UUID]]:
        return self.subjects, viewer_keys(self.context)

    async def open(self, resume: Cursor | None, kind: EventKind) -> Opening[EntryUpdate]:
        """All of one snapshot: the entry, where the log stands for it, and what a returning client missed."""
        context = self.context
        async with context.read(Door.WAITLIST, self.named.entry_id) as (tx, tenancy):
            self.told = seen = await see_entry(context, tx, tenancy, self.named)
            missed = await read_missed(tx, context, self.subjects, resume)
        place = missed.place
        if missed.heard is not None:
            return Opening(place, self._missed(missed.heard, seen))
        return Opening(place, [EntryUpdate(kind, place.cursor(context.now()), "waitlist.snapshot", seen)])

    async def tell(self, heard: Sequence[Heard]) -> tuple[Sequence[EntryUpdate], bool]:
        about = [one for one in heard if one.event.subject_id in self.subjects]
        if not about and not any(may_change_rights(one.event) for one in heard):
            return (), False
        seen = await read_entry(self.context, self.named)
        updates: list[EntryUpdate] = []
        for one in about:
            if one.event.subject_id == self.named.entry_id or _moved(self.told, seen):
                self.told = seen
                updates.append(EntryUpdate(EventKind.CHANGE, one.cursor, one.event.type, seen))
        return updates, False

    def _missed(self, heard: Sequence[Heard], seen: SeenEntry) -> list[EntryUpdate]:
        """What a returning client is told: each of its own events, and once that the line moved."""
        own = [one for one in heard if one.event.subject_id == self.named.entry_id]
        updates = [EntryUpdate(EventKind.CHANGE, one.cursor, one.event.type, seen) for one in own]
        if len(own) < len(heard) - len(own):
            updates.append(EntryUpdate(EventKind.CHANGE, heard[-1].cursor, MOVED, seen))
        return updates


def _moved(told: SeenEntry, seen: SeenEntry) -> bool:
    """Of one that changed itself an event of its own is about to come."""
    return told.record.version == seen.record.version and told.position != seen.position
