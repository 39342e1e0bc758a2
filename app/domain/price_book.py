"""All that an organization's prices are computed with: its rules, their caps, tax, deposit and fees."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from uuid import UUID

from app.domain.minimum_charge import minimum_charge
from app.domain.price_quote import FeeRates, QuoteTerms
from app.domain.price_rule import NO_CAPS, PriceCaps, PriceRule
from app.domain.rounding import WHOLE_BPS, charge_step
from app.domain.tariff import Tariff

DEFAULT_TAX_LABEL = "Tax"


@dataclass(frozen=True)
class PriceBook:
    """As it was at one moment. `rules` are the active ones. Fees none: those of the installation."""

    rules: tuple[PriceRule, ...] = ()
    caps: PriceCaps = NO_CAPS
    tax_rate_bps: int = 0
    tax_is_included: bool = True
    tax_label: str = DEFAULT_TAX_LABEL
    deposit_bps: int = WHOLE_BPS
    guest_fee_bps: int | None = None
    member_fee_bps: int | None = None
    processor: str = "stripe"

    def fee_bps(self, installation: FeeRates, *, is_member: bool) -> int:
        """The platform's share of a booking by a member, or by a guest, in basis points."""
        own = self.member_fee_bps if is_member else self.guest_fee_bps
        return installation.of(is_member=is_member) if own is None else own

    def terms(self, currency: str, platform_fee_bps: int = 0) -> QuoteTerms:
        """Raises ValueError for an unknown currency."""
        return QuoteTerms(
            currency=currency,
            tax_rate_bps=self.tax_rate_bps,
            tax_is_included=self.tax_is_included,
            tax_label=self.tax_label,
            platform_fee_bps=platform_fee_bps,
            deposit_bps=self.deposit_bps,
            minimum_charge_minor=minimum_charge(self.processor, currency),
        )

    @cached_property
    def changes_nothing(self) -> bool:
        """Is what somebody pays the base price, but for the rounding of some currencies?"""
        return not self.rules and (self.tax_is_included or self.tax_rate_bps == 0)

    @cached_property
    def asks_occupancy(self) -> bool:
        """Does any rule want to know how full it is?"""
        return any(rule.occupancy_bps is not None for rule in self.rules)

    def asks_occupancy_of(self, subjects: Iterable[UUID]) -> bool:
        """Does any that may count for one of these services, activities or providers?"""
        if not self.asks_occupancy:
            return False
        named = frozenset(subjects)
        return any(
            rule.occupancy_bps is not None and (not rule.subjects or not rule.subjects.isdisjoint(named))
            for rule in self.rules
        )

    def tariff_of(self, currency: str, *subjects: UUID) -> Tariff | None:
        """What the starts of a service cost with somebody, or those of an activity; None: the base price.

        `subjects`: the service and the provider, or the activity. The same object for the same rules.
        """
        if self.keeps_base(currency):
            return None
        rules = tuple(rule for rule in self.rules if not rule.subjects or not rule.subjects.isdisjoint(subjects))
        key = currency, tuple(rule.id for rule in rules)
        if key not in self._tariffs:
            terms = QuoteTerms(currency, self.tax_rate_bps, self.tax_is_included)
            tariff = Tariff(rules, terms, self.caps)
            self._tariffs[key] = None if tariff.is_plain else tariff
        return self._tariffs[key]

    @cached_property
    def _tariffs(self) -> dict[tuple[str, tuple[UUID, ...]], Tariff | None]:
        return {}

    def keeps_base(self, currency: str) -> bool:
        """Does nobody pay anything but base prices?"""
        return self.changes_nothing and charge_step(currency) == 1


PLAIN = PriceBook()
"""Of an organization that has neither rules nor terms of its own."""
