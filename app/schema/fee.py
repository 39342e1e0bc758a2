"""Fees for cancelling late and for not coming, as clients see them."""

from __future__ import annotations

from datetime import datetime

import strawberry

from app import models
from app.core.ids import IdKind
from app.domain.fees import FeeCause, FeeStatus
from app.schema.ids import public_id
from app.schema.node import Money

strawberry.enum(FeeCause)
strawberry.enum(
    FeeStatus,
    description="KEPT: of what was paid. DUE: being charged. OWED: the bank refused it for good. WAIVED: by the staff. "
    "RETURNED: the customer had come after all.",
)


@strawberry.type(description="What a customer owes, or owed, for cancelling late or for not coming.")
class BookingFee:
    id: strawberry.ID
    booking_id: strawberry.ID
    cause: FeeCause
    status: FeeStatus
    kept: Money = strawberry.field(description="Of what was paid.")
    charged: Money = strawberry.field(description="By the method that was saved, now or later; nothing: all was kept.")
    attempts: int = strawberry.field(description="How often the bank refused it.")
    next_attempt_at: datetime | None
    failure: str | None = strawberry.field(description="Why the bank refused it last.")
    reason: str | None = strawberry.field(description="Why it was waived.")
    created_at: datetime
    settled_at: datetime | None

    @classmethod
    def from_model(cls, record: models.BookingFee) -> BookingFee:
        return cls(
            id=public_id(IdKind.FEE, record.id),
            booking_id=public_id(IdKind.BOOKING, record.booking_id),
            cause=FeeCause(record.cause),
            status=FeeStatus(record.status),
            kept=Money.of(record.kept_minor, record.currency),
            charged=Money.of(record.charge_minor, record.currency),
            attempts=record.attempts,
            next_attempt_at=record.next_attempt_at,
            failure=record.failure,
            reason=record.reason,
            created_at=record.created_at,
            settled_at=record.settled_at,
        )
