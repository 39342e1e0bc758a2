"""What goes back, by the policy that was frozen with a booking or by the staff, and out of which captures it goes.

A refund never exceeds what is left of what was paid. Of each capture it takes the platform's fee, the tax and the
payees' parts in proportion, so that a capture that went back in pieces went back whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from app.domain.rounding import WHOLE_BPS, down_to_step, share
from app.domain.shares import NOTHING, Shares

# ── the policy ────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Fee:
    """A share of the price (0 … 10,000 basis points) and an amount, together never above the price."""

    share_bps: int = 0
    amount_minor: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.share_bps <= WHOLE_BPS or self.amount_minor < 0:
            raise ValueError("a fee is at most the whole price, and not negative")

    def of(self, price_minor: int) -> int:
        return min(price_minor, share(price_minor, self.share_bps) + self.amount_minor)


NO_FEE = Fee()


@dataclass(frozen=True, slots=True)
class RefundPolicy:
    """What a customer gets back and owes; frozen with the booking. Within the notice everything goes back.

    `late_refund_bps`: the share of what was paid that goes back after the notice; `late_fee`: what is owed then even by
    one who paid less. `no_show_…`: the same for one who did not come. Of the two the larger counts.
    """

    late_refund_bps: int = 0
    late_fee: Fee = NO_FEE
    no_show_refund_bps: int = 0
    no_show_fee: Fee = NO_FEE

    def __post_init__(self) -> None:
        if any(not 0 <= rate <= WHOLE_BPS for rate in (self.late_refund_bps, self.no_show_refund_bps)):
            raise ValueError("a share lies between 0 and 10000 basis points")


NOTHING_AFTER_NOTICE = RefundPolicy()
"""The default: all within the notice, nothing after it, and nobody is charged for what was never paid."""

POLICY_VERSION = 1


def policy_to_json(policy: RefundPolicy) -> dict[str, Any]:
    """`{"version": 1, "lateRefundBps": 5000, "lateFee": {"shareBps": 0, "amountMinor": 0}, …}`"""
    return {
        "version": POLICY_VERSION,
        "lateRefundBps": policy.late_refund_bps,
        "lateFee": {"shareBps": policy.late_fee.share_bps, "amountMinor": policy.late_fee.amount_minor},
        "noShowRefundBps": policy.no_show_refund_bps,
        "noShowFee": {"shareBps": policy.no_show_fee.share_bps, "amountMinor": policy.no_show_fee.amount_minor},
    }


def policy_from_json(value: Mapping[str, Any]) -> RefundPolicy:
    """What `policy_to_json` wrote. Raises ValueError for another version and for rates out of bounds."""
    if value.get("version") != POLICY_VERSION:
        raise ValueError(f"a refund policy of version {value.get('version')!r} cannot be read")
    late, no_show = value["lateFee"], value["noShowFee"]
    return RefundPolicy(
        late_refund_bps=value["lateRefundBps"],
        late_fee=Fee(late["shareBps"], late["amountMinor"]),
        no_show_refund_bps=value["noShowRefundBps"],
        no_show_fee=Fee(no_show["shareBps"], no_show["amountMinor"]),
    )


class Ending(StrEnum):
    """How a booking ends, as money sees it. OURS: the provider, the staff or the system ended it."""

    IN_TIME = "in_time"
    LATE = "late"
    NO_SHOW = "no_show"
    OURS = "ours"


@dataclass(frozen=True, slots=True)
class Settlement:
    """In minor units. `refund_minor` goes back of what was paid; `charge_minor` is still to be charged by the saved
    method. One of them is always zero. `kept_minor`: what the customer has paid at the end."""

    refund_minor: int
    charge_minor: int
    kept_minor: int


def settle(
    policy: RefundPolicy,
    ending: Ending,
    *,
    price_minor: int,
    paid_minor: int,
    can_charge: bool = False,
    minimum_charge_minor: int = 0,
    step: int = 1,
    kept_minor: int = 0,
) -> Settlement:
    """What follows from an ending. `paid_minor`: paid and not yet given back. `can_charge`: there is a saved method.

    `kept_minor`: of the price, what was kept already for people who were removed late; it is settled for good.
    `step`: `rounding.charge_step`; odd units go to the customer. A charge below `minimum_charge_minor` is not made.
    """
    if ending is Ending.LATE:
        rate, fee = policy.late_refund_bps, policy.late_fee
    elif ending is Ending.NO_SHOW:
        rate, fee = policy.no_show_refund_bps, policy.no_show_fee
    else:
        return Settlement(paid_minor, 0, 0)
    open_minor = max(0, paid_minor - kept_minor)
    owed = down_to_step(kept_minor + max(open_minor - share(open_minor, rate), fee.of(price_minor - kept_minor)), step)
    if owed <= paid_minor:
        return Settlement(paid_minor - owed, 0, owed)
    charge = owed - paid_minor
    if not can_charge or charge < minimum_charge_minor:
        return Settlement(0, 0, paid_minor)
    return Settlement(0, charge, owed)


# ── out of which captures ─────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Capture:
    """Money that came in: once for most bookings, more often with a deposit or a fee.

    `refunded`: went back or was asked to (a refund that failed does not count); `disputed`: in open and lost disputes.
    `is_released`: its shares belong to their owners already (the service was given); before that it is in escrow.
    """

    id: UUID
    captured_at: datetime
    shares: Shares
    refunded: Shares = NOTHING
    disputed: Shares = NOTHING
    is_cash: bool = False
    is_released: bool = False

    @property
    def left(self) -> Shares:
        """What can still go back."""
        return self.shares - self.refunded - self.disputed


@dataclass(frozen=True, slots=True)
class RefundPart:
    """What of one capture goes back. Cash is given back by hand."""

    capture: Capture
    shares: Shares

    @property
    def amount_minor(self) -> int:
        return self.shares.total_minor


class RefundTooLarge(ValueError):
    """More than what is left of what was paid. The text is for a person, without the currency."""

    def __init__(self, wanted_minor: int, refundable_minor: int) -> None:
        super().__init__(f"is more than can go back: at most {refundable_minor} minor units are left")
        self.wanted_minor = wanted_minor
        self.refundable_minor = refundable_minor


def refundable(captures: Iterable[Capture]) -> int:
    """The most that can go back, in minor units."""
    return sum(capture.left.total_minor for capture in captures)


def allocate_refund(captures: Iterable[Capture], amount_minor: int, step: int = 1) -> tuple[RefundPart, ...]:
    """The captures that a refund comes out of, in the order in which to ask for it; the parts add up to it exactly.

    The largest remainder first, so that the fewest refunds are asked for; the older first among equal ones; what was
    paid by the processor before cash, which somebody has to hand back. Raises RefundTooLarge, and ValueError for less
    than one unit or for no multiple of `step` (unless it is all that is left).
    """
    captures = tuple(captures)
    most = refundable(captures)
    if amount_minor < 1:
        raise ValueError("must be at least one minor unit")
    if amount_minor > most:
        raise RefundTooLarge(amount_minor, most)
    if amount_minor % step and amount_minor != most:
        raise ValueError(f"must be a multiple of {step} minor units in this currency")
    parts = []
    missing = amount_minor
    for capture in sorted(captures, key=_refund_order):
        part = min(missing, capture.left.total_minor)
        if part:
            parts.append(RefundPart(capture, capture.left.take(part)))
            missing -= part
    return tuple(parts)


def _refund_order(capture: Capture) -> tuple[bool, int, datetime, int]:
    return capture.is_cash, -capture.left.total_minor, capture.captured_at, capture.id.int
