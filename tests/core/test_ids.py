"""Ids as texts, whichever way they are made."""

from __future__ import annotations

from random import Random
from uuid import UUID

import pytest

from app.core.ids import IdKind, WrongId, decode_any, decode_suffix, encode_id, encode_id_text

LARGEST = 2**128 - 1
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"


def _slowly(number: int) -> str:
    text = ""
    for _ in range(26):
        number, digit = divmod(number, 32)
        text = _DIGITS[digit] + text
    return text


@pytest.mark.parametrize("kind", IdKind)
def test_there_and_back(kind: IdKind) -> None:
    random = Random(kind.value)
    for number in (0, 1, 31, 32, 1_023, 1_024, LARGEST, *(random.randrange(LARGEST) for _ in range(50))):
        value = UUID(int=number)
        text = encode_id(kind, value)
        assert text == f"{kind.value}_{_slowly(number)}" == encode_id_text(kind, str(value))
        assert decode_any(text) == (kind, value)


FINE = "01h2xcejqtf2nbrexx3vqjhp41"


@pytest.mark.parametrize(
    "odd", [*"ilouILOUAZ_+- \t\n\0", "\N{ARABIC-INDIC DIGIT ONE}", "\N{FULLWIDTH DIGIT ONE}", "é", "\ud800"]
)
@pytest.mark.parametrize("place", [0, 1, 13, 25])
def test_what_is_no_suffix(odd: str, place: int) -> None:
    """Not even where Python would read a number of it."""
    assert decode_suffix(FINE).version == 7
    for text in (FINE[:place] + odd + FINE[place + 1 :], FINE[:-1] + odd + FINE[-1], FINE[:-1], "8" + FINE[1:], ""):
        with pytest.raises(WrongId):
            decode_suffix(text)
