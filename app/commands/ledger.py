"""Writing the ledger."""

from __future__ import annotations

from uuid import UUID

import msgspec
from sqlalchemy import text

from app.core.database import Tx
from app.core.ids import new_id
from app.domain.ledger import Journal

_POST = text("SELECT post_journal(:id, :organization_id, :kind, :reference, :currency, CAST(:entries AS jsonb))")


async def post_journal(tx: Tx, organization_id: UUID, journal: Journal, reference: str) -> bool:
    """Append a journal. `reference` names what happened: posted again, it is passed over (False). One statement.

    A journal in which everything cancels out is none.
    """
    if not journal.entries:
        return False
    entries = [
        {
            "booking_id": one.booking_id,
            "account": one.account,
            "amount_minor": one.amount_minor,
            "payee_id": one.payee_id,
        }
        for one in journal.entries
    ]
    posted: bool = (
        await tx.execute(
            _POST,
            {
                "id": new_id(),
                "organization_id": organization_id,
                "kind": journal.kind.value,
                "reference": reference,
                "currency": journal.currency,
                "entries": msgspec.json.encode(entries).decode(),
            },
        )
    ).scalar_one()
    return posted
