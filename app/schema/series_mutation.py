"""Making and changing series of bookings."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import strawberry

from app.commands.booking_insert import CustomerDetails
from app.commands.series import CreateSeriesRequest
from app.commands.series_plan import ChosenDate
from app.core.ids import IdKind
from app.domain import errors
from app.domain.booking import PaymentMethod
from app.domain.errors import FieldErrors
from app.domain.recurrence import MAXIMUM_DATES
from app.resolvers import series as resolvers
from app.schema.booking_mutation import CustomerInput, clean_notes, read_served
from app.schema.errors import (
    IdempotencyConflict,
    InvalidInput,
    NotAllowed,
    NotFound,
    PriceChanged,
    RateLimited,
    SeriesConflict,
)
from app.schema.ids import read_optional_id
from app.schema.info import Ctx
from app.schema.participant import ParticipantInput, read_participants
from app.schema.payment import PaymentSession
from app.schema.scalars import Minor
from app.schema.series import BookingSeries, PlanRecurringBookingInput
from app.schema.served import AddressInput, RecipientInput


@strawberry.input(description="One date of the plan that is wanted.")
class RecurringDateInput:
    index: int = strawberry.field(description="As in the plan.")
    starts_at: datetime | None = strawberry.field(
        default=None, description="Another start in its place, such as one of its alternatives. None: as planned."
    )
    provider_id: strawberry.ID | None = strawberry.field(
        default=None, description="Somebody else for this date. None: as for the series."
    )


@strawberry.input
class CreateRecurringBookingInput(PlanRecurringBookingInput):
    customer: CustomerInput | None = strawberry.field(
        default=None, description="May be left out by one who is signed in as a customer."
    )
    dates: list[RecurringDateInput] | None = strawberry.field(
        default=None, description="Which dates of the plan, each maybe elsewhere. None: all of them."
    )
    expected_total_minor: Minor = strawberry.field(
        description="What these dates cost in the plan, in minor units; where it is not so any more, nothing is booked."
    )
    payment_method: PaymentMethod = strawberry.field(
        description="PAY_NOW: all dates wait for the payment of the first, until the deadline of a booking."
    )
    saves_method: bool = strawberry.field(
        default=False,
        description="Of PAY_NOW: the customer agrees that what the first date is paid with is kept, and that each "
        "other date is charged to it once the first is paid. Otherwise, and where the processor keeps nothing, each is "
        "paid by itself, with retryPayment.",
    )
    notes: str | None = strawberry.field(default=None, description="Of every booking.")
    participants: list[ParticipantInput] | None = strawberry.field(
        default=None, description="Who comes on every date, as far as it is known: at most the party size."
    )
    recipient: RecipientInput | None = strawberry.field(
        default=None, description="Whoever is served on every date, if not the customer."
    )
    address: AddressInput | None = strawberry.field(
        default=None,
        description="Of every date, for a service that comes to the customer, which needs one; for others there is "
        "none.",
    )
    outside_area_reason: str | None = strawberry.field(
        default=None, description="Why the staff book outside the area that a provider comes to. For the audit."
    )
    guest_session_token: str | None = strawberry.field(
        default=None, description="Of startGuestSession: it then knows the bookings, and what the customer gave."
    )
    idempotency_key: str | None = None

    def to_create(self) -> tuple[CreateSeriesRequest, CustomerDetails | None]:
        """Raises BadInput; InvalidInput with everything that is wrong."""
        series = self.to_request()
        if self.dates is not None and not 1 <= len(self.dates) <= MAXIMUM_DATES:
            raise errors.InvalidInput.at("input.dates", f"may be 1 to {MAXIMUM_DATES}; leave them out for all")
        chosen = None
        if self.dates is not None:
            chosen = tuple(
                ChosenDate(
                    one.index,
                    one.starts_at,
                    read_optional_id(IdKind.PROVIDER, one.provider_id, f"input.dates.{place}.providerId"),
                )
                for place, one in enumerate(self.dates)
            )
        faults = FieldErrors()
        customer = None if self.customer is None else self.customer.read(faults)
        notes = faults.read("input.notes", clean_notes, self.notes)
        participants = read_participants(self.participants, faults)
        served = read_served(faults, self.recipient, self.address, self.outside_area_reason)
        if self.expected_total_minor < 0:
            faults.add("input.expectedTotalMinor", "must not be negative")
        if self.saves_method and self.payment_method is not PaymentMethod.PAY_NOW:
            faults.add("input.savesMethod", "is for PAY_NOW")
        faults.raise_any()
        request = CreateSeriesRequest(
            series,
            chosen,
            self.payment_method,
            notes or None,
            self.expected_total_minor,
            self.saves_method,
            participants,
            served,
        )
        return request, customer


@strawberry.type
class CreateRecurringBookingPayload:
    series: BookingSeries
    access_token: str = strawberry.field(
        description="The guest's secret link to the whole series: whoever has it acts as the customer."
    )
    payment: PaymentSession | None = strawberry.field(
        description="Of PAY_NOW: what the first date is paid with that costs anything."
    )


CreateRecurringBookingResult = Annotated[
    CreateRecurringBookingPayload
    | SeriesConflict
    | PriceChanged
    | InvalidInput
    | NotFound
    | NotAllowed
    | RateLimited
    | IdempotencyConflict,
    strawberry.union("CreateRecurringBookingResult"),
]


@strawberry.type
class SeriesMutation:
    @strawberry.mutation(
        description="Book all dates of a series, or those chosen of its plan: all in one transaction, or none."
    )
    async def create_recurring_booking(
        self, info: Ctx, input: CreateRecurringBookingInput
    ) -> CreateRecurringBookingResult:
        request, customer = input.to_create()
        seen, token, shown = await resolvers.create_series(
            info.context, request, customer, input.idempotency_key, input.guest_session_token
        )
        payment = None if shown is None else PaymentSession.from_shown(shown)
        return CreateRecurringBookingPayload(series=BookingSeries.from_seen(seen), access_token=token, payment=payment)
