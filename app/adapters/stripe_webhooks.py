"""Stripe's webhooks: is it Stripe's, is it whole, is it new; and what it is about."""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from types import MappingProxyType

import msgspec

from app.gateway import BadSignature, Delivery, ObjectKind, ProcessorEvent

TOLERANCE_S = 300.0
"""How far the time of signing may lie from ours. Each attempt of Stripe's is signed anew, so lateness costs nothing."""

_KINDS: Mapping[str, ObjectKind] = MappingProxyType(
    {
        "payment_intent": ObjectKind.PAYMENT,
        "charge": ObjectKind.CHARGE,
        "refund": ObjectKind.REFUND,
        "dispute": ObjectKind.DISPUTE,
        "transfer": ObjectKind.TRANSFER,
        "account": ObjectKind.ACCOUNT,
        "setup_intent": ObjectKind.SETUP,
    }
)
_MOST_SIGNATURES = 20


class _Object(msgspec.Struct):
    object: str = ""
    id: str = ""


class _Data(msgspec.Struct):
    object: _Object


class _Event(msgspec.Struct):
    id: str
    type: str
    created: int
    livemode: bool
    data: _Data
    account: str | None = None


def read_event(delivery: Delivery, secrets: Sequence[str], now_s: float, tolerance_s: float) -> ProcessorEvent:
    """`secrets`: one, or two while they are exchanged. Raises BadSignature."""
    signed_at, signatures = _header(delivery.headers.get("stripe-signature", ""))
    signed = f"{signed_at}.".encode() + delivery.body
    # All are compared: which secret it was cannot be told from the time it takes. An empty one signs nothing.
    holds = [
        hmac.compare_digest(hmac.new(secret.encode(), signed, sha256).digest(), signature)
        for secret in secrets
        for signature in signatures
        if secret
    ]
    if not any(holds):
        raise BadSignature("No signature is of a secret of ours: altered on the way, or not Stripe's.")
    if abs(now_s - signed_at) > tolerance_s:
        raise BadSignature(f"Signed {now_s - signed_at:.0f} seconds ago, which is out of tolerance.")
    try:
        event = msgspec.json.decode(delivery.body, type=_Event)
        created_at = datetime.fromtimestamp(event.created, UTC)
    except (msgspec.DecodeError, UnicodeDecodeError, OverflowError, ValueError, OSError) as error:
        raise BadSignature("Signed, but no event.") from error
    subject = event.data.object
    return ProcessorEvent(
        event_id=event.id,
        type=event.type,
        object_kind=_KINDS.get(subject.object, ObjectKind.OTHER),
        object_id=subject.id,
        account=event.account,
        is_live=event.livemode,
        created_at=created_at,
    )


def _header(text: str) -> tuple[int, list[bytes]]:
    """`t=…,v1=…`: the time and the signatures. Raises BadSignature."""
    signed_at, signatures = None, []
    for part in text.split(",")[:_MOST_SIGNATURES]:
        name, _, value = part.partition("=")
        if name == "t" and value.isascii() and value.isdigit() and len(value) < 13:
            signed_at = int(value)
        elif name == "v1":
            try:
                signatures.append(bytes.fromhex(value))
            except ValueError:
                continue
    if signed_at is None or not signatures:
        raise BadSignature("There is no signature.")
    return signed_at, signatures
