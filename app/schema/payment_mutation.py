"""Paying again, coming back from paying, and giving money back."""

from __future__ import annotations

from typing import Annotated

import strawberry

from app.commands.refund_booking import RefundBookingRequest
from app.core.ids import IdKind
from app.domain import errors
from app.domain.text import clean_text
from app.resolvers import booking as bookings
from app.resolvers import checkout as resolvers
from app.resolvers.checkout import RetryRequest
from app.schema.booking import Booking
from app.schema.errors import (
    IdempotencyConflict,
    IllegalTransition,
    InvalidInput,
    NotAllowed,
    NotFound,
    PaymentDeclined,
    StaleVersion,
)
from app.schema.ids import read_id
from app.schema.info import Ctx
from app.schema.payment import PaymentSession
from app.schema.scalars import Minor

REASON_LENGTH = 500
METHOD_LENGTH = 255


@strawberry.input
class RetryPaymentInput:
    booking_id: strawberry.ID
    access_token: str | None = None
    payment_method_id: str | None = strawberry.field(
        default=None,
        description="What the processor's form in the browser made of a card: it is tried at once. "
        "None: the form itself tries, with the session's clientSecret.",
    )
    idempotency_key: str | None = None

    def to_request(self) -> RetryRequest:
        """Raises BadInput, InvalidInput."""
        method = self.payment_method_id
        if method is not None and not (1 <= len(method) <= METHOD_LENGTH and method.isascii() and method.isprintable()):
            raise errors.InvalidInput.at("input.paymentMethodId", "is none that a processor's form makes")
        return RetryRequest(read_id(IdKind.BOOKING, self.booking_id, "input.bookingId"), self.access_token, method)


@strawberry.input
class RefundBookingInput:
    booking_id: strawberry.ID
    amount_minor: Minor | None = strawberry.field(default=None, description="None: all that is left.")
    reason: str
    expected_version: int | None = None
    idempotency_key: str | None = None

    def to_request(self) -> RefundBookingRequest:
        """Raises BadInput, InvalidInput."""
        try:
            reason = clean_text(self.reason, REASON_LENGTH)
        except ValueError as wrong:
            raise errors.InvalidInput.at("input.reason", str(wrong)) from None
        return RefundBookingRequest(
            booking_id=read_id(IdKind.BOOKING, self.booking_id, "input.bookingId"),
            amount_minor=self.amount_minor,
            reason=reason,
            expected_version=self.expected_version,
        )


@strawberry.input
class StartBalancePaymentInput:
    booking_id: strawberry.ID
    access_token: str | None = None
    idempotency_key: str | None = None


@strawberry.type
class PaymentPayload:
    booking: Booking
    payment: PaymentSession


RetryPaymentResult = Annotated[
    PaymentPayload | PaymentDeclined | IllegalTransition | NotAllowed | NotFound | InvalidInput | IdempotencyConflict,
    strawberry.union("RetryPaymentResult"),
]
RefreshPaymentResult = Annotated[
    PaymentPayload | NotAllowed | NotFound,
    strawberry.union("RefreshPaymentResult"),
]
StartBalancePaymentResult = Annotated[
    PaymentPayload | NotAllowed | NotFound | InvalidInput | IdempotencyConflict,
    strawberry.union("StartBalancePaymentResult"),
]
RefundBookingResult = Annotated[
    Booking | StaleVersion | NotAllowed | NotFound | InvalidInput | IdempotencyConflict,
    strawberry.union("RefundBookingResult"),
]


@strawberry.type
class PaymentMutation:
    @strawberry.mutation(
        description="After a declined payment, or in place of one that ended: pay again, until the same deadline."
    )
    async def retry_payment(self, info: Ctx, input: RetryPaymentInput) -> RetryPaymentResult:
        seen, shown = await resolvers.retry(info.context, input.to_request(), input.idempotency_key)
        return PaymentPayload(booking=Booking.from_seen(seen), payment=PaymentSession.from_shown(shown))

    @strawberry.mutation(
        description="The guest came back from paying: ask the processor now, rather than wait for its message."
    )
    async def refresh_payment(
        self, info: Ctx, booking_id: strawberry.ID, access_token: str | None = None
    ) -> RefreshPaymentResult:
        wanted = read_id(IdKind.BOOKING, booking_id, "bookingId")
        seen = await bookings.read_booking(info.context, wanted, access_token)
        seen, shown = await resolvers.refresh(info.context, seen)
        return PaymentPayload(booking=Booking.from_seen(seen), payment=PaymentSession.from_shown(shown))

    @strawberry.mutation(
        description="The customer pays what is still due online. One at a time: while one is open, it is given again. "
        "Whatever becomes of it, the booking's state stays."
    )
    async def start_balance_payment(self, info: Ctx, input: StartBalancePaymentInput) -> StartBalancePaymentResult:
        booking_id = read_id(IdKind.BOOKING, input.booking_id, "input.bookingId")
        seen, shown = await resolvers.start_balance(info.context, booking_id, input.access_token, input.idempotency_key)
        return PaymentPayload(booking=Booking.from_seen(seen), payment=PaymentSession.from_shown(shown))

    @strawberry.mutation(description="Staff: give back a part or all of what was paid.")
    async def refund_booking(self, info: Ctx, input: RefundBookingInput) -> RefundBookingResult:
        seen = await bookings.refund_booking(info.context, input.to_request(), input.idempotency_key)
        return Booking.from_seen(seen)
