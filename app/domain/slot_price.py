"""What a slot costs: what appointments and places are to a price, and the price that a hold locks.

Reads of many slots work with masks of starts (`tariff`), and come to the same amounts at the same instant.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from app.domain.errors import InvalidInput
from app.domain.plan import ProviderPlan
from app.domain.price_book import PriceBook
from app.domain.price_offer import AcceptedOffer
from app.domain.price_quote import Quote, quote
from app.domain.price_rule import PricedItem


def appointment(
    book: PriceBook,
    service_id: UUID,
    plan: ProviderPlan,
    starts_at: datetime,
    *,
    label: str = "",
    offer: AcceptedOffer | None = None,
    occupancy_bps: int | None = None,
    is_payee: bool = False,
) -> PricedItem:
    """One service as this provider gives it, at this start: rules look at the provider's own clock.

    `is_payee`: the price is the provider's and is paid out; otherwise the organization keeps it.

    Raises ValueError for a price by quote without an accepted one.
    """
    base_minor = plan.price_minor if offer is None else offer.amount_minor
    if base_minor is None:
        raise ValueError("a price by quote needs the quote that was accepted")
    return PricedItem(
        subject_id=service_id,
        label=label,
        base_minor=base_minor,
        starts_at=starts_at,
        time_zone=plan.time_zone,
        provider_id=plan.provider_id,
        payee_id=plan.provider_id if is_payee else None,
        offer_id=None if offer is None else offer.offer_id,
        occupancy_bps=occupancy_bps,
        caps=book.caps,
    )


def places(
    book: PriceBook,
    activity_id: UUID,
    place_minor: int,
    starts_at: datetime,
    time_zone: ZoneInfo,
    *,
    quantity: int = 1,
    label: str = "",
    occupancy_bps: int | None = None,
) -> PricedItem:
    """So many places of a session, each at `place_minor`; `time_zone`: the venue's."""
    return PricedItem(
        subject_id=activity_id,
        label=label,
        base_minor=place_minor,
        starts_at=starts_at,
        time_zone=time_zone,
        quantity=quantity,
        occupancy_bps=occupancy_bps,
        caps=book.caps,
    )


def locked_price(
    items: Sequence[PricedItem], book: PriceBook, currency: str, now: datetime, platform_fee_bps: int = 0
) -> Quote:
    """With every reason for it, as it is kept. Raises InvalidInput for more than can be represented."""
    try:
        return quote(items, book.rules, book.terms(currency, platform_fee_bps), now)
    except ValueError as fault:
        raise InvalidInput.at("input", str(fault)) from None
