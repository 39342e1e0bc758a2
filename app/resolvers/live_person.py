"""Streams of what not everybody may see: the thing as it is now with each event, for as long as the viewer may see it.

Rights can be lost without an event of the thing itself. So each stream also hears what changes the viewer's own rights,
and looks again: it ends at that very moment.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from app.core.database import Tx
from app.domain.live_codec import Cursor
from app.queries.event import Event, LogState, events_of_subjects, log_state
from app.resolvers.context import RequestContext
from app.resolvers.event_feed import FeedOverflow, Subscription
from app.resolvers.live_availability import LONGEST_WAIT_S, REPLAY_LIMIT, EventKind, can_resume, read_cursor
from app.resolvers.live_place import Place

U = TypeVar("U")

_RIGHTS = ("membership.", "provider.")
"""What says that somebody is a member, or acts as a provider, or is so no more."""


def may_change_rights(event: Event) -> bool:
    """May somebody in the audience of this event see more or less from now on?"""
    return event.type.startswith(_RIGHTS)


@dataclass(frozen=True, slots=True)
class Heard:
    """An event that is new to the client, and the cursor that the client has with it."""

    event: Event
    cursor: str


@dataclass(frozen=True, slots=True)
class Opening(Generic[U]):
    """`place`: where the client stands after these first updates. `is_over`: nothing can follow."""

    place: Place
    updates: Sequence[U]
    is_over: bool = False


class KeysChanged(Exception):
    """From this event on something else has to be listened to."""

    def __init__(self, event: Event) -> None:
        super().__init__(event.type)
        assert event.position is not None
        self.event = event
        self.position_before = event.position - 1


class PersonalSource(Protocol[U]):
    """What one stream tells. All may raise NotFound and Unauthenticated, which end it."""

    async def keys(self) -> tuple[frozenset[UUID], frozenset[UUID]]:
        """Subjects to follow, and those whose audience it is in."""

    async def open(self, resume: Cursor | None, kind: EventKind) -> Opening[U]:
        """The snapshot, told as `kind`; or what was missed since `resume`, if that can be told."""

    async def tell(self, heard: Sequence[Heard]) -> tuple[Sequence[U], bool]:
        """What the client is told of new events, and whether that was all there is. May raise KeysChanged."""


async def personal_stream(
    context: RequestContext, source: PersonalSource[U], after: str | None
) -> AsyncGenerator[U, None]:
    """Raises BadInput, and what the source raises."""
    resume = read_cursor(after)
    kind = EventKind.SNAPSHOT if resume is None else EventKind.RESYNC
    while True:
        subjects, told = await source.keys()
        async with context.services.feed.subscribe(subjects, told) as subscription:
            # First we listen, then we read: what falls between the two comes twice, and positions tell.
            opening = await source.open(resume, kind)
            for update in opening.updates:
                yield update
            place, is_over = opening.place, opening.is_over
            resume, kind = None, EventKind.RESYNC
            while not is_over:
                seen = frozenset(place.seen)
                try:
                    heard = await _hear(context, subscription, place)
                    updates, is_over = await source.tell(heard) if heard else ((), False)
                except FeedOverflow:
                    break
                except KeysChanged as change:
                    # What came before it is told by those who were listened to; the rest comes again.
                    before = _before(heard, change.event)
                    updates, is_over = await source.tell(before) if before else ((), False)
                    resume = Cursor(change.position_before, context.now(), seen)
                for update in updates:
                    yield update
                if resume is not None:
                    break
            if is_over:
                return


async def _hear(context: RequestContext, subscription: Subscription, place: Place) -> list[Heard]:
    """What is new to the client; waits for it."""
    batch, now = await subscription.next(LONGEST_WAIT_S), context.now()
    return [Heard(event, place.cursor(now)) for event in batch if place.is_new(event)]


def _before(heard: Sequence[Heard], event: Event) -> Sequence[Heard]:
    return heard[: next(number for number, one in enumerate(heard) if one.event is event)]


@dataclass(frozen=True, slots=True)
class Missed:
    """What a reading says of a stream that follows subjects. `heard`: what a returning client hears; none: it is shown
    all anew. `waiting`: ids of committed events without a number that it has not heard of."""

    place: Place
    heard: list[Heard] | None
    waiting: frozenset[int]


async def read_missed(tx: Tx, context: RequestContext, subjects: Collection[UUID], resume: Cursor | None) -> Missed:
    """In the transaction in which the thing itself is read. Two statements."""
    log = await log_state(tx)
    resume = resumable(log, resume, context)
    after = log.last_position if resume is None else resume.position
    events = await events_of_subjects(tx, subjects, after, limit=REPLAY_LIMIT + 1)
    waiting = {event.id for event in events if event.position is None}
    again = None if resume is None else replayed(resume, events, context)
    if resume is None or again is None:
        return Missed(place_of_snapshot(log, events), None, frozenset(waiting))
    return Missed(*again, frozenset(waiting - resume.seen))


def viewer_keys(context: RequestContext) -> frozenset[UUID]:
    """By which the viewer hears of their own rights; empty for a guest, whose secret is all they have."""
    return frozenset() if context.user_id is None else frozenset({context.user_id})


def resumable(log: LogState, resume: Cursor | None, context: RequestContext) -> Cursor | None:
    """The cursor, if everything after it is still there."""
    return resume if resume is not None and can_resume(log, resume, context.now()) else None


def place_of_snapshot(log: LogState, waiting: Sequence[Event]) -> Place:
    """After a reading in which these events were committed without a number."""
    return Place(log.last_position, {event.id for event in waiting if event.position is None})


def replayed(resume: Cursor, missed: Sequence[Event], context: RequestContext) -> tuple[Place, list[Heard]] | None:
    """What a returning client hears of the numbered among these events; None: too much, a snapshot is less to send."""
    if len(missed) > REPLAY_LIMIT:
        return None
    place, now = Place(resume.position, set(resume.seen)), context.now()
    heard = [Heard(event, place.cursor(now)) for event in missed if place.is_new(event)]
    return place, heard
