"""Reading a customer."""

from __future__ import annotations

from uuid import UUID

from app.domain.errors import NotFound
from app.models import Customer
from app.queries.rows import get_row
from app.queries.tenancy import Door
from app.resolvers.context import RequestContext


async def read_customer(context: RequestContext, customer_id: UUID) -> Customer:
    """For staff and for the customer's own account. Raises NotFound for anybody else."""
    async with context.read(Door.CUSTOMER, customer_id) as (tx, tenancy):
        customer = await get_row(tx, Customer, customer_id)
    if not tenancy.is_staff and (context.user_id is None or customer.user_id != context.user_id):
        raise NotFound
    return customer
