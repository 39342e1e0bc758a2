"""Making and changing bookings."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import strawberry

from app.commands.booking import BookingRequest
from app.commands.booking_change import TransitionRequest
from app.commands.booking_insert import CustomerDetails
from app.commands.booking_reschedule import RescheduleRequest
from app.commands.served import Served
from app.commands.session_reschedule import SessionMove
from app.core.contact import normalize_email, normalize_phone
from app.core.ids import IdKind
from app.domain import errors
from app.domain.booking import BookingStatus, PaymentMethod
from app.domain.errors import FieldErrors
from app.domain.places import check_locale
from app.domain.text import clean_name, clean_text
from app.resolvers import booking as resolvers
from app.schema.booking import Booking
from app.schema.errors import (
    HoldExpired,
    IdempotencyConflict,
    IllegalTransition,
    InvalidInput,
    NotAllowed,
    NotFound,
    RateLimited,
    SlotUnavailable,
    StaleVersion,
)
from app.schema.ids import read_id, read_optional_id
from app.schema.info import Ctx
from app.schema.participant import ParticipantInput, read_participants
from app.schema.payment import PaymentSession
from app.schema.served import AddressInput, RecipientInput

NAME_LENGTH = 200
REASON_LENGTH = 500
NOTES_LENGTH = 2_000


def clean_customer_name(value: str) -> str:
    return clean_name(value, NAME_LENGTH)


def clean_notes(value: str) -> str:
    return clean_text(value, NOTES_LENGTH)


def clean_reason(value: str) -> str:
    return clean_text(value, REASON_LENGTH)


def read_served(
    faults: FieldErrors, recipient: RecipientInput | None, address: AddressInput | None, reason: str | None
) -> Served:
    """Who is served and where. To be used only where there are no faults."""
    at = None if address is None else address.read(faults)
    who = None if recipient is None else recipient.read(faults, None if at is None else at.country)
    why = faults.read("input.outsideAreaReason", clean_reason, reason)
    return Served(who, at, why or None)


@strawberry.input
class CustomerInput:
    name: str
    email: str
    phone: str | None = strawberry.field(default=None, description="International, such as +54 11 4321-5678.")
    locale: str | None = None

    def read(self, faults: FieldErrors) -> CustomerDetails | None:
        """None, and everything that is wrong in `faults`, for a customer that cannot be."""
        name = faults.read("input.customer.name", clean_customer_name, self.name)
        email = faults.read("input.customer.email", normalize_email, self.email)
        phone = faults.read("input.customer.phone", normalize_phone, self.phone)
        locale = faults.read("input.customer.locale", check_locale, self.locale)
        return None if name is None or email is None else CustomerDetails(name, email, phone, locale)


@strawberry.input
class CreateBookingInput:
    hold_id: strawberry.ID
    hold_token: str
    customer: CustomerInput | None = strawberry.field(
        default=None, description="May be left out by one who is signed in as a customer."
    )
    recipient: RecipientInput | None = strawberry.field(
        default=None, description="Whoever is served, if not the customer."
    )
    address: AddressInput | None = strawberry.field(
        default=None, description="For a service that comes to the customer, which needs one; for others there is none."
    )
    outside_area_reason: str | None = strawberry.field(
        default=None, description="Why the staff book outside the area that the provider comes to. For the audit."
    )
    payment_method: PaymentMethod
    promo_code: str | None = strawberry.field(
        default=None, description="Lowers the price that was locked; `checkPromoCode` says to what."
    )
    notes: str | None = None
    participants: list[ParticipantInput] | None = strawberry.field(
        default=None, description="Who comes, as far as it is known: at most the party size. Others are named later."
    )
    accepts_fees: bool = strawberry.field(
        default=False,
        description="The customer agrees that what they pay with is kept, and charged with the fees of cancelling late "
        "and of not coming, as the hold's `fees` say. Nothing is kept without it.",
    )
    guest_session_token: str | None = strawberry.field(
        default=None, description="Of startGuestSession: it then knows the booking, and what the customer gave."
    )
    idempotency_key: str | None = None

    def to_request(self) -> tuple[BookingRequest, CustomerDetails | None]:
        """Raises BadInput; InvalidInput with everything that is wrong."""
        hold_id = read_id(IdKind.HOLD, self.hold_id, "input.holdId")
        faults = FieldErrors()
        customer = None if self.customer is None else self.customer.read(faults)
        notes = faults.read("input.notes", clean_notes, self.notes)
        participants = read_participants(self.participants, faults)
        served = read_served(faults, self.recipient, self.address, self.outside_area_reason)
        faults.raise_any()
        request = BookingRequest(
            hold_id=hold_id,
            hold_token=self.hold_token,
            payment_method=self.payment_method,
            notes=notes or None,
            promo_code=self.promo_code,
            accepts_fees=self.accepts_fees,
            participants=participants,
            served=served,
        )
        return request, customer


@strawberry.type
class CreateBookingPayload:
    booking: Booking
    access_token: str = strawberry.field(description="The guest's secret link: whoever has it acts as the customer.")
    payment: PaymentSession | None


@strawberry.input
class CancelBookingInput:
    booking_id: strawberry.ID
    access_token: str | None = None
    reason: str
    at_customers_request: bool = strawberry.field(
        default=False,
        description="Where the staff or the provider cancel because the customer asked: what goes back, and what it"
        " costs, is then what the customer was told. Otherwise everything goes back.",
    )
    expected_version: int | None = None
    idempotency_key: str | None = None


@strawberry.input(description="Another time, another provider, or both; of a session: another session of the activity.")
class RescheduleBookingInput:
    booking_id: strawberry.ID
    access_token: str | None = None
    starts_at: datetime | None = None
    session_id: strawberry.ID | None = None
    provider_id: strawberry.ID | None = None
    reason: str | None = None
    expected_version: int | None = None
    idempotency_key: str | None = None

    def to_request(self) -> RescheduleRequest | SessionMove:
        """Raises InvalidInput, BadInput."""
        if self.session_id is not None:
            if self.starts_at is not None or self.provider_id is not None:
                raise errors.InvalidInput.at("input.sessionId", "says it all: leave out startsAt and providerId")
            return SessionMove(
                booking_id=read_id(IdKind.BOOKING, self.booking_id, "input.bookingId"),
                session_id=read_id(IdKind.SESSION, self.session_id, "input.sessionId"),
                reason=read_reason(self.reason),
                expected_version=self.expected_version,
            )
        if self.starts_at is None and self.provider_id is None:
            raise errors.InvalidInput.at("input.startsAt", "give a time, a provider, or both")
        return RescheduleRequest(
            booking_id=read_id(IdKind.BOOKING, self.booking_id, "input.bookingId"),
            starts_at=self.starts_at,
            provider_id=read_optional_id(IdKind.PROVIDER, self.provider_id, "input.providerId"),
            reason=read_reason(self.reason),
            expected_version=self.expected_version,
        )


@strawberry.input(
    description="Staff, and providers with their own: CONFIRMED (what waits for approval), CHECKED_IN, IN_PROGRESS,"
    " COMPLETED, NO_SHOW."
)
class TransitionBookingInput:
    booking_id: strawberry.ID
    to: BookingStatus
    reason: str | None = None
    expected_version: int | None = None
    idempotency_key: str | None = None


def read_reason(value: str | None) -> str | None:
    """Clean text, or None where nothing was said. Raises InvalidInput."""
    if value is None:
        return None
    try:
        return clean_text(value, REASON_LENGTH) or None
    except ValueError as wrong:
        raise errors.InvalidInput.at("input.reason", str(wrong)) from None


CreateBookingResult = Annotated[
    CreateBookingPayload
    | HoldExpired
    | SlotUnavailable
    | InvalidInput
    | NotFound
    | NotAllowed
    | RateLimited
    | IdempotencyConflict,
    strawberry.union("CreateBookingResult"),
]
ChangeBookingResult = Annotated[
    Booking
    | StaleVersion
    | IllegalTransition
    | SlotUnavailable
    | NotAllowed
    | NotFound
    | InvalidInput
    | IdempotencyConflict,
    strawberry.union("ChangeBookingResult"),
]


@strawberry.type
class BookingMutation:
    @strawberry.mutation(description="Turn a hold into a booking.")
    async def create_booking(self, info: Ctx, input: CreateBookingInput) -> CreateBookingResult:
        seen, token, shown = await resolvers.create_booking(
            info.context, *input.to_request(), input.idempotency_key, input.guest_session_token
        )
        payment = None if shown is None else PaymentSession.from_shown(shown)
        return CreateBookingPayload(booking=Booking.from_seen(seen), access_token=token, payment=payment)

    @strawberry.mutation(description="Move a booking; its price, number and history stay.")
    async def reschedule_booking(self, info: Ctx, input: RescheduleBookingInput) -> ChangeBookingResult:
        seen = await resolvers.reschedule_booking(
            info.context, input.to_request(), input.access_token, input.idempotency_key
        )
        return Booking.from_seen(seen)

    @strawberry.mutation(description="Cancel a booking and give its time back.")
    async def cancel_booking(self, info: Ctx, input: CancelBookingInput) -> ChangeBookingResult:
        request = TransitionRequest(
            booking_id=read_id(IdKind.BOOKING, input.booking_id, "input.bookingId"),
            to=BookingStatus.CANCELLED,
            reason=read_reason(input.reason),
            expected_version=input.expected_version,
            at_customers_request=input.at_customers_request,
        )
        seen = await resolvers.transition_booking(
            info.context, "cancelBooking", request, input.access_token, input.idempotency_key
        )
        return Booking.from_seen(seen)

    @strawberry.mutation(description="Take a step of the day of service, or answer one that waits for approval.")
    async def transition_booking(self, info: Ctx, input: TransitionBookingInput) -> ChangeBookingResult:
        request = TransitionRequest(
            booking_id=read_id(IdKind.BOOKING, input.booking_id, "input.bookingId"),
            to=input.to,
            reason=read_reason(input.reason),
            expected_version=input.expected_version,
        )
        seen = await resolvers.transition_booking(
            info.context, "transitionBooking", request, None, input.idempotency_key
        )
        return Booking.from_seen(seen)
