"""What a customer agreed to when a method of payment was kept for fees."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from app.commands.actor import Actor
from app.domain.instants import format_instant
from app.domain.refund import RefundPolicy, policy_to_json


def fee_consent(policy: RefundPolicy, price_minor: int, currency: str, actor: Actor, now: datetime) -> dict[str, Any]:
    """`{"at": …, "by": {…}, "policy": {…}, "priceMinor": 1000, "currency": "USD"}`: who, when, from where, to what."""
    return {
        "at": format_instant(now),
        "by": actor.as_dict(),
        "policy": policy_to_json(policy),
        "priceMinor": price_minor,
        "currency": currency,
    }
