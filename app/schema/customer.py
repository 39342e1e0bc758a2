"""Who books."""

from __future__ import annotations

import strawberry

from app import models
from app.core.ids import IdKind
from app.schema.ids import public_id
from app.schema.node import Node


@strawberry.type(description="Who books, with or without an account.")
class Customer(Node):
    name: str
    email: str
    phone: str | None
    record: strawberry.Private[models.Customer]

    @classmethod
    def from_model(cls, record: models.Customer) -> Customer:
        return cls(
            id=public_id(IdKind.CUSTOMER, record.id),
            name=record.name,
            email=record.email,
            phone=record.phone,
            record=record,
        )
