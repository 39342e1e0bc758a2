"""The least that a processor charges at once, which decides how small a deposit, or the rest after it, can be."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

_STRIPE: Mapping[str, int] = MappingProxyType(
    {
        "AED": 200,
        "AUD": 50,
        "BRL": 50,
        "CAD": 50,
        "CHF": 50,
        "CZK": 1_500,
        "DKK": 250,
        "EUR": 50,
        "GBP": 30,
        "HKD": 400,
        "HUF": 17_500,
        "INR": 50,
        "JPY": 50,
        "MXN": 1_000,
        "MYR": 200,
        "NOK": 300,
        "NZD": 50,
        "PLN": 200,
        "RON": 200,
        "SEK": 300,
        "SGD": 50,
        "THB": 1_000,
        "USD": 50,
    }
)
"""For others Stripe converts the least of the account's own currency, by the rate of the day: nothing to count with."""


def minimum_charge(processor: str, currency: str) -> int:
    """In minor units; 0 where the processor names none."""
    return _STRIPE.get(currency, 0) if processor == "stripe" else 0
