"""Why a slot is not free."""

from __future__ import annotations

from datetime import datetime

import strawberry

from app.core.ids import IdKind
from app.domain.closed import Reason
from app.domain.slots import UnavailableReason
from app.queries.explanation import SlotQuestion
from app.resolvers.availability import get_explanation
from app.schema.ids import public_id, read_id
from app.schema.info import Ctx


@strawberry.type(description="One thing that stands against a slot, and where it does.")
class SlotReason:
    reason: UnavailableReason
    message: str
    from_: datetime | None = strawberry.field(name="from", description="None: since ever.")
    to: datetime | None = strawberry.field(description="Exclusive. None: for good.")
    booking_id: strawberry.ID | None = strawberry.field(description="For staff and the provider only.")

    @classmethod
    def from_domain(cls, reason: Reason, *, has_details: bool) -> SlotReason:
        message = f"{reason.message} ({reason.detail})" if has_details and reason.detail else reason.message
        booking_id = None if reason.booking_id is None else public_id(IdKind.BOOKING, reason.booking_id)
        return cls(
            reason=reason.reason, message=message, from_=reason.from_utc, to=reason.to_utc, booking_id=booking_id
        )


@strawberry.type
class SlotExplanation:
    is_available: bool
    reasons: list[SlotReason] = strawberry.field(description="All of them, gravest first; none of a free slot.")


@strawberry.type
class ExplanationQuery:
    @strawberry.field(description="Every reason why a slot cannot be had now.")
    async def explain_slot(
        self,
        info: Ctx,
        *,
        service_id: strawberry.ID,
        provider_id: strawberry.ID,
        starts_at: datetime,
        duration_minutes: int | None = None,
        party_size: int = 1,
    ) -> SlotExplanation:
        question = SlotQuestion(
            service_id=read_id(IdKind.SERVICE, service_id, "serviceId"),
            provider_id=read_id(IdKind.PROVIDER, provider_id, "providerId"),
            starts_at=starts_at,
            duration_minutes=duration_minutes,
            party_size=party_size,
        )
        reasons, has_details = await get_explanation(info.context, question)
        return SlotExplanation(
            is_available=not reasons,
            reasons=[SlotReason.from_domain(reason, has_details=has_details) for reason in reasons],
        )
