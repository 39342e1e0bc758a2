"""Cash and fees in the hands of the staff."""

from __future__ import annotations

from typing import Annotated

import strawberry

from app.commands.cash import RecordCashRequest, ReturnCashRequest
from app.commands.fee_waive import WaiveFeeRequest
from app.core.ids import IdKind
from app.domain import errors
from app.domain.text import clean_text
from app.resolvers import booking as resolvers
from app.schema.booking import Booking
from app.schema.errors import IdempotencyConflict, InvalidInput, NotAllowed, NotFound, StaleVersion
from app.schema.ids import read_id, read_optional_id
from app.schema.info import Ctx
from app.schema.payment_mutation import REASON_LENGTH
from app.schema.scalars import Minor


@strawberry.input
class RecordCashPaymentInput:
    booking_id: strawberry.ID
    amount_minor: Minor | None = strawberry.field(default=None, description="None: all that is due. Never more.")
    provider_id: strawberry.ID | None = strawberry.field(
        default=None, description="The provider who keeps it. None: it is in the venue's till."
    )
    expected_version: int | None = None
    idempotency_key: str | None = None

    def to_request(self) -> RecordCashRequest:
        """Raises BadInput."""
        return RecordCashRequest(
            booking_id=read_id(IdKind.BOOKING, self.booking_id, "input.bookingId"),
            amount_minor=self.amount_minor,
            keeper_id=read_optional_id(IdKind.PROVIDER, self.provider_id, "input.providerId"),
            expected_version=self.expected_version,
        )


@strawberry.input
class ReturnCashInput:
    booking_id: strawberry.ID
    amount_minor: Minor | None = strawberry.field(
        default=None, description="None: what waits to be handed back, or else all that is left of the cash."
    )
    reason: str
    expected_version: int | None = None
    idempotency_key: str | None = None

    def to_request(self) -> ReturnCashRequest:
        """Raises BadInput, InvalidInput."""
        return ReturnCashRequest(
            booking_id=read_id(IdKind.BOOKING, self.booking_id, "input.bookingId"),
            amount_minor=self.amount_minor,
            reason=_reason(self.reason),
            expected_version=self.expected_version,
        )


@strawberry.input
class WaiveFeeInput:
    booking_id: strawberry.ID
    reason: str
    expected_version: int | None = None
    idempotency_key: str | None = None

    def to_request(self) -> WaiveFeeRequest:
        """Raises BadInput, InvalidInput."""
        return WaiveFeeRequest(
            booking_id=read_id(IdKind.BOOKING, self.booking_id, "input.bookingId"),
            reason=_reason(self.reason),
            expected_version=self.expected_version,
        )


def _reason(value: str) -> str:
    try:
        return clean_text(value, REASON_LENGTH)
    except ValueError as wrong:
        raise errors.InvalidInput.at("input.reason", str(wrong)) from None


RecordCashPaymentResult = Annotated[
    Booking | StaleVersion | NotAllowed | NotFound | InvalidInput | IdempotencyConflict,
    strawberry.union("RecordCashPaymentResult"),
]
ReturnCashResult = Annotated[
    Booking | StaleVersion | NotAllowed | NotFound | InvalidInput | IdempotencyConflict,
    strawberry.union("ReturnCashResult"),
]
WaiveFeeResult = Annotated[
    Booking | StaleVersion | NotAllowed | NotFound | InvalidInput | IdempotencyConflict,
    strawberry.union("WaiveFeeResult"),
]


@strawberry.type
class CashMutation:
    @strawberry.mutation(description="Staff: write down cash that was taken for what is due.")
    async def record_cash_payment(self, info: Ctx, input: RecordCashPaymentInput) -> RecordCashPaymentResult:
        seen = await resolvers.record_cash(info.context, input.to_request(), input.idempotency_key)
        return Booking.from_seen(seen)

    @strawberry.mutation(
        description="Staff: write down cash that was handed back: what a refund asked for first. What goes back beyond "
        "that, while the booking goes on, is due again."
    )
    async def return_cash(self, info: Ctx, input: ReturnCashInput) -> ReturnCashResult:
        seen = await resolvers.return_cash(info.context, input.to_request(), input.idempotency_key)
        return Booking.from_seen(seen)

    @strawberry.mutation(
        description="Staff: let a customer off the fee of cancelling late or not coming. What was kept or charged goes "
        "back."
    )
    async def waive_fee(self, info: Ctx, input: WaiveFeeInput) -> WaiveFeeResult:
        seen = await resolvers.waive_fee(info.context, input.to_request(), input.idempotency_key)
        return Booking.from_seen(seen)
