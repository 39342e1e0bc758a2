"""E-mail addresses and phone numbers: one spelling for each, and nothing that cannot be one."""

from __future__ import annotations

import phonenumbers
from email_validator import EmailNotValidError, validate_email

from app.domain.text import clean_name

EMAIL_MAXIMUM = 254
PHONE_MAXIMUM = 40


def normalize_email(value: str) -> str:
    """`Ana@Shop.COM ` → `ana@shop.com`. Asks no name server. Raises ValueError."""
    text = clean_name(value, EMAIL_MAXIMUM)
    try:
        normalized = validate_email(text, check_deliverability=False, strict=True).normalized.lower()
    except (EmailNotValidError, UnicodeError):
        raise ValueError("is no e-mail address; expected one such as ana@example.com") from None
    if len(normalized) > EMAIL_MAXIMUM:  # lower case may be longer, in some scripts
        raise ValueError(f"must have at most {EMAIL_MAXIMUM} characters")
    return normalized


def normalize_phone(value: str, country: str | None = None) -> str:
    """Any usual spelling → E.164, `+5491123456789`. `country` (ISO 3166) reads numbers without a prefix.

    Raises ValueError for a country or a length that no numbering plan has. Ranges within a country are not asked:
    they are opened faster than the tables learn of them, and nobody should lose a booking over that.
    """
    text = clean_name(value, PHONE_MAXIMUM)
    try:
        number = phonenumbers.parse(text, country)
    except phonenumbers.NumberParseException:
        number = None
    if number is None or number.extension or not _is_possible(number):
        raise ValueError("is no phone number; expected one with its country, such as +54 9 11 2345 6789")
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _is_possible(number: phonenumbers.PhoneNumber) -> bool:
    verdict = phonenumbers.is_possible_number_with_reason(number)
    is_one_digit = len(set(phonenumbers.national_significant_number(number))) == 1
    return verdict == phonenumbers.ValidationResult.IS_POSSIBLE and not is_one_digit
