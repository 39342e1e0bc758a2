"""Free slots: the query's types. The live twin is in `live.py`."""

from __future__ import annotations

from datetime import date, datetime

import strawberry
from strawberry.types import Info

from app.core.ids import IdKind
from app.domain import slots as engine
from app.domain.errors import BadInput
from app.domain.instants import zone
from app.domain.search import AvailabilitySearch
from app.queries.availability_search import FoundAvailability
from app.resolvers.availability import get_availability
from app.resolvers.context import RequestContext
from app.schema.ids import read_id, read_ids
from app.schema.scalars import TimeZone
from app.schema.slot import Slot


@strawberry.input(description="One service of a visit of several.")
class VisitItemInput:
    service_id: strawberry.ID
    provider_id: strawberry.ID | None = None
    duration_minutes: int | None = None


@strawberry.input(description="Which slots are wanted. Dates are those of `timeZone`, both included, at most 62.")
class AvailabilityInput:
    service_id: strawberry.ID | None = None
    items: list[VisitItemInput] | None = strawberry.field(
        default=None, description="Several services in one visit. Not offered yet: ask for one service."
    )
    provider_ids: list[strawberry.ID] | None = strawberry.field(
        default=None, description="None: anyone who offers the service."
    )
    from_: date = strawberry.field(name="from")
    to: date
    time_zone: TimeZone = strawberry.field(description="The customer's.")
    duration_minutes: int | None = None
    party_size: int = 1

    def to_search(self) -> AvailabilitySearch:
        """Raises BadInput."""
        if self.items is not None:
            raise BadInput.at("input.items", "visits of several services are not available yet: give a serviceId")
        if self.service_id is None:
            raise BadInput.at("input.serviceId", "is needed")
        provider_ids = None
        if self.provider_ids is not None:
            provider_ids = read_ids(IdKind.PROVIDER, self.provider_ids, "input.providerIds")
        return AvailabilitySearch(
            service_id=read_id(IdKind.SERVICE, self.service_id, "input.serviceId"),
            provider_ids=provider_ids,
            from_date=self.from_,
            to_date=self.to,
            time_zone=zone(self.time_zone),
            duration_minutes=self.duration_minutes,
            party_size=self.party_size,
        )


@strawberry.type
class AvailabilityDay:
    date: date
    starts: list[datetime] = strawberry.field(description="The same slots as bare instants, cheap to fetch.")
    found: strawberry.Private[list[engine.Slot]]
    currency: strawberry.Private[str]

    @strawberry.field
    def slots(self) -> list[Slot]:
        return [Slot.from_domain(slot, self.currency) for slot in self.found]


@strawberry.type
class Availability:
    time_zone: TimeZone
    days: list[AvailabilityDay] = strawberry.field(description="One for each date asked for, empty ones included.")
    next_available: Slot | None = strawberry.field(
        description="The first free slot on or after `from`, within the booking horizon."
    )
    cursor: str = strawberry.field(description="Where a subscription takes over without a gap.")

    @classmethod
    def from_domain(cls, found: FoundAvailability, time_zone: str) -> Availability:
        currency = found.plan.currency
        following = found.next_available
        return cls(
            time_zone=TimeZone(time_zone),
            days=[
                AvailabilityDay(
                    date=day,
                    starts=list(dict.fromkeys(slot.starts_at for slot in slots)),
                    found=slots,
                    currency=currency,
                )
                for day, slots in found.days
            ],
            next_available=None if following is None else Slot.from_domain(following, currency),
            cursor=found.cursor.carried(),
        )


@strawberry.type
class AvailabilityQuery:
    @strawberry.field(description="Free slots of a service, day by day in the customer's time zone.")
    async def availability(self, info: Info[RequestContext, None], input: AvailabilityInput) -> Availability:
        search = input.to_search()
        return Availability.from_domain(await get_availability(info.context, search), search.time_zone.key)
