"""Fees for cancelling late and for not coming: who may be charged, and when a bank that said no is asked again.

What is owed is the policy's (`app.domain.refund.settle`); here is how the part that was never paid is collected.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum

from app.domain.refund import Ending, RefundPolicy


class FeeCause(StrEnum):
    LATE_CANCELLATION = "late_cancellation"
    NO_SHOW = "no_show"


class FeeStatus(StrEnum):
    """KEPT: of what was paid, nothing is to be charged. DUE: being charged. OWED: the bank said no for good, so that
    somebody has to ask for it. WAIVED: by the staff. RETURNED: the customer had come after all."""

    KEPT = "kept"
    DUE = "due"
    CHARGED = "charged"
    OWED = "owed"
    WAIVED = "waived"
    RETURNED = "returned"


LIVE_FEES = frozenset({FeeStatus.KEPT, FeeStatus.DUE, FeeStatus.CHARGED, FeeStatus.OWED})
"""A booking has one of these at a time."""

RETRIES = (timedelta(days=1), timedelta(days=3), timedelta(days=5))
"""After the first, second and third refusal; the fourth is the last."""


def cause_of(ending: Ending) -> FeeCause | None:
    """None: this ending has no fee."""
    if ending is Ending.NO_SHOW:
        return FeeCause.NO_SHOW
    return FeeCause.LATE_CANCELLATION if ending is Ending.LATE else None


NOBODY_THERE = frozenset({"authentication_required", "authentication_not_handled"})
"""Reasons that only the customer could answer, who is away: asking again changes nothing."""


def next_attempt(refusals: int, now: datetime, *, is_retryable: bool = True) -> datetime | None:
    """When to ask the bank again after so many refusals; None: never."""
    if not is_retryable or refusals > len(RETRIES):
        return None
    return now + RETRIES[refusals - 1]


def largest_fee(policy: RefundPolicy, price_minor: int) -> int:
    """The most that a customer who paid nothing could come to owe."""
    return max(policy.late_fee.of(price_minor), policy.no_show_fee.of(price_minor))


# ── what was authorized and not taken yet ─────────────────────────────────────────────────────────────

AUTHORIZATION_LIFE = timedelta(days=7)
"""Where the processor does not say how long it is good for."""
AUTHORIZATION_MARGIN = timedelta(hours=1)
"""So long before its end it is let go of, rather than taken at the last moment."""


def answer_by(authorized_until: datetime, starts_at: datetime) -> datetime:
    """Until when a booking whose payment is authorized can be accepted: never past its start."""
    return min(authorized_until - AUTHORIZATION_MARGIN, starts_at)
