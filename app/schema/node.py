"""What every object with an id shares, and money."""

from __future__ import annotations

from functools import lru_cache

import strawberry

from app.domain.money import format_amount
from app.schema.scalars import Minor


@strawberry.interface(description="Anything with an id.")
class Node:
    id: strawberry.ID


@strawberry.type(description="An amount of money: whole minor units and an ISO 4217 currency.")
class Money:
    amount_minor: Minor
    currency: str
    amount: str = strawberry.field(description='The same amount as people write it: "1250.00".')

    @classmethod
    def of(cls, amount_minor: int, currency: str) -> Money:
        return _money(amount_minor, currency)


@lru_cache(maxsize=4_096)
def _money(amount_minor: int, currency: str) -> Money:
    """A page of slots shows the same few prices again and again. Nobody changes one."""
    return Money(amount_minor=Minor(amount_minor), currency=currency, amount=format_amount(amount_minor, currency))
