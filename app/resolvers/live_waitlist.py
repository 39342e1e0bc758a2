"""An entry of the waitlist, live: its position, its offer and its end, for as long as the viewer may see it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from uuid import UUID

from app.domain.live_codec import Cursor
from app.domain.waitlist import line_of
from app.queries.event import Event, events_of_subjects, log_state
from app.queries.tenancy import Door
from app.queries.waitlist import SeenEntry
from app.resolvers.context import RequestContext
from app.resolvers.event_feed import FeedOverflow, Subscription
from app.resolvers.live_availability import LONGEST_WAIT_S, REPLAY_LIMIT, EventKind, can_resume, read_cursor
from app.resolvers.live_place import Place
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
    resume = read_cursor(after)
    record = (await read_entry(context, named)).record
    subject_id = record.activity_id or record.service_id
    assert subject_id is not None
    subjects = {record.id, line_of(subject_id)}
    snapshot = EventKind.SNAPSHOT if resume is None else EventKind.RESYNC
    while True:
        async with context.services.feed.subscribe(subjects) as subscription:
            # First we listen, then we read: what falls between the two comes twice, and positions tell.
            seen, place, missed = await _read(context, named, subjects, resume)
            if missed is None:
                yield EntryUpdate(snapshot, place.cursor(context.now()), "waitlist.snapshot", seen)
            for type_ in _types(record.id, place, missed or ()):
                yield EntryUpdate(EventKind.CHANGE, place.cursor(context.now()), type_, seen)
            resume, snapshot = None, EventKind.RESYNC
            told = seen
            try:
                async with aclosing(_follow(place, subscription)) as following:
                    async for event in following:
                        seen = await read_entry(context, named)
                        if event.subject_id == record.id or _moved(told, seen):
                            told = seen
                            yield EntryUpdate(EventKind.CHANGE, place.cursor(context.now()), event.type, seen)
            except FeedOverflow:
                continue


def _moved(told: SeenEntry, seen: SeenEntry) -> bool:
    """Of one that changed itself an event of its own is about to come."""
    return told.record.version == seen.record.version and told.position != seen.position


def _types(entry_id: UUID, place: Place, missed: Sequence[Event]) -> list[str]:
    """What a returning client is told: each of its own events, and once that the line moved."""
    fresh = [event for event in missed if place.is_new(event)]
    own = [event.type for event in fresh if event.subject_id == entry_id]
    return [*own, MOVED] if len(own) < len(fresh) - len(own) else own


async def _follow(place: Place, subscription: Subscription) -> AsyncGenerator[Event, None]:
    while True:
        for event in await subscription.next(LONGEST_WAIT_S):
            if place.is_new(event):
                yield event


async def _read(
    context: RequestContext, named: NamedEntry, subjects: set[UUID], resume: Cursor | None
) -> tuple[SeenEntry, Place, list[Event] | None]:
    """All of one snapshot: the entry, where the log stands for it, and what a returning client missed.

    None missed: take the snapshot.
    """
    async with context.read(Door.WAITLIST, named.entry_id) as (tx, tenancy):
        seen = await see_entry(context, tx, tenancy, named)
        log = await log_state(tx)
        if resume is not None and not can_resume(log, resume, context.now()):
            resume = None
        after = log.last_position if resume is None else resume.position
        events = await events_of_subjects(tx, subjects, after, limit=REPLAY_LIMIT + 1)
    if resume is None or len(events) > REPLAY_LIMIT:
        return seen, Place(log.last_position, {event.id for event in events if event.position is None}), None
    return seen, Place(resume.position, set(resume.seen)), [event for event in events if event.position is not None]
