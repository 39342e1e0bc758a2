"""Free slots: the query's types. The live twin is in `live.py`."""

from __future__ import annotations

from datetime import date, datetime

import strawberry
from strawberry.types import Info

from app.core.ids import IdKind
from app.domain.errors import BadInput
from app.domain.free_times import FreeTimes, dates_between
from app.domain.instants import zone
from app.domain.search import MAXIMUM_ITEMS, AvailabilitySearch, VisitItem
from app.resolvers.availability import Found, get_availability, get_next_available
from app.resolvers.context import RequestContext
from app.schema.ids import read_id, read_ids, read_optional_id
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
        default=None, description="Several services in one visit, in this order, without a pause; at most 5."
    )
    provider_ids: list[strawberry.ID] | None = strawberry.field(
        default=None, description="At most 200. None: anyone who offers the service; of more than 200, the first by id."
    )
    from_: date = strawberry.field(name="from")
    to: date
    time_zone: TimeZone = strawberry.field(description="The customer's.")
    duration_minutes: int | None = None
    party_size: int = 1

    def to_search(self) -> AvailabilitySearch:
        """Raises BadInput."""
        items = read_items(self.items)
        if (self.service_id is None) is (not items):
            raise BadInput.at("input.serviceId", "is needed, or items: one of the two")
        if items and self.duration_minutes is not None:
            raise BadInput.at("input.durationMinutes", "is given with each of the items")
        provider_ids = None
        if self.provider_ids is not None:
            provider_ids = read_ids(IdKind.PROVIDER, self.provider_ids, "input.providerIds")
        return AvailabilitySearch(
            service_id=items[0].service_id
            if items
            else read_id(IdKind.SERVICE, self.service_id or "", "input.serviceId"),
            provider_ids=provider_ids,
            from_date=self.from_,
            to_date=self.to,
            time_zone=zone(self.time_zone),
            duration_minutes=self.duration_minutes,
            party_size=self.party_size,
            items=items,
        )


def read_items(items: list[VisitItemInput] | None, path: str = "input.items") -> tuple[VisitItem, ...]:
    """The services of a visit; none given: empty. Raises BadInput with the place of each wrong id."""
    if items is None:
        return ()
    if not items:
        raise BadInput.at(path, "must name at least one service; leave it out for a single serviceId")
    return tuple(
        VisitItem(
            service_id=read_id(IdKind.SERVICE, item.service_id, f"{path}.{index}.serviceId"),
            provider_id=read_optional_id(IdKind.PROVIDER, item.provider_id, f"{path}.{index}.providerId"),
            duration_minutes=item.duration_minutes,
        )
        for index, item in enumerate(items[: MAXIMUM_ITEMS + 1])
    )


@strawberry.type
class AvailabilityDay:
    date: date
    times: strawberry.Private[FreeTimes]
    currency: strawberry.Private[str]

    @strawberry.field(description="Is there any slot? Cheap: for a month's view, ask for this alone.")
    def has_slots(self) -> bool:
        return self.times.has_slots(self.date)

    @strawberry.field(description="The same slots as bare instants, cheap to fetch.")
    def starts(self) -> list[datetime]:
        return self.times.starts(self.date)

    @strawberry.field
    def slots(self) -> list[Slot]:
        return [Slot.from_domain(slot, self.currency) for slot in self.times.slots(self.date)]


@strawberry.type
class Availability:
    time_zone: TimeZone
    found: strawberry.Private[Found]

    @strawberry.field(description="One for each date asked for, empty ones included.")
    def days(self) -> list[AvailabilityDay]:
        search, times, currency = self.found.search, self.found.times, self.found.plan.currency
        return [
            AvailabilityDay(date=day, times=times, currency=currency)
            for day in dates_between(search.from_date, search.to_date)
        ]

    @strawberry.field(description="The first free slot on or after `from`, within the booking horizon.")
    async def next_available(self, info: Info[RequestContext, None]) -> Slot | None:
        slot = await get_next_available(info.context, self.found)
        return None if slot is None else Slot.from_domain(slot, self.found.plan.currency)

    @strawberry.field(description="Where a subscription takes over without a gap.")
    def cursor(self) -> str:
        return self.found.cursor.carried()


@strawberry.type
class AvailabilityQuery:
    @strawberry.field(description="Free slots of a service, day by day in the customer's time zone.")
    async def availability(self, info: Info[RequestContext, None], input: AvailabilityInput) -> Availability:
        search = input.to_search()
        found = await get_availability(info.context, search)
        return Availability(time_zone=TimeZone(search.time_zone.key), found=found)
