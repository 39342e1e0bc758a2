"""Promo codes: how they are written, when they count, and what they take off.

How often a code was used is counted where it is used, under a lock; here the counts are given.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from app.domain.errors import InvalidInput
from app.domain.money import format_amount
from app.domain.rounding import WHOLE_BPS, share

CODE_MINIMUM = 3
CODE_MAXIMUM = 32
_SIGNS = frozenset("-_")
_FORM = f"must have {CODE_MINIMUM} to {CODE_MAXIMUM} letters and digits; - and _ may stand between them"


def normal_code(text: str) -> str:
    """The one form in which a code is kept and compared: `" Verano_20 "` → `VERANO_20`. Raises ValueError.

    Letters of any script and digits; case, accents and full-width forms do not matter, so that a code can be typed from
    a poster on any keyboard.
    """
    if len(text) > 4 * CODE_MAXIMUM:  # before any work on it
        raise ValueError(_FORM)
    code = _folded(text.strip())
    inner = code.strip("-_")
    if not CODE_MINIMUM <= len(code) <= CODE_MAXIMUM or inner != code or _folded(code) != code:
        raise ValueError(_FORM)
    if not all(char.isalnum() or char in _SIGNS for char in code):
        raise ValueError(_FORM)
    return code


def _folded(text: str) -> str:
    apart = unicodedata.normalize("NFKD", text)
    bare = "".join(char for char in apart if unicodedata.category(char) != "Mn")
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", bare).casefold().upper())


class PromoRefusal(StrEnum):
    """Why a code does not count. UNKNOWN is also what an inactive one gives, and what is said of one that is not valid
    yet: nobody learns which codes exist, or are about to."""

    UNKNOWN = "unknown"
    NOT_YET_VALID = "not_yet_valid"
    EXPIRED = "expired"
    USED_UP = "used_up"
    USED_BY_CUSTOMER = "used_by_customer"
    FIRST_BOOKING_ONLY = "first_booking_only"
    OTHER_SERVICES = "other_services"
    BELOW_MINIMUM = "below_minimum"
    OTHER_CURRENCY = "other_currency"
    NO_EFFECT = "no_effect"


_MESSAGES = {
    PromoRefusal.UNKNOWN: "is no code that can be used here",
    PromoRefusal.NOT_YET_VALID: "is no code that can be used here",
    PromoRefusal.EXPIRED: "is a code that is not valid any more",
    PromoRefusal.USED_UP: "is a code that was used as often as it may be",
    PromoRefusal.USED_BY_CUSTOMER: "is a code that you have used as often as you may",
    PromoRefusal.FIRST_BOOKING_ONLY: "is a code for a first booking only",
    PromoRefusal.OTHER_SERVICES: "is a code for other services",
    PromoRefusal.BELOW_MINIMUM: "is a code for larger bookings",
    PromoRefusal.OTHER_CURRENCY: "is a code in another currency",
    PromoRefusal.NO_EFFECT: "is a code that makes this booking no cheaper",
}


class PromoRefused(InvalidInput):
    """The code cannot be used. `reason` is for programs; the violation stands at the code's own place in the input."""

    def __init__(self, reason: PromoRefusal, *, path: str = "input.promoCode", message: str | None = None) -> None:
        self.reason = reason
        violation = InvalidInput.at(path, message or _MESSAGES[reason])
        super().__init__(violation.violations)


@dataclass(frozen=True, slots=True)
class Promo:
    """A promo code. `code` is in normal form; exactly one of `rate_bps` and `amount_minor` is above zero.

    `at_most_minor`: a rate takes off no more than this. Amounts are of `currency` (needed wherever there is one).
    Valid at `valid_from` <= instant < `valid_until`, when the booking is made, not when the service is. `services`:
    services and activities that it lowers, empty: all; `minimum_minor`: what these cost at least, before the code.
    Limits None: as often as you like.
    """

    id: UUID
    code: str
    rate_bps: int = 0
    amount_minor: int = 0
    at_most_minor: int | None = None
    currency: str | None = None
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    total_limit: int | None = None
    customer_limit: int | None = None
    first_booking_only: bool = False
    services: frozenset[UUID] = frozenset()
    minimum_minor: int = 0
    is_active: bool = True

    def __post_init__(self) -> None:
        if (self.rate_bps == 0) == (self.amount_minor == 0):
            raise ValueError("a code takes off either a rate or an amount")
        if not 0 <= self.rate_bps <= WHOLE_BPS:
            raise ValueError("a code takes off at most the whole price")
        if min(self.amount_minor, self.minimum_minor, self.at_most_minor or 0) < 0:
            raise ValueError("no amount of a code is negative")
        has_amounts = self.amount_minor or self.minimum_minor or self.at_most_minor is not None
        if has_amounts and self.currency is None:
            raise ValueError("a code with amounts needs their currency")
        if any(limit is not None and limit < 1 for limit in (self.total_limit, self.customer_limit)):
            raise ValueError("a limit is of at least one use")

    def lowers(self, subject_id: UUID) -> bool:
        """Does it count for this service or activity?"""
        return not self.services or subject_id in self.services

    def discount(self, eligible_minor: int) -> int:
        """What it takes off the services that it lowers, which cost `eligible_minor`: never more than that."""
        wanted = share(eligible_minor, self.rate_bps) if self.rate_bps else self.amount_minor
        return min(wanted, eligible_minor if self.at_most_minor is None else min(self.at_most_minor, eligible_minor))


@dataclass(frozen=True, slots=True)
class PromoUses:
    """Uses that count: of bookings that stand. `by_customer` and `earlier_bookings` are None while nobody knows who the
    customer is (a guest's hold): these rules are asked when the booking is made."""

    in_all: int = 0
    by_customer: int | None = None
    earlier_bookings: int | None = None


def promo_refusal(
    promo: Promo, *, now: datetime, currency: str, eligible_minor: int | None, uses: PromoUses
) -> PromoRefusal | None:
    """The first rule against using this code now, or None.

    `eligible_minor`: what the services that it lowers cost before it (`Quote.eligible_minor`), None without any.
    """
    eligible = eligible_minor or 0
    by_customer = uses.by_customer or 0
    broken = {
        PromoRefusal.UNKNOWN: not promo.is_active,
        PromoRefusal.NOT_YET_VALID: promo.valid_from is not None and now < promo.valid_from,
        PromoRefusal.EXPIRED: promo.valid_until is not None and now >= promo.valid_until,
        PromoRefusal.OTHER_CURRENCY: promo.currency is not None and promo.currency != currency,
        PromoRefusal.OTHER_SERVICES: eligible_minor is None,
        PromoRefusal.BELOW_MINIMUM: eligible < promo.minimum_minor,
        PromoRefusal.NO_EFFECT: promo.discount(eligible) == 0,
        PromoRefusal.USED_UP: promo.total_limit is not None and uses.in_all >= promo.total_limit,
        PromoRefusal.USED_BY_CUSTOMER: promo.customer_limit is not None and by_customer >= promo.customer_limit,
        PromoRefusal.FIRST_BOOKING_ONLY: promo.first_booking_only and bool(uses.earlier_bookings),
    }
    return next((refusal for refusal, is_broken in broken.items() if is_broken), None)


def check_promo(
    promo: Promo | None,
    *,
    now: datetime,
    currency: str,
    eligible_minor: int | None,
    uses: PromoUses,
    path: str = "input.promoCode",
) -> Promo:
    """The code itself. Raises PromoRefused; None is a code that does not exist."""
    if promo is None:
        raise PromoRefused(PromoRefusal.UNKNOWN, path=path)
    refusal = promo_refusal(promo, now=now, currency=currency, eligible_minor=eligible_minor, uses=uses)
    if refusal is PromoRefusal.NOT_YET_VALID:
        raise PromoRefused(PromoRefusal.UNKNOWN, path=path)
    if refusal is PromoRefusal.BELOW_MINIMUM:
        least = format_amount(promo.minimum_minor, currency)
        raise PromoRefused(refusal, path=path, message=f"is a code for bookings of at least {least} {currency}")
    if refusal is not None:
        raise PromoRefused(refusal, path=path)
    return promo
