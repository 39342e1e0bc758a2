"""A payout's transfer: begun, sent, refused, tried again, given up. Each step is written under the account's lock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from app.commands.actor import SYSTEM, Actor
from app.commands.ledger import post_journal
from app.commands.payout_plan import ask_to_send, books_of, cancel_payout, tell_payout
from app.core.database import Tx
from app.domain.errors import NotAllowed
from app.domain.payout import LIVE_PAYOUTS, PayoutStatus, retry_delay
from app.models import Payout
from app.queries.payee import lock_account
from app.queries.payout import frozen_among, get_payout, items_of, lock_owed_for, lock_payouts_of

PATIENCE = timedelta(minutes=10)
"""An attempt that is not heard of for so long has ended."""


@dataclass(frozen=True, slots=True)
class PayoutAttempt:
    """`key`: of this call. `was_unanswered`: an earlier one may have made the transfer, so it is looked for first."""

    payout: Payout
    key: str
    was_unanswered: bool


async def begin_payout(tx: Tx, payout_id: UUID, now: datetime) -> PayoutAttempt | None:
    """Before the call, and committed before it. None: there is nothing to send (any more).

    One of which nothing was sent, however often it was tried, is called off when a refund or a dispute took some of it,
    or its payouts were stopped.
    """
    payout = await get_payout(tx, payout_id)
    account = await lock_account(tx, payout.provider_id)
    payout = await get_payout(tx, payout_id, lock=True)
    if PayoutStatus(payout.status) not in {PayoutStatus.SCHEDULED, PayoutStatus.SENDING}:
        return None
    if not payout.is_unanswered:
        objection = "Payouts to this provider are stopped." if account.held_at is not None else None
        objection = objection or await _objection(tx, payout)
        if objection is not None:
            await cancel_payout(tx, payout, SYSTEM, objection)
            return None
    was_unanswered = payout.is_unanswered
    payout.status = PayoutStatus.SENDING.value
    payout.attempts += 1
    payout.is_unanswered = True
    payout.next_attempt_at = now + PATIENCE
    payout.updated_at = now
    return PayoutAttempt(payout, _key(payout), was_unanswered)


def _key(payout: Payout) -> str:
    """A processor may answer a refused key with the same refusal for a day, so a refusal is followed by another key."""
    return f"{payout.idempotency_key}-{payout.refusals}" if payout.refusals else payout.idempotency_key


async def _objection(tx: Tx, payout: Payout) -> str | None:
    """What happened to its bookings since it was planned."""
    bookings = [item.booking_id for item in await items_of(tx, payout.id) if item.amount_minor > 0]
    owed = await lock_owed_for(tx, payout.provider_id, bookings)
    if any(one.owed_minor < 0 for one in owed):
        return "A booking in it was refunded before it was sent; the rest is planned anew."
    if (await frozen_among(tx, payout.provider_id, bookings)).disputed:
        return "A booking in it was disputed before it was sent; the rest is planned anew."
    return None


async def settle_payout(tx: Tx, payout_id: UUID, transfer_id: str, now: datetime) -> bool:
    """The transfer is there. Was that news?"""
    payout = await _lock(tx, payout_id)
    if PayoutStatus(payout.status) not in LIVE_PAYOUTS:
        return False
    await post_journal(tx, payout.organization_id, (await books_of(tx, payout)).settled(), str(payout.id))
    before = payout.status
    payout.status, payout.processor_id, payout.sent_at = PayoutStatus.SENT.value, transfer_id, now
    payout.next_attempt_at, payout.failure, payout.failure_code = None, None, None
    payout.is_unanswered, payout.updated_at = False, now
    await tx.flush()
    await tell_payout(tx, payout, SYSTEM, "payout.sent", before=before)
    return True


@dataclass(frozen=True, slots=True)
class SendFailure:
    """`is_certain`: nothing was sent by this call. `is_refusal`: its key is used up. `is_final`: trying again is no use
    before a person did something."""

    code: str
    message: str
    is_certain: bool = True
    is_refusal: bool = False
    is_final: bool = False


async def note_failure(tx: Tx, attempt: PayoutAttempt, failure: SendFailure, now: datetime) -> None:
    """Try again later, or leave it to a person. An answer to an attempt that is not the last one changes nothing."""
    payout = await _lock(tx, attempt.payout.id)
    if payout.status != PayoutStatus.SENDING or payout.attempts != attempt.payout.attempts:
        return
    payout.failure_code, payout.failure, payout.updated_at = failure.code or None, failure.message, now
    if failure.is_certain:
        # What an earlier one did is as unclear as before, unless the processor knows this very key.
        payout.is_unanswered = attempt.was_unanswered and not failure.is_refusal
    if failure.is_refusal:
        payout.refusals += 1
    delay = None if failure.is_final else retry_delay(payout.attempts)
    if delay is None:
        payout.status, payout.next_attempt_at = PayoutStatus.NEEDS_ATTENTION.value, None
        await tx.flush()
        before, reason = PayoutStatus.SENDING.value, failure.message
        await tell_payout(tx, payout, SYSTEM, "payout.needs_attention", before=before, reason=reason)
        return
    payout.next_attempt_at = now + delay
    await ask_to_send(tx, payout, now + delay)


async def give_up_payout(tx: Tx, attempt: PayoutAttempt, failure: SendFailure) -> None:
    """The account cannot receive: what was set aside is owed again, and is planned anew once it can."""
    payout = await _lock(tx, attempt.payout.id)
    if payout.status == PayoutStatus.SENDING and payout.attempts == attempt.payout.attempts:
        await cancel_payout(tx, payout, SYSTEM, failure.message, code=failure.code or None)


# ── by hand ───────────────────────────────────────────────────────────────────────────────────────────


async def retry_payout(tx: Tx, payout_id: UUID, actor: Actor, now: datetime) -> Payout:
    """Try again one that waits for a person. Raises NotFound, NotAllowed."""
    payout = await _lock(tx, payout_id)
    if payout.status != PayoutStatus.NEEDS_ATTENTION:
        raise NotAllowed("payout_status", "Only a payout that needs attention can be tried again.")
    before = payout.status
    payout.status, payout.attempts, payout.next_attempt_at = PayoutStatus.SENDING.value, 0, now
    payout.updated_at = now
    await tx.flush()
    await ask_to_send(tx, payout, None)
    await tell_payout(tx, payout, actor, "payout.retried", before=before)
    return payout


async def cancel_by_hand(tx: Tx, payout_id: UUID, actor: Actor, reason: str) -> Payout:
    """Before anything was sent: the money is owed again, and comes with the next payout unless payouts are stopped.

    Raises NotFound, NotAllowed.
    """
    payout = await _lock(tx, payout_id)
    status = PayoutStatus(payout.status)
    if status not in {PayoutStatus.SCHEDULED, PayoutStatus.NEEDS_ATTENTION}:
        raise NotAllowed("payout_status", "Only a payout that is scheduled or needs attention can be cancelled.")
    if payout.is_unanswered:
        raise NotAllowed(
            "payout_unanswered", "The processor may have sent it: try it again, which cannot send it twice."
        )
    await cancel_payout(tx, payout, actor, reason)
    return payout


async def cancel_scheduled(tx: Tx, provider_id: UUID, actor: Actor, reason: str) -> None:
    """All of a provider that nobody was asked for yet. The caller has the account's row."""
    for payout in await lock_payouts_of(tx, provider_id, PayoutStatus.SCHEDULED):
        await cancel_payout(tx, payout, actor, reason)


async def _lock(tx: Tx, payout_id: UUID) -> Payout:
    """With its account. Three statements."""
    payout = await get_payout(tx, payout_id)
    await lock_account(tx, payout.provider_id)
    return await get_payout(tx, payout_id, lock=True)
