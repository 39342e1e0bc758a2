"""A bulk change, live: how far it is, and what became of each booking, in order, until it is over."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.domain.bulk import BulkStatus
from app.domain.live_codec import Cursor
from app.queries.bulk import get_bulk_change
from app.queries.event import Event, events_of_subjects, log_state
from app.queries.tenancy import Door
from app.resolvers.bulk import SeenBulkChange, read_bulk_change, see
from app.resolvers.context import RequestContext
from app.resolvers.event_feed import FeedOverflow, Subscription
from app.resolvers.live_availability import LONGEST_WAIT_S, REPLAY_LIMIT, EventKind, can_resume, read_cursor
from app.resolvers.live_place import Place

ENDINGS = frozenset({"bulk.finished", "bulk.stopped"})
_OVER = frozenset({BulkStatus.FINISHED, BulkStatus.STOPPED})


@dataclass(frozen=True, slots=True)
class BulkUpdate:
    """`type` names the event: `bulk.progressed`; of a snapshot: `bulk.snapshot`. `facts`: how far it was then."""

    kind: EventKind
    cursor: str
    type: str
    facts: dict[str, Any]
    seen: SeenBulkChange


async def watch_bulk_change(
    context: RequestContext, change_id: UUID, after: str | None
) -> AsyncGenerator[BulkUpdate, None]:
    """Ends with the change. Raises BadInput, Unauthenticated, NotFound; NotFound also for one who may not see it any
    more."""
    context.require_viewer()
    resume = read_cursor(after)
    snapshot = EventKind.SNAPSHOT if resume is None else EventKind.RESYNC
    while True:
        async with context.services.feed.subscribe({change_id}) as subscription:
            # First we listen, then we read: what falls between the two comes twice, and positions tell.
            seen, place, missed, is_waiting = await _read(context, change_id, resume)
            if missed is None:
                yield BulkUpdate(snapshot, place.cursor(context.now()), "bulk.snapshot", _facts(seen), seen)
            for event in missed or ():
                if place.is_new(event):
                    cursor = place.cursor(context.now())
                    yield BulkUpdate(EventKind.CHANGE, cursor, event.type, event.payload, seen)
            if seen.change.status in _OVER and not (missed is not None and is_waiting):
                return
            resume, snapshot = None, EventKind.RESYNC
            try:
                async with aclosing(_follow(place, subscription)) as following:
                    async for event in following:
                        seen = await read_bulk_change(context, change_id)
                        cursor = place.cursor(context.now())
                        yield BulkUpdate(EventKind.CHANGE, cursor, event.type, event.payload, seen)
                        if event.type in ENDINGS:
                            return
            except FeedOverflow:
                continue


async def _follow(place: Place, subscription: Subscription) -> AsyncGenerator[Event, None]:
    while True:
        for event in await subscription.next(LONGEST_WAIT_S):
            if place.is_new(event):
                yield event


async def _read(
    context: RequestContext, change_id: UUID, resume: Cursor | None
) -> tuple[SeenBulkChange, Place, list[Event] | None, bool]:
    """All of one snapshot: the change, where the log stands for it, what a returning client missed (none: take the
    snapshot), and whether events of it are committed that have no position yet."""
    async with context.read(Door.BULK_CHANGE, change_id) as (tx, tenancy):
        seen = see(await get_bulk_change(tx, change_id, tenancy), tenancy)
        log = await log_state(tx)
        if resume is not None and not can_resume(log, resume, context.now()):
            resume = None
        after = log.last_position if resume is None else resume.position
        events = await events_of_subjects(tx, {change_id}, after, limit=REPLAY_LIMIT + 1)
    unnumbered = {event.id for event in events if event.position is None}
    if resume is None or len(events) > REPLAY_LIMIT:
        return seen, Place(log.last_position, unnumbered), None, bool(unnumbered)
    numbered = [event for event in events if event.position is not None]
    return seen, Place(resume.position, set(resume.seen)), numbered, bool(unnumbered - resume.seen)


def _facts(seen: SeenBulkChange) -> dict[str, Any]:
    change = seen.change
    return {
        "total": change.item_count,
        "done": change.done_count,
        "skipped": change.skipped_count,
        "refused": change.refused_count,
    }
