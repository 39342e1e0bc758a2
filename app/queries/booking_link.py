"""Finding a guest's booking by its confirmation code."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select

from app.core.database import Tx
from app.models import Booking, Customer


async def find_by_code(tx: Tx, organization_id: UUID, code: str) -> tuple[Booking, Customer] | None:
    """A guest's, that is: whoever has an account finds theirs there. One statement."""
    row = (
        await tx.execute(
            select(Booking, Customer)
            .join(Customer, Customer.id == Booking.customer_id)
            .where(Booking.organization_id == organization_id, Booking.confirmation_code == code)
            .where(Customer.user_id.is_(None))
        )
    ).first()
    return None if row is None else (row[0], row[1])
