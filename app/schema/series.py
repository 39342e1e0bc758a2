"""Series of bookings as clients see them, and the plan of one."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import strawberry

from app.commands.series_plan import SeriesPlan, SeriesRequest
from app.core.ids import IdKind
from app.domain import errors
from app.domain.booking import BookingStatus
from app.domain.errors import FieldErrors
from app.domain.recurrence import (
    MAXIMUM_DATES,
    MAXIMUM_EXCEPTIONS,
    Frequency,
    NthDay,
    RecurrenceRule,
    check_rule,
    parse_rule,
)
from app.domain.search import MAXIMUM_PARTY
from app.queries.pagination import page_request
from app.queries.series import SeenSeries
from app.resolvers import series as resolvers
from app.resolvers.series_list import SeriesList
from app.schema.activity import Activity
from app.schema.connection import Connection, connection
from app.schema.customer import Customer
from app.schema.hours import Weekday
from app.schema.ids import public_id, read_id, read_optional_id
from app.schema.info import Ctx
from app.schema.node import Money, Node
from app.schema.provider import Provider
from app.schema.recurring_date import RecurringDate
from app.schema.scalars import TimeZone
from app.schema.service import Service

if TYPE_CHECKING:
    from app.schema.booking import Booking


@strawberry.enum(description="How often a pattern repeats. BIWEEKLY: every second week.")
class RecurrenceFrequency(StrEnum):
    DAILY = "daily"
    WEEKLY = "weekly"
    BIWEEKLY = "biweekly"
    MONTHLY = "monthly"


@strawberry.input(description="A rule in plain words. It ends by `count` or `until`: one of the two.")
class RecurrencePatternInput:
    frequency: RecurrenceFrequency
    every: int = strawberry.field(default=1, description="2: every second day, week, fortnight or month.")
    count: int | None = strawberry.field(
        default=None, description=f"How many dates, the excepted ones included; at most {MAXIMUM_DATES}."
    )
    until: date | None = strawberry.field(default=None, description="The last date that may be one, by the wall clock.")
    weekdays: list[Weekday] = strawberry.field(
        default_factory=list, description="On which days; none: that of the first start. Not by the month."
    )

    def to_rule(self, path: str) -> RecurrenceRule:
        """Raises InvalidInput."""
        if self.frequency is RecurrenceFrequency.MONTHLY and self.weekdays:
            raise errors.InvalidInput.at(
                f"{path}.weekdays", "are not for a monthly pattern; an rrule can say BYDAY=1MO"
            )
        is_biweekly = self.frequency is RecurrenceFrequency.BIWEEKLY
        rule = RecurrenceRule(
            frequency=Frequency.WEEKLY if is_biweekly else Frequency(self.frequency.name),
            every=self.every * (2 if is_biweekly else 1),
            count=self.count,
            until=self.until,
            days=tuple(NthDay(one.value) for one in dict.fromkeys(self.weekdays)),
        )
        try:
            check_rule(rule)
        except ValueError as wrong:
            raise errors.InvalidInput.at(path, str(wrong)) from None
        return rule


@strawberry.input(
    description="How a booking repeats: an RFC 5545 rule or a pattern, one of the two. Each date has the wall-clock "
    "time of the first start. A time that clocks skip on a day cannot be had on it; of one that comes twice it is the "
    "first. Months without the day are passed over."
)
class RecurrenceInput:
    rrule: str | None = strawberry.field(
        default=None,
        description="Such as FREQ=WEEKLY;BYDAY=MO,TH;COUNT=20. FREQ: DAILY, WEEKLY or MONTHLY, with INTERVAL, COUNT or "
        "UNTIL, BYDAY, BYMONTHDAY, BYMONTH, BYSETPOS and WKST.",
    )
    pattern: RecurrencePatternInput | None = None
    except_dates: list[date] = strawberry.field(
        default_factory=list, description="Dates of the wall clock that are left out."
    )

    def to_rule(self, path: str = "input.recurrence") -> RecurrenceRule:
        """Raises InvalidInput."""
        if (self.rrule is None) is (self.pattern is None):
            raise errors.InvalidInput.at(path, "give an rrule or a pattern: one of the two")
        if len(self.except_dates) > MAXIMUM_EXCEPTIONS:
            raise errors.InvalidInput.at(f"{path}.exceptDates", f"may be at most {MAXIMUM_EXCEPTIONS}")
        if self.pattern is not None:
            return self.pattern.to_rule(f"{path}.pattern")
        try:
            return parse_rule(self.rrule or "")
        except ValueError as wrong:
            raise errors.InvalidInput.at(f"{path}.rrule", str(wrong)) from None


@strawberry.input(description="A series of a service, or of places in an activity's sessions.")
class PlanRecurringBookingInput:
    recurrence: RecurrenceInput
    starts_at: datetime = strawberry.field(description="The first start: one of the rule's dates.")
    service_id: strawberry.ID | None = None
    provider_id: strawberry.ID | None = strawberry.field(
        default=None, description="None: anyone, and whoever has more of the series before others."
    )
    duration_minutes: int | None = None
    activity_id: strawberry.ID | None = strawberry.field(
        default=None, description="Places of the session that begins at that time of each date."
    )
    party_size: int = 1

    def to_request(self) -> SeriesRequest:
        """Raises BadInput, InvalidInput."""
        return read_request(self)


def read_request(given: PlanRecurringBookingInput) -> SeriesRequest:
    """Raises BadInput, InvalidInput."""
    faults = FieldErrors()
    if (given.service_id is None) is (given.activity_id is None):
        faults.add("input.serviceId", "is needed, or activityId: one of the two")
    if given.activity_id is not None and given.provider_id is not None:
        faults.add("input.providerId", "is for a service; a session has its own people")
    if given.activity_id is not None and given.duration_minutes is not None:
        faults.add("input.durationMinutes", "is for a service; a session has its own length")
    if given.duration_minutes is not None and given.duration_minutes < 1:
        faults.add("input.durationMinutes", "must be at least 1")
    if not 1 <= given.party_size <= MAXIMUM_PARTY:
        faults.add("input.partySize", f"must be 1 to {MAXIMUM_PARTY}")
    faults.raise_any()
    return SeriesRequest(
        rule=given.recurrence.to_rule(),
        except_dates=tuple(given.recurrence.except_dates),
        starts_at=given.starts_at,
        party_size=given.party_size,
        service_id=read_optional_id(IdKind.SERVICE, given.service_id, "input.serviceId"),
        activity_id=read_optional_id(IdKind.ACTIVITY, given.activity_id, "input.activityId"),
        provider_id=read_optional_id(IdKind.PROVIDER, given.provider_id, "input.providerId"),
        duration_minutes=given.duration_minutes,
    )


@strawberry.type(description="What a series would be now: nothing is held.")
class RecurringBookingPlan:
    time_zone: TimeZone = strawberry.field(description="Whose wall clock rules.")
    rule: str = strawberry.field(description="As RFC 5545 writes it.")
    dates: list[RecurringDate]
    free_count: int
    total: Money = strawberry.field(description="Of the free dates: `expectedTotalMinor`, when these are booked.")

    @classmethod
    def from_plan(cls, plan: SeriesPlan, rule: str) -> RecurringBookingPlan:
        return cls(
            time_zone=TimeZone(plan.time_zone),
            rule=rule,
            dates=[RecurringDate.from_domain(one.verdict, plan.currency) for one in plan.dates],
            free_count=len(plan.dates) - len(plan.refused),
            total=Money.of(plan.total_minor, plan.currency),
        )


@strawberry.type(description="How many bookings of a series are in one state.")
class SeriesStatusCount:
    status: BookingStatus
    count: int


@strawberry.type(
    description="A recurring booking: what it was made by, and its dates, which are bookings of their own. Times, "
    "people and states are those of the bookings; each may have changed since."
)
class BookingSeries(Node):
    version: int = strawberry.field(description="Rises with each change of several of its bookings at once.")
    rule: str = strawberry.field(description="As RFC 5545 writes it.")
    except_dates: list[date]
    starts_at: datetime = strawberry.field(description="The first start that was asked for.")
    time_zone: TimeZone = strawberry.field(description="Whose wall clock ruled.")
    party_size: int
    created_at: datetime
    seen: strawberry.Private[SeenSeries]

    @strawberry.field(description="By their place in it, at most 104. A provider sees those of their own.")
    async def bookings(self, info: Ctx) -> list[Annotated[Booking, strawberry.lazy("app.schema.booking")]]:
        from app.schema.booking import Booking  # noqa: PLC0415 (each names the other)

        return [Booking.from_seen(one) for one in await resolvers.bookings_of(info.context, self.seen)]

    @strawberry.field(description="In the order of the states; none of those that no booking is in.")
    async def counts(self, info: Ctx) -> list[SeriesStatusCount]:
        found = await resolvers.bookings_of(info.context, self.seen)
        counts = Counter(BookingStatus(one.booking.status) for one in found)
        return [SeriesStatusCount(status=one, count=counts[one]) for one in BookingStatus if counts[one]]

    @strawberry.field(description="Of sessions: none.")
    async def service(self, info: Ctx) -> Service | None:
        record = self.seen.series
        if record.service_id is None:
            return None
        key = (record.organization_id, record.service_id)
        return Service.from_model(await info.context.loaders.service_by_id.load(key))

    @strawberry.field(description="Whose sessions these are; of appointments: none.")
    async def activity(self, info: Ctx) -> Activity | None:
        record = self.seen.series
        if record.activity_id is None:
            return None
        key = (record.organization_id, record.activity_id)
        return Activity.from_model(await info.context.loaders.activity_by_id.load(key))

    @strawberry.field(description="Who was asked for; none: anyone.")
    async def provider(self, info: Ctx) -> Provider | None:
        record = self.seen.series
        if record.provider_id is None:
            return None
        key = (record.organization_id, record.provider_id)
        return Provider.from_model(await info.context.loaders.provider_by_id.load(key))

    @strawberry.field
    async def customer(self, info: Ctx) -> Customer:
        key = (self.seen.series.organization_id, self.seen.series.customer_id)
        return Customer.from_model(await info.context.loaders.customer_by_id.load(key))

    @classmethod
    def from_seen(cls, seen: SeenSeries) -> BookingSeries:
        record = seen.series
        return cls(
            id=public_id(IdKind.SERIES, record.id),
            version=record.version,
            rule=record.rule,
            except_dates=list(record.except_dates),
            starts_at=record.starts_at,
            time_zone=TimeZone(record.time_zone),
            party_size=record.party_size,
            created_at=record.created_at,
            seen=seen,
        )


@strawberry.type
class SeriesQuery:
    @strawberry.field(
        description="What each date of a recurring booking would be: free or why not, who gives it, its price, and "
        "alternatives. Changes nothing."
    )
    async def plan_recurring_booking(self, info: Ctx, input: PlanRecurringBookingInput) -> RecurringBookingPlan:
        request = input.to_request()
        return RecurringBookingPlan.from_plan(await resolvers.read_plan(info.context, request), request.rule.text())

    @strawberry.field(
        description="One series, for those who may see it: its people, or whoever has its secret link, or (with the "
        "id) that of one of its bookings."
    )
    async def booking_series(
        self, info: Ctx, id: strawberry.ID | None = None, access_token: str | None = None
    ) -> BookingSeries | None:
        series_id = read_optional_id(IdKind.SERIES, id, "id")
        return BookingSeries.from_seen(await resolvers.read_series(info.context, series_id, access_token))

    @strawberry.field(
        description="Series of an organization, newest first: all for its staff, for a provider those in which they "
        "have dates, for an account its own."
    )
    async def recurring_bookings(
        self,
        info: Ctx,
        *,
        organization_id: strawberry.ID,
        first: int | None = None,
        after: str | None = None,
        last: int | None = None,
        before: str | None = None,
    ) -> Connection[BookingSeries]:
        found = SeriesList(info.context, read_id(IdKind.ORGANIZATION, organization_id, "organizationId"))
        page = await found.page(page_request(first, after, last, before))
        return connection(page, BookingSeries.from_seen, found.count)
