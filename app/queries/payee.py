"""Who is paid out. Whose a price is because of that, a service's plan says (`app.queries.availability`)."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select

from app.core.database import Tx
from app.domain.errors import NotFound
from app.models import PayoutAccount
from app.queries.rows import one_of


async def find_account(tx: Tx, provider_id: UUID) -> PayoutAccount | None:
    """One statement."""
    return (
        await tx.execute(select(PayoutAccount).where(PayoutAccount.provider_id == provider_id))
    ).scalar_one_or_none()


async def find_account_named(tx: Tx, processor: str, account_id: str) -> PayoutAccount | None:
    """By the processor's id. One statement."""
    query = select(PayoutAccount).where(PayoutAccount.processor == processor, PayoutAccount.account_id == account_id)
    return (await tx.execute(query)).scalar_one_or_none()


async def lock_account(tx: Tx, provider_id: UUID) -> PayoutAccount:
    """Before anything about the provider's payouts is written. One statement. Raises NotFound."""
    query = (
        select(PayoutAccount)
        .where(PayoutAccount.provider_id == provider_id)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    found = (await tx.execute(query)).scalar_one_or_none()
    if found is None:
        raise NotFound
    return found


async def accounts_of(tx: Tx, provider_ids: Sequence[UUID]) -> dict[UUID, PayoutAccount]:
    """By provider. One statement."""
    rows = (await tx.execute(select(PayoutAccount).where(one_of(PayoutAccount.provider_id, provider_ids)))).scalars()
    return {row.provider_id: row for row in rows}


async def paid_elsewhere(tx: Tx, provider_ids: Sequence[UUID], processor: str) -> frozenset[UUID]:
    """Those whose account is at another processor. One statement."""
    query = select(PayoutAccount.provider_id).where(
        one_of(PayoutAccount.provider_id, provider_ids), PayoutAccount.processor != processor
    )
    return frozenset((await tx.execute(query)).scalars())
