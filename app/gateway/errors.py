"""What goes wrong with a processor: done or not, and what to do about it."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

from app.gateway.snapshots import Decline, PaymentSnapshot


class GatewayError(Exception):
    """`code`: the processor's, or ours; `message`: for the operator, without secrets and card data."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class Declined(GatewayError):
    """The bank (or the processor's check) refuses; the payment stays open for another attempt where it can be."""

    def __init__(self, decline: Decline, snapshot: PaymentSnapshot | None = None) -> None:
        super().__init__(decline.message, decline.code)
        self.decline = decline
        self.snapshot = snapshot

    @property
    def is_retryable(self) -> bool:
        return self.decline.is_retryable


class GatewayUnknown(GatewayError):
    """It may have been done or not: a timeout, a lost connection, a 5xx, the same key still under way.

    The same call with the same key gives the one outcome; after the keys' life it is looked up.
    """


class GatewayUnavailable(GatewayError):
    """It was certainly not done: no connection, or too many requests. `retry_after`: the processor's wish."""

    def __init__(self, message: str, code: str = "", retry_after: timedelta | None = None) -> None:
        super().__init__(message, code)
        self.retry_after = retry_after


class RefusalKind(StrEnum):
    STATE = "state"
    """The object is in no state for this: fetch it, it has moved on."""
    AMOUNT = "amount"
    """More than is left of it, less than the least, or not a sum of the currency."""
    FUNDS = "funds"
    """The balance does not cover it (yet)."""
    MISSING = "missing"
    ACCOUNT = "account"
    """The connected account cannot receive."""
    ACCESS = "access"
    """The key, its rights, or its mode."""
    KEY_REUSED = "key_reused"
    """The idempotency key belongs to a call with other parameters."""
    NOT_OFFERED = "not_offered"
    REQUEST = "request"
    """Anything else: a fault of ours."""


class GatewayRefused(GatewayError):
    """It was certainly not done, and will not be by asking again."""

    def __init__(self, message: str, code: str = "", kind: RefusalKind = RefusalKind.REQUEST) -> None:
        super().__init__(message, code)
        self.kind = kind


class BadSignature(Exception):
    """The webhook is not the processor's, was altered, or is too old. The text says which, for the log."""
