"""Amounts as Stripe's API wants them: mostly the ISO minor unit, with exceptions of its own.

ISK and UGX have no decimals, but Stripe counts them in hundredths, for older clients' sake (5 ISK are 500). MGA has two
decimals in ISO 4217 and none at Stripe. Of the currencies with three decimals, Stripe takes five, and only amounts
whose last digit is zero. Funds and units of account cannot be charged.
"""

from __future__ import annotations

from app.domain.money import EXPONENTS
from app.gateway import GatewayRefused, RefusalKind

_HUNDREDTHS = frozenset({"ISK", "UGX"})
_WHOLE = frozenset({"MGA"})
_THREE_DECIMALS = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})
_NEVER = frozenset({"CHE", "CHW", "CLF", "COU", "CUP", "IRR", "KPW", "MXV", "SDG", "SYP", "UYI", "UYW", "USN", "VED"})


def is_taken(currency: str) -> bool:
    """Can Stripe charge in it? An ISO code in upper case."""
    exponent = EXPONENTS.get(currency)
    if exponent is None or currency in _NEVER:
        return False
    return exponent < 3 or currency in _THREE_DECIMALS


def to_stripe(amount_minor: int, currency: str) -> int:
    """Raises GatewayRefused (AMOUNT) for what cannot be charged."""
    if not is_taken(currency):
        raise GatewayRefused(f"Stripe does not take {currency}.", "currency_not_taken", RefusalKind.AMOUNT)
    amount, step = amount_minor, 10 if currency in _THREE_DECIMALS else 1
    if currency in _HUNDREDTHS:
        amount = amount_minor * 100
    elif currency in _WHOLE:
        step = 100
    if amount_minor < 1 or amount_minor % step:
        raise GatewayRefused(
            f"{amount_minor} is no amount of {currency} that can be charged: it must be a positive multiple of {step}.",
            "amount_not_chargeable",
            RefusalKind.AMOUNT,
        )
    return amount_minor // 100 if currency in _WHOLE else amount


def from_stripe(amount: int, currency: str) -> int:
    """ISO minor units. `currency` in any case. Balances may be negative."""
    code = currency.upper()
    if code in _HUNDREDTHS:
        # Stripe rounds such balances itself; nothing of ours has hundredths.
        return amount // 100
    return amount * 100 if code in _WHOLE else amount
