"""What Stripe's package raises, as errors of the port: was it done, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType

import httpx
import stripe

from app.adapters.decline_texts import Reason, decline_of
from app.gateway import (
    Decline,
    Declined,
    GatewayError,
    GatewayRefused,
    GatewayUnavailable,
    GatewayUnknown,
    RefusalKind,
)

DECLINES: Mapping[str, Reason] = MappingProxyType(
    {
        "insufficient_funds": Reason.FUNDS,
        "expired_card": Reason.EXPIRED,
        "incorrect_cvc": Reason.SECURITY_CODE,
        "invalid_cvc": Reason.SECURITY_CODE,
        "incorrect_number": Reason.NUMBER,
        "invalid_number": Reason.NUMBER,
        "invalid_expiry_month": Reason.EXPIRY,
        "invalid_expiry_year": Reason.EXPIRY,
        "authentication_required": Reason.AUTHENTICATION,
        "payment_intent_authentication_failure": Reason.AUTHENTICATION,
        "setup_intent_authentication_failure": Reason.AUTHENTICATION,
        "authentication_not_handled": Reason.AUTHENTICATION,
        "card_velocity_exceeded": Reason.LIMIT,
        "withdrawal_count_limit_exceeded": Reason.LIMIT,
        "pin_try_exceeded": Reason.LIMIT,
        "call_issuer": Reason.CALL_BANK,
        "approve_with_id": Reason.CALL_BANK,
        "processing_error": Reason.LATER,
        "issuer_not_available": Reason.LATER,
        "reenter_transaction": Reason.LATER,
        "try_again_later": Reason.LATER,
        "duplicate_transaction": Reason.TWICE,
        "card_not_supported": Reason.NOT_SUPPORTED,
        "currency_not_supported": Reason.NOT_SUPPORTED,
        "transaction_not_allowed": Reason.NOT_SUPPORTED,
        "not_permitted": Reason.NOT_SUPPORTED,
        "fraudulent": Reason.BLOCKED,
        "lost_card": Reason.BLOCKED,
        "stolen_card": Reason.BLOCKED,
        "pickup_card": Reason.BLOCKED,
        "restricted_card": Reason.BLOCKED,
        "merchant_blacklist": Reason.BLOCKED,
        "security_violation": Reason.BLOCKED,
    }
)
_KINDS: Mapping[str, RefusalKind] = MappingProxyType(
    {
        "payment_intent_unexpected_state": RefusalKind.STATE,
        "setup_intent_unexpected_state": RefusalKind.STATE,
        "charge_already_captured": RefusalKind.STATE,
        "charge_already_refunded": RefusalKind.STATE,
        "charge_disputed": RefusalKind.STATE,
        "charge_expired_for_capture": RefusalKind.STATE,
        "charge_not_refundable": RefusalKind.STATE,
        "amount_too_large": RefusalKind.AMOUNT,
        "amount_too_small": RefusalKind.AMOUNT,
        "invalid_charge_amount": RefusalKind.AMOUNT,
        "balance_insufficient": RefusalKind.FUNDS,
        "insufficient_funds": RefusalKind.FUNDS,
        "resource_missing": RefusalKind.MISSING,
        "account_closed": RefusalKind.ACCOUNT,
        "account_invalid": RefusalKind.ACCOUNT,
        "insufficient_capabilities_for_transfer": RefusalKind.ACCOUNT,
        "transfers_not_allowed": RefusalKind.ACCOUNT,
    }
)
# Nothing of the request has left when one of these is raised; with the latter, nothing of it ever will.
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_NEVER_SENT = (httpx.UnsupportedProtocol, httpx.LocalProtocolError)


def decline_named(code: str | None, decline_code: str | None) -> Decline:
    """The bank's word before Stripe's."""
    return decline_of(decline_code or code or "card_declined", DECLINES)


def translated(error: stripe.StripeError) -> GatewayError:
    """The port's error, to be raised from Stripe's."""
    # The package leaves `code` None on 401, 403 and 409.
    code = (error.error.code if error.error else None) or error.code or ""
    if isinstance(error, stripe.APIConnectionError):
        return _not_answered(error)
    if isinstance(error, stripe.CardError):
        return Declined(decline_named(code, error.error.decline_code if error.error else None))
    status, text = error.http_status, error.user_message or type(error).__name__
    if status == 429:
        return GatewayUnavailable(text, code or "rate_limit", _retry_after(error))
    kind = _kind(error, code)
    if kind is None:
        return GatewayUnknown(text, code or str(status))
    return GatewayRefused(text, code or str(status), kind)


def is_replayed(headers: Mapping[str, str] | None) -> bool:
    """Was this answer kept under the idempotency key? Then it shows how things were, not how they are."""
    return headers is not None and headers.get("idempotent-replayed") == "true"


def _not_answered(error: stripe.APIConnectionError) -> GatewayError:
    cause = error.__cause__
    name = type(cause or error).__name__
    if isinstance(cause, _NOT_SENT):
        return GatewayUnavailable(f"Stripe was not reached ({name}).", "not_reached")
    if isinstance(cause, _NEVER_SENT):
        return GatewayRefused(f"This cannot be sent to Stripe ({name}).", "not_sendable", RefusalKind.REQUEST)
    return GatewayUnknown(f"Stripe's answer did not arrive ({name}).", "no_answer")


def _kind(error: stripe.StripeError, code: str) -> RefusalKind | None:
    """None: it says nothing of whether it was done."""
    status = error.http_status
    if isinstance(error, stripe.IdempotencyError):
        return RefusalKind.KEY_REUSED
    if isinstance(error, stripe.AuthenticationError | stripe.PermissionError):
        return _KINDS.get(code, RefusalKind.ACCESS)
    if status is None or not 400 <= status < 500 or status == 409:
        return None
    if code in _KINDS:
        return _KINDS[code]
    # Refunds and transfers that ask for too much have no code.
    is_amount = str(getattr(error, "param", None) or "").startswith("amount")
    return RefusalKind.MISSING if status == 404 else RefusalKind.AMOUNT if is_amount else RefusalKind.REQUEST


def _retry_after(error: stripe.StripeError) -> timedelta | None:
    said = (error.headers or {}).get("retry-after", "")
    return timedelta(seconds=min(int(said), 3_600)) if said.isascii() and said.isdigit() and len(said) < 9 else None
