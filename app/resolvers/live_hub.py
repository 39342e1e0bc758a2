"""The live sources of a process: equal questions share one."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID
from weakref import WeakValueDictionary

from app.domain.errors import BadInput
from app.domain.live_update import AvailabilityUpdate
from app.domain.live_venue import VenueSearch, VenueUpdate, check_venue_search
from app.domain.presence import Look, look_of_days, look_of_search
from app.domain.search import AvailabilitySearch, check_search
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


class LiveHub:
    """One for each process, in its `Services`."""

    def __init__(self) -> None:
        self._sources: WeakValueDictionary[object, LiveSource[Any, Any]] = WeakValueDictionary()
        self._running: dict[LiveSource[Any, Any], None] = {}
        self._lingering: OrderedDict[LiveSource[Any, Any], None] = OrderedDict()
        self._reader: RequestContext | None = None
        self.on_begin: Callable[[], None] = _nothing
        """Called when somebody begins to look at something."""

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

    def reader(self, services: Services) -> RequestContext:
        """Nobody's; and one for all that is live, so that few of it read at once and leave the pool to others."""
        if self._reader is None:
            self._reader = RequestContext(services=services, request_id="live")
        return self._reader

    def looks(self) -> Iterator[tuple[Look, int]]:
        """What is looked at, and by how many: of each source one or more. For presence."""
        for source in tuple(self._running):
            count = source.listener_count()
            if count:
                yield from ((look, count) for look in _looks_of(source.kind))

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

    def gains(self) -> None:
        self.on_begin()

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
            source = LiveSource(make(self.reader(services)), services.feed, services.clock, self)
            self._sources[key] = source
        return source.lane(pace_ms)


def _looks_of(kind: Kind[Any, Any, Any, Any]) -> Iterator[Look]:
    if isinstance(kind, AvailabilityKind):
        look = look_of_search(kind.search)
        if look is not None:
            yield look
    elif isinstance(kind, VenueKind):
        look = look_of_days(kind.search.service_ids, kind.search.from_date, kind.search.to_date)
        if look is not None:
            yield look


def check_pace(pace_ms: int) -> None:
    """Raises BadInput."""
    if not 0 <= pace_ms <= LONGEST_PACE_MS:
        raise BadInput.at("coalesceMs", f"must be 0 to {LONGEST_PACE_MS}: how many milliseconds of changes become one")


def _nothing() -> None:
    """Nobody wants to know."""
