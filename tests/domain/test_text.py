from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.text import check_slug, clean_name, clean_text

NAMES = [
    "Ana",
    "José Núñez",
    "שרה כהן",
    "محمد علی",
    "李小龍",
    "Ngô Đình",
    "O'Neill-Smith 3rd",
    "नमस्ते",
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian, with a zero-width non-joiner inside
    "\u200e\u05e8\u05d5\u05ea\u200f",  # Hebrew between direction marks
    "\U0001f469\U0001f3fd\u200d\U0001f692",  # a firefighter: four code points, one of zero width
    "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f Bea",  # a flag made of tags
]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_the_world_pass(name: str) -> None:
    assert clean_name(name, 100) == name


def test_names_are_trimmed_and_composed() -> None:
    assert clean_name("  Jose\u0301 \u3000", 10) == "José"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "empty"),
        (" \t ", "empty"),
        ("\u200b\u200d", "empty"),
        ("\u3164", "empty"),
        ("\u2800 \u115f", "empty"),
        ("\u0301", "empty"),
        ("a\x00b", "U\\+0000"),
        ("a\nb", "U\\+000A"),
        ("a\x85b", "U\\+0085"),
        ("a\u202eb", "U\\+202E"),
        ("a\u2066b", "U\\+2066"),
        ("a\ud800", "surrogate"),
        ("a\ufffe", "U\\+FFFE"),
        ("a\u2028b", "single line"),
        ("x" * 101, "at most 100"),
        ("x" * 100_000, "at most 100"),
        ("\x00" * 5, "U\\+0000"),
    ],
)
def test_bad_names_say_why(name: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        clean_name(name, 100)


@given(st.text(alphabet=st.characters(codec=None), max_size=60))
def test_whatever_passes_is_clean(value: str) -> None:
    try:
        cleaned = clean_name(value, 50)
    except ValueError:
        return
    assert cleaned == clean_name(cleaned, 50)
    assert cleaned.encode("utf-8").decode("utf-8") == unicodedata.normalize("NFC", cleaned)
    assert not any(unicodedata.category(char) in ("Cc", "Cs") for char in cleaned)
    assert 1 <= len(cleaned) <= 50


def test_free_text() -> None:
    assert clean_text(" one\r\ntwo\rthree\tx ", 50) == "one\ntwo\nthree\tx"
    assert clean_text("", 50) == clean_text("\u200b\n", 50) == ""
    for bad in ("a\x00", "a\x1b[31m", "a\u202e", "a\udfff", "x" * 51):
        with pytest.raises(ValueError, match=r"\w"):
            clean_text(bad, 50)


def test_slugs() -> None:
    for good in ("ab", "corte-y-barba", "a1-2", "x" * 63):
        assert check_slug(good) == good
    for bad in ("", "a", "A-b", "-ab", "ab-", "a--b", "a_b", "ñandu", "a b", "x" * 64, "ab\n"):
        with pytest.raises(ValueError, match="lower-case"):
            check_slug(bad)
