"""Whose money it is: each amount that is paid consists of the platform's fee, the tax, and what the payees get.

Whatever part of it moves (a deposit, a part refund, a dispute) is a proportional part of all of them, taken with `take`
from what is left: so all parts together are the whole to the cent, in whatever pieces it went.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from app.domain.rounding import split


class Payable(NamedTuple):
    """What one payee gets. `payee_id` is a provider who is paid out, or None: the organization itself keeps it."""

    payee_id: UUID | None
    amount_minor: int


@dataclass(frozen=True, slots=True)
class Shares:
    """Minor units of one currency, none negative. `shares_of` makes it: payees sorted, each once, none with zero."""

    platform_fee_minor: int = 0
    tax_minor: int = 0
    payables: tuple[Payable, ...] = ()

    def __post_init__(self) -> None:
        if any(part < 0 for part in self._parts()):
            raise ValueError("a share is never negative")
        ordered = _ordered({one.payee_id: one.amount_minor for one in self.payables})
        if self.payables != ordered:
            raise ValueError("payees are sorted, each once, and each gets something")

    @property
    def payable_minor(self) -> int:
        return sum(one.amount_minor for one in self.payables)

    @property
    def total_minor(self) -> int:
        return sum(self._parts())

    def take(self, amount_minor: int) -> Shares:
        """A proportional part of this with that total; `self - part` is what is left, and is never negative.

        Raises ValueError for a negative amount or one above the total.
        """
        if not 0 <= amount_minor <= self.total_minor:
            raise ValueError(f"must lie between 0 and {self.total_minor}, all that is left")
        fee, tax, *payables = split(amount_minor, self._parts())
        return shares_of(fee, tax, {one.payee_id: part for one, part in zip(self.payables, payables, strict=True)})

    def __add__(self, other: Shares) -> Shares:
        return self._combined(other, 1)

    def __sub__(self, other: Shares) -> Shares:
        """Raises ValueError where more would be taken than is there."""
        return self._combined(other, -1)

    def _combined(self, other: Shares, sign: int) -> Shares:
        amounts = {one.payee_id: one.amount_minor for one in self.payables}
        for one in other.payables:
            amounts[one.payee_id] = amounts.get(one.payee_id, 0) + sign * one.amount_minor
        return shares_of(
            self.platform_fee_minor + sign * other.platform_fee_minor, self.tax_minor + sign * other.tax_minor, amounts
        )

    def _parts(self) -> list[int]:
        return [self.platform_fee_minor, self.tax_minor, *(one.amount_minor for one in self.payables)]


def shares_of(platform_fee_minor: int, tax_minor: int, payables: Mapping[UUID | None, int]) -> Shares:
    """In normal form, so that equal shares compare equal. Raises ValueError for a negative part."""
    return Shares(platform_fee_minor, tax_minor, _ordered(payables))


def _ordered(payables: Mapping[UUID | None, int]) -> tuple[Payable, ...]:
    owed = [Payable(payee, amount) for payee, amount in payables.items() if amount]
    return tuple(sorted(owed, key=lambda one: (one.payee_id is None, one.payee_id.int if one.payee_id else 0)))


NOTHING = Shares()


def total_shares(parts: Iterable[Shares]) -> Shares:
    return sum(parts, NOTHING)


def shares_to_json(shares: Shares) -> dict[str, Any]:
    """`{"platformFeeMinor": 100, "taxMinor": 0, "payables": [{"payeeId": "…", "amountMinor": 900}]}`"""
    return {
        "platformFeeMinor": shares.platform_fee_minor,
        "taxMinor": shares.tax_minor,
        "payables": [
            {"payeeId": None if one.payee_id is None else str(one.payee_id), "amountMinor": one.amount_minor}
            for one in shares.payables
        ],
    }


def shares_from_json(value: Mapping[str, Any]) -> Shares:
    """What `shares_to_json` wrote. Raises ValueError where it breaks the rules of Shares."""
    payables = {
        None if one["payeeId"] is None else UUID(one["payeeId"]): one["amountMinor"] for one in value["payables"]
    }
    return shares_of(value["platformFeeMinor"], value["taxMinor"], payables)
