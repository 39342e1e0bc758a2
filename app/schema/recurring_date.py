"""One date of a series and what becomes of it."""

from __future__ import annotations

from datetime import datetime

import strawberry

from app.core.ids import IdKind
from app.domain.plan import UnavailableReason
from app.domain.series import SeriesDate
from app.schema.ids import public_id
from app.schema.node import Money
from app.schema.slot import Slot


@strawberry.type(description="A date of a series: free, or why not and what is free near it.")
class RecurringDate:
    index: int = strawberry.field(description="Its place in the series, from 1.")
    starts_at: datetime
    ends_at: datetime
    is_free: bool
    reason: UnavailableReason | None = strawberry.field(description="Why it cannot be had.")
    message: str | None = strawberry.field(description="The same for a person.")
    provider_id: strawberry.ID | None = strawberry.field(
        description="Who would give it, or who was wanted. None: a session's, or anyone."
    )
    session_id: strawberry.ID | None
    price: Money | None = strawberry.field(description="Of a free date: what booking it would lock now, tax included.")
    alternatives: list[Slot] = strawberry.field(
        description="Of a date that is not free: at most three starts of that day, or else of the week on both sides, "
        "nearest first."
    )

    @classmethod
    def from_domain(cls, one: SeriesDate, currency: str) -> RecurringDate:
        return cls(
            index=one.index,
            starts_at=one.starts_at,
            ends_at=one.ends_at,
            is_free=one.refusal is None,
            reason=None if one.refusal is None else one.refusal.reason,
            message=None if one.refusal is None else one.refusal.message,
            provider_id=None if one.provider_id is None else public_id(IdKind.PROVIDER, one.provider_id),
            session_id=None if one.session_id is None else public_id(IdKind.SESSION, one.session_id),
            price=None if one.price_minor is None else Money.of(one.price_minor, currency),
            alternatives=[Slot.from_domain(slot, currency) for slot in one.alternatives],
        )
