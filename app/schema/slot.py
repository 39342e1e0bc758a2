"""A free start."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from uuid import UUID

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
    price: Money | None = strawberry.field(
        description="What holding it would lock now, tax included: rules may change it with time and with what else is "
        "booked that day. Of a visit, that of all its services; of a session, that of one place. None: by quote."
    )
    session_id: strawberry.ID | None = strawberry.field(
        default=None, description="Where it is a session: hold places of it."
    )

    @classmethod
    def from_domain(cls, slot: slots.Slot, currency: str) -> Slot:
        return cls(
            starts_at=slot.starts_at,
            ends_at=slot.ends_at,
            provider_ids=_public_ids(slot.provider_ids),
            remaining=slot.remaining,
            price=None if slot.price_minor is None else _money(slot.price_minor, currency),
            session_id=None if slot.session_id is None else public_id(IdKind.SESSION, slot.session_id),
        )


# The slots of an answer have the same few people and prices over and over; nobody changes what is shared here.


@lru_cache(maxsize=4_096)
def _public_ids(provider_ids: tuple[UUID, ...]) -> list[strawberry.ID]:
    return [public_id(IdKind.PROVIDER, provider_id) for provider_id in provider_ids]


@lru_cache(maxsize=4_096)
def _money(amount_minor: int, currency: str) -> Money:
    return Money.of(amount_minor, currency)
