"""E-mail addresses and phone numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.contact import EMAIL_MAXIMUM, normalize_email, normalize_phone


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("ana@example.com", "ana@example.com"),
        ("  Ana.Pérez+turnos@Example.COM ", "ana.pérez+turnos@example.com"),
        ("ana@EXÄMPLE.com", "ana@exämple.com"),
        ("ana@shop.example", "ana@shop.example"),
    ],
)
def test_emails(value: str, kept: str) -> None:
    assert normalize_email(value) == kept
    assert normalize_email(kept) == kept


@pytest.mark.parametrize(
    "value",
    [
        "",
        "ana",
        "ana@",
        "@example.com",
        "ana@example",
        "ana@localhost",
        "a b@example.com",
        "ana@@example.com",
        "ana@example..com",
        "ana@[127.0.0.1]",
        "Ana <ana@example.com>",
        "ana@example.com\nBcc: all@example.com",
        "ana\u200b@example.com",
        "ana\u202e@example.com",
        "ana\0@example.com",
        "ana\ud800@example.com",
        f"{'a' * 65}@example.com",
        f"ana@{'a' * 250}.com",
        "x" * 1_000_000,
    ],
)
def test_emails_that_cannot_be(value: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        normalize_email(value)


@given(st.text(max_size=300) | st.emails())
def test_emails_are_kept_or_refused(value: str) -> None:
    try:
        kept = normalize_email(value)
    except ValueError:
        return
    assert len(kept) <= EMAIL_MAXIMUM
    assert kept == kept.lower()
    assert kept.count("@") >= 1


@pytest.mark.parametrize(
    ("value", "country", "kept"),
    [
        ("+54 9 11 2345-6789", None, "+5491123456789"),
        ("011 15-2345-6789", "AR", "+5491123456789"),
        ("+972 54-123-4567", "AR", "+972541234567"),
        ("(212) 555-0123", "US", "+12125550123"),
        ("+1 555 123 4567", None, "+15551234567"),
    ],
)
def test_phones(value: str, country: str | None, kept: str) -> None:
    assert normalize_phone(value, country) == kept


@pytest.mark.parametrize(
    "value",
    [
        "",
        "12",
        "011 2345-6789",
        "+54",
        "+999 123456789",
        "call me",
        "+1 212 555 0123 ext. 4",
        "+1 000 000 0000",
        "+54911",
        "+549112345678901",
        "٣" * 41,
        "\0",
    ],
)
def test_phones_that_cannot_be(value: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        normalize_phone(value)


@given(st.text(max_size=60))
def test_phones_are_kept_or_refused(value: str) -> None:
    try:
        kept = normalize_phone(value)
    except ValueError:
        return
    assert kept.startswith("+")
    assert kept[1:].isascii()
    assert kept[1:].isdigit()
