"""What concerns a person, live, in all organizations: as a customer, as a provider, and as a member."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from app.domain.live_codec import Cursor
from app.queries.booking import SeenBooking
from app.queries.event import Event, events_told, keys_of_person, log_state
from app.queries.notification import FoundThings, find_things
from app.queries.series import SeenSeries
from app.queries.tenancy import Door
from app.queries.waitlist import SeenEntry
from app.resolvers.context import RequestContext
from app.resolvers.live_availability import REPLAY_LIMIT, EventKind
from app.resolvers.live_person import (
    Heard,
    KeysChanged,
    Opening,
    may_change_rights,
    personal_stream,
    place_of_snapshot,
    replayed,
    resumable,
)
from app.resolvers.waitlist import show_entries

_OF_PROVIDERS = "provider."
"""Whom they act as: what is told of that is told by what follows."""


class NotificationRole(StrEnum):
    CUSTOMER = "customer"
    PROVIDER = "provider"
    MEMBER = "member"


@dataclass(frozen=True, slots=True)
class NotificationUpdate:
    """`type` names the event; of a snapshot: `notifications.snapshot`, which has nothing else.

    At most one of the things is there: none of a booking that the person may not see any more.
    """

    kind: EventKind
    cursor: str
    type: str
    at: datetime
    role: NotificationRole | None = None
    organization_id: UUID | None = None
    booking_id: UUID | None = None
    booking: SeenBooking | None = None
    entry: SeenEntry | None = None
    series: SeenSeries | None = None


def watch_notifications(context: RequestContext, after: str | None) -> AsyncGenerator[NotificationUpdate, None]:
    """For whoever is signed in. Raises BadInput, Unauthenticated."""
    return personal_stream(context, _NotificationSource(context), after)


@dataclass(slots=True)
class _NotificationSource:
    """`told`: the person's account, and the providers that they act as."""

    context: RequestContext
    told: frozenset[UUID] = field(default_factory=frozenset)

    async def keys(self) -> tuple[frozenset[UUID], frozenset[UUID]]:
        self.told = await self._keys()
        return frozenset(), self.told

    async def open(self, resume: Cursor | None, kind: EventKind) -> Opening[NotificationUpdate]:
        """Where the log stands: what is committed and has no position yet is told after it."""
        context = self.context
        async with context.read_bound(None) as tx:
            log = await log_state(tx)
            resume = resumable(log, resume, context)
            missed = (
                await events_told(tx, self.told, resume.position, limit=REPLAY_LIMIT + 1) if resume is not None else []
            )
        again = None if resume is None else replayed(resume, missed, context)
        if again is not None:
            place, heard = again
            return Opening(place, await self._updates(heard))
        place, now = place_of_snapshot(log, ()), context.now()
        return Opening(place, [NotificationUpdate(kind, place.cursor(now), "notifications.snapshot", now)])

    async def tell(self, heard: Sequence[Heard]) -> tuple[Sequence[NotificationUpdate], bool]:
        change = next((one.event for one in heard if may_change_rights(one.event)), None)
        if change is not None and await self._keys() != self.told:
            raise KeysChanged(change)
        return await self._updates(heard), False

    async def _keys(self) -> frozenset[UUID]:
        self.context.require_viewer()
        async with self.context.read_bound(None) as tx:
            return await keys_of_person(tx)

    async def _updates(self, heard: Sequence[Heard]) -> list[NotificationUpdate]:
        """In their order. At most eight statements for each organization."""
        wanted: dict[UUID, list[Event]] = defaultdict(list)
        for one in heard:
            wanted[one.event.organization_id].append(one.event)
        found = {id_: await self._read(id_, events) for id_, events in wanted.items()}
        return [
            self._update(one, found[one.event.organization_id])
            for one in heard
            if not one.event.type.startswith(_OF_PROVIDERS)
        ]

    async def _read(self, organization_id: UUID, events: Sequence[Event]) -> FoundThings:
        context, viewer = self.context, self.context.require_viewer()
        async with context.read(Door.ORGANIZATION, organization_id) as (tx, tenancy):
            found = await find_things(tx, tenancy, viewer.user_id, events)
            entries = await show_entries(context, tx, tenancy, found.entries) if found.entries else []
        found.seen_entries.update({one.record.id: one for one in entries})
        return found

    def _update(self, one: Heard, found: FoundThings) -> NotificationUpdate:
        event, subject = one.event, one.event.subject_id
        noun = event.type.partition(".")[0]
        booking = found.bookings.get(subject)
        return NotificationUpdate(
            EventKind.CHANGE,
            one.cursor,
            event.type,
            event.occurred_at,
            role=self._role(event),
            organization_id=event.organization_id,
            booking_id=subject if noun in {"booking", "payment", "refund", "fee"} else None,
            booking=booking,
            entry=found.seen_entries.get(subject),
            series=found.series.get(subject),
        )

    def _role(self, event: Event) -> NotificationRole:
        """By what the audience says: it names the account of a customer or a member, and the provider of a booking."""
        if self.context.user_id not in event.audience:
            return NotificationRole.PROVIDER
        return NotificationRole.MEMBER if may_change_rights(event) else NotificationRole.CUSTOMER
