"""What a booking of places costs when its party becomes another one: at the price that was locked, never at a new one.

The basis is always the price as it was locked with the booking, so that the way there does not matter: who is added and
removed again leaves the price as it was.
"""

from __future__ import annotations

from dataclasses import replace

from app.domain.price_quote import Line, LineKind, Quote, settled
from app.domain.refund import Ending, RefundPolicy, settle
from app.domain.rounding import charge_step, divide, included_share, share

_OF_ITEM = frozenset({LineKind.BASE, LineKind.RULE, LineKind.CAP})
KEPT_LABEL = "Kept for a late change"


def price_for(locked: Quote, places: int) -> Quote:
    """The locked price for so many places instead of those that it was locked for.

    Base price, rules and caps go with the number. A promo code lowers what it was used for: its discount shrinks with
    a party that shrinks, and does not grow. Tax, rounding, platform fee and deposit are those of the locked terms.
    Raises ValueError for a price of several services, for less than one place, and for more than can be represented.
    """
    if len(locked.items) != 1:
        raise ValueError("only the price of places goes with their number")
    if places < 1:
        raise ValueError("at least one place is paid for")
    item = locked.items[0]
    if places == item.quantity:
        return locked
    lines = _scaled(locked, places, item.quantity)
    for line in locked.lines:
        if line.kind is LineKind.PROMO:
            lowered = min(-line.amount_minor, divide(-line.amount_minor * places, item.quantity))
            if lowered:
                lines.append(replace(line, amount_minor=-lowered))
    return settled(locked.terms, (replace(item, quantity=places),), lines)


def _scaled(locked: Quote, places: int, quantity: int) -> list[Line]:
    """Lines of the item. What rounding each of them leaves over is put into the last, so that they add up."""
    own = [line for line in locked.lines if line.kind in _OF_ITEM]
    lines = [replace(line, amount_minor=divide(line.amount_minor * places, quantity)) for line in own]
    wanted = divide(sum(line.amount_minor for line in own) * places, quantity)
    left = wanted - sum(line.amount_minor for line in lines)
    if left:
        lines[-1] = replace(lines[-1], amount_minor=lines[-1].amount_minor + left)
    return lines


def kept_of(price: Quote) -> int:
    """What was kept for those who were removed late, in minor units."""
    return sum(line.amount_minor for line in price.lines if line.kind is LineKind.KEPT)


def with_kept(price: Quote, kept_minor: int) -> Quote:
    """The price with what is kept for those who were removed late: tax and platform fee are taken of it, too.

    Raises ValueError for a negative amount, or more than can be represented.
    """
    if kept_minor < 0:
        raise ValueError("what is kept is not negative")
    if kept_minor == 0:
        return price
    total = price.total_minor + kept_minor
    tax = price.tax_minor + included_share(kept_minor, price.terms.tax_rate_bps)
    return replace(
        price,
        lines=(*price.lines, Line(LineKind.KEPT, KEPT_LABEL, kept_minor, 0)),
        total_minor=total,
        tax_minor=tax,
        platform_fee_minor=share(total - tax, price.terms.platform_fee_bps),
    )


def price_after_removal(
    locked: Quote, price: Quote, places: int, *, policy: RefundPolicy, ending: Ending, paid_minor: int
) -> Quote:
    """What is left of `price` when so many places remain. `locked`: as it was locked; `paid_minor`: what was paid.

    In time, or where it is ours to answer for, the whole part of those who leave is taken off; late, what the policy
    keeps of it stays in the price. Raises as `price_for`.
    """
    plain, kept = price_for(locked, places), kept_of(price)
    part = price.total_minor - kept - plain.total_minor
    paid_part = paid_minor * part // price.total_minor if part > 0 else 0
    ended = settle(
        policy,
        ending,
        price_minor=max(0, part),
        paid_minor=paid_part,
        can_charge=True,
        step=charge_step(price.currency),
    )
    return with_kept(plain, kept + ended.kept_minor)
