"""Finding a booking again by what its guest was told: confirmation code and e-mail."""

from __future__ import annotations

import hmac
from datetime import datetime, timedelta

from app.domain.booking import CODE_ALPHABET, CODE_LENGTH

FOUND_AFTER_END = timedelta(days=30)
"""So long after it is over a booking is still found by its code; later by its account or secret link alone."""

_SEPARATORS = str.maketrans("", "", " -\u00a0\u2010\u2011\u2012\u2013\u2014.\t")


def read_code(typed: str) -> str | None:
    """`abcd-2345` → `ABCD2345`. None: no code reads like this."""
    code = typed[: 4 * CODE_LENGTH].translate(_SEPARATORS).upper()
    return code if len(code) == CODE_LENGTH and all(sign in CODE_ALPHABET for sign in code) else None


def is_same_email(known: str | None, given: str) -> bool:
    """In the same time whether there is a booking or none, and wherever the addresses differ."""
    return hmac.compare_digest((known or "").encode(), given.encode()) and known is not None


def can_be_found(ends_at: datetime, now: datetime) -> bool:
    return now < ends_at + FOUND_AFTER_END
