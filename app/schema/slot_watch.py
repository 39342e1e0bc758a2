"""One slot, watched by whoever thinks of booking it."""

from __future__ import annotations

from collections.abc import AsyncIterable
from datetime import datetime

import strawberry

from app.core.ids import IdKind
from app.domain.errors import BadInput, FieldErrors
from app.domain.live import AvailabilityCause
from app.domain.slot_watch import SlotStatus
from app.resolvers.live_availability import EventKind
from app.resolvers.live_channel import LiveStream
from app.resolvers.live_slot import SlotRequest
from app.resolvers.live_slot_session import PlacesWanted
from app.resolvers.slot_fold import SlotUpdate
from app.resolvers.slot_watch import Wanted, slot_channel
from app.schema.availability import VisitItemInput, read_items
from app.schema.ids import read_id, read_ids
from app.schema.info import Ctx
from app.schema.slot import Slot

strawberry.enum(
    SlotStatus,
    description="FREE: it can be held now. YOURS: the hold that you named has it, or its booking. HELD: somebody is "
    "checking out, and it may come free again. TAKEN: booked. PASSED: too soon for the notice by now, or begun. "
    "CLOSED: for any other reason (hours, time off, limits, resources, nobody does it, too far ahead).",
)


@strawberry.input(
    description="An appointment: a service and a start, of anyone or of some providers. A visit: items and a start. Or "
    "places: a session."
)
class SlotWatchInput:
    service_id: strawberry.ID | None = None
    items: list[VisitItemInput] | None = strawberry.field(
        default=None, description="Several services in one visit, in this order, without a pause; at most 5."
    )
    provider_ids: list[strawberry.ID] | None = strawberry.field(
        default=None, description="None: anyone who offers the service. Of a visit: who may do items that name nobody."
    )
    session_id: strawberry.ID | None = strawberry.field(
        default=None, description="Places of a session, `partySize` of them; then nothing else is named."
    )
    starts_at: datetime | None = None
    duration_minutes: int | None = None
    party_size: int = 1

    def to_wanted(self) -> Wanted:
        """Raises BadInput."""
        if self.session_id is not None:
            return self._to_places(self.session_id)
        errors = FieldErrors()
        items = read_items(self.items)
        if (self.service_id is None) is (not items):
            errors.add("input.serviceId", "is needed, or items, or a sessionId: one of the three")
        if items and self.duration_minutes is not None:
            errors.add("input.durationMinutes", "is given with each of the items")
        if self.starts_at is None:
            errors.add("input.startsAt", "is needed")
        if errors.found or self.starts_at is None:
            raise BadInput(errors.found)
        provider_ids = None
        if self.provider_ids is not None:
            provider_ids = tuple(sorted(read_ids(IdKind.PROVIDER, self.provider_ids, "input.providerIds")))
        return SlotRequest(
            service_id=items[0].service_id
            if items
            else read_id(IdKind.SERVICE, self.service_id or "", "input.serviceId"),
            provider_ids=provider_ids,
            starts_at=self.starts_at,
            duration_minutes=self.duration_minutes,
            party_size=self.party_size,
            items=items,
        )

    def _to_places(self, session_id: strawberry.ID) -> PlacesWanted:
        errors = FieldErrors()
        for path, value in (
            ("serviceId", self.service_id),
            ("items", self.items),
            ("providerIds", self.provider_ids),
            ("startsAt", self.starts_at),
            ("durationMinutes", self.duration_minutes),
        ):
            if value is not None:
                errors.add(f"input.{path}", "follows from sessionId; leave it out")
        if errors.found:
            raise BadInput(errors.found)
        return PlacesWanted(read_id(IdKind.SESSION, session_id, "input.sessionId"), self.party_size)


@strawberry.type(description="All there is to see of one slot. Each event replaces the one before.")
class SlotWatchEvent:
    kind: EventKind
    cursor: str
    status: SlotStatus
    cause: AvailabilityCause | None = strawberry.field(
        description="Of a CHANGE: why. RELEASED and TIME come by themselves."
    )
    slot: Slot | None = strawberry.field(
        description="Where it is FREE or YOURS: the cheapest that starts then, with its price and who does it."
    )
    alternatives: list[Slot] = strawberry.field(
        description="Where it cannot be had, at most 5: others at the same time, then the nearest starts of the same "
        "people, then of anyone, three days around it. Of a session: the nearest others with room."
    )

    @classmethod
    def from_update(cls, update: SlotUpdate) -> SlotWatchEvent:
        look, currency = update.look, update.currency
        return cls(
            kind=update.kind,
            cursor=update.cursor,
            status=look.status,
            cause=update.cause,
            slot=None if look.slot is None else Slot.from_domain(look.slot, currency),
            alternatives=[Slot.from_domain(slot, currency) for slot in look.alternatives],
        )


@strawberry.type
class SlotWatchSubscription:
    @strawberry.subscription(
        description="A slot that somebody is looking at: told at once when it is held or taken by another, comes free "
        "again, costs something else or can be booked no more, with alternatives. `holdToken`: of your own hold, which "
        "is then no conflict."
    )
    async def slot_watch(
        self, info: Ctx, input: SlotWatchInput, hold_token: str | None = None, after: str | None = None
    ) -> AsyncIterable[SlotWatchEvent]:
        channel = await slot_channel(info.context, input.to_wanted(), hold_token)
        return LiveStream(channel, after, SlotWatchEvent.from_update)
