"""Money: integers of a currency's minor unit. No floats, no rounding here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

MAXIMUM_MINOR = 2**53 - 1
"""Amounts stay within ±this, so that a JavaScript number holds them exactly."""

_WITHOUT_DECIMALS = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THREE_DECIMALS = "BHD IQD JOD KWD LYD OMR TND"
_FOUR_DECIMALS = "CLF UYW"
_TWO_DECIMALS = """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY COP COU
CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES
KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR
NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP
TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG
"""

EXPONENTS: Mapping[str, int] = MappingProxyType(
    {
        code: exponent
        for exponent, codes in (
            (0, _WITHOUT_DECIMALS),
            (2, _TWO_DECIMALS),
            (3, _THREE_DECIMALS),
            (4, _FOUR_DECIMALS),
        )
        for code in codes.split()
    }
)
"""ISO 4217 as of 2026: the decimals of each current currency and fund. Metals and test codes have none: left out."""


def is_currency(code: str) -> bool:
    """A current ISO 4217 code, in upper case?"""
    return code in EXPONENTS


def check_minor(minor: int) -> int:
    """The amount itself. Raises ValueError beyond ±(2^53 - 1)."""
    if not -MAXIMUM_MINOR <= minor <= MAXIMUM_MINOR:
        raise ValueError(f"must lie between -{MAXIMUM_MINOR} and {MAXIMUM_MINOR}")
    return minor


def format_amount(minor: int, currency: str) -> str:
    """`(125000, "ARS")` → `1250.00`; `(1250, "JPY")` → `1250`. Raises ValueError for an unknown currency."""
    exponent = EXPONENTS.get(currency)
    if exponent is None:
        raise ValueError("is no current ISO 4217 currency")
    check_minor(minor)
    if exponent == 0:
        return str(minor)
    whole, part = divmod(abs(minor), 10**exponent)
    return f"{'-' if minor < 0 else ''}{whole}.{part:0{exponent}d}"
