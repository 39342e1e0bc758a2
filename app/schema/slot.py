"""A free start."""

from __future__ import annotations

from datetime import datetime

import strawberry

from app.core.ids import IdKind
from app.domain import slots
from app.schema.ids import public_id
from app.schema.node import Money


@strawberry.type(description="A free start: one for each start, end and price.")
class Slot:
    starts_at: datetime
    ends_at: datetime
    provider_ids: list[strawberry.ID]
    remaining: int
    price: Money | None

    @classmethod
    def from_domain(cls, slot: slots.Slot, currency: str) -> Slot:
        return cls(
            starts_at=slot.starts_at,
            ends_at=slot.ends_at,
            provider_ids=[public_id(IdKind.PROVIDER, provider_id) for provider_id in slot.provider_ids],
            remaining=slot.remaining,
            price=None if slot.price_minor is None else Money.of(slot.price_minor, currency),
        )
