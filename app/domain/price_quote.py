"""What a booking costs, with the reason for every cent of it; frozen in the hold and in the booking.

A quote is computed in this order: base prices → rules and their caps (`price_rule`) → promo code (`promo`) → tax →
rounding to what can be charged → deposit and platform fee. Lines add up to the total exactly; a tax that is included
in prices is no line. The platform's fee is a share of the price without tax, and is taken from the provider's part, not
added to the customer's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from app.domain.money import MAXIMUM_MINOR
from app.domain.price_rule import Change, PricedItem, PriceRule, price_after_rules
from app.domain.promo import Promo
from app.domain.rounding import WHOLE_BPS, charge_step, included_share, share, split, to_step, up_to_step
from app.domain.shares import Shares, shares_of


class LineKind(StrEnum):
    """BASE, RULE, CAP, PROMO and KEPT (for people who were removed late) lines belong to an item; TAX (where it is
    added) and ROUNDING to the whole."""

    BASE = "base"
    RULE = "rule"
    CAP = "cap"
    PROMO = "promo"
    TAX = "tax"
    ROUNDING = "rounding"
    KEPT = "kept"


@dataclass(frozen=True, slots=True)
class Line:
    """One part of the total. `item`: which item of the quote; `source_id`: the rule, the promo code, or the accepted
    offer of a CUSTOM base price; `rate_bps`: of the rule, the code or the tax, where it goes by a rate."""

    kind: LineKind
    label: str
    amount_minor: int
    item: int | None = None
    source_id: UUID | None = None
    rate_bps: int | None = None


@dataclass(frozen=True, slots=True)
class QuotedItem:
    """Of what the price is. `quantity`: places that are paid for; `payee_id`: as in PricedItem."""

    subject_id: UUID
    quantity: int = 1
    provider_id: UUID | None = None
    payee_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class QuoteTerms:
    """The organization's terms as they were. Rates in basis points, 0 … 10,000.

    `tax_is_included`: prices contain the tax; otherwise it is added. `deposit_bps`: the share of the total that is due
    when the booking is made (10,000: all of it). `minimum_charge_minor`: the processor charges no less than this, so a
    deposit is at least that much, and a smaller rest is due with it.
    """

    currency: str
    tax_rate_bps: int = 0
    tax_is_included: bool = True
    tax_label: str = "Tax"
    platform_fee_bps: int = 0
    deposit_bps: int = WHOLE_BPS
    minimum_charge_minor: int = 0

    def __post_init__(self) -> None:
        charge_step(self.currency)
        if any(not 0 <= rate <= WHOLE_BPS for rate in (self.tax_rate_bps, self.platform_fee_bps, self.deposit_bps)):
            raise ValueError("a rate lies between 0 and 10000 basis points")
        if self.minimum_charge_minor < 0:
            raise ValueError("the least that is charged is not negative")


@dataclass(frozen=True, slots=True)
class Quote:
    """A price that is locked. Amounts in minor units of `terms.currency`, none negative but those of lines.

    `total_minor`: what the customer pays in all; `tax_minor` is part of it, included or added;
    total = tax + platform fee + payable, and = due now + due later.
    """

    terms: QuoteTerms
    items: tuple[QuotedItem, ...]
    lines: tuple[Line, ...]
    total_minor: int
    tax_minor: int
    platform_fee_minor: int
    due_now_minor: int

    def __post_init__(self) -> None:
        if sum(line.amount_minor for line in self.lines) != self.total_minor:
            raise ValueError("the lines of a quote add up to its total")
        if not 0 <= self.total_minor <= MAXIMUM_MINOR:
            raise ValueError("the price is too large" if self.total_minor > 0 else "a price is not negative")
        if not (0 <= self.tax_minor <= self.total_minor and 0 <= self.platform_fee_minor <= self.net_minor):
            raise ValueError("tax and platform fee are parts of the total")
        if not 0 <= self.due_now_minor <= self.total_minor:
            raise ValueError("what is due now is part of the total")
        if any(line.item is not None and not 0 <= line.item < len(self.items) for line in self.lines):
            raise ValueError("a line belongs to an item of the quote")

    @property
    def currency(self) -> str:
        return self.terms.currency

    @property
    def net_minor(self) -> int:
        """The total without its tax."""
        return self.total_minor - self.tax_minor

    @property
    def payable_minor(self) -> int:
        """What is left for the providers (or the organization, where it keeps the money)."""
        return self.net_minor - self.platform_fee_minor

    @property
    def due_later_minor(self) -> int:
        return self.total_minor - self.due_now_minor

    @property
    def discount_minor(self) -> int:
        """What the promo code took off."""
        return -sum(line.amount_minor for line in self.lines if line.kind is LineKind.PROMO)

    @property
    def promo_id(self) -> UUID | None:
        return next((line.source_id for line in self.lines if line.kind is LineKind.PROMO), None)

    def item_totals(self) -> tuple[int, ...]:
        """The total divided among the items (of a visit: what each service costs), in their order."""
        return split(self.total_minor, self._item_sums())

    def shares(self) -> Shares:
        """Who gets how much of the total: the platform, the tax, and each payee by what its items cost.

        Whatever is captured of it is a part taken from what is left: `left.take(amount)`.
        """
        payables: dict[UUID | None, int] = {}
        for item, part in zip(self.items, split(self.payable_minor, self._item_sums()), strict=True):
            payables[item.payee_id] = payables.get(item.payee_id, 0) + part
        return shares_of(self.platform_fee_minor, self.tax_minor, payables)

    def eligible_minor(self, promo: Promo) -> int | None:
        """What the items that a code lowers cost before any code; None when it lowers none of them."""
        lowered = self.lowered_by(promo)
        return sum(sums for _, sums in lowered) if lowered else None

    def lowered_by(self, promo: Promo) -> list[tuple[int, int]]:
        """The items that a code lowers, by number, each with what it costs before any code."""
        sums = without_promo(self)._item_sums()
        return [(n, sums[n]) for n, item in enumerate(self.items) if promo.lowers(item.subject_id)]

    def _item_sums(self) -> list[int]:
        sums = [0] * len(self.items)
        for line in self.lines:
            if line.item is not None:
                sums[line.item] += line.amount_minor
        return sums


def quote(
    items: Sequence[PricedItem],
    rules: Iterable[PriceRule],
    terms: QuoteTerms,
    now: datetime,
    promo: Promo | None = None,
) -> Quote:
    """The price of everything in one booking. Whether the code may be used is asked before (`promo.check_promo`).

    The same arguments always give the same quote, in whatever order the rules come. Raises ValueError for a price too
    large to be represented, and without items.
    """
    if not items:
        raise ValueError("a price is of at least one item")
    rules = tuple(rules)
    lines: list[Line] = []
    for number, item in enumerate(items):
        price = price_after_rules(item, rules, now)
        lines.append(Line(LineKind.BASE, item.label, price.base_minor, number, item.offer_id))
        lines += [_changed(change, number) for change in price.changes]
    quoted = tuple(QuotedItem(one.subject_id, one.quantity, one.provider_id, one.payee_id) for one in items)
    plain = settled(terms, quoted, lines)
    return plain if promo is None else apply_promo(plain, promo)


def _changed(change: Change, item: int) -> Line:
    rule, amount = change
    if rule is None:
        return Line(LineKind.CAP, "Highest price" if amount < 0 else "Lowest price", amount, item)
    return Line(LineKind.RULE, rule.label, amount, item, rule.id, rule.rate_bps or None)


def apply_promo(locked: Quote, promo: Promo) -> Quote:
    """The same price with this code in place of another, if that makes it lower; otherwise the quote as it was.

    Nothing else is computed anew: rules and terms stay those of the day on which the price was locked.
    """
    lowered = locked.lowered_by(promo)
    discount = promo.discount(sum(sums for _, sums in lowered))
    if discount == 0:
        return locked
    parts = split(discount, [sums for _, sums in lowered])
    lines = [line for line in locked.lines if line.kind not in _LATER]
    lines += [
        Line(LineKind.PROMO, promo.code, -part, number, promo.id, promo.rate_bps or None)
        for (number, _), part in zip(lowered, parts, strict=True)
        if part
    ]
    changed = settled(locked.terms, locked.items, lines)
    return changed if changed.total_minor < locked.total_minor else locked


_LATER = frozenset({LineKind.PROMO, LineKind.TAX, LineKind.ROUNDING})
"""Lines that a change of promo code computes again."""


def without_promo(locked: Quote) -> Quote:
    """What it costs when its code is taken back."""
    if locked.promo_id is None:
        return locked
    return settled(locked.terms, locked.items, [line for line in locked.lines if line.kind not in _LATER])


def with_platform_fee(locked: Quote, platform_fee_bps: int) -> Quote:
    """The same price to the customer with another platform fee: a guest's hold may become a member's booking."""
    terms = replace(locked.terms, platform_fee_bps=platform_fee_bps)
    return replace(locked, terms=terms, platform_fee_minor=share(locked.net_minor, platform_fee_bps))


def on_arrival(locked: Quote) -> Quote:
    """The same price with nothing due before the service."""
    return replace(locked, terms=replace(locked.terms, deposit_bps=0), due_now_minor=0)


def settled(terms: QuoteTerms, items: tuple[QuotedItem, ...], lines: Sequence[Line]) -> Quote:
    """Tax, rounding, fee and deposit of these lines of items."""
    subtotal = sum(line.amount_minor for line in lines)
    added, total = _taxed(terms, subtotal)
    tax = included_share(total, terms.tax_rate_bps) if terms.tax_is_included else min(added, total)
    ends = [Line(LineKind.TAX, terms.tax_label, added, rate_bps=terms.tax_rate_bps)] if added else []
    rounding = total - subtotal - added
    if rounding:
        ends.append(Line(LineKind.ROUNDING, "Rounding", rounding))
    return Quote(
        terms=terms,
        items=items,
        lines=(*lines, *ends),
        total_minor=total,
        tax_minor=tax,
        platform_fee_minor=share(total - tax, terms.platform_fee_bps),
        due_now_minor=_due_now(total, terms, charge_step(terms.currency)),
    )


def total_of(terms: QuoteTerms, subtotal_minor: int) -> int:
    """What the customer pays for items that cost so much together: with the tax where it is added, and rounded."""
    return _taxed(terms, subtotal_minor)[1]


def _taxed(terms: QuoteTerms, subtotal: int) -> tuple[int, int]:
    """The tax that is added, and the total."""
    added = 0 if terms.tax_is_included else share(subtotal, terms.tax_rate_bps)
    return added, to_step(subtotal + added, charge_step(terms.currency))


def _due_now(total: int, terms: QuoteTerms, step: int) -> int:
    due = to_step(share(total, terms.deposit_bps), step)
    least = up_to_step(terms.minimum_charge_minor, step)
    if due == 0:
        return 0
    due = min(total, max(due, least))
    return total if total - due < least else due


@dataclass(frozen=True, slots=True)
class FeeRates:
    """The platform's fee in basis points: of bookings by guests, and of those by people with an account."""

    guest_bps: int = 0
    member_bps: int = 0

    def of(self, *, is_member: bool) -> int:
        return self.member_bps if is_member else self.guest_bps


NO_FEES = FeeRates()
