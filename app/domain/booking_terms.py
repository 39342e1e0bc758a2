"""The terms of a booking in words, as they are kept with it: what its customer was told stays what is true."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from app.domain.refund import Fee, RefundPolicy
from app.domain.rounding import WHOLE_BPS

TERMS_VERSION = 1

_UNITS = ((7 * 24 * 60, "week"), (24 * 60, "day"), (60, "hour"), (1, "minute"))


def terms_in_words(policy: RefundPolicy, notice_minutes: int) -> dict[str, Any]:
    """`{"version": 1, "cancellation": "Free of charge until 1 day before the start. …"}`

    What the database adds (names, descriptions, places) is in its function `frozen_terms`.
    """
    return {"version": TERMS_VERSION, "cancellation": cancellation_in_words(policy, notice_minutes)}


def cancellation_in_words(policy: RefundPolicy, notice_minutes: int) -> str:
    """What cancelling, and not coming, gives back and costs."""
    free = "the start" if notice_minutes == 0 else f"{length_in_words(notice_minutes)} before the start"
    late = _consequence(policy.late_refund_bps, policy.late_fee)
    no_show = _consequence(policy.no_show_refund_bps, policy.no_show_fee)
    return f"Cancelling is free of charge until {free}. After that {late}. If nobody comes, {no_show}."


def length_in_words(minutes: int) -> str:
    """In the largest unit that fits: `1 day`, `36 hours`, `90 minutes`."""
    size, unit = next((size, unit) for size, unit in _UNITS if minutes % size == 0)
    count = minutes // size
    return f"{count} {unit}" if count == 1 else f"{count} {unit}s"


def _consequence(refund_bps: int, fee: Fee) -> str:
    if refund_bps == 0:
        back = "nothing of what was paid is given back"
    elif refund_bps == WHOLE_BPS:
        back = "all that was paid is given back"
    else:
        back = f"{_percent(refund_bps)} of what was paid is given back"
    if fee.share_bps == 0:
        return back
    return f"{back}, and at least {_percent(fee.share_bps)} of the price is owed"


def _percent(bps: int) -> str:
    return f"{bps / 100:g} %"


def answer_deadline(now: datetime, approval_hours: int, starts_at: datetime) -> datetime:
    """Until when a booking that waits for its provider can be accepted: never past its start."""
    return min(now + timedelta(hours=approval_hours), starts_at)
