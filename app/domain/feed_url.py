"""Addresses of calendars, as people paste them."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit, urlunsplit

LONGEST = 2_000

_SCHEMES = {"https": "https", "http": "http", "webcal": "https", "webcals": "https"}


def normalize_feed_url(value: str) -> str:
    """An http or https address without fragment; `webcal:` is https. Raises ValueError, with a text for a person."""
    text = value.strip()
    if len(text) > LONGEST:
        raise ValueError(f"must have at most {LONGEST} characters")
    if not text or any(char <= " " or char == "\x7f" or "\ud800" <= char <= "\udfff" for char in text):
        raise ValueError("is no web address; use one such as https://calendar.example.com/private/basic.ics")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError("is no web address; use one such as https://calendar.example.com/private/basic.ics") from None
    scheme = _SCHEMES.get(parts.scheme.lower())
    if scheme is None:
        raise ValueError("must begin with https:// or webcal://")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user name or password; use the calendar's secret address")
    if not host or "\\" in text or port == 0:
        raise ValueError("names no host; use an address such as https://calendar.example.com/private/basic.ics")
    return urlunsplit(SplitResult(scheme, parts.netloc.lower(), parts.path or "/", parts.query, ""))


def masked_url(url: str) -> str:
    """`https://calendar.example.com/…`: the rest is a secret that opens somebody's calendar."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/…"
