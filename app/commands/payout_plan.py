"""Planning payouts: what is due to a provider is set aside in one transfer, under locks, before anybody is asked."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from app.commands.actor import SYSTEM, Actor
from app.commands.booking_payment import JOB_ATTEMPTS
from app.commands.job import enqueue
from app.commands.journal import Audit, Event, write_journal
from app.commands.ledger import post_journal
from app.core.database import Tx
from app.core.ids import new_id
from app.domain.ledger_journals import PayoutBooks, PayoutPart, payout_parts
from app.domain.payout import PayoutStatus
from app.domain.rounding import charge_step
from app.models import PaymentSettings, Payout, PayoutAccount, PayoutItem
from app.queries.payee import lock_account
from app.queries.payout import DELAY_DAYS, Owed, find_live_payout, frozen_among, items_of, lock_owed, next_number

EXECUTE_PAYOUT = "execute_payout"

MOST_BOOKINGS = 1_000
"""Of one payout; what is beyond goes into the next."""


async def plan_payout(tx: Tx, provider_id: UUID, currency: str, now: datetime) -> Payout | None:
    """Set aside all that is due, less all debts, and ask for its transfer. None: there is nothing to pay now.

    However many workers do this at once: they wait for each other at the account, and what one has set aside the
    database refuses to the others. Raises NotFound.
    """
    account = await lock_account(tx, provider_id)
    if not account.can_receive or account.held_at is not None:
        return None
    if await find_live_payout(tx, provider_id, currency) is not None:
        return None
    owed = await _payable(tx, provider_id, currency)
    settings = await tx.get(PaymentSettings, account.organization_id)
    minimum, delay = (
        (1, DELAY_DAYS) if settings is None else (settings.payout_minimum_minor, settings.payout_delay_days)
    )
    parts = payout_parts({one.booking_id: one.owed_minor for one in owed}, minimum, charge_step(currency))
    if not parts:
        return None
    return await _put_payout(tx, account, PayoutBooks(provider_id, currency, parts), owed, delay_days=delay, now=now)


async def _payable(tx: Tx, provider_id: UUID, currency: str) -> list[Owed]:
    """What the payout may hold: not what is under dispute (a debt counts all the same), nor what is being taken back.

    Earliest first, so that what is left over for being too small is of the last.
    """
    found = await lock_owed(tx, provider_id, currency, MOST_BOOKINGS)
    if not found:
        return []
    frozen = await frozen_among(tx, provider_id, [one.booking_id for one in found])
    kept = [
        one
        for one in found
        if one.booking_id not in frozen.reversing and not (one.owed_minor > 0 and one.booking_id in frozen.disputed)
    ]
    return sorted(kept, key=lambda one: (one.released_at is None, one.released_at, one.booking_id))


async def _put_payout(
    tx: Tx,
    account: PayoutAccount,
    books: PayoutBooks,
    owed: Sequence[Owed],
    *,
    delay_days: int,
    now: datetime,
) -> Payout:
    currency = books.currency
    paid = {part.booking_id for part in books.parts if part.amount_minor > 0}
    earned = [one.released_at for one in owed if one.booking_id in paid and one.released_at is not None]
    assert account.account_id is not None
    payout_id = new_id()
    payout = Payout(
        id=payout_id,
        organization_id=account.organization_id,
        provider_id=account.provider_id,
        number=await next_number(tx, account.provider_id, currency),
        processor=account.processor,
        account_id=account.account_id,
        currency=currency,
        amount_minor=books.total_minor,
        status=PayoutStatus.SCHEDULED.value,
        idempotency_key=f"turnero-{payout_id}",
        period_start=min(earned),
        period_end=max(earned),
        delay_days=delay_days,
        next_attempt_at=now,
    )
    tx.add(payout)
    await tx.flush()
    tx.add_all(
        PayoutItem(
            payout_id=payout_id,
            booking_id=part.booking_id,
            amount_minor=part.amount_minor,
            organization_id=account.organization_id,
        )
        for part in books.parts
    )
    await tx.flush()
    await post_journal(tx, account.organization_id, books.asked(), str(payout_id))
    await tell_payout(tx, payout, SYSTEM, "payout.scheduled", before=None)
    await ask_to_send(tx, payout, None)
    return payout


async def ask_to_send(tx: Tx, payout: Payout, run_after: datetime | None) -> None:
    """Have a worker make the transfer; as often as it is asked, it is made once. One statement."""
    await enqueue(
        tx,
        EXECUTE_PAYOUT,
        {"payoutId": str(payout.id)},
        organization_id=payout.organization_id,
        run_after=run_after,
        max_attempts=JOB_ATTEMPTS,
    )


async def cancel_payout(tx: Tx, payout: Payout, actor: Actor, reason: str, *, code: str | None = None) -> None:
    """What was set aside is owed again. The caller has the account's and its row, and knows that nothing was sent."""
    await post_journal(tx, payout.organization_id, (await books_of(tx, payout)).failed(), str(payout.id))
    before = payout.status
    payout.status, payout.next_attempt_at, payout.is_unanswered = PayoutStatus.CANCELLED.value, None, False
    payout.failure_code, payout.failure = code, reason
    await tx.flush()
    await tell_payout(tx, payout, actor, "payout.cancelled", before=before, reason=reason)


async def books_of(tx: Tx, payout: Payout) -> PayoutBooks:
    """One statement."""
    items = await items_of(tx, payout.id)
    parts = tuple(PayoutPart(item.booking_id, item.amount_minor) for item in items)
    return PayoutBooks(payout.provider_id, payout.currency, parts)


async def tell_payout(
    tx: Tx,
    payout: Payout,
    actor: Actor,
    action: str,
    *,
    before: str | None,
    reason: str | None = None,
) -> None:
    """Audit and event of what its state, `before`, has become. One statement."""
    facts = {"providerId": str(payout.provider_id), "amountMinor": payout.amount_minor, "currency": payout.currency}
    after = {"status": payout.status, "amount_minor": payout.amount_minor, "processor_id": payout.processor_id}
    await write_journal(
        tx,
        payout.organization_id,
        actor,
        audit=[Audit(action, payout.id, None if before is None else {"status": before}, after, reason)],
        events=[Event(action, payout.id, facts)],
    )
