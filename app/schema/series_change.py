"""Changing several dates of a series at once."""

from __future__ import annotations

from typing import Annotated

import strawberry

from app.commands.series_change import CancelSeriesRequest, SeriesTarget
from app.commands.series_reschedule import MAXIMUM_SHIFT, RescheduleSeriesRequest
from app.core.ids import IdKind
from app.domain import errors
from app.domain.schedule import DAY_MINUTES, parse_local_time
from app.domain.series import SeriesScope
from app.queries.booking import SeenBooking
from app.resolvers import series as resolvers
from app.schema.booking import Booking
from app.schema.booking_mutation import read_reason
from app.schema.errors import (
    IdempotencyConflict,
    IllegalTransition,
    InvalidInput,
    NotAllowed,
    NotFound,
    RefusedChange,
    SeriesConflict,
    SeriesNotAllowed,
    SlotUnavailable,
    StaleVersion,
)
from app.schema.ids import read_id, read_optional_id
from app.schema.info import Ctx
from app.schema.recurring_date import RecurringDate
from app.schema.scalars import LocalTime
from app.schema.series import BookingSeries


@strawberry.input(description="Which dates of a series are meant.")
class SeriesTargetInput:
    series_id: strawberry.ID
    access_token: str | None = strawberry.field(
        default=None, description="The secret link of the series, or of one of its bookings."
    )
    scope: SeriesScope
    position: int | None = strawberry.field(
        default=None, description="`seriesPosition` of the booking that ONE and THIS_AND_FOLLOWING go by."
    )
    expected_version: int | None = strawberry.field(default=None, description="Of the series.")

    def to_target(self) -> SeriesTarget:
        """Raises BadInput."""
        series_id = read_id(IdKind.SERIES, self.series_id, "input.seriesId")
        return SeriesTarget(series_id, self.scope, self.position, self.expected_version)


@strawberry.input
class CancelRecurringBookingInput(SeriesTargetInput):
    reason: str
    skip_not_allowed: bool = strawberry.field(
        default=False, description="What may not be cancelled any more stays; otherwise nothing is cancelled then."
    )
    at_customers_request: bool = strawberry.field(default=False, description="As for cancelBooking.")
    idempotency_key: str | None = None


@strawberry.input(
    description="Another time of day, so many dates later, somebody else, or several of these. Each date is moved by "
    "its own wall clock."
)
class RescheduleRecurringBookingInput(SeriesTargetInput):
    local_time: LocalTime | None = strawberry.field(default=None, description="None: each keeps its own.")
    shift_days: int = strawberry.field(default=0, description="1: each a date later; -2: two dates earlier.")
    provider_id: strawberry.ID | None = strawberry.field(
        default=None,
        description="Somebody else, who comes to the addresses of these dates. The staff may send them further, with a "
        "reason.",
    )
    reason: str | None = None
    dry_run: bool = strawberry.field(default=False, description="Only tell what would become of each date.")
    idempotency_key: str | None = None

    def to_request(self) -> RescheduleSeriesRequest:
        """Raises BadInput, InvalidInput."""
        minute = None if self.local_time is None else parse_local_time(self.local_time)
        if minute == DAY_MINUTES:
            raise errors.InvalidInput.at("input.localTime", "is the next day; use 00:00 and shiftDays")
        if abs(self.shift_days) > MAXIMUM_SHIFT:
            raise errors.InvalidInput.at("input.shiftDays", f"must be -{MAXIMUM_SHIFT} to {MAXIMUM_SHIFT}")
        if minute is None and self.shift_days == 0 and self.provider_id is None:
            raise errors.InvalidInput.at("input.localTime", "give a time, shiftDays or a provider")
        return RescheduleSeriesRequest(
            target=self.to_target(),
            minute=minute,
            shift_days=self.shift_days,
            provider_id=read_optional_id(IdKind.PROVIDER, self.provider_id, "input.providerId"),
            reason=read_reason(self.reason),
            is_dry_run=self.dry_run,
        )


@strawberry.type
class CancelRecurringBookingPayload:
    series: BookingSeries
    cancelled: list[Booking]
    skipped: list[RefusedChange] = strawberry.field(description="What could not be cancelled any more, and stays.")


@strawberry.type
class RescheduleRecurringBookingPayload:
    series: BookingSeries
    is_dry_run: bool
    dates: list[RecurringDate] = strawberry.field(
        description="Where each booking went, or would go. Not of those that are over, or there already."
    )


CancelRecurringBookingResult = Annotated[
    CancelRecurringBookingPayload
    | SeriesNotAllowed
    | StaleVersion
    | IllegalTransition
    | InvalidInput
    | NotFound
    | NotAllowed
    | IdempotencyConflict,
    strawberry.union("CancelRecurringBookingResult"),
]
RescheduleRecurringBookingResult = Annotated[
    RescheduleRecurringBookingPayload
    | SeriesConflict
    | SeriesNotAllowed
    | SlotUnavailable
    | StaleVersion
    | InvalidInput
    | NotFound
    | NotAllowed
    | IdempotencyConflict,
    strawberry.union("RescheduleRecurringBookingResult"),
]


@strawberry.type
class SeriesChangeMutation:
    @strawberry.mutation(
        description="Cancel one date of a series, that and all after it, or all; each with its money, as cancelBooking."
        " Those that are over are left as they are."
    )
    async def cancel_recurring_booking(
        self, info: Ctx, input: CancelRecurringBookingInput
    ) -> CancelRecurringBookingResult:
        request = CancelSeriesRequest(
            target=input.to_target(),
            reason=read_reason(input.reason),
            skip_not_allowed=input.skip_not_allowed,
            at_customers_request=input.at_customers_request,
        )
        changed = await resolvers.cancel_series(info.context, request, input.access_token, input.idempotency_key)
        ids = set(changed.changed)
        cancelled = [SeenBooking(one, changed.seen.viewer) for one in changed.bookings if one.id in ids]
        return CancelRecurringBookingPayload(
            series=BookingSeries.from_seen(changed.seen),
            cancelled=[Booking.from_seen(one) for one in cancelled],
            skipped=SeriesNotAllowed.shown(changed.left),
        )

    @strawberry.mutation(
        description="Move one date of a series, that and all after it, or all, each as rescheduleBooking: all of them, "
        "or none. With `dryRun` nothing is changed, and each date is told."
    )
    async def reschedule_recurring_booking(
        self, info: Ctx, input: RescheduleRecurringBookingInput
    ) -> RescheduleRecurringBookingResult:
        request = input.to_request()
        moved = await resolvers.reschedule_series(info.context, request, input.access_token, input.idempotency_key)
        return RescheduleRecurringBookingPayload(
            series=BookingSeries.from_seen(moved.series.seen),
            is_dry_run=request.is_dry_run,
            dates=[RecurringDate.from_domain(one, moved.currency) for one in moved.dates],
        )
