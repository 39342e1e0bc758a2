"""A provider's account at the processor: asked for, kept as the processor shows it, stopped and set going by hand."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert

from app.commands.actor import Actor
from app.commands.changes import change_row
from app.commands.journal import Audit, Event, write_journal
from app.commands.payout_send import cancel_scheduled
from app.core.database import Tx
from app.core.ids import new_id
from app.domain.errors import NotAllowed
from app.gateway import AccountSnapshot
from app.models import PayoutAccount
from app.queries.payee import lock_account


async def want_account(
    tx: Tx,
    organization_id: UUID,
    actor: Actor,
    provider_id: UUID,
    *,
    processor: str,
    country: str,
    email: str | None,
) -> PayoutAccount:
    """The row with which the account is opened: a repeat opens no second one.

    What was opened already stays as it is. Another country or address is another order, with a key of its own.
    Raises NotAllowed for a provider with an account elsewhere.
    """
    made = await tx.execute(
        insert(PayoutAccount)
        .values(
            provider_id=provider_id,
            organization_id=organization_id,
            processor=processor,
            country=country,
            email=email,
            idempotency_key=f"turnero-{new_id()}",
        )
        .on_conflict_do_nothing(index_elements=[PayoutAccount.provider_id])
        .returning(PayoutAccount.provider_id)
    )
    is_new = made.first() is not None
    account = await lock_account(tx, provider_id)
    if account.processor != processor:
        raise NotAllowed("payout_account_elsewhere", f"This provider has an account at {account.processor} already.")
    is_other = (account.country, account.email) != (country, email)
    if account.account_id is None and is_other:
        account.country, account.email, account.idempotency_key = country, email, f"turnero-{new_id()}"
        await tx.flush()
    if is_new:
        after = {"processor": processor, "country": country}
        await _tell(tx, account, actor, "payout_account.created", before=None, after=after)
    return account


async def note_account(
    tx: Tx, provider_id: UUID, snapshot: AccountSnapshot, *, seen_at: datetime, actor: Actor
) -> PayoutAccount:
    """What the processor shows becomes ours, unless it is older than what is known. Raises NotFound.

    `seen_at`: when the question left. An account that is another one than ours changes nothing.
    """
    account = await lock_account(tx, provider_id)
    is_older = account.seen_at is not None and account.seen_at > seen_at
    if is_older or account.account_id not in {None, snapshot.account_id}:
        return account
    after = {
        "account_id": snapshot.account_id,
        "details_submitted": snapshot.details_submitted,
        "payouts_enabled": snapshot.payouts_enabled,
        "can_receive": snapshot.can_receive,
        "is_payee": account.is_payee or snapshot.can_receive,
        "requirements": list(snapshot.requirements),
        "disabled_reason": snapshot.disabled_reason,
    }
    account.seen_at = seen_at
    events = [Event("payout_account.updated", provider_id, {"providerId": str(provider_id)})]
    await change_row(
        tx,
        account.organization_id,
        actor,
        "payout_account.updated",
        account,
        subject_id=provider_id,
        values=after,
        events=events,
    )
    await tx.flush()
    return account


async def hold_payouts(tx: Tx, provider_id: UUID, actor: Actor, reason: str, now: datetime) -> PayoutAccount:
    """Nothing is begun until it is resumed; what was scheduled is owed again. Raises NotFound."""
    account = await lock_account(tx, provider_id)
    if account.held_at is None:
        account.held_at, account.hold_reason = now, reason
        await tx.flush()
        await _tell(
            tx, account, actor, "payout_account.held", before={"held_at": None}, after={"held_at": now}, reason=reason
        )
        await cancel_scheduled(tx, provider_id, actor, f"Payouts to this provider are stopped: {reason}")
    return account


async def resume_payouts(tx: Tx, provider_id: UUID, actor: Actor) -> PayoutAccount:
    """What is due is planned at the next run. Raises NotFound."""
    account = await lock_account(tx, provider_id)
    if account.held_at is not None:
        before = {"held_at": account.held_at, "hold_reason": account.hold_reason}
        account.held_at = account.hold_reason = None
        await tx.flush()
        await _tell(tx, account, actor, "payout_account.resumed", before=before, after={"held_at": None})
    return account


async def _tell(
    tx: Tx,
    account: PayoutAccount,
    actor: Actor,
    action: str,
    *,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any],
    reason: str | None = None,
) -> None:
    audit = Audit(action, account.provider_id, None if before is None else dict(before), dict(after), reason)
    event = Event(action, account.provider_id, {"providerId": str(account.provider_id)})
    await write_journal(tx, account.organization_id, actor, audit=[audit], events=[event])
