"""TypeIDs at the edge, UUIDv7 inside (https://github.com/jetify-com/typeid, spec v0.3)."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from uuid import UUID

import uuid_utils.compat


class IdKind(StrEnum):
    """Prefix of each public id."""

    ORGANIZATION = "org"
    USER = "usr"
    MEMBERSHIP = "mem"
    VENUE = "ven"
    PROVIDER = "prv"
    SERVICE = "svc"
    SCHEDULE = "sch"
    HOLD = "hld"
    BOOKING = "bkg"
    CUSTOMER = "cus"
    RESOURCE = "res"
    ACTIVITY = "act"
    SESSION = "ses"
    EXCEPTION = "exc"
    TIME_OFF = "tof"
    CALENDAR_SOURCE = "cal"
    PAYMENT = "pay"
    REFUND = "rfd"
    PRICE_RULE = "prl"
    PROMO_CODE = "pro"
    PRICE_OFFER = "pqt"
    FEE = "fee"
    DIFFERENCE = "rdf"
    PAYOUT = "pyo"
    BULK_CHANGE = "blk"
    PARTICIPANT = "ptc"
    WAITLIST = "wle"
    SERIES = "srs"


class WrongId(ValueError):
    """Not an id of the expected kind. The text says which prefix was expected."""


_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PYTHONS_DIGITS = bytes(
    b"0123456789abcdefghijklmnopqrstuv"[_ALPHABET.index(chr(byte))] if chr(byte) in _ALPHABET else 0x21
    for byte in range(256)
)
"""For each byte of an id the one that `int` knows for it, and one that it refuses for all others."""
_PAIRS = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
_SHIFTS = tuple(range(120, -1, -10))
"""Of each pair of characters in the number."""


def new_id() -> UUID:
    """A fresh UUIDv7: ids made later sort later, so that inserts stay at the end of their index."""
    return uuid_utils.compat.uuid7()


def first_id_at(instant: datetime) -> UUID:
    """No id that is made at this instant, or later, sorts before it: the index of ids is one of time, too."""
    milliseconds = max(0, int(instant.timestamp() * 1_000))
    return UUID(int=milliseconds << 80 | 0x7 << 76 | 0b10 << 62)


@lru_cache(maxsize=65_536)
def encode_id(kind: IdKind, value: UUID) -> str:
    """`(IdKind.BOOKING, uuid)` → `bkg_01h2xcejqtf2nbrexx3vqjhp41`."""
    return f"{kind.value}_{encode_suffix(value)}"


def encode_id_text(kind: IdKind, value: str) -> str:
    """As `encode_id`, of a UUID as PostgreSQL writes it."""
    return f"{kind._value_}_{_suffix_of_text(value)}"


def encode_suffix(value: UUID) -> str:
    """26 characters of base32, most significant first."""
    return _suffix(value.int)


@lru_cache(maxsize=16_384)
def _suffix_of_text(value: str) -> str:
    return _suffix(int(value.replace("-", ""), 16))


def _suffix(number: int) -> str:
    return "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])


def decode_suffix(text: str) -> UUID:
    """The UUID of 26 base32 characters. Raises WrongId for any other text, upper case included."""
    if len(text) != 26 or text[0] > "7" or not text.isascii():
        raise WrongId("not an id")
    try:
        return UUID(int=int(text.encode().translate(_PYTHONS_DIGITS), 32))
    except ValueError:
        raise WrongId("not an id") from None


def decode_id(kind: IdKind, text: str) -> UUID:
    """The UUID of a TypeID of this kind. Raises WrongId, naming the expected prefix."""
    prefix, _, suffix = text.rpartition("_")
    if prefix != kind.value:
        raise WrongId(f"expected an id that begins with {kind.value}_")
    try:
        return decode_suffix(suffix)
    except WrongId:
        raise WrongId(f"expected {kind.value}_ followed by 26 characters of lower-case base32") from None


def decode_any(text: str) -> tuple[IdKind, UUID]:
    """Kind and UUID of any TypeID. Raises WrongId for an unknown prefix."""
    prefix, _, _ = text.rpartition("_")
    try:
        kind = IdKind(prefix)
    except ValueError:
        raise WrongId("expected a prefix such as " + ", ".join(f"{k.value}_" for k in IdKind)) from None
    return kind, decode_id(kind, text)
