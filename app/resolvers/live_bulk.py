"""A bulk change, live: how far it is, and what became of each booking, in order, until it is over."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.domain.bulk import BulkStatus
from app.domain.live_codec import Cursor
from app.queries.bulk import get_bulk_change
from app.queries.tenancy import Door
from app.resolvers.bulk import SeenBulkChange, read_bulk_change, see
from app.resolvers.context import RequestContext
from app.resolvers.live_availability import EventKind
from app.resolvers.live_person import Heard, Opening, may_change_rights, personal_stream, read_missed, viewer_keys

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


def watch_bulk_change(context: RequestContext, change_id: UUID, after: str | None) -> AsyncGenerator[BulkUpdate, None]:
    """Ends with the change. Raises BadInput, Unauthenticated, NotFound; NotFound also for one who may not see it any
    more."""
    return personal_stream(context, _BulkSource(context, change_id), after)


@dataclass(frozen=True, slots=True)
class _BulkSource:
    context: RequestContext
    change_id: UUID

    async def keys(self) -> tuple[frozenset[UUID], frozenset[UUID]]:
        self.context.require_viewer()
        return frozenset({self.change_id}), viewer_keys(self.context)

    async def open(self, resume: Cursor | None, kind: EventKind) -> Opening[BulkUpdate]:
        """All of one snapshot: the change, where the log stands for it, and what a returning client missed."""
        context = self.context
        async with context.read(Door.BULK_CHANGE, self.change_id) as (tx, tenancy):
            seen = see(await get_bulk_change(tx, self.change_id, tenancy), tenancy)
            missed = await read_missed(tx, context, {self.change_id}, resume)
        is_over, place = seen.change.status in _OVER, missed.place
        if missed.heard is not None:
            # The end may be committed and have no position yet: then it is still to come.
            return Opening(place, self._updates(missed.heard, seen), is_over=is_over and not missed.waiting)
        snapshot = BulkUpdate(kind, place.cursor(context.now()), "bulk.snapshot", _facts(seen), seen)
        return Opening(place, [snapshot], is_over=is_over)

    async def tell(self, heard: Sequence[Heard]) -> tuple[Sequence[BulkUpdate], bool]:
        own = [one for one in heard if one.event.subject_id == self.change_id]
        if not own and not any(may_change_rights(one.event) for one in heard):
            return (), False
        seen = await read_bulk_change(self.context, self.change_id)
        return self._updates(own, seen), any(one.event.type in ENDINGS for one in own)

    @staticmethod
    def _updates(heard: Iterable[Heard], seen: SeenBulkChange) -> list[BulkUpdate]:
        return [BulkUpdate(EventKind.CHANGE, one.cursor, one.event.type, one.event.payload, seen) for one in heard]


def _facts(seen: SeenBulkChange) -> dict[str, Any]:
    change = seen.change
    return {
        "total": change.item_count,
        "done": change.done_count,
        "skipped": change.skipped_count,
        "refused": change.refused_count,
    }
