"""One session, live: how many places are left, for as long as somebody looks.

All who look at a session that anybody may see share one fold (app.resolvers.live_source). Staff also see those of an
activity or a venue that is off: each of them for themselves, with their rights looked at again for each event of the
session, and for each that they are told themselves.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from app.core.database import Tx
from app.domain.errors import NotFound
from app.domain.live import AvailabilityCause
from app.domain.live_session import PlacesState, apply
from app.domain.live_update import EventKind
from app.domain.sessions import SessionStatus
from app.queries.event import Event, events_of_subjects, log_state
from app.queries.session import get_places, get_session, get_whereabouts
from app.queries.tenancy import Door, Tenancy
from app.resolvers.context import RequestContext
from app.resolvers.live_entrance import REPLAY_LIMIT
from app.resolvers.live_kind import Kind, Reading

CONFIGURATION_EVENTS = frozenset({"activity.updated", "venue.updated"})
"""They may hide the session, or show it again."""


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


Shown: TypeAlias = tuple[int, SessionStatus, bool]
Change: TypeAlias = tuple[Shown, AvailabilityCause]


@dataclass(frozen=True, slots=True)
class SessionView:
    """`shown`: what clients have been told (none: who knows). One that `is_behind` has a later state already: what its
    events say is shown, not what follows from the state."""

    state: PlacesState
    at: datetime
    shown: Shown | None
    is_behind: bool = False

    def showing(self, shown: Shown, cause: AvailabilityCause) -> tuple[SessionView, Change | None]:
        if shown == self.shown:
            return self, None
        return replace(self, shown=shown), (shown, cause)


@dataclass(frozen=True, slots=True)
class ReadPlaces(Reading):
    state: PlacesState


class SessionKind(Kind[ReadPlaces, SessionView, Change, SessionUpdate]):
    def __init__(self, reader: RequestContext, session_id: UUID) -> None:
        """`reader` is nobody, or the one who alone will listen."""
        self._reader = reader
        self._session_id = session_id
        self.is_public = reader.viewer is None

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Tx]:
        async with self._entered() as (tx, _):
            yield tx

    @asynccontextmanager
    async def _entered(self) -> AsyncIterator[tuple[Tx, Tenancy]]:
        async with self._reader.read(Door.SESSION, self._session_id) as entered:
            yield entered

    def told(self) -> frozenset[UUID]:
        viewer = self._reader.viewer
        return frozenset() if viewer is None else frozenset({viewer.user_id})

    async def check(self) -> None:
        async with self._entered() as (tx, tenancy):
            await get_session(tx, self._session_id, for_staff=tenancy.is_staff)

    async def subjects(self) -> frozenset[UUID]:
        async with self.transaction() as tx:
            return await self._subjects(tx)

    async def _subjects(self, tx: Tx) -> frozenset[UUID]:
        return frozenset((self._session_id, *await get_whereabouts(tx, self._session_id)))

    async def read(self) -> ReadPlaces:
        async with self._entered() as (tx, tenancy):
            state = await get_places(tx, self._session_id, for_staff=tenancy.is_staff)
            subjects = await self._subjects(tx)
            log = await log_state(tx)
            events = await events_of_subjects(tx, subjects, log.last_position, limit=REPLAY_LIMIT)
        unnumbered = frozenset(event.id for event in events if event.position is None)
        return ReadPlaces(log.last_position, unnumbered, subjects, None, state)

    def begin(self, reading: ReadPlaces, now: datetime) -> SessionView:
        return SessionView(reading.state, now, shown_at(reading.state, now))

    def reload(
        self, view: SessionView, reading: ReadPlaces, now: datetime, _types: Collection[str]
    ) -> tuple[SessionView, Change | None]:
        fresh = self.begin(reading, now)
        assert fresh.shown is not None
        return replace(fresh, shown=view.shown).showing(fresh.shown, AvailabilityCause.SCHEDULE)

    # ── folding ──────────────────────────────────────────────────────────────────────────────────────

    def is_configuration(self, event: Event) -> bool:
        return event.type in CONFIGURATION_EVENTS

    def fold(self, view: SessionView, event: Event, now: datetime) -> tuple[SessionView, Change | None]:
        if event.subject_id != self._session_id:
            return view, None
        payload = event.payload
        view = replace(view, at=max(view.at, now))
        if not view.is_behind:
            view = replace(view, state=apply(view.state, payload))
            shown = shown_at(view.state, view.at)
        elif _has_numbers(event):
            shown = payload["capacityRemaining"], SessionStatus(payload["status"]), payload["isLegacy"]
        else:
            return view, None
        return view.showing(shown, AvailabilityCause[payload["cause"]])

    def tick(self, view: SessionView, now: datetime) -> tuple[SessionView, Change | None]:
        view = replace(view, at=max(view.at, now))
        return view.showing(shown_at(view.state, view.at), AvailabilityCause.TIME)

    def next_tick(self, view: SessionView) -> datetime | None:
        return view.state.next_lapse(view.at)

    def rewound(
        self, view: SessionView, undone: Sequence[Event], _redone: Sequence[Event], at: datetime
    ) -> SessionView:
        """What the client saw last: where nothing was missed, what the state was then."""
        shown = None if any(map(_has_numbers, undone)) else shown_at(view.state, at)
        return SessionView(view.state, at, shown, is_behind=True)

    def instant(self, view: SessionView) -> datetime:
        return view.at

    def looks_alike(self, view: SessionView, later: SessionView) -> bool:
        return view.shown == later.shown

    def people(self, _view: SessionView, *, is_whole: bool = False) -> int:
        del is_whole  # all are equally short
        return 1

    def crowd(self, _reading: ReadPlaces) -> int:
        return 1

    # ── telling ──────────────────────────────────────────────────────────────────────────────────────

    def snapshot(self, view: SessionView, cursor: str) -> SessionUpdate:
        shown = view.shown or shown_at(view.state, view.at)
        return self._update(EventKind.SNAPSHOT, cursor, shown, None)

    def change(self, _view: SessionView, change: Change, cursor: str) -> SessionUpdate:
        return self._update(EventKind.CHANGE, cursor, *change)

    def _update(self, kind: EventKind, cursor: str, shown: Shown, cause: AvailabilityCause | None) -> SessionUpdate:
        return SessionUpdate(kind, cursor, self._session_id, *shown, cause)

    def as_resync(self, snapshot: SessionUpdate) -> SessionUpdate:
        return replace(snapshot, kind=EventKind.RESYNC)

    def merge(self, earlier: SessionUpdate, later: SessionUpdate) -> SessionUpdate:
        """Each says all that there is: the later one does, as what the earlier one was."""
        if earlier.kind is EventKind.CHANGE or later.kind is EventKind.SNAPSHOT:
            return later
        return replace(later, kind=earlier.kind, cause=None)

    def is_empty(self, _update: SessionUpdate) -> bool:
        return False


def shown_at(state: PlacesState, now: datetime) -> Shown:
    return state.remaining(now), state.status, state.is_legacy


def _has_numbers(event: Event) -> bool:
    return event.payload.get("capacityRemaining") is not None


async def is_for_staff(context: RequestContext, session_id: UUID) -> bool:
    """May this viewer see it, and not everybody? Raises NotFound."""
    async with context.read(Door.SESSION, session_id) as (tx, tenancy):
        try:
            await get_session(tx, session_id, for_staff=False)
        except NotFound:
            return tenancy.is_staff
    return False
