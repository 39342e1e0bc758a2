"""Keeping what a processor calls a customer."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy.dialects.postgresql import insert

from app.core.database import Tx
from app.models import ProcessorCustomer
from app.queries.fee import customer_ref


async def keep_customer(tx: Tx, organization_id: UUID, customer_id: UUID, processor: str, processor_id: str) -> str:
    """What is kept: the first name that came. Two statements."""
    values = {
        "customer_id": customer_id,
        "processor": processor,
        "organization_id": organization_id,
        "processor_id": processor_id,
    }
    await tx.execute(insert(ProcessorCustomer).values(**values).on_conflict_do_nothing())
    kept = await customer_ref(tx, customer_id, processor)
    assert kept is not None
    return kept
