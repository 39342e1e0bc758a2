"""MercadoPago's webhooks: the signature covers the object's id, the request's id and the time, but not the body.

So of the body only what leads to the object is used, and the object is fetched. The signature's time is in seconds by
the documentation and in milliseconds at times; the id is signed as it is, or in lower case, depending on its age.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from types import MappingProxyType
from urllib.parse import parse_qsl

import msgspec

from app.gateway import BadSignature, Delivery, ObjectKind, ProcessorEvent

TOLERANCE_S = 5 * 86_400.0
"""Since it was signed. Deliveries are tried for four days, and nothing says that they are signed anew; an old one that
is sent again does no more than have its object fetched."""
EARLY_S = 300.0
"""How far a signature may lie ahead of our clock."""

_KINDS: Mapping[str, ObjectKind] = MappingProxyType(
    {
        "payment": ObjectKind.PAYMENT,
        "topic_chargebacks_wh": ObjectKind.DISPUTE,
        "chargebacks": ObjectKind.DISPUTE,
    }
)
_MILLISECONDS_FROM = 10**11


class _Data(msgspec.Struct):
    id: str | int = ""


class _Notification(msgspec.Struct):
    id: int | str
    type: str
    data: _Data
    action: str = ""
    live_mode: bool = True
    user_id: int | str | None = None
    date_created: str | None = None


def read_event(delivery: Delivery, secrets: Sequence[str], now_s: float, tolerance_s: float) -> ProcessorEvent:
    """`secrets`: one, or two while they are exchanged. Raises BadSignature."""
    signed_at, stamp, signature = _header(delivery.headers.get("x-signature", ""))
    object_id = dict(parse_qsl(delivery.query)).get("data.id", "")
    request_id = delivery.headers.get("x-request-id", "")
    manifests = {_manifest(one, request_id, stamp).encode() for one in (object_id, object_id.lower())}
    # All are compared: which secret it was cannot be told from the time it takes. An empty one signs nothing.
    holds = [
        hmac.compare_digest(hmac.new(secret.encode(), manifest, sha256).digest(), signature)
        for secret in secrets
        for manifest in manifests
        if secret
    ]
    if not object_id or not any(holds):
        raise BadSignature("The signature is of no secret of ours: altered on the way, or not MercadoPago's.")
    if not -EARLY_S <= now_s - signed_at <= tolerance_s:
        raise BadSignature(f"Signed {now_s - signed_at:.0f} seconds ago, which is out of tolerance.")
    try:
        told = msgspec.json.decode(delivery.body, type=_Notification)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadSignature("Signed, but no notification.") from error
    if str(told.data.id).lower() != object_id.lower():
        raise BadSignature("The body is about another object than the one that was signed.")
    return ProcessorEvent(
        event_id=str(told.id),
        type=told.action or told.type,
        object_kind=_KINDS.get(told.type, ObjectKind.OTHER),
        object_id=object_id,
        account=None if told.user_id is None else str(told.user_id),
        is_live=told.live_mode,
        created_at=_created(told.date_created, signed_at),
    )


def _manifest(object_id: str, request_id: str, stamp: str) -> str:
    """What is missing from a delivery is missing from the manifest."""
    parts = (("id", object_id), ("request-id", request_id), ("ts", stamp))
    return "".join(f"{name}:{value};" for name, value in parts if value)


def _header(text: str) -> tuple[float, str, bytes]:
    """`ts=…,v1=…`: the time in seconds, as it stands there, and the signature. Raises BadSignature."""
    told = {name.strip(): value.strip() for name, _, value in (part.partition("=") for part in text.split(",")[:10])}
    stamp = told.get("ts", "")
    try:
        signature = bytes.fromhex(told.get("v1", ""))
    except ValueError:
        signature = b""
    if not signature or not (stamp.isascii() and stamp.isdigit() and len(stamp) < 16):
        raise BadSignature("There is no signature.")
    number = int(stamp)
    return (number / 1000 if number >= _MILLISECONDS_FROM else float(number)), stamp, signature


def _created(text: str | None, signed_at: float) -> datetime:
    """When it happened; when it was signed, if that is not told."""
    try:
        found = datetime.fromisoformat(text or "")
    except ValueError:
        found = None
    return found if found is not None and found.tzinfo is not None else datetime.fromtimestamp(signed_at, UTC)
