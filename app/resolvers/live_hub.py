"""The live sources of a process: equal questions share one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID
from weakref import WeakValueDictionary

from app.domain.errors import BadInput
from app.domain.live_state import AvailabilityState
from app.domain.live_update import AvailabilityUpdate
from app.domain.live_venue import VenueSearch, VenueUpdate, check_venue_search
from app.domain.search import AvailabilitySearch, check_search
from app.domain.slots import Window
from app.resolvers.context import RequestContext, Services
from app.resolvers.live_availability import AvailabilityKind
from app.resolvers.live_kind import Kind
from app.resolvers.live_lane import Lane
from app.resolvers.live_session import SessionKind, SessionUpdate, is_for_staff
from app.resolvers.live_source import LiveSource
from app.resolvers.live_venue import VenueKind

LONGEST_PACE_MS = 500
LINGERING_LIMIT = 200
"""Sources that nobody listens to and that go on for a while: whoever asks for many things once fills no memory."""


@dataclass(frozen=True, slots=True)
class Audience:
    """So many listen to when these providers are free in this window."""

    provider_ids: frozenset[UUID]
    window: Window
    count: int


class LiveHub:
    """One for each process, in its `Services`."""

    def __init__(self) -> None:
        self._sources: WeakValueDictionary[object, LiveSource[Any, Any]] = WeakValueDictionary()
        self._running: dict[LiveSource[Any, Any], None] = {}
        self._lingering: OrderedDict[LiveSource[Any, Any], None] = OrderedDict()
        self._reader: RequestContext | None = None

    def availability(
        self, services: Services, search: AvailabilitySearch, pace_ms: int = 0
    ) -> Lane[AvailabilityUpdate]:
        """The channel of a search. Raises BadInput for one that nobody may ask."""
        check_search(search)
        check_pace(pace_ms)
        if search.provider_ids is not None:
            search = replace(search, provider_ids=tuple(sorted(set(search.provider_ids))))
        return self._lane(services, search, pace_ms, lambda reader: AvailabilityKind(reader, search))

    def venue(self, services: Services, search: VenueSearch, pace_ms: int = 0) -> Lane[VenueUpdate]:
        """The channel of some services of a venue. Raises BadInput for what nobody may ask."""
        check_venue_search(search)
        check_pace(pace_ms)
        return self._lane(services, search, pace_ms, lambda reader: VenueKind(reader, search))

    async def session(self, context: RequestContext, session_id: UUID) -> Lane[SessionUpdate]:
        """The channel of a session: of all who may see it, or of one of the staff alone. Raises NotFound."""
        services, viewer = context.services, context.viewer
        known = self._sources.get(session_id)
        is_open = known is not None and known.has_view
        if viewer is None or is_open or not await is_for_staff(context, session_id):
            return self._lane(services, session_id, 0, lambda reader: SessionKind(reader, session_id))
        own = RequestContext(services=services, request_id=context.request_id, viewer=viewer)
        return self._lane(services, (session_id, viewer.user_id), 0, lambda _: SessionKind(own, session_id))

    def audiences(self) -> Iterator[Audience]:
        """Who is looked at, and by how many: of each source one. For presence."""
        for source in tuple(self._running):
            kind, count = source.kind, source.listener_count()
            if not count or not source.has_view:
                continue
            if isinstance(kind, AvailabilityKind):
                yield _audience([source.run.view[0]], count)
            elif isinstance(kind, VenueKind):
                yield _audience([state for state, _ in source.run.view], count)

    def close(self) -> None:
        """The process ends."""
        for source in tuple(self._running):
            source.stop()

    # ── for its sources ──────────────────────────────────────────────────────────────────────────────

    def begins(self, source: LiveSource[Any, Any]) -> None:
        self._running[source] = None
        self._lingering.pop(source, None)

    def wakes(self, source: LiveSource[Any, Any]) -> None:
        self._lingering.pop(source, None)

    def rests(self, source: LiveSource[Any, Any]) -> None:
        self._lingering[source] = None
        if len(self._lingering) > LINGERING_LIMIT:
            next(iter(self._lingering)).stop()

    def ended(self, source: LiveSource[Any, Any]) -> None:
        self._running.pop(source, None)
        self._lingering.pop(source, None)

    # ── making ───────────────────────────────────────────────────────────────────────────────────────

    def _lane(
        self,
        services: Services,
        key: object,
        pace_ms: int,
        make: Callable[[RequestContext], Kind[Any, Any, Any, Any]],
    ) -> Lane[Any]:
        source = self._sources.get(key)
        if source is None:
            if self._reader is None:
                # Nobody's; and one for all, so that sources read few at once and leave the pool to others.
                self._reader = RequestContext(services=services, request_id="live")
            source = LiveSource(make(self._reader), services.feed, services.clock, self)
            self._sources[key] = source
        return source.lane(pace_ms)


def _audience(states: Sequence[AvailabilityState], count: int) -> Audience:
    people = frozenset(plan.provider_id for state in states for plan in state.config.all_plans())
    return Audience(people, states[0].config.window, count)


def check_pace(pace_ms: int) -> None:
    """Raises BadInput."""
    if not 0 <= pace_ms <= LONGEST_PACE_MS:
        raise BadInput.at("coalesceMs", f"must be 0 to {LONGEST_PACE_MS}: how many milliseconds of changes become one")
