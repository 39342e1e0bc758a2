"""Whose the price of a booking is after somebody else gives it: what is not anybody's yet follows who gives it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from uuid import UUID

from app.core.database import Tx
from app.domain.price_quote import Quote
from app.domain.price_quote_codec import quote_from_json, quote_to_json
from app.domain.shares import shares_from_json, shares_of, shares_to_json
from app.models import Booking, Payment
from app.queries.payment import list_refunds, lock_payments


async def hand_over_price(tx: Tx, booking: Booking, provider_id: UUID, *, is_payee: bool) -> dict[str, Any] | None:
    """The locked price with this provider in place of the one before; None: it stays. The amounts are the same.

    `is_payee`: the provider is paid out; otherwise the organization keeps the part. What was paid already and is in
    escrow follows; what has its owner (cash that was kept) stays theirs. For one service; the caller has the booking's
    row and writes the price. Two statements where somebody else is paid now.
    """
    if booking.quote is None:
        return None
    locked = quote_from_json(booking.quote)
    payee = provider_id if is_payee else None
    changed = _given_by(locked, provider_id, payee)
    if changed.shares() != locked.shares():
        refunds = await list_refunds(tx, booking.id)
        for payment in await lock_payments(tx, booking.id):
            if payment.shares is not None and not _has_owner(payment):
                payment.shares = _renamed(payment.shares, payee)
                payment.disputes = {
                    name: {**one, "shares": _renamed(one["shares"], payee)} for name, one in payment.disputes.items()
                }
                for refund in refunds:
                    if refund.payment_id == payment.id:
                        refund.shares = _renamed(refund.shares, payee)
        await tx.flush()
    return quote_to_json(changed)


def _given_by(locked: Quote, provider_id: UUID, payee: UUID | None) -> Quote:
    return replace(locked, items=tuple(replace(item, provider_id=provider_id, payee_id=payee) for item in locked.items))


def _has_owner(payment: Payment) -> bool:
    """Cash in the till is in no provider's books."""
    is_in_till = payment.kind == "cash" and payment.keeper_id is None
    return payment.is_released and not is_in_till


def _renamed(value: Mapping[str, Any], payee: UUID | None) -> dict[str, Any]:
    shares = shares_from_json(value)
    return shares_to_json(shares_of(shares.platform_fee_minor, shares.tax_minor, {payee: shares.payable_minor}))
