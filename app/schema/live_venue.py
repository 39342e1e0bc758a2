"""Free slots of a venue's services, live."""

from __future__ import annotations

from collections.abc import AsyncIterable
from datetime import date, datetime

import strawberry

from app.core.ids import IdKind
from app.domain.instants import zone
from app.domain.live import AvailabilityCause
from app.domain.live_update import AvailabilityUpdate, EventKind
from app.domain.live_venue import VenueSearch, VenueUpdate
from app.resolvers.live_channel import LiveStream
from app.schema.ids import public_id, read_id, read_ids
from app.schema.info import Ctx
from app.schema.live_arguments import CAUSES, CLOSED, OPENED, UPDATED, CoalesceMs, free_starts
from app.schema.scalars import TimeZone
from app.schema.slot import Slot


@strawberry.input(description="Which slots are wanted. Dates are those of `timeZone`, both included, at most 31.")
class VenueAvailabilityInput:
    venue_id: strawberry.ID
    service_ids: list[strawberry.ID] = strawberry.field(
        description="1 to 10 services; those of them that nobody at this venue offers have no slots."
    )
    from_: date = strawberry.field(name="from")
    to: date
    time_zone: TimeZone = strawberry.field(description="The customer's.")
    party_size: int = 1

    def to_search(self) -> VenueSearch:
        """Raises BadInput."""
        return VenueSearch(
            venue_id=read_id(IdKind.VENUE, self.venue_id, "input.venueId"),
            service_ids=tuple(dict.fromkeys(read_ids(IdKind.SERVICE, self.service_ids, "input.serviceIds"))),
            from_date=self.from_,
            to_date=self.to,
            time_zone=zone(self.time_zone),
            party_size=self.party_size,
        )


@strawberry.type
class ServiceAvailabilityChange:
    service_id: strawberry.ID
    opened: list[datetime] = strawberry.field(description=OPENED)
    closed: list[datetime] = strawberry.field(description=CLOSED)
    updated: list[Slot] = strawberry.field(description=UPDATED)
    causes: list[AvailabilityCause] = strawberry.field(description=CAUSES)

    @classmethod
    def from_update(cls, service_id: strawberry.ID, update: AvailabilityUpdate) -> ServiceAvailabilityChange:
        return cls(service_id=service_id, **free_starts(update))


@strawberry.type
class VenueAvailabilityEvent:
    kind: EventKind
    cursor: str
    services: list[ServiceAvailabilityChange] = strawberry.field(
        description="SNAPSHOT and RESYNC: each service that was asked for. CHANGE: those that changed."
    )

    @classmethod
    def from_update(cls, update: VenueUpdate) -> VenueAvailabilityEvent:
        services = [
            ServiceAvailabilityChange.from_update(public_id(IdKind.SERVICE, service_id), part)
            for service_id, part in update.services
        ]
        return cls(kind=update.kind, cursor=update.cursor, services=services)


@strawberry.type
class VenueSubscription:
    @strawberry.subscription(description="Free slots of several services at one venue, as they open and close.")
    async def venue_availability(
        self, info: Ctx, input: VenueAvailabilityInput, after: str | None = None, coalesce_ms: CoalesceMs = 0
    ) -> AsyncIterable[VenueAvailabilityEvent]:
        services = info.context.services
        channel = services.live.venue(services, input.to_search(), coalesce_ms)
        return LiveStream(channel, after, VenueAvailabilityEvent.from_update)
