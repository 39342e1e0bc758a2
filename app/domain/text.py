"""Text from people: any script and emoji, but nothing that hides, turns round or breaks what others read."""

from __future__ import annotations

import re
import unicodedata

_BIDI_CONTROLS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Embeddings, overrides and isolates: they make other text show in another order. Plain marks (LRM, RLM) are fine."""

_LINE_SEPARATORS = frozenset("\u2028\u2029")
_BLANK_LETTERS = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters and signs by category that show nothing."""

_INVISIBLE = frozenset({"Cf", "Mn", "Me", "Zs", "Zl", "Zp", "Cc"})
"""A text of these alone shows nothing to point at. (Among others: zero-width signs, lone accents, spaces.)"""

_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*", re.ASCII)
SLUG_MAXIMUM = 63


def clean_name(value: str, maximum: int) -> str:
    """One line: trimmed, in Unicode NFC, 1 … `maximum` characters, with something to see. Raises ValueError."""
    cleaned = _normal(value, maximum, allowed_controls="")
    if any(char in _LINE_SEPARATORS for char in cleaned):
        raise ValueError("must be a single line")
    if not is_visible(cleaned):
        raise ValueError("must not be empty")
    return cleaned


def clean_text(value: str, maximum: int) -> str:
    """Free text of any lines: trimmed, in Unicode NFC, line ends as `\\n`, at most `maximum` characters, maybe empty.

    Raises ValueError.
    """
    cleaned = _normal(value.replace("\r\n", "\n").replace("\r", "\n"), maximum, allowed_controls="\n\t")
    return cleaned if is_visible(cleaned) else ""


def is_visible(value: str) -> bool:
    """Is there at least one sign that shows?"""
    return any(unicodedata.category(char) not in _INVISIBLE and char not in _BLANK_LETTERS for char in value)


def _normal(value: str, maximum: int, allowed_controls: str) -> str:
    if len(value) > 4 * maximum + 64:  # before any work on it; NFC and trimming only ever save a part
        raise ValueError(f"must have at most {maximum} characters")
    for char in value.strip(" \t\n"):
        category = unicodedata.category(char)
        if category == "Cc" and char not in allowed_controls:
            raise ValueError(f"must not contain the control character U+{ord(char):04X}")
        if category == "Cs":
            raise ValueError("contains half a character (a lone surrogate)")
        if char in _BIDI_CONTROLS or ord(char) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(char) <= 0xFDEF:
            raise ValueError(f"must not contain the invisible character U+{ord(char):04X}")
    cleaned = unicodedata.normalize("NFC", value).strip()
    if len(cleaned) > maximum:
        raise ValueError(f"must have at most {maximum} characters")
    return cleaned


def check_slug(value: str) -> str:
    """The slug itself: 2 … 63 of a-z, 0-9 and single hyphens inside. Raises ValueError."""
    if not 2 <= len(value) <= SLUG_MAXIMUM or not _SLUG.fullmatch(value):
        raise ValueError(
            "must be 2 to 63 lower-case letters, digits and single hyphens between them, as in corte-y-barba"
        )
    return value
