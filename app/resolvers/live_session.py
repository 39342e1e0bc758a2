"""One session, live: how many places are left, for as long as somebody looks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app.domain.live import AvailabilityCause
from app.domain.live_codec import Cursor
from app.domain.live_session import PlacesState, apply
from app.domain.sessions import SessionStatus
from app.queries.event import Event, events_of_subjects, log_state
from app.queries.session import get_places
from app.queries.tenancy import Door
from app.resolvers.context import RequestContext
from app.resolvers.event_feed import FeedOverflow, Subscription
from app.resolvers.live_availability import LONGEST_WAIT_S, REPLAY_LIMIT, EventKind, can_resume, read_cursor
from app.resolvers.live_place import Place


@dataclass(frozen=True, slots=True)
class SessionUpdate:
    """`cause` none: of a snapshot."""

    kind: EventKind
    cursor: str
    session_id: UUID
    capacity_remaining: int
    status: SessionStatus
    is_legacy: bool
    cause: AvailabilityCause | None


_Shown = tuple[int, SessionStatus, bool]


@dataclass(slots=True)
class _View:
    """What one client has been told (none: who knows), and the state it follows from."""

    context: RequestContext
    session_id: UUID
    state: PlacesState
    place: Place
    shown: _Shown | None

    def snapshot(self, kind: EventKind) -> SessionUpdate:
        self.shown = self._now()
        return self._update(kind, self.shown, None)

    def fold(self, payload: Mapping[str, Any]) -> SessionUpdate | None:
        """None: nothing that the client sees has changed."""
        self.state = apply(self.state, payload)
        return self._change(self._now(), AvailabilityCause[payload["cause"]])

    def tick(self, now: datetime) -> SessionUpdate | None:
        return self._change(shown_at(self.state, now), AvailabilityCause.TIME)

    def replay(self, event: Event) -> SessionUpdate | None:
        """What was told to those who stayed, of an event that the state has already."""
        payload = event.payload
        if not _has_numbers(event):
            return None
        told = (payload["capacityRemaining"], SessionStatus(payload["status"]), payload["isLegacy"])
        return self._change(told, AvailabilityCause[payload["cause"]])

    def seconds_to_lapse(self, now: datetime) -> float:
        lapse = self.state.next_lapse(now)
        return LONGEST_WAIT_S if lapse is None else min(LONGEST_WAIT_S, (lapse - now).total_seconds())

    def _now(self) -> _Shown:
        return shown_at(self.state, self.context.now())

    def _change(self, shown: _Shown, cause: AvailabilityCause) -> SessionUpdate | None:
        if shown == self.shown:
            return None
        self.shown = shown
        return self._update(EventKind.CHANGE, shown, cause)

    def _update(self, kind: EventKind, shown: _Shown, cause: AvailabilityCause | None) -> SessionUpdate:
        remaining, status, is_legacy = shown
        cursor = self.place.cursor(self.context.now())
        return SessionUpdate(kind, cursor, self.session_id, remaining, status, is_legacy, cause)


def shown_at(state: PlacesState, now: datetime) -> _Shown:
    return state.remaining(now), state.status, state.is_legacy


async def watch_session(
    context: RequestContext, session_id: UUID, after: str | None
) -> AsyncGenerator[SessionUpdate, None]:
    """Raises BadInput, NotFound."""
    resume = read_cursor(after)
    snapshot = EventKind.SNAPSHOT if resume is None else EventKind.RESYNC
    while True:
        async with context.services.feed.subscribe({session_id}) as subscription:
            # First we listen, then we read: what falls between the two comes twice, and positions tell.
            view, missed = await _read(context, session_id, resume)
            for update in [view.snapshot(snapshot)] if missed is None else _replay(view, missed):
                yield update
            resume, snapshot = None, EventKind.RESYNC
            try:
                async with aclosing(_follow(view, subscription)) as following:
                    async for update in following:
                        yield update
            except FeedOverflow:
                continue


async def _follow(view: _View, subscription: Subscription) -> AsyncGenerator[SessionUpdate, None]:
    """Events as they come, and holds that run out between them."""
    while True:
        # Of one instant: a hold that ran out while the last update was being sent would be waited for in vain.
        now = view.context.now()
        if (update := view.tick(now)) is not None:
            yield update
            continue
        batch = await subscription.next(view.seconds_to_lapse(now))
        for event in batch:
            if view.place.is_new(event) and (update := view.fold(event.payload)) is not None:
                yield update


def _replay(view: _View, missed: Sequence[Event]) -> Iterator[SessionUpdate]:
    """Each change as it was, then what the passing of time has changed since."""
    for event in missed:
        if view.place.is_new(event) and (update := view.replay(event)) is not None:
            yield update
    update = view.tick(view.context.now())
    if update is not None:
        yield update


async def _read(context: RequestContext, session_id: UUID, resume: Cursor | None) -> tuple[_View, list[Event] | None]:
    """All of one snapshot: the places, where the log stands for them, and what a returning client missed.

    None missed: take the snapshot.
    """
    async with context.read(Door.SESSION, session_id) as (tx, tenancy):
        state = await get_places(tx, session_id, for_staff=tenancy.is_staff)
        log = await log_state(tx)
        if resume is not None and not can_resume(log, resume, context.now()):
            resume = None
        after = log.last_position if resume is None else resume.position
        events = await events_of_subjects(tx, {session_id}, after, limit=REPLAY_LIMIT + 1)
    unnumbered = {event.id for event in events if event.position is None}
    if resume is None or len(events) > REPLAY_LIMIT:
        view = _View(context, session_id, state, Place(log.last_position, unnumbered), shown_at(state, context.now()))
        return view, None
    missed = [event for event in events if event.position is not None]
    # What the client saw last: where nothing was missed, what the state was then.
    shown = None if any(_has_numbers(event) for event in missed) else shown_at(state, resume.at)
    return _View(context, session_id, state, Place(resume.position, set(resume.seen)), shown), missed


def _has_numbers(event: Event) -> bool:
    return event.payload.get("capacityRemaining") is not None
